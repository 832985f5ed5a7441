"""`geomclip analyze SOURCE [SOURCE ...]`: what does a space of embeddings look like?"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from geomclip.cli.options import Common, CommonFlags, comma_list, parse, spell_out
from geomclip.cli.output import Output, finite, table
from geomclip.cli.progress import counting
from geomclip.cli.source import SourceOptions, open_embeddings, with_data
from geomclip.errors import RequestError
from geomclip.train.files import require_writable

if TYPE_CHECKING:
    from geomclip.analysis.space import Space
    from geomclip.analysis.table import Report
    from geomclip.hierarchy import Hierarchy

JSON, HTML = "analysis.json", "analysis.html"


@dataclass(frozen=True)
class AnalyzeOptions:
    """Root distances, modality gap, alignment, retrieval, cones, spectrum, hubs, tree-likeness,
    distortion, neural collapse, thresholds and analogies of one space or of several side by side,
    the others compared with the first; each number with its standard error."""

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE ...")]
    """Embeddings (.safetensors, .npz, .npy, .parquet, .csv), run folders, checkpoints."""
    source: Annotated[SourceOptions, tyro.conf.arg(name="")] = field(default_factory=SourceOptions)
    only: str = ""
    """Analyses to make, as roots,gap; all when empty."""
    root: Literal["own", "origin", "mean", "empty"] = "own"
    """What root distances start from: the geometry's own root (the origin; of clip and elliptic
    the mean), the origin, the midpoint of the embeddings, or the text ""."""
    min_radius: float = 0.1
    """K of the entailment cones."""
    tree: str = ""
    """The tree that distances are compared with: a csv of child and parent, nouns, mammals, emoji
    or a synset; that of the label paths when empty."""
    analogies: Path | None = None
    """A csv of the columns relation, a, b, which name rows by id, text or label; by default the way
    from a text to its picture."""
    max_points: int = 50_000
    """Points of a modality that are compared with all others; a random sample where there are
    more."""
    seed: int = 0
    """Of samples and resampling."""
    out: Path | None = None
    """Folder of analysis.json and analysis.html; that of the first SOURCE by default."""
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, analyse, write, report."""
    argv = spell_out(argv, AnalyzeOptions)
    options = parse(AnalyzeOptions, argv, prog="geomclip analyze")
    if not options.sources:
        raise RequestError("there is no SOURCE", "geomclip analyze embeddings.safetensors")
    if options.max_points < 2:
        raise RequestError(f"--max-points is {options.max_points}", "Give 2 or more.")
    if not 0 <= options.min_radius < float("inf"):
        raise RequestError(f"--min-radius is {options.min_radius:g}", "Give 0 or more.")
    first = options.sources[0]
    folder = options.out or (first if first.is_dir() else first.parent)
    require_writable(folder)
    tree, relations = read_references(options)
    output = Output(options.common)
    reports = {}
    reference: Space | None = None
    for name, source in zip(short_names(options.sources), options.sources, strict=True):
        space = open_space(source, options, output, argv)
        space.tree, space.analogies, space.reference = tree, relations, reference
        reports[name] = analyse(space, source, options, output)
        if reference is None and len(options.sources) > 1:
            reference = space
    values = {name: report.to_dict() for name, report in reports.items()}
    write(folder, values, reports)
    show(reports, output)
    for name, report in reports.items():
        for reason in report.left_out.values():
            output.note(f"Left out ({name}): {reason}")
    output.note(f"Written to {folder / JSON} and {folder / HTML}")
    if options.common.json:
        output.result(values, "")
    return 0


def read_references(
    options: AnalyzeOptions,
) -> "tuple[Hierarchy | None, dict[str, list[tuple[str, str]]] | None]":
    """What --tree and --analogies name. Raises RequestError for a tree that is none."""
    from geomclip.data.read_relations import read_relations
    from geomclip.hierarchy import Hierarchy

    tree = Hierarchy.read(options.tree) if options.tree else None
    if tree is not None:
        tree.require_tree("--tree")
    return tree, read_relations(options.analogies) if options.analogies else None


def open_space(source: Path, options: AnalyzeOptions, output: Output, argv: list[str]) -> "Space":
    """The space of one SOURCE."""
    embeddings = open_embeddings(source, with_data(options.source, argv), output, argv)
    from geomclip.analysis import Space

    return Space(
        embeddings,
        limit=options.max_points,
        min_radius=options.min_radius,
        root=options.root,
        seed=options.seed,
    )


def analyse(space: "Space", source: Path, options: AnalyzeOptions, output: Output) -> "Report":
    """The report on one SOURCE; of the first of several without what is about two."""
    from geomclip.analysis import ANALYSES, Report, analyze

    only = comma_list(options.only, "--only") if options.only else []
    if space.reference is None and len(options.sources) > 1 and only:
        only = [name for name in only if not (name in ANALYSES and ANALYSES[name].of_two)]
        if not only:
            return Report(space.everything.to_dict(), {}, {})
    with counting(output, f"analysing {source}"):
        return analyze(space, only, lambda title: output.note(f"{source}: {title.lower()}"))


def short_names(sources: tuple[Path, ...]) -> list[str]:
    """What the sources are called: their last parts, or whole paths where two share one."""
    names = [source.name or str(source) for source in sources]
    return names if len(set(names)) == len(names) else [str(source) for source in sources]


def show(reports: dict[str, "Report"], output: Output) -> None:
    """The tables: to stdout, or to stderr where stdout is for --json."""
    from geomclip.viz.analysis import text_table

    for title, found in text_table(reports):
        drawn = table(title, found.columns, found.rows)
        if not output.json:
            output.result({}, drawn)
        elif not output.quiet:
            output.console.print(drawn)


def write(folder: Path, values: dict[str, Any], reports: dict[str, "Report"]) -> None:
    """analysis.json and analysis.html, each whole or not at all."""
    from geomclip.train.files import disk_errors, write_text
    from geomclip.viz.analysis import render

    with disk_errors(f"{folder} can't be written", "Choose another --out."):
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(finite(values), indent=2, ensure_ascii=False)
        write_text(folder / JSON, text + "\n")
        write_text(folder / HTML, render(reports))
