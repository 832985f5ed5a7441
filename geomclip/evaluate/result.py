"""What an evaluation found: numbers by name, and the arrays that a report draws."""

from dataclasses import asdict, dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from geomclip.evaluate.classification import Classification
from geomclip.evaluate.cones import ConeStatistics
from geomclip.evaluate.label_tree import TreeEvaluation
from geomclip.evaluate.modalities import ModalityEvaluation
from geomclip.evaluate.retrieval import Retrieved


@dataclass(frozen=True)
class Metric:
    """One number by its public name: a share from 0 to 1, a correlation, or radians."""

    split: str
    metric: str
    value: float


@dataclass(frozen=True)
class Reference:
    """What a metric comes to without learning.

    `reference` is `chance` (a random order), `majority` (always the commonest class) or `pixel_nn`
    (the label of the training picture with the nearest pixels).
    """

    reference: str
    split: str
    metric: str
    value: float


@dataclass(frozen=True, eq=False)
class SplitEvaluation:
    """One split in detail.

    Args:
        split: its name.
        queries: rows of the pool that were asked about.
        candidates: pictures in the pool.
        texts: distinct names in the pool, the candidates for a picture.
        image_to_text: ranks, and the best texts of each query as pool rows (the first row with the
            text).
        text_to_image: ranks, and the best pictures of each query's name as pool rows.
        zeroshot: by level, `group` and `subgroup` where the label paths have them.
        cones: by level, `group`, `subgroup`, `name`; empty for a geometry without cones.
        root_distance: `geometry.root_distance` by level: `image` and `name` of the queries (names
            once each), `subgroup` and `group` of the whole pool, `empty` the text "".
        tau: Kendall's tau-b of root distance with level, of each query with a label above its name.
        tau_texts: the same over the texts alone. Pictures that merely lie beyond all texts give
            group, subgroup, name, picture a tau of 1/2 with the texts in no order: read the two
            together.
        tree: the split against the tree of its label paths; None where not asked for, or no tree.
    """

    split: str
    queries: Int[Tensor, "q"]
    candidates: int
    texts: int
    image_to_text: Retrieved
    text_to_image: Retrieved
    zeroshot: dict[str, Classification]
    cones: dict[str, ConeStatistics]
    root_distance: dict[str, Float[Tensor, "n"]]
    tau: Float[Tensor, "t"]
    tau_texts: Float[Tensor, "t"]
    tree: TreeEvaluation | None = None

    by_modality: ModalityEvaluation | None = None
    """Of a model of more than two modalities: each two of them against each other."""

    def to_dict(self, *, arrays: bool = False) -> dict[str, Any]:
        """Counts, statistics by level, medians; with `arrays`, root distances and found rows."""
        values: dict[str, Any] = {
            "split": self.split,
            "queries": len(self.queries),
            "candidates": self.candidates,
            "texts": self.texts,
            "queries_with_tau": len(self.tau),
            "root_tau_texts": self.tau_texts.mean().item() if len(self.tau_texts) else None,
            "zeroshot": {level: z.to_dict() for level, z in self.zeroshot.items()},
            "cones": {level: c.to_dict() for level, c in self.cones.items()},
            "median_root_distance": {
                level: d.median().item() for level, d in self.root_distance.items() if len(d)
            },
        }
        if self.tree is not None:
            values["tree"] = self.tree.to_dict()
        if self.by_modality is not None:
            values["by_modality"] = self.by_modality.to_dict()
        if arrays:
            values["query_rows"] = self.queries.tolist()
            values["root_distance"] = {k: _rounded(d) for k, d in self.root_distance.items()}
            for name in ("image_to_text", "text_to_image"):
                found: Retrieved = getattr(self, name)
                values[name] = {
                    "rank": found.rank.tolist(),
                    "top": found.top.tolist(),
                    "score": [_rounded(row) for row in found.score],
                }
        return values


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All numbers of one model.

    Args:
        geometry: its name.
        rows: the metrics; a number that does not exist for the geometry or the data has no row.
        references: what needs no learning, beside them.
        splits: details by split.
    """

    geometry: str
    rows: tuple[Metric, ...]
    references: tuple[Reference, ...] = ()
    splits: dict[str, SplitEvaluation] = field(default_factory=dict)

    def value(self, split: str, metric: str) -> float | None:
        """One number; None where there is no such row."""
        found = [r.value for r in self.rows if (r.split, r.metric) == (split, metric)]
        return found[0] if found else None

    def to_dict(self, *, arrays: bool = False) -> dict[str, Any]:
        """Everything as JSON values; the arrays of `SplitEvaluation` only when asked for."""
        return {
            "geometry": self.geometry,
            "rows": [asdict(row) for row in self.rows],
            "references": [asdict(reference) for reference in self.references],
            "splits": {k: s.to_dict(arrays=arrays) for k, s in self.splits.items()},
        }


def _rounded(x: Tensor) -> list[float]:
    # Six digits are float32's, and a third of the bytes of its full decimal expansion.
    return [float(f"{v:.6g}") for v in x.tolist()]
