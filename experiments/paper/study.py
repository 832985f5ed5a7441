"""The finished cells by geometry, entailment and final LayerNorm, over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geomclip.results import METRICS, Variant
from geomclip.statistics import Estimate, estimate
from geomclip.viz import style

Line = dict[str, Any]

NOVEL = "heldout_emoji"
OTHER = "novel_group_acc"
RETRIEVAL = "retrieval"
AVERAGE = "average"
NO_LAYERNORM = "no final LN"

# What a cell has beside the metrics of an evaluation, by the place of its entry.
ENTRIES: dict[str, tuple[str, ...]] = {
    "tau_texts": ("tau_texts",),
    "farther": ("roots", "farther"),
    "overlap": ("roots", "overlap"),
    "captions": ("traversal", "captions"),
    "only_root": ("traversal", "only_root"),
    "distinct": ("traversal", "distinct"),
    "logit_scale": ("last", "logit_scale"),
    "c": ("last", "c"),
    "alpha_image": ("last", "alpha_image"),
    "alpha_text": ("last", "alpha_text"),
}


@dataclass(frozen=True)
class Row:
    """What is compared: a variant with or without final LayerNorm."""

    variant: Variant
    layernorm: bool = True

    @property
    def label(self) -> str:
        """`MERU λ 0.2, no final LN`."""
        return style.label(self.variant) + ("" if self.layernorm else f", {NO_LAYERNORM}")


class Study:
    """The results.

    Args:
        lines: finished cells, at least one, of one grid.
        planned: cells of the grid.
    """

    def __init__(self, lines: Sequence[Line], planned: int) -> None:
        self.lines, self.planned = list(lines), planned
        self.split, self.items = lines[0]["split"], lines[0]["queries"]
        self.rows = list(dict.fromkeys(row_of(line) for line in lines))
        self.seeds = len({line["seed"] for line in lines})

    def of(self, row: Row) -> list[Line]:
        """The cells of a row, by seed."""
        return sorted((v for v in self.lines if row_of(v) == row), key=lambda v: v["seed"])

    def values(self, row: Row, metric: str) -> list[float]:
        """One number a seed; none where there is no such number."""
        found = [self.value(line, metric) for line in self.of(row)]
        return [v for v in found if v is not None]

    def value(self, line: Line, metric: str) -> float | None:
        """A number of a cell: a metric of the main split, an entry, or one that is made of them."""
        if metric == RETRIEVAL:
            return _mean([self.value(line, m) for m in ("i2t_r10", "t2i_r10")])
        if metric == AVERAGE:
            parts = ("zeroshot_group_acc", "zeroshot_subgroup_acc", OTHER, RETRIEVAL)
            return _mean([v for m in parts if (v := self.value(line, m)) is not None])
        if metric == OTHER:
            return line["metrics"].get(f"{NOVEL}/zeroshot_group_acc")
        if metric in ENTRIES:
            found: Any = line
            for name in ENTRIES[metric]:
                found = (found or {}).get(name)
            return None if found is None else float(found)
        return line["metrics"].get(f"{self.split}/{metric}")

    def estimate(self, row: Row, metric: str) -> Estimate | None:
        """Mean and spread over the seeds; None where nothing was measured."""
        values = self.values(row, metric)
        if not values:
            return None
        # Averages, and shares of other things than the split's pictures, have no binomial error.
        share = metric in METRICS and METRICS[metric].kind == "share"
        return estimate(values, self.items if share and metric != "cone_other_group" else None)

    def row(self, geometry: str, entailment: float = 0.0, layernorm: bool = True) -> Row | None:
        """A row by its parts, where it has been measured."""
        found = Row(Variant(geometry, entailment), layernorm)
        return found if found in self.rows else None

    def chosen(self, *, entailed: bool | None = None, layernorm: bool | None = None) -> list[Row]:
        """Rows with or without entailment, with or without final LayerNorm, in the grid's order."""
        return [
            row
            for row in self.rows
            if entailed in (None, row.variant.entailment > 0) and layernorm in (None, row.layernorm)
        ]

    def has(self, metric: str) -> bool:
        """Whether any cell has such a number."""
        return any(self.value(line, metric) is not None for line in self.lines)


def row_of(line: Line) -> Row:
    """Where a cell stands."""
    return Row(Variant(line["geometry"], line["entailment"]), line["final_layernorm"])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None
