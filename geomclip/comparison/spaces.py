"""What a comparison says of the spaces themselves: ancestors, separation, explorer, traversals.

All of it is asked of the pictures of the main split, at most PICTURES of them, with the texts that
the evaluation knows: prototypes of the same prompts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geomclip.comparison.measure import final_radius, main_split, threads
from geomclip.comparison.plan import PlannedRun
from geomclip.errors import GeomclipError
from geomclip.results import Row
from geomclip.train import run as run_folder

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from geomclip.data.splits import EvalSplit, Splits
    from geomclip.embeddings import Embeddings
    from geomclip.evaluate import Evaluation
    from geomclip.statistics import Measured
    from geomclip.viz.disk import Disk

# Pictures of the main split that are drawn and walked from, at most.
PICTURES = 2000
# Side of the explorer's pictures, pixels; smaller where the data's are.
THUMB = 48


@dataclass
class Spaces:
    """Everything found; what could not be made is in `left_out`, by section.

    Args:
        errors: by run, split and metric, standard errors over the items.
        references: what a random order gives.
        spaces, traversals: see `Results`.
    """

    rows: list[Row] = field(default_factory=list)
    errors: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    references: list[dict[str, Any]] = field(default_factory=list)
    spaces: dict[str, Any] = field(default_factory=dict)
    traversals: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def look(
    splits: "Splits",
    runs: Sequence[PlannedRun],
    evaluations: Sequence["Evaluation"],
    out: Path,
    gallery: Mapping[str, Any],
    order: Sequence[int],
) -> Spaces:
    """Measure every run; draw and walk through the first seed's of every variant.

    Args:
        order: of the main split's questions, those of the gallery first.
    """
    found = Spaces()
    name = main_split(splits.evaluation)
    split = splits.evaluation[name]
    rows = pictures_of(split, order)
    asked = min(len(split.query), len(rows))
    shown: dict[str, Embeddings] = {}
    for run, evaluation in zip(runs, evaluations, strict=True):
        numbers: dict[str, dict[str, Measured]] = {k: {} for k in evaluation.splits if k != "train"}
        for key, detail in evaluation.splits.items():
            if key in numbers:
                numbers[key] |= of_evaluation(detail)
        try:
            with threads(run.config.threads):
                e = embed_run(out / run.name, splits, split, rows)
                numbers[name] |= of_embeddings(e, asked, final_radius(run.config))
            shown.setdefault(run.variant.key, e)
        except GeomclipError as error:
            found.left_out["spaces"] = f"{run.name}: {error.what}."
        _note(found, run, numbers)
    chance = random_order(next(iter(shown.values())), asked) if shown else None
    if chance is not None:
        entry = {"reference": "chance", "split": name, "metric": "ancestor_ap", "value": chance}
        found.references.append(entry)
    if shown and "spaces" not in found.left_out:
        _draw(found, splits, split, rows, runs, shown, gallery)
    return found


def _note(found: Spaces, run: PlannedRun, numbers: "dict[str, dict[str, Measured]]") -> None:
    """Numbers as rows, their errors beside."""
    geometry, weight = run.variant.geometry, run.variant.entailment
    for split, values in numbers.items():
        for metric, number in values.items():
            if number.value is None or not math.isfinite(number.value):
                continue
            if metric != "root_tau":  # the evaluation has it: here is its error
                found.rows.append(Row(geometry, weight, run.seed, split, metric, number.value))
            if number.error is not None and math.isfinite(number.error):
                errors = found.errors.setdefault(run.name, {}).setdefault(split, {})
                errors[metric] = number.error


def pictures_of(split: "EvalSplit", order: Sequence[int]) -> list[int]:
    """Rows of the pool: those asked about in the given order, then the others."""
    query = split.query.tolist()
    rows = [query[i] for i in order]
    asked = set(rows)
    return [*rows, *(i for i in range(len(split.pool)) if i not in asked)][:PICTURES]


def embed_run(
    folder: Path, splits: "Splits", split: "EvalSplit", rows: Sequence[int]
) -> "Embeddings":
    """Points of the pictures, of their names and of the labels above them.

    Raises:
        RequestError: the model has no image or no text encoder.
        GeomclipError: features or points that are not finite.
    """
    from geomclip.encode import embed

    return embed(
        run_folder.load_run(folder),
        split.pool.subset(rows),
        captions="first",
        templates=tuple(dict.fromkeys(("{}", *splits.templates))),
        levels=splits.levels,
        source=folder.name,
    ).with_root()


# ---- numbers


def of_evaluation(detail: Any) -> "dict[str, Measured]":
    """What a split's evaluation says of root distances."""
    from geomclip import resampling

    found: dict[str, Measured] = {}
    if len(detail.tau):
        found["root_tau"] = resampling.mean(detail.tau)
        found["root_tau_texts"] = resampling.mean(detail.tau_texts)
    image, name = (detail.root_distance.get(level) for level in ("image", "name"))
    if image is not None and name is not None and len(image) and len(name):
        found["root_auc"] = resampling.auc(image.double(), name.double())
    return found


def of_embeddings(e: "Embeddings", asked: int, min_radius: float) -> "dict[str, Measured]":
    """Separability of texts and pictures; ancestors of the first `asked` pictures."""
    from geomclip.analysis.gap import modality_gap
    from geomclip.evaluate.ancestry import scores_of

    found: dict[str, Measured] = {}
    if len(e.modalities) > 1 and min(len(e[m]) for m in e.modalities[:2]) >= 4:
        found["modality_accuracy"] = modality_gap(e).separability
    scores = scores_of(e.geometry, min_radius=min_radius)
    for metric, score in (("ancestor_ap", "score"), ("cone_ancestor_ap", "cone")):
        if score in scores and (number := _ancestors(e, asked, scores[score])) is not None:
            found[metric] = number
    return found


def random_order(e: "Embeddings", asked: int) -> float | None:
    """Average precision of ancestors in a random order."""
    import torch

    generator = torch.Generator().manual_seed(0)
    found = _ancestors(
        e, asked, lambda labels, x: torch.rand(len(labels), len(x), generator=generator)
    )
    return None if found is None else found.value


def _ancestors(e: "Embeddings", asked: int, score: Any) -> "Measured | None":
    """Mean average precision of the labels above pictures; None where there are no such labels."""
    import torch

    from geomclip.embeddings import LABEL
    from geomclip.evaluate.ancestry import ancestor_retrieval
    from geomclip.statistics import Measured
    from geomclip.viz.disk import Sample, repeated

    paths = (e.label_paths(LABEL) or []) if LABEL in e.points else []
    names = repeated(e)
    kept = [k for k, path in enumerate(paths) if Sample(LABEL, path) not in names]
    own = e.label_paths(e.modalities[0]) or []
    above = _above([paths[k] for k in kept], own[:asked])
    if len(kept) < 2 or not above.nnz:
        return None
    found = ancestor_retrieval(
        score, e[LABEL][torch.tensor(kept)], e[e.modalities[0]][:asked], above, shuffles=0
    ).average_precision
    return Measured(found.value, found.error, found.n)


def _above(labels: Sequence[Sequence[str]], paths: Sequence[Sequence[str]]) -> "csr_array":
    """(pictures, labels): which labels are the beginning of which picture's path."""
    import numpy as np
    from scipy.sparse import csr_array

    place = {tuple(label): k for k, label in enumerate(labels)}
    pairs: list[tuple[int, int]] = []
    for i, path in enumerate(paths):
        nodes = (tuple(path[:end]) for end in range(1, len(path) + 1))
        pairs += [(i, place[node]) for node in nodes if node in place]
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    shape = (len(paths), len(labels))
    found = csr_array((np.ones(len(rows), bool), (rows[:, 0], rows[:, 1])), shape=shape)
    found.sort_indices()
    return found


# ---- pictures


def _draw(
    found: Spaces,
    splits: "Splits",
    split: "EvalSplit",
    rows: Sequence[int],
    runs: Sequence[PlannedRun],
    shown: "dict[str, Embeddings]",
    gallery: Mapping[str, Any],
) -> None:
    from geomclip.viz import explorer, style
    from geomclip.viz.disk import disk
    from geomclip.viz.sheet import thumbnails

    variants = {run.variant.key: run.variant for run in runs}
    names = [style.label(variants[key]) for key in shown]
    pool = split.pool.subset(rows)
    thumbs, _ = thumbnails(pool, pool.ids, min(THUMB, pool.images.shape[-1]))
    radius = final_radius(runs[0].config)
    try:
        with threads(runs[0].config.threads):
            made = disk(*shown.values(), names=names, thumbs=thumbs, min_radius=radius)
    except (GeomclipError, ValueError) as error:
        what = error.what if isinstance(error, GeomclipError) else str(error)
        found.left_out["spaces"] = f"{what}."
        return
    found.spaces = {
        "atlas": explorer.atlas(made.samples, made.pictures, radius),
        "notes": made.notes,
        "split": split.name,
    }
    wanted = [f"image:{split.pool.ids[int(item['picture'])]}" for item in gallery["items"]]
    for key, name in zip(shown, names, strict=True):
        ways = made.ways.get(name)
        if ways is None or not ways.found:
            found.left_out["traversals"] = "There are no texts that a way could meet."
            continue
        found.traversals[key] = _walks(made, name, wanted)


def _walks(made: "Disk", name: str, wanted: Sequence[str]) -> dict[str, Any]:
    """How many texts the ways of a space meet, and the ways of the gallery's pictures."""
    ways = made.ways[name]
    place = {id: k for k, id in enumerate(made.samples.ids)}
    strips = []
    for id in wanted:
        way = ways.found.get(place.get(id, -1))
        strips.append(None if way is None else [[met.text, met.at] for met in way.met])
    return {**ways.statistics().to_dict(), "strips": strips}
