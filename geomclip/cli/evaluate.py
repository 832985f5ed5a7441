"""`geomclip evaluate SOURCE`: tasks and hierarchy of a model, or of embeddings."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from geomclip.cli.measured import summary
from geomclip.cli.options import (
    Common,
    CommonFlags,
    comma_list,
    guard_pipes,
    parse,
    replace,
    spell_out,
)
from geomclip.cli.output import Output, finite
from geomclip.cli.progress import counting
from geomclip.cli.source import SourceOptions, is_embeddings, open_model
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError
from geomclip.train.config import from_toml
from geomclip.train.files import require_writable

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

FILE = "evaluation.json"
LABELS, CLASSIFYING = "labels", ("zeroshot", "probe", "knn")
TASKS = (LABELS, *CLASSIFYING, "retrieval")


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure a trained model. Without --data it is asked about the data it was trained for. Of a
    file of embeddings with label points the tree of labels is measured alone."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
    """Run folder, one checkpoint folder of a run, a published checkpoint, or embeddings."""
    reading: Annotated[SourceOptions, tyro.conf.arg(name="")] = field(default_factory=SourceOptions)
    tasks: str = ""
    """What to ask of the data, as zeroshot,knn. labels: retrieval by name, zero-shot, root
    distances and cones along the label paths, the tree of labels. zeroshot, probe (linear; extra
    probe), knn: classes. retrieval: pictures and captions, both ways. By default labels, and where
    --pairs, --associations or --hierarcaps is given nothing else."""
    split: Literal["auto", "test", "val", "all"] = "auto"
    """What the tasks ask about: auto takes test where the data name it, else val, else the ids that
    a hash holds out."""
    templates: tuple[str, ...] = ()
    """zeroshot, --associations: prompts with {} for the class, or files of them, one a line; of
    several the features are averaged. Those that come with the data when empty."""
    level: str = ""
    """zeroshot, probe, knn: the entry of the label paths that is the class; the last when empty."""
    captions: int = 5
    """retrieval: captions of a picture that are ranked, at most; 0 takes all."""
    fold: int = 1000
    """retrieval: pictures of a fold; the mean over folds is reported where there are two."""
    seed: int = 0
    """probe: of the training pictures that choose its regularisation."""
    pairs: Path | None = None
    """json file of caption pairs, or a folder of them, as SugarCrepe and VL-CheckList have them."""
    pairs_images: Path | None = None
    """Folder of their pictures, or of folders of them."""
    associations: Path | None = None
    """csv of WinoGAViL (columns cue, candidates, associations)."""
    associations_images: Path | None = None
    """Folder of its pictures, CANDIDATE.jpg."""
    hierarcaps: Path | None = None
    """csv of HierarCaps (columns captions, image_url)."""
    hierarcaps_images: Path | None = None
    """Folder of its pictures."""
    min_radius: float | None = None
    """labels: cone constant K; that of the end of the run when not given."""
    trees: bool = True
    """labels: where the data have label paths, measure the space against the tree of labels."""
    hierarchy: str = ""
    """labels: hierarchy that the labels are nodes of, in place of the tree of their paths: nouns
    (WordNet; synsets, wnids or words), a synset, or a csv of edges (columns child and parent)."""
    out: Path | None = None
    """File for the numbers; by default SOURCE/evaluation.json, or beside a file SOURCE its name
    with .evaluation.json."""
    benchmark: Path | None = None
    """Folder for the results of tasks, pairs and associations, a file each as CLIP_benchmark writes
    them: its `build` makes a table of them."""
    language: str = "en"
    """What those files say the texts' language is."""
    common: CommonFlags = field(default_factory=Common)

    @property
    def wanted(self) -> list[str]:
        """The tasks on the data."""
        if self.tasks:
            return comma_list(self.tasks, "--tasks")
        return [] if self.pairs or self.associations or self.hierarcaps else [LABELS]


def run(argv: list[str]) -> int:
    """Parse, evaluate, report."""
    options = parse_options(argv)
    output = Output(options.common)
    embedded = is_embeddings(options.source)
    path = options.out or _beside(options.source)
    require_writable(path.parent)
    if options.benchmark is not None:
        require_writable(options.benchmark)
    values, records = evaluate_embeddings(options) if embedded else evaluate(options, output)
    write_json(path, values)
    if options.benchmark is not None:
        from geomclip.evaluate.benchmark import file_name

        for record in records:
            write_json(options.benchmark / file_name(record), record)
    output.result(values, summary(values))
    output.note(f"Written to {path}")
    if options.benchmark is not None:
        output.note(f"{len(records)} files written to {options.benchmark}")
    return 0


def parse_options(argv: list[str]) -> EvaluateOptions:
    """The options of a command line; the data of the run where it names none."""
    argv = spell_out(argv, EvaluateOptions)
    options = parse(EvaluateOptions, argv, prog="geomclip evaluate")
    source = options.source
    folder = source.parent.parent if source.parent.name == "checkpoints" else source
    if (folder / "config.toml").is_file():
        trained = from_toml(folder / "config.toml")
        last = trained.final_min_radius
        radius = trained.min_radius if last is None else last
        own = any(token.partition("=")[0] == "--data.source" for token in argv)
        data = SourceOptions(data=DataConfig() if own else trained.data)
        default = EvaluateOptions(source=source, reading=data, min_radius=radius)
        options = parse(EvaluateOptions, argv, prog="geomclip evaluate", default=default)
    check(options)
    inner = options.reading
    return replace(options, reading=replace(inner, data=guard_pipes(inner.data, argv)))


def check(options: EvaluateOptions) -> None:
    """Raises RequestError for options that don't fit each other."""
    for name in ("pairs", "associations", "hierarcaps"):
        file, images = getattr(options, name), getattr(options, f"{name}_images")
        if (file is None) != (images is None):
            raise RequestError(
                f"--{name} is a file and its pictures' folder, and one of them is missing",
                f"Give --{name} FILE and --{name}-images FOLDER.",
            )
    wanted = options.wanted
    for task in wanted:
        if task not in TASKS:
            raise RequestError(f'--tasks: there is no "{task}"', f"One of {', '.join(TASKS)}.")
    given = {
        "--level": (options.level, CLASSIFYING),
        "--templates": (options.templates and not options.associations, ("zeroshot",)),
        "--hierarchy": (options.hierarchy, (LABELS,)),
    }
    for flag, (value, tasks) in given.items():
        if value and not set(tasks) & set(wanted):
            raise RequestError(
                f"{flag} belongs to {', '.join(tasks)}, and --tasks asks for "
                f"{', '.join(wanted) or 'none'}",
                f"Add --tasks {tasks[0]}, or leave {flag} out.",
            )
    for flag, number in (("--captions", options.captions), ("--fold", options.fold)):
        if number < 0:
            raise RequestError(f"{flag} is {number}", "Give 0 or more.")
    if options.benchmark and set(wanted) <= {LABELS} and not options.pairs:
        if not options.associations:
            raise RequestError(
                "--benchmark is for the results of tasks, and there are none but labels",
                "Add --tasks zeroshot.",
            )


def evaluate_embeddings(options: EvaluateOptions) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same object for a file of embeddings: the tree of labels alone."""
    if options.hierarchy or options.wanted != [LABELS]:
        raise RequestError(
            f"{options.source} holds embeddings, and no model that could encode anything further",
            "Pass the model, or leave --tasks, --hierarchy and what names files of texts out.",
        )

    from geomclip.embeddings import Embeddings
    from geomclip.evaluate import evaluate_label_tree

    how = options.reading
    e = Embeddings.read(options.source, how.geometry or None, how.c, features=how.features)
    radius = 0.1 if options.min_radius is None else options.min_radius
    return {
        "source": str(options.source),
        "data": "embeddings",
        "geometry": e.geometry.name,
        "rows": [],
        "references": [],
        "splits": {"embeddings": {"tree": evaluate_label_tree(e, min_radius=radius).to_dict()}},
    }, []


def evaluate(
    options: EvaluateOptions, output: Output
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The object of evaluation.json, and those of CLIP_benchmark's files."""
    from geomclip.data.prompts import read_templates
    from geomclip.evaluate.benchmark import benchmark_records

    templates = read_templates(options.templates)
    model = open_model(options.source, options.reading)
    values: dict[str, Any] = {
        "source": str(options.source),
        "data": "",
        "geometry": model.geometry.name,
        "rows": [],
        "references": [],
        "splits": {},
    }
    found: dict[str, Any] = {}
    tasks = [task for task in options.wanted if task != LABELS]
    if LABELS in options.wanted:
        values |= _labels(options, model, output)
    if tasks:
        found["tasks"] = _tasks(options, model, tasks, templates, output)
        values["data"] = found["tasks"].data
        values["tasks"] = found["tasks"].to_dict()
        for split, one in found["tasks"].splits.items():
            for metric, value, error, chance in one.numbers():
                row = {"split": split, "metric": metric}
                values["rows"].append({**row, "value": value, "error": error})
                if chance is not None:
                    values["references"].append({"reference": "chance", **row, "value": chance})
    found |= _files(options, model, templates, output, values)
    values["data"] = values["data"] or ", ".join(
        str(path) for path in (options.pairs, options.associations, options.hierarcaps) if path
    )
    records = benchmark_records(
        model=values["geometry"], pretrained=values["source"], language=options.language, **found
    )
    return values, records


def _labels(options: EvaluateOptions, model: "ContrastiveModel", output: Output) -> dict[str, Any]:
    """Retrieval by name, zero-shot, cones, root distances and the tree of labels."""
    from geomclip.data.sources import load as load_data
    from geomclip.evaluate import evaluate
    from geomclip.hierarchy import Hierarchy
    from geomclip.train.root import update_root
    from geomclip.train.world import World

    data, device = options.reading.data, model.pixel_mean.device
    hierarchy = Hierarchy.read(options.hierarchy) if options.hierarchy else None
    with counting(output, f"reading {data.source}") as count:
        splits = load_data(data, model.image_size, fit=model.fit, progress=count)
    if model.geometry.spec.root == "mean" and not model.geometry.root_point.any():
        # Published checkpoints have no root; that of the data at hand stands in for it.
        with counting(output, "embedding the training pictures for the root"):
            update_root(model, splits.train, World(device=device))
        output.note(f"Root: the mean of what {len(splits.train):,} pictures of {splits.name} embed")
    with counting(output, f"evaluating on {splits.name}"):
        radius = 0.1 if options.min_radius is None else options.min_radius
        evaluation = evaluate(
            model, splits, train=splits.train, min_radius=radius, trees=options.trees,
            hierarchy=hierarchy, batch_size=options.reading.batch_size,
        )  # fmt: skip
    return {"data": splits.name, "min_radius": radius, **evaluation.to_dict()}


def _tasks(
    options: EvaluateOptions,
    model: "ContrastiveModel",
    tasks: list[str],
    templates: tuple[str, ...],
    output: Output,
) -> Any:
    from geomclip.evaluate.parts import encode_parts
    from geomclip.evaluate.tasks import LEARNING, run_tasks

    data, batch_size = options.reading.data, options.reading.batch_size
    with counting(output, f"encoding {data.source}") as count:
        parts = encode_parts(
            model, data, split=options.split, training=bool(set(LEARNING) & set(tasks)),
            batch_size=batch_size, progress=count,
        )  # fmt: skip
    if parts.bad:
        output.warn(
            f"{data.source}: left out {len(parts.bad):,} records; the first: "
            f"{parts.bad[0].where}: {parts.bad[0].reason}"
        )
    results = run_tasks(
        model, parts, tasks, templates=templates, level=options.level, captions=options.captions,
        fold=options.fold, batch_size=batch_size, seed=options.seed, progress=output.note,
    )  # fmt: skip
    if results.templates:
        output.note(f"Prompts ({len(results.templates)}): {' | '.join(results.templates)}")
    return results


def _files(
    options: EvaluateOptions,
    model: "ContrastiveModel",
    templates: tuple[str, ...],
    output: Output,
    values: dict[str, Any],
) -> dict[str, Any]:
    """What is asked of files of texts and their pictures; `values` gets their numbers."""
    found: dict[str, Any] = {}
    how = {"batch_size": options.reading.batch_size}
    skip = options.reading.data.skip_bad
    if options.pairs is not None and options.pairs_images is not None:
        from geomclip.evaluate.pairs import pairs_of

        with counting(output, f"evaluating on {options.pairs}") as count:
            pairs, left_out = pairs_of(
                model, options.pairs, options.pairs_images, skip_bad=skip, progress=count, **how
            )
        _told(output, options.pairs, left_out)
        values["pairs"] = pairs.to_dict() | {"left_out": len(left_out)}
        found["pairs"] = options.pairs.stem, pairs
    if options.associations is not None and options.associations_images is not None:
        from geomclip.evaluate.associations import associations_of

        with counting(output, f"evaluating on {options.associations}") as count:
            associations, left_out = associations_of(
                model, options.associations, options.associations_images,
                templates=templates, skip_bad=skip, progress=count, **how,
            )  # fmt: skip
        _told(output, options.associations, left_out)
        values["associations"] = associations.to_dict() | {"left_out": len(left_out)}
        found["associations"] = options.associations.stem, associations
    if options.hierarcaps is not None and options.hierarcaps_images is not None:
        from geomclip.evaluate.hierarcaps import hierarcaps_of

        with counting(output, f"evaluating on {options.hierarcaps}"):
            by_root = hierarcaps_of(model, options.hierarcaps, options.hierarcaps_images, **how)
        values["hierarcaps"] = {root: result.to_dict() for root, result in by_root.items()}
    return found


def _told(output: Output, file: Path, left_out: tuple[Any, ...]) -> None:
    if left_out:
        output.warn(
            f"{file}: {len(left_out):,} pictures, and all that is asked of them, are left out; the "
            f"first: {left_out[0].where}: {left_out[0].reason}"
        )


def _beside(source: Path) -> Path:
    return source / FILE if source.is_dir() else source.with_suffix(f".{FILE}")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """A file that is whole or absent. Raises GeomclipError where it can't be written."""
    import json

    from geomclip.train.files import disk_errors, write_text

    with disk_errors(f"{path} can't be written", "Choose another --out."):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(finite(values), indent=2, ensure_ascii=False) + "\n")
