"""Threshold consistency: does one distance mean the same for every class?

Two points count as one class when their distance is at most t. With the sensitivity of class i
(share of its own pairs within t) and its specificity (share of its pairs with others beyond t),

    U_i(t) = 2 sensitivity specificity / (sensitivity + specificity)
    OPIS   = mean over classes and t of (U_i(t) - mean_i U_i(t))^2

over the range of t in which 1 to 10 per cent of all pairs of different classes are accepted: the
operating-point inconsistency score of Zhang et al. (arXiv 2307.04047), 0 where one threshold serves
all classes alike. From few points U_i scatters by chance as well, which its square would count; the
estimate multiplies the deviations of two halves of each class's points, whose chance is
independent.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Space, leaf_labels
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured
from manifolds import Manifold

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

# Classes, points of each, and points of other classes that each is compared with; all even.
CLASSES = 500
MEMBERS = 64
OTHERS = 256
THRESHOLDS = 100
# False accept rates at the ends of the range.
RANGE = (0.01, 0.10)


@dataclass(frozen=True)
class ThresholdConsistency(Result):
    """By labelled modality.

    Args:
        opis: without what chance adds; an estimate that may fall below 0 where there is nothing.
        plain: mean over the two halves of the same without that correction, as it is defined.
        utility: mean U over classes and thresholds.
        worst: mean U of the tenth of the classes where it is least.
        range: geodesic lengths of the thresholds.
        classes: by modality, those that were looked at, of those with four points.
        curves: thresholds (t,), and U (classes, t) there.
    """

    geometry: str
    opis: dict[str, Measured]
    plain: dict[str, Measured]
    utility: dict[str, Measured]
    worst: dict[str, Measured]
    range: dict[str, tuple[float, float]]
    classes: dict[str, tuple[int, int]]
    curves: dict[str, tuple[Tensor, Tensor]] = field(repr=False)
    sampled: str = ""

    def rows(self) -> list[Row]:
        """OPIS, then the utility that varies."""
        out = []
        for m in self.opis:
            out += [
                Row(f"opis.{m}", f"OPIS, {m}", self.opis[m]),
                Row(f"plain.{m}", f"OPIS with chance, {m}", self.plain[m]),
                Row(f"utility.{m}", f"Mean utility, {m}", self.utility[m], is_share=True),
                Row(f"worst.{m}", f"Worst tenth of classes, {m}", self.worst[m], is_share=True),
            ]
        return out

    def notes(self) -> list[str]:
        """Range, classes, the sample."""
        out = []
        for m, (low, high) in self.range.items():
            some, of = self.classes[m]
            out.append(
                f"{m}: {some:,} of {of:,} classes of at least four points, up to {MEMBERS} of "
                f"each against {OTHERS} others; thresholds from {low:.4g} to {high:.4g}, where "
                f"{100 * RANGE[0]:g} to {100 * RANGE[1]:g} % of pairs of two classes are accepted."
            )
        return out + ([self.sampled] if self.sampled else [])

    def charts(self) -> "list[Chart]":
        """Utility of the classes by threshold, a chart a modality."""
        from geomclip.viz.densities import lines, name_of

        return [
            lines(
                f"thresholds-{m}", f"{name_of(self.geometry)}: one threshold for all, {m}",
                self.geometry, "threshold, geodesic length", "utility",
                {
                    f"{100 * p:g} % of classes": (at.tolist(), utility.quantile(p, dim=0).tolist())
                    for p in (0.1, 0.5, 0.9)
                },
                note="A tenth of the classes lies below the lowest line, a tenth above the top.",
            )
            for m, (at, utility) in self.curves.items()
        ]  # fmt: skip


@torch.no_grad()
def threshold_consistency(source: Embeddings | Space) -> ThresholdConsistency:
    """OPIS of every labelled one of the first two modalities, under geodesic distances; the class
    is the whole label path. Errors are those of the classes.

    Raises:
        RequestError: no modality has two classes of four points.
    """
    space = Space.of(source)
    e = space.embeddings
    out: dict[str, dict[str, Measured]] = {"opis": {}, "plain": {}, "utility": {}, "worst": {}}
    limits, classes, curves = {}, {}, {}
    for m in e.modalities[:2]:
        groups = _groups(leaf_labels(e, m))
        if len(groups) < 2:
            continue
        halves, at, classes[m] = _utilities(e.manifold, e[m], groups, space.seed)
        limits[m] = (at[0].item(), at[-1].item())
        curves[m] = (at, halves.mean(0))
        for name, value in _measure(halves).items():
            out[name][m] = value
    if not classes:
        raise RequestError(
            f"{e.source or 'embeddings'}: threshold consistency needs two classes of at least "
            "four points, and there are none",
            "Give label paths.",
        )
    return ThresholdConsistency(
        space.geometry_name, **out, range=limits, classes=classes, curves=curves,
        sampled=space.sampled,
    )  # fmt: skip


def _measure(halves: Float[Tensor, "2 k t"]) -> dict[str, Measured]:
    n = halves.shape[1]
    away = halves - halves.mean(1, keepdim=True)
    # The mean that was taken off is of the same classes: n - 1 for n, as in a variance.
    product = (away[0] * away[1]).mean(1) * (n / (n - 1))
    each = halves.mean((0, 2))
    tail = each.sort().values[: max(1, round(n / 10))]
    return {
        "opis": resampling.mean(product),
        "plain": resampling.mean(away.square().mean((0, 2))),
        "utility": resampling.mean(each),
        "worst": resampling.bootstrap(
            lambda rows: each[rows].sort().values[: len(tail)].mean().item(), n
        ),
    }


def _groups(labels: Tensor | None) -> list[Tensor]:
    """Rows of each class that has four."""
    if labels is None:
        return []
    rows = (labels >= 0).nonzero()[:, 0]
    order = rows[labels[rows].argsort(stable=True)]
    _, counts = torch.unique_consecutive(labels[order], return_counts=True)
    return [group for group in order.split(counts.tolist()) if len(group) >= 4]


def _utilities(
    manifold: Manifold, x: Float[Tensor, "n d"], groups: list[Tensor], seed: int
) -> tuple[Float[Tensor, "2 k t"], Float[Tensor, "t"], tuple[int, int]]:
    """U of the halves of each class at the thresholds, the thresholds, how many classes of how
    many."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(groups), generator=generator)[:CLASSES].tolist()
    everyone = torch.cat(groups)
    of = torch.repeat_interleave(torch.tensor([len(group) for group in groups]))
    inside: list[tuple[Tensor, Tensor]] = []
    outside: list[tuple[Tensor, Tensor]] = []
    for k in chosen:
        own = groups[k]
        own = own[torch.randperm(len(own), generator=generator)[:MEMBERS]]
        pool = everyone[of != k]
        drawn = pool[torch.randint(len(pool), (OTHERS,), generator=generator).unique()]
        drawn = drawn[torch.randperm(len(drawn), generator=generator)]
        far = manifold.pairwise_dist(x[own], x[torch.cat([own, drawn])]).double()
        a, b = len(own) // 2, len(drawn) // 2
        among, against = far[:, : len(own)], far[:, len(own) :]
        inside.append((_pairs(among[:a, :a]), _pairs(among[a:, a:])))
        outside.append((against[:a, :b].flatten(), against[a:, b:].flatten()))
    at = _thresholds([part for pair in outside for part in pair])
    found = [
        torch.stack(
            [
                _harmonic(_within(a[i], at), 1 - _within(b[i], at))
                for a, b in zip(inside, outside, strict=True)
            ]
        )
        for i in (0, 1)
    ]
    return torch.stack(found), at, (len(chosen), len(groups))


def _pairs(far: Float[Tensor, "n n"]) -> Float[Tensor, "p"]:
    """Distances of all pairs of rows."""
    i, j = torch.triu_indices(len(far), len(far), 1)
    return far[i, j]


def _thresholds(negatives: list[Tensor]) -> Float[Tensor, "t"]:
    """Equally spaced between the distances within which RANGE of the pairs of two classes lie,
    every class counting alike."""
    values, order = torch.cat(negatives).sort()
    weight = torch.cat([torch.full((len(v),), 1 / max(1, len(v))) for v in negatives])[order]
    share = weight.double().cumsum(0) / len(negatives)
    ends = torch.searchsorted(share, torch.tensor(RANGE, dtype=torch.float64))
    low, high = values[ends.clamp_max(len(values) - 1)].tolist()
    return torch.linspace(low, high, THRESHOLDS, dtype=torch.float64)


def _within(distance: Float[Tensor, "p"], at: Float[Tensor, "t"]) -> Float[Tensor, "t"]:
    """Share of distances that are at most each threshold."""
    return torch.searchsorted(distance.sort().values, at, right=True).double() / len(distance)


def _harmonic(a: Tensor, b: Tensor) -> Tensor:
    return 2 * a * b / (a + b).clamp_min(torch.finfo(torch.float64).tiny)
