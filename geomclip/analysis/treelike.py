"""Gromov's delta-hyperbolicity: how far are the distances from those of a tree?

Four points have three sums of opposite distances, d(w, x) + d(y, z) and so on. In a tree the two
largest are equal; delta is half of what they differ by, that of a space the largest over all fours
(Gromov 1987). Relative to the diameter, 2 delta / diam, it lies between 0, a tree, and 1 (Khrulkov
et al., arXiv 1904.02239), and says how well a hyperbolic space could hold the points.
"""

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Space
from geomclip.analysis.tangent import TILE
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured
from manifolds import Manifold

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

# Up to so many points all fours are looked at.
ALL = 40
# Points of a subset within which delta at a base point is exact, and how many subsets.
SUBSET = 500
SUBSETS = 10
# Fours that are drawn.
FOURS = 20_000
REPLICATES = 50
BINS = 60


@dataclass(frozen=True)
class DeltaHyperbolicity(Result):
    """By series: a modality, or the points of the labels.

    Args:
        relative: 2 delta / diam. Exact over all fours of up to 40 points (no error); of more, the
            mean over ten subsets of `subset` points of their exact delta at a base point, which
            is at least half of delta.
        mean: mean over fours of 2 delta / their own largest distance.
        largest: the largest 2 delta / diameter among the fours drawn.
        exceeding: with 95 % confidence no larger a share of all fours lies beyond `largest`.
        subset: points that each relative delta was found in.
        values: delta of fours over their own largest distance, doubled.
    """

    geometry: str
    relative: dict[str, Measured]
    mean: dict[str, Measured]
    largest: dict[str, Measured]
    exceeding: dict[str, float]
    subset: dict[str, int]
    values: dict[str, Float[Tensor, "_"]] = field(repr=False)
    sampled: str = ""

    def rows(self) -> list[Row]:
        """Relative delta, then that of fours."""
        out = []
        for m in self.relative:
            out += [
                Row(f"relative.{m}", f"2 δ / diameter, {m}", self.relative[m]),
                Row(f"mean.{m}", f"Mean of fours, {m}", self.mean[m]),
                Row(f"largest.{m}", f"Largest of the fours, {m}", self.largest[m]),
            ]
        return out

    def notes(self) -> list[str]:
        """What each number was found in, and how sure the largest is."""
        out = ["0 is a tree, 1 as far from one as can be."]
        for m, n in self.subset.items():
            if self.relative[m].error is None:
                out.append(f"{m}: exact, over all fours of {n:,} points.")
                continue
            out.append(
                f"{m}: δ at a base point in {SUBSETS} subsets of {n:,} points. With 95 % "
                f"confidence at most {100 * self.exceeding[m]:.2g} % of all fours exceed the "
                f"largest of {self.largest[m].n:,}."
            )
        return out + ([self.sampled] if self.sampled else [])

    def charts(self) -> "list[Chart]":
        """Fours by their delta."""
        from geomclip.viz.densities import lines, name_of

        edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
        middle = ((edges[1:] + edges[:-1]) / 2).tolist()
        series = {}
        for m, values in self.values.items():
            place = torch.bucketize(values.double(), edges[1:-1])
            counts = torch.bincount(place, minlength=BINS).double()
            series[m] = (middle, (100 * counts / counts.sum()).tolist())
        title = f"{name_of(self.geometry)}: distance of fours from a tree"
        return [
            lines(
                "delta", title, self.geometry, "2 δ / largest distance of the four",
                "per cent of fours", series,
            )
        ]  # fmt: skip


@torch.no_grad()
def delta_hyperbolicity(source: Embeddings | Space) -> DeltaHyperbolicity:
    """Gromov's delta of every series of at least four points.

    Raises:
        RequestError: no series has four points.
    """
    space = Space.of(source)
    e = space.embeddings
    out: dict[str, dict[str, Measured]] = {"relative": {}, "mean": {}, "largest": {}}
    exceeding, subset, values = {}, {}, {}
    for m, x in e.points.items():
        if len(x) < 4:
            continue
        if len(x) <= ALL:
            found, values[m] = _exact(e.manifold, x)
            exceeding[m], subset[m] = 0.0, len(x)
        else:
            found, values[m] = _drawn(e.manifold, x, space.seed)
            # Of q independent draws none lies in a set of share p with probability (1 - p)^q.
            exceeding[m] = 1 - 0.05 ** (1 / FOURS)
            subset[m] = min(SUBSET, len(x))
        for name, value in found.items():
            out[name][m] = value
    if not subset:
        raise RequestError(
            f"{e.source or 'embeddings'}: delta-hyperbolicity needs four points, there are "
            f"{', '.join(f'{len(x):,} {m}' for m, x in e.points.items())}",
            "Give more.",
        )
    return DeltaHyperbolicity(
        space.geometry_name, **out, exceeding=exceeding, subset=subset, values=values,
        sampled=space.sampled,
    )  # fmt: skip


def of_fours(distance: Float[Tensor, "f 6"]) -> Float[Tensor, "f"]:
    """delta of fours, from d(w, x), d(y, z), d(w, y), d(x, z), d(w, z), d(x, y)."""
    sums = distance.view(len(distance), 3, 2).sum(-1).sort(-1).values
    return (sums[:, 2] - sums[:, 1]) / 2


def at_base(distance: Float[Tensor, "n n"], base: int = 0) -> float:
    """The largest delta of a base point with any three: by the (max, min) product of the Gromov
    products (y, z) = (d(y, base) + d(z, base) - d(y, z)) / 2 (Fournier et al. 2015), n^3 steps."""
    away = distance[base]
    product = (away[:, None] + away - distance) / 2
    best = torch.empty_like(product)
    for i, row in enumerate(product):
        torch.amax(torch.minimum(product, row), dim=1, out=best[i])
    return max(0.0, (best - product).max().item())


_SIDES = ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))


def _exact(manifold: Manifold, x: Tensor) -> tuple[dict[str, Measured], Tensor]:
    """Over all fours."""
    distance = _distances(manifold, x)
    fours = torch.tensor(list(combinations(range(len(x)), 4)))
    sides = torch.stack([distance[fours[:, i], fours[:, j]] for i, j in _SIDES], dim=1)
    delta = of_fours(sides)
    n, q = len(x), len(fours)
    top = Measured(2 * delta.max().item() / distance.max().item(), None, n)
    share = _of_largest(delta, sides)
    largest = Measured(top.value, None, q)
    mean = resampling.mean_over_tuples(share, fours, n, replicates=REPLICATES)
    return {"relative": top, "mean": mean, "largest": largest}, share


def _drawn(manifold: Manifold, x: Tensor, seed: int) -> tuple[dict[str, Measured], Tensor]:
    """By subsets and by random fours."""
    n = len(x)
    generator = torch.Generator().manual_seed(seed)
    relative, diameter = [], 0.0
    distance = _distances(manifold, x) if n <= SUBSET else None
    for _ in range(SUBSETS):
        rows = torch.randperm(n, generator=generator)[:SUBSET]
        within = _distances(manifold, x[rows]) if distance is None else distance[rows][:, rows]
        widest = within.max().item()
        diameter = max(diameter, widest)
        # In single precision the product takes half of the time, and delta 7 digits.
        relative.append(2 * at_base(within.float()) / widest)
    fours = torch.stack([torch.randint(n - k, (FOURS,), generator=generator) for k in range(4)], 1)
    fours = _distinct(fours)

    def between(i: int, j: int) -> Tensor:
        a, b = fours[:, i], fours[:, j]
        if distance is not None:
            return distance[a, b]
        parts = zip(a.split(TILE), b.split(TILE), strict=True)
        return torch.cat([manifold.dist(x[p], x[q]) for p, q in parts]).double()

    sides = torch.stack([between(i, j) for i, j in _SIDES], dim=1)
    delta = of_fours(sides)
    diameter = max(diameter, sides.max().item())
    spread = torch.tensor(relative, dtype=torch.float64)
    share = _of_largest(delta, sides)
    return {
        "relative": Measured(
            spread.mean().item(), spread.std().item() / SUBSETS**0.5, min(n, SUBSETS * SUBSET)
        ),
        "mean": resampling.mean_over_tuples(share, fours, n, replicates=REPLICATES, seed=seed),
        "largest": Measured(2 * delta.max().item() / diameter, None, FOURS),
    }, share


def _distances(manifold: Manifold, x: Tensor) -> Tensor:
    """(n, n) float64, symmetric."""
    distance = manifold.pairwise_dist(x, x).double()
    return ((distance + distance.T) / 2).fill_diagonal_(0)


def _of_largest(delta: Tensor, sides: Tensor) -> Tensor:
    """2 delta over the largest distance of each four, 0 where that is 0."""
    widest = sides.amax(1)
    return torch.where(widest > 0, 2 * delta / widest.clamp_min(1e-300), 0.0)


def _distinct(fours: Tensor) -> Tensor:
    """Distinct rows from draws of the k-th among the n - k that are left."""
    for k in range(1, fours.shape[1]):
        before = fours[:, :k].sort(1).values
        for j in range(k):
            fours[:, k] += fours[:, k] >= before[:, j]
    return fours
