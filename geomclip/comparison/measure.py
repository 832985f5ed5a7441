"""From finished run folders to `Results`: evaluation, curves, root distances, the gallery."""

import base64
import dataclasses
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geomclip.comparison.plan import PlannedRun
from geomclip.errors import RequestError
from geomclip.results import SPLITS, Row, RunResult
from geomclip.train import run as run_folder
from geomclip.train.log import read_metrics

if TYPE_CHECKING:
    from geomclip.data.record import Corpus
    from geomclip.data.splits import EvalSplit, Splits
    from geomclip.evaluate import Evaluation, SplitEvaluation
    from geomclip.evaluate.retrieval import Retrieved
    from geomclip.train.config import TrainConfig

# What is kept of metrics.jsonl for the curves.
CURVES = (
    "loss", "contrastive", "logit_scale", "c", "alpha_image", "alpha_text", "entailment",
    "entailment_weight", "satisfied", "aperture", "saturated", "grad_norm", "lr",
)  # fmt: skip

# Root distances of a report, most general first.
LEVELS = ("group", "subgroup", "name", "image")

PICTURES = 10
ANSWERS = 5
# Pictures shown of those that a variant did best and worst with.
EXTREMES = 5


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Sets torch's CPU threads for a while: the last bits of a sum depend on them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def evaluate_run(run: PlannedRun, folder: Path, splits: "Splits") -> "Evaluation":
    """All metrics of a finished run, with the cone constant that it ended with."""
    from geomclip.evaluate import evaluate

    config = run.config
    model = run_folder.load_run(folder)
    with threads(config.threads):
        return evaluate(model, splits, train=splits.train, min_radius=final_radius(config))


def final_radius(config: "TrainConfig") -> float:
    """The cone constant K that a training ends with."""
    return config.min_radius if config.final_min_radius is None else config.final_min_radius


def rows_of(run: PlannedRun, folder: Path, evaluation: "Evaluation") -> list[Row]:
    """The rows of results.csv of one run: its metrics, and what its training cost."""
    geometry, weight, seed = run.variant.geometry, run.variant.entailment, run.seed
    summary = run_folder.finished(folder) or {}
    rows = [
        Row(geometry, weight, seed, metric.split, metric.metric, metric.value)
        for metric in evaluation.rows
    ]
    for name, key in (("train_seconds", "seconds"), ("train_cpu_seconds", "cpu_seconds")):
        rows.append(Row(geometry, weight, seed, "train", name, float(summary[key])))
    return rows


def run_result(
    run: PlannedRun,
    folder: Path,
    evaluation: "Evaluation",
    errors: dict[str, dict[str, float]] | None = None,
) -> RunResult:
    """What the report shows of one run."""
    records, lost = [], "its folder holds no log of the training (metrics.jsonl)"
    try:
        records = read_metrics(folder / run_folder.METRICS)
    except RequestError as error:
        lost = f"its log of the training can't be shown: {error.what}"
    main = main_split(evaluation.splits)
    found = evaluation.splits[main]
    return RunResult(
        name=run.name,
        variant=run.variant,
        seed=run.seed,
        config=asdict(run.config),
        curves=curves_of(records),
        distances={
            level: _ascending(found.root_distance[level].tolist())
            for level in LEVELS
            if level in found.root_distance and len(found.root_distance[level])
        },
        cones=tuple({"level": k} | c.to_dict() for k, c in found.cones.items()),
        parameters=(run_folder.finished(folder) or {}).get("parameters"),
        notes=tuple(notes_of(records)) if records else (lost,),
        errors=errors or {},
    )


def main_split(names: Sequence[str] | dict[str, Any]) -> str:
    """The split that comes first in a report: never the training one where there is another."""
    rest = [name for name in names if name != "train"]
    known = [name for name in SPLITS if name in rest]
    return (known + rest + ["train"])[0]


def curves_of(records: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Columns of metrics.jsonl, five significant digits; a column that no line has is left out."""
    curves: dict[str, list[float | None]] = {"step": [float(r["step"]) for r in records]}
    for key in CURVES:
        values = [r.get(key) for r in records]
        if any(v is not None for v in values):
            curves[key] = [None if v is None else float(f"{v:.5g}") for v in values]
    return curves


def notes_of(records: list[dict[str, Any]]) -> list[str]:
    """What a reader of the numbers has to know about how the run went."""
    if not records:
        return []
    last = records[-1]
    notes = [
        f"{name} ended at its {side} bound" for name, side in (last.get("at_bound") or {}).items()
    ]
    far = sum(int(r.get("far") or 0) for r in records)
    if far:
        notes.append(f"{far:,} embeddings lay beyond radius 40 during training")
    if last.get("flat"):
        notes.append("the loss is not below chance")
    return notes


def _ascending(values: Sequence[float]) -> list[float]:
    return sorted(float(f"{v:.5g}") for v in values if math.isfinite(v))


def data_of(splits: "Splits", evaluations: Sequence["Evaluation"]) -> dict[str, Any]:
    """Name and sizes of the data."""
    first = evaluations[0].splits
    return {
        "name": splits.name,
        "description": splits.description,
        "train": len(splits.train),
        "levels": list(splits.levels),
        "splits": {
            name: {"queries": len(s.queries), "pool": s.candidates, "texts": s.texts}
            for name, s in first.items()
        },
    }


def order_of(split: "EvalSplit", seed: int) -> list[int]:
    """The questions of a split in a random order: the gallery has the first."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    order: list[int] = torch.randperm(len(split.query), generator=generator).tolist()
    return order


def gallery_of(
    splits: "Splits", runs: Sequence[PlannedRun], evaluations: Sequence["Evaluation"], seed: int
) -> dict[str, Any]:
    """Held-out pictures, drawn before anything was known about them, and what each variant said;
    then those with which each did best and worst.

    One run a variant, the first seed's.
    """
    name = main_split(splits.evaluation)
    split = splits.evaluation[name]
    order = order_of(split, seed)[:PICTURES]
    shown: dict[str, SplitEvaluation] = {}
    for run, evaluation in zip(runs, evaluations, strict=True):
        shown.setdefault(run.variant.key, evaluation.splits[name])
    pictures: dict[str, str] = {}
    items = [_item(split, at, shown, pictures) for at in order]
    what = SPLITS.get(name, name).lower()
    return {
        "split": name,
        "how": (
            f"Drawn at random (seed {seed}) from the {len(split.query):,} pictures of the {what}, "
            "before any result was seen, and the same for every geometry. Below each geometry "
            f"stand the {ANSWERS} names it puts first, each with its picture in that set; the "
            "right one is marked."
        ),
        "items": items,
        "extremes": {
            key: {
                kind: [_item(split, at, {key: evaluation}, pictures) for at in places]
                for kind, places in extremes(evaluation.image_to_text).items()
            }
            for key, evaluation in shown.items()
        },
        "pictures": pictures,
    }


def extremes(found: "Retrieved") -> dict[str, list[int]]:
    """Questions answered best, with the right name farthest ahead of the second, and worst, with
    it farthest down; ties by place."""
    rank, score = found.rank.tolist(), found.score
    lead = (score[:, 0] - score[:, 1]).tolist() if score.shape[1] > 1 else [0.0] * len(rank)
    right = sorted((i for i, r in enumerate(rank) if r == 1), key=lambda i: -lead[i])
    wrong = sorted((i for i, r in enumerate(rank) if r > 1), key=lambda i: -rank[i])
    return {"best": right[:EXTREMES], "worst": wrong[:EXTREMES]}


def _item(
    split: "EvalSplit", at: int, shown: "dict[str, SplitEvaluation]", pictures: dict[str, str]
) -> dict[str, Any]:
    pool = split.pool
    row = int(split.query[at])
    name = pool.names[row]

    def picture(index: int) -> str:
        pictures.setdefault(str(index), png(pool, index))
        return str(index)

    found = {}
    for key, evaluation in shown.items():
        top = evaluation.image_to_text.top[at, :ANSWERS].tolist()
        found[key] = {
            "rank": int(evaluation.image_to_text.rank[at]),
            "top": [
                {"name": pool.names[i], "right": pool.names[i] == name, "picture": picture(i)}
                for i in top
            ],
        }
    above = [label for label in pool.paths[row] if label.casefold() != name.casefold()]
    return {"picture": picture(row), "name": name, "path": above, "found": found}


def png(pool: "Corpus", row: int) -> str:
    """A picture of the pool as base64 of a PNG."""
    from PIL import Image

    pixels = pool.images[row].permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def references_of(evaluations: Sequence["Evaluation"]) -> tuple[dict[str, Any], ...]:
    """The references that need no training; the same for every run."""
    return tuple(dataclasses.asdict(reference) for reference in evaluations[0].references)
