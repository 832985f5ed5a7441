"""`geomclip evaluate SOURCE`: retrieval, zero-shot and hierarchy of a model, or of embeddings."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from geomclip.cli.options import Common, CommonFlags, guard_pipes, parse, replace, spell_out
from geomclip.cli.output import Output, finite, table
from geomclip.cli.progress import counting
from geomclip.cli.source import is_embeddings
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError
from geomclip.train.config import from_toml

FILE = "evaluation.json"


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure a trained model. Without --data it is asked about the data it was trained for. Of a
    file of embeddings with label points the tree of labels is measured alone."""

    source: tyro.conf.Positional[Path]
    """Run folder, one checkpoint folder of a run, a published checkpoint, or embeddings."""
    data: DataConfig = field(default_factory=DataConfig)
    geometry: str | None = None
    """Geometry of a checkpoint that does not say it."""
    tokenizer: Path | None = None
    """Vocabulary of a checkpoint that has none beside it."""
    quick_gelu: bool | None = None
    """Whether the towers have OpenAI's activation, of a checkpoint that does not say."""
    device: str = "cpu"
    """Torch device."""
    threads: int = 0
    """CPU threads; torch's own choice at 0."""
    min_radius: float | None = None
    """Cone constant K; that of the end of the run when not given."""
    trees: bool = True
    """Where the data have label paths, measure the space against the tree of labels."""
    hierarchy: str = ""
    """Hierarchy that the labels are nodes of, in place of the tree of their paths: nouns (WordNet;
    synsets, wnids or words), a synset, or a csv of edges (columns child and parent)."""
    hierarcaps: Path | None = None
    """csv of HierarCaps (columns captions, image_url); needs --hierarcaps-images."""
    hierarcaps_images: Path | None = None
    """Folder of its pictures."""
    out: Path | None = None
    """File for the numbers; by default SOURCE/evaluation.json, or beside a file SOURCE its name
    with .evaluation.json."""
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, evaluate, report."""
    options = parse_options(argv)
    output = Output(options.common)
    embedded = is_embeddings(options.source)
    values = evaluate_embeddings(options) if embedded else evaluate(options, output)
    path = options.out or _beside(options.source)
    _write(path, values)
    output.result(values, summary(values))
    output.note(f"Written to {path}")
    return 0


def summary(values: dict[str, Any]) -> Table:
    """The numbers as a table: metrics by split, what chance gives in brackets."""
    cells = {(row["metric"], row["split"]): f"{row['value']:.4f}" for row in values["rows"]}
    for row in values["references"]:
        key = row["metric"], row["split"]
        if row["reference"] == "chance" and key in cells:
            cells[key] += f" ({row['value']:.4f})"
    for split, found in values["splits"].items():
        rows = found.get("tree", {}).get("rows", {})
        cells |= {(what, split): _measured(number) for what, number in rows.items()}
    for root, numbers in values.get("hierarcaps", {}).items():
        for what, number in numbers.items():
            cells[f"HierarCaps, root {root}: {what}", "hierarcaps"] = _measured(number)
    splits = list(dict.fromkeys(split for _, split in cells))
    return table(
        f"{values['source']}: {values['geometry']} on {values['data']} (in brackets: chance)",
        ["metric", *splits],
        [
            [metric, *(cells.get((metric, split), "") for split in splits)]
            for metric in dict.fromkeys(metric for metric, _ in cells)
        ],
    )


def _measured(number: dict[str, Any]) -> str:
    """0.712 ± 0.010 (0.500): a value, its standard error, what shuffled labels give."""
    text = f"{number['value']:.4f}"
    if number["error"] is not None:
        text += f" ± {number['error']:.4f}"
    return text if number["null"] is None else f"{text} ({number['null']:.4f})"


def parse_options(argv: list[str]) -> EvaluateOptions:
    """The options of a command line; the data of the run where it names none."""
    argv = spell_out(argv)
    options = parse(EvaluateOptions, argv, prog="geomclip evaluate")
    source = options.source
    folder = source.parent.parent if source.parent.name == "checkpoints" else source
    if (folder / "config.toml").is_file():
        trained = from_toml(folder / "config.toml")
        last = trained.final_min_radius
        radius = trained.min_radius if last is None else last
        own = any(token.partition("=")[0] == "--data.source" for token in argv)
        data = DataConfig() if own else trained.data
        default = EvaluateOptions(source=source, data=data, min_radius=radius)
        options = parse(EvaluateOptions, argv, prog="geomclip evaluate", default=default)
    if (options.hierarcaps is None) != (options.hierarcaps_images is None):
        raise RequestError(
            "HierarCaps is a csv file and a folder of pictures, and one of them is missing",
            "Give --hierarcaps FILE and --hierarcaps-images FOLDER.",
        )
    return replace(options, data=guard_pipes(options.data, argv))


def evaluate_embeddings(options: EvaluateOptions) -> dict[str, Any]:
    """The same object for a file of embeddings: the tree of labels alone."""
    if options.hierarchy or options.hierarcaps:
        raise RequestError(
            f"{options.source} holds embeddings, and no model that could encode further texts",
            "Leave --hierarchy and --hierarcaps out, or pass the model.",
        )

    from geomclip.embeddings import Embeddings
    from geomclip.evaluate import evaluate_label_tree

    e = Embeddings.read(options.source, options.geometry)
    radius = 0.1 if options.min_radius is None else options.min_radius
    return {
        "source": str(options.source),
        "data": "embeddings",
        "geometry": e.geometry.name,
        "rows": [],
        "references": [],
        "splits": {"embeddings": {"tree": evaluate_label_tree(e, min_radius=radius).to_dict()}},
    }


def evaluate(options: EvaluateOptions, output: Output) -> dict[str, Any]:
    """The object of evaluation.json."""
    import torch

    from geomclip.data.sources import load as load_data
    from geomclip.evaluate import evaluate
    from geomclip.hierarchy import Hierarchy
    from geomclip.loaders import load
    from geomclip.train.root import update_root
    from geomclip.train.world import World, find_device

    if options.threads > 0:
        torch.set_num_threads(options.threads)
    device = find_device(options.device)
    hierarchy = Hierarchy.read(options.hierarchy) if options.hierarchy else None
    model = load(
        options.source,
        geometry=options.geometry,
        tokenizer=options.tokenizer,
        quick_gelu=options.quick_gelu,
    ).to(device)
    with counting(output, f"reading {options.data.source}") as count:
        splits = load_data(options.data, model.image_size, fit=model.fit, progress=count)
    if model.geometry.spec.root == "mean" and not model.geometry.root_point.any():
        # Published checkpoints have no root; that of the data at hand stands in for it.
        with counting(output, "embedding the training pictures for the root"):
            update_root(model, splits.train, World(device=device))
        output.note(f"Root: the mean of what {len(splits.train):,} pictures of {splits.name} embed")
    with counting(output, f"evaluating on {splits.name}"):
        radius = 0.1 if options.min_radius is None else options.min_radius
        evaluation = evaluate(
            model, splits, train=splits.train, min_radius=radius, trees=options.trees,
            hierarchy=hierarchy,
        )  # fmt: skip
    values = {
        "source": str(options.source),
        "data": splits.name,
        "min_radius": radius,
        **evaluation.to_dict(),
    }
    if options.hierarcaps is not None and options.hierarcaps_images is not None:
        from geomclip.evaluate.hierarcaps import hierarcaps_of

        with counting(output, f"evaluating on {options.hierarcaps}"):
            found = hierarcaps_of(model, options.hierarcaps, options.hierarcaps_images)
        values["hierarcaps"] = {root: result.to_dict() for root, result in found.items()}
    return values


def _beside(source: Path) -> Path:
    return source / FILE if source.is_dir() else source.with_suffix(f".{FILE}")


def _write(path: Path, values: dict[str, Any]) -> None:
    import json

    from geomclip.train.files import disk_errors, write_text

    with disk_errors(f"{path} can't be written", "Choose another --out."):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(finite(values), indent=2, ensure_ascii=False) + "\n")
