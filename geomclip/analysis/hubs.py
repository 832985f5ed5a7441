"""Hubness: are few points the neighbours of many, and many of none?

N_k(y) counts the points that have y among their k nearest. In many dimensions its distribution
grows a long tail (Radovanovic et al. 2010); a modality gap makes it longer.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import K, Space
from geomclip.embeddings import Embeddings
from geomclip.statistics import Measured

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

REPLICATES = 50


@dataclass(frozen=True)
class Hubness(Result):
    """By "image → text": who asks, who is found.

    Args:
        skewness: third standardised moment of N_k; about 0 where nobody is a hub.
        never: share of points that nobody has among its k nearest.
        largest: N_k of the greatest hub, as a share of those who ask.
        counts: N_k of every point that can be found.
        k: neighbours of each.
    """

    geometry: str
    skewness: dict[str, Measured]
    never: dict[str, Measured]
    largest: dict[str, Measured]
    counts: dict[str, Float[Tensor, "_"]] = field(repr=False)
    k: int = K
    sampled: str = ""

    def rows(self) -> list[Row]:
        """All three by direction."""
        out = []
        for name in self.skewness:
            key = name.replace(" → ", "_")
            out += [
                Row(f"skewness.{key}", f"{name}: skewness", self.skewness[name]),
                Row(f"never.{key}", f"{name}: never found", self.never[name], is_share=True),
                Row(f"largest.{key}", f"{name}: greatest hub", self.largest[name], is_share=True),
            ]
        return out

    def notes(self) -> list[str]:
        """k, the sample."""
        return [f"{self.k} nearest of each."] + ([self.sampled] if self.sampled else [])

    def charts(self) -> "list[Chart]":
        """Share of points that are found at least so often."""
        from geomclip.viz.densities import lines, name_of

        series = {}
        for name, counts in self.counts.items():
            top = int(counts.max())
            often = torch.bincount(counts.long(), minlength=top + 1).flip(0).cumsum(0).flip(0)
            at = [t for t in sorted({round(1.25**i) for i in range(64)}) if t <= top]
            series[name] = (at, [often[t].item() / len(counts) for t in at])
        title = f"{name_of(self.geometry)}: how often points are found"
        return [
            lines(
                "hubs", title, self.geometry, f"times among the {self.k} nearest",
                "share of points found at least so often", series, log=True,
            )
        ]  # fmt: skip


def hubness(source: Embeddings | Space) -> Hubness:
    """k-occurrences across the first two modalities and within each. Errors are those of the
    bootstrap over the points that ask."""
    space = Space.of(source)
    names = space.embeddings.modalities[:2]
    found: dict[str, dict[str, Measured]] = {"skewness": {}, "never": {}, "largest": {}}
    counts, k = {}, K
    for a in names:
        for b in names:
            index = space.neighbors(a, b).index
            if not index.shape[1]:
                continue
            k = min(k, index.shape[1])
            size = len(space.embeddings[b])
            name = f"{a} → {b}"
            counts[name] = torch.bincount(index.flatten(), minlength=size).double()
            for key, value in _measure(index, size, space.seed).items():
                found[key][name] = value
    return Hubness(
        space.geometry_name, found["skewness"], found["never"], found["largest"], counts, k,
        space.sampled,
    )  # fmt: skip


def _measure(index: Tensor, size: int, seed: int) -> dict[str, Measured]:
    n = len(index)

    def count(rows: Tensor) -> Tensor:
        return torch.bincount(index[rows].flatten(), minlength=size).double()

    statistics = {
        "skewness": lambda rows: skewness(count(rows)),
        "never": lambda rows: (count(rows) == 0).double().mean().item(),
        "largest": lambda rows: count(rows).max().item() / len(rows),
    }
    return {
        key: resampling.bootstrap(f, n, replicates=REPLICATES, seed=seed)
        for key, f in statistics.items()
    }


def skewness(counts: Float[Tensor, "n"]) -> float:
    """E[(N - mean)^3] / s^3; 0 where all are equal."""
    centred = counts - counts.mean()
    deviation = centred.square().mean().sqrt()
    return (centred.pow(3).mean() / deviation**3).item() if deviation > 0 else 0.0
