"""The modality gap: how far apart two modalities lie, and whether a plane separates them.

(Liang et al., arXiv 2203.02053; Fahim et al., arXiv 2405.18570. The contrastive gap's terms are in
uniformity.py.)
"""

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.midpoints import leaving_out, midpoint
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Space
from geomclip.analysis.tangent import coordinates
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured, share

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart


@dataclass(frozen=True)
class ModalityGap(Result):
    """Two modalities side by side.

    Args:
        distance: geodesic distance between their midpoints, without the bias that the scatter of
            two finite samples adds; an estimate that may fall below 0 where there is no gap.
        spread: by modality, root mean square distance to its own midpoint.
        relative: distance over the root mean square of the two spreads.
        separability: accuracy of a linear discriminant in the tangent space at the common midpoint,
            on points that it was not fitted to; 0.5 where it knows nothing.
        auc: the same as area under the ROC curve.
        scores: the discriminant's value of those points by modality.
    """

    geometry: str
    pair: tuple[str, str]
    distance: Measured
    spread: dict[str, Measured]
    relative: Measured
    separability: Measured
    auc: Measured
    sampled: str
    scores: dict[str, Tensor] = field(repr=False)

    def rows(self) -> list[Row]:
        """Distance, spreads, separability."""
        return [
            Row("distance", "Distance of the midpoints", self.distance, "geodesic length"),
            *(
                Row(f"spread.{m}", f"Spread, {m}", v, "geodesic length")
                for m, v in self.spread.items()
            ),
            Row("relative", "Distance over spread", self.relative),
            Row("separability", "Linear separability", self.separability, is_share=True),
            Row("auc", "Linear separability, AUC", self.auc, is_share=True),
        ]

    def notes(self) -> list[str]:
        """The sample."""
        return [self.sampled] if self.sampled else []

    def charts(self) -> "list[Chart]":
        """Where the discriminant puts the points of each modality."""
        from geomclip.analysis.density import densities
        from geomclip.viz.densities import name_of, ridges

        found = densities(self.scores)
        return [
            ridges(
                "gap",
                f"{name_of(self.geometry)}: the direction that separates best",
                self.geometry,
                "linear discriminant, standard deviations",
                found.grid.tolist(),
                {m: h.tolist() for m, h in found.height.items()},
                {m: v.sort().values.tolist() for m, v in self.scores.items()},
                {m: m.capitalize() for m in self.scores},
                note="Points that the discriminant was not fitted to.",
            )
        ]


@torch.no_grad()
def modality_gap(source: Embeddings | Space) -> ModalityGap:
    """The gap between the first two modalities.

    Raises:
        RequestError: there is one modality, or one has fewer than four points.
    """
    space = Space.of(source)
    e, manifold = space.embeddings, space.manifold
    names = e.modalities[:2]
    if len(names) < 2 or min(len(e[m]) for m in names) < 4:
        there = " and ".join(f"{len(space.everything[m]):,} of {m}" for m in names)
        raise RequestError(
            f"{e.source or 'embeddings'}: a gap needs two modalities of at least four points, "
            f"there are {there}",
            "Give both.",
        )
    pair = (names[0], names[1])
    middles = {m: midpoint(manifold, e[m]) for m in pair}
    away = {m: _dist(manifold, middles[m], e[m]) for m in pair}
    spread = {m: _root_mean_square(away[m]) for m in pair}
    distance = _distance(space, pair)
    scale = math.sqrt(sum(v.value**2 for v in spread.values()) / 2)
    relative = Measured(
        distance.value / scale,
        None if distance.error is None else distance.error / scale,
        distance.n,
    )
    scores = _cross_fitted(space, pair)
    a, b = (scores[m] for m in pair)
    right = int((a > 0).sum() + (b <= 0).sum())
    n = len(a) + len(b)
    # Each modality has half of the say, however many points it has.
    even = ((a > 0).double().mean() + (b <= 0).double().mean()).item() / 2
    return ModalityGap(
        space.geometry_name,
        pair,
        distance,
        spread,
        relative,
        Measured(even, share(right, n).error, n),
        resampling.auc(a, b),
        space.sampled,
        scores,
    )


def _dist(manifold, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    return torch.cat([manifold.dist(x, part) for part in y.split(8192)]).double()


def _root_mean_square(values: Tensor) -> Measured:
    square = resampling.mean(values.square())
    value = math.sqrt(square.value)
    error = None if square.error is None or value == 0 else square.error / (2 * value)
    return Measured(value, error, square.n)


def _distance(space: Space, pair: tuple[str, str]) -> Measured:
    """Distance of the midpoints by the block jackknife. It is the squared distance, whose bias is
    of order 1/n also where there is no gap, that the bias is taken off."""
    e, manifold = space.embeddings, space.manifold
    sides = [e[m] for m in pair]
    cut = [resampling.blocks(len(x), seed=space.seed + i) for i, x in enumerate(sides)]
    count = min(map(len, cut))
    cut = [resampling.blocks(len(x), count, space.seed + i) for i, x in enumerate(sides)]
    (a, without_a), (b, without_b) = (
        leaving_out(manifold, x, parts) for x, parts in zip(sides, cut, strict=True)
    )
    wide = copy.deepcopy(manifold).double()
    left = [wide.dist2(p, q).item() for p, q in zip(without_a, without_b, strict=True)]
    found = resampling.jackknife(wide.dist2(a, b).item(), left, sum(map(len, sides)))
    value = math.copysign(math.sqrt(abs(found.value)), found.value)
    if found.error is None:
        return found
    # sqrt by the delta method; near 0, where it has no slope, by the square root of the error.
    slope = found.error / (2 * abs(value)) if value else math.inf
    return Measured(value, min(slope, math.sqrt(found.error)), found.n)


def _cross_fitted(space: Space, pair: tuple[str, str]) -> dict[str, Tensor]:
    """Values of Fisher's discriminant, fitted on one half of the points and read off the other."""
    e, manifold = space.embeddings, space.manifold
    middle = midpoint(manifold, torch.cat([e[m] for m in pair]))
    halves = {}
    for i, m in enumerate(pair):
        u = coordinates(manifold, middle, e[m])
        generator = torch.Generator().manual_seed(space.seed + i)
        half = torch.randperm(len(u), generator=generator) < len(u) // 2
        halves[m] = (u, half)
    out: dict[str, list[Tensor]] = {m: [] for m in pair}
    for fold in (True, False):
        moments = [_moments(u[half == fold]) for u, half in halves.values()]
        (mean_a, cov_a), (mean_b, cov_b) = moments
        within = (cov_a + cov_b) / 2
        # A ridge that no direction of the data notices, for those in which nothing varies.
        ridge = 1e-6 * within.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
        within.diagonal().add_(ridge)
        w = torch.linalg.solve(within, mean_a - mean_b)
        w = w / (w @ within @ w).sqrt().clamp_min(torch.finfo(torch.float64).tiny)
        cut = (mean_a + mean_b) @ w / 2
        for m, (u, half) in halves.items():
            out[m].append(u[half != fold].double() @ w - cut)
    return {m: torch.cat(parts) for m, parts in out.items()}


def _moments(u: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance in float64, in tiles."""
    mean = u.double().mean(0)
    second = torch.zeros(u.shape[1], u.shape[1], dtype=torch.float64)
    for part in u.split(8192):
        v = part.double() - mean
        second += v.T @ v
    return mean, second / max(1, len(u) - 1)
