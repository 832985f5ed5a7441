"""Alignment, uniformity and tolerance, with geodesic distances.

    alignment         mean of d(x_i, y_i)^2 over pairs
    uniformity        log mean_{i<j} exp(-t d(x_i, x_j)^2), of each modality, nats; 0 is a point
    cross-uniformity  log mean_{i != j} exp(-t d(x_i, y_j)^2)

(Wang & Isola, arXiv 2005.10242, with chords, t = 2; Fahim et al., arXiv 2405.18570, whose
contrastive gap is what these terms are made of.) Tolerance is how near points of one class stay
(Wang & Liu, arXiv 2012.09740).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Space, leaf_labels
from geomclip.embeddings import Embeddings
from geomclip.statistics import Measured
from manifolds import Manifold, Sphere
from manifolds.kernels import contrastive

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

# Rows of a block of pairs, and pairs that tolerance is measured on.
TILE = 8192
SAME_CLASS = 100_000


@dataclass(frozen=True)
class Alignment(Result):
    """How near pairs are, and how far all others spread.

    Args:
        alignment: mean squared distance of pairs; None where nothing is paired.
        uniformity: by modality, nats.
        cross: cross-uniformity of the first two modalities over one-to-one pairs.
        cua: alignment + mean uniformity, what the loss CUA adds; its error takes the terms as
            independent.
        cuaxu: cua + cross-uniformity.
        tolerance: by labelled modality, on the sphere the mean cosine of two points of a class,
            elsewhere None.
        closeness: by labelled modality, mean distance of two points of a class over that of two
            random ones.
        spread: t.
    """

    geometry: str
    alignment: Measured | None
    uniformity: dict[str, Measured]
    cross: Measured | None
    cua: Measured | None
    cuaxu: Measured | None
    tolerance: dict[str, Measured]
    closeness: dict[str, Measured]
    spread: float
    sampled: str

    def rows(self) -> list[Row]:
        """Every number that exists."""
        out = []
        if self.alignment:
            out.append(Row("alignment", "Alignment", self.alignment, "squared length"))
        for name, value in self.uniformity.items():
            out.append(Row(f"uniformity.{name}", f"Uniformity, {name}", value, "nats"))
        if self.cross and self.cua and self.cuaxu:
            out += [
                Row("uniformity.cross", "Cross-uniformity", self.cross, "nats"),
                Row("cua", "Alignment + uniformity (CUA)", self.cua),
                Row("cuaxu", "CUA + cross-uniformity (CUAXU)", self.cuaxu),
            ]
        for name, value in self.tolerance.items():
            out.append(Row(f"tolerance.{name}", f"Tolerance, {name}", value, "cosine"))
        for name, value in self.closeness.items():
            out.append(Row(f"closeness.{name}", f"Distance in a class / any, {name}", value))
        return out

    def notes(self) -> list[str]:
        """t, the sample."""
        note = f"Geodesic distances, exp(-t d²) with t = {self.spread:g}."
        return [note, self.sampled] if self.sampled else [note]

    def charts(self) -> "list[Chart]":
        """Uniformities and alignment with their intervals."""
        from geomclip.viz.densities import bars, name_of

        rows = [
            (row.label, row.value.value, row.value.error, row.value.n)
            for row in self.rows()
            if row.key.partition(".")[0] in ("alignment", "uniformity")
        ]
        title = f"{name_of(self.geometry)}: alignment and uniformity"
        return [bars("alignment", title, self.geometry, "squared length, nats", rows)]


def alignment(source: Embeddings | Space, *, spread: float = 2.0) -> Alignment:
    """Alignment over all pairs; uniformity over all pairs of (sampled) points, exact in O(n tile).

    Args:
        spread: t > 0, one over a squared length.

    Raises:
        ValueError: a spread that is not positive.
    """
    if not (spread > 0 and math.isfinite(spread)):
        raise ValueError(f"spread is the t of exp(-t d^2) and must be positive, got {spread}")
    space = Space.of(source)
    manifold, e = space.manifold, space.embeddings
    near = None
    if space.pair is not None:
        rows = space.everything.pairing(*space.pair)
        a, b = (space.everything[m] for m in space.pair)
        parts = [manifold.dist2(a[r[:, 0]], b[r[:, 1]]).detach() for r in rows.split(TILE)]
        near = resampling.mean(torch.cat(parts))
    even = {m: uniformity(manifold, e[m], spread) for m in e.modalities if len(e[m]) > 1}
    cross = cua = cuaxu = None
    if near is not None and space.pair is not None:
        x, y = space.one_to_one()
        if len(x) > 1:
            cross = cross_uniformity(manifold, x, y, spread)
            both = [even[m] for m in space.pair]
            cua = _sum((near, 1.0), *((u, 0.5) for u in both))
            cuaxu = _sum((cua, 1.0), (cross, 1.0))
    tolerance, closeness = {}, {}
    for m in e.modalities:
        labels = leaf_labels(e, m)
        pairs = None if labels is None else _same_class(labels, space.seed)
        if pairs is None:
            continue
        i, j = pairs
        k, other = _random_pairs(len(e[m]), space.seed)
        within = manifold.dist(e[m][i], e[m][j]).detach()
        anyhow = manifold.dist(e[m][k], e[m][other]).detach()
        closeness[m] = _ratio(within, anyhow)
        if isinstance(manifold, Sphere):
            tolerance[m] = resampling.mean((e[m][i] * e[m][j]).sum(-1) * manifold.c)
    return Alignment(
        space.geometry_name, near, even, cross, cua, cuaxu, tolerance, closeness, spread,
        space.sampled,
    )  # fmt: skip


@torch.no_grad()
def uniformity(manifold: Manifold, x: Tensor, spread: float = 2.0) -> Measured:
    """log mean_{i<j} exp(-t d^2) with the error of a U-statistic, 2 s(h) / sqrt(n), h_i the mean
    over j (Hoeffding 1948). Each pair is looked at once. Raises ValueError for fewer than two."""
    n = len(x)
    if n < 2:
        raise ValueError(f"uniformity needs at least two points, got {n}")
    logs = torch.full((n,), -torch.inf, dtype=torch.float64)
    starts = range(0, n, TILE)
    for i in starts:
        own = x[i : i + TILE]
        row, _ = _sums(manifold, own, own, spread, diagonal=False)
        _add(logs, i, row)
        for j in range(i + TILE, n, TILE):
            row, column = _sums(manifold, own, x[j : j + TILE], spread, diagonal=True)
            _add(logs, i, row)
            _add(logs, j, column)
    total = logs.logsumexp(0)
    value = (total - math.log(n * (n - 1))).item()
    relative = (logs - total + math.log(n)).exp()
    error = 2 * relative.std().item() / math.sqrt(n)
    return Measured(value, error, n)


@torch.no_grad()
def cross_uniformity(manifold: Manifold, x: Tensor, y: Tensor, spread: float = 2.0) -> Measured:
    """log mean_{i != j} exp(-t d(x_i, y_j)^2), x_i and y_i partners; error as a U-statistic's."""
    n = len(x)
    rows = torch.full((n,), -torch.inf, dtype=torch.float64)
    columns = rows.clone()
    for i in range(0, n, TILE):
        for j in range(0, n, TILE):
            row, column = _sums(manifold, x[i : i + TILE], y[j : j + TILE], spread, diagonal=i != j)
            _add(rows, i, row)
            _add(columns, j, column)
    total = rows.logsumexp(0)
    variance = sum(((h - total + math.log(n)).exp().var() / n).item() for h in (rows, columns))
    return Measured((total - math.log(n * (n - 1))).item(), math.sqrt(variance), n)


def _sums(
    manifold: Manifold, x: Tensor, y: Tensor, spread: float, *, diagonal: bool
) -> tuple[Tensor, Tensor]:
    """Log row and column sums of exp(-t d^2), with or without the diagonal."""
    if contrastive.supports(manifold, "-dist2"):
        # Partners are left out; moved beyond the last column there are none.
        offset = max(len(x), len(y)) if diagonal else 0
        sums = contrastive.logsumexp(manifold, x, y, score="-dist2", scale=spread, offset=offset)
        return sums.row.double(), sums.column.double()
    logs = -spread * manifold.pairwise_dist2(x, y).double()
    if not diagonal:
        logs.fill_diagonal_(-torch.inf)
    return logs.logsumexp(1), logs.logsumexp(0)


def _add(logs: Tensor, start: int, more: Tensor) -> None:
    part = logs[start : start + len(more)]
    part.copy_(torch.logaddexp(part, more))


def _sum(*terms: tuple[Measured, float]) -> Measured:
    error = math.sqrt(sum(((m.error or 0) * w) ** 2 for m, w in terms))
    return Measured(sum(m.value * w for m, w in terms), error, min(m.n for m, _ in terms))


def _ratio(a: Tensor, b: Tensor) -> Measured:
    """mean(a) / mean(b), by the delta method."""
    top, bottom = resampling.mean(a), resampling.mean(b)
    value = top.value / bottom.value
    spread = [(m.error or 0) / m.value if m.value else 0.0 for m in (top, bottom)]
    return Measured(value, abs(value) * math.hypot(*spread), len(a))


def _same_class(labels: Tensor, seed: int) -> tuple[Tensor, Tensor] | None:
    """Random pairs of different points of one class, each pair of points as likely as any other;
    None where no class has two."""
    rows = (labels >= 0).nonzero()[:, 0]
    order = rows[labels[rows].argsort(stable=True)]
    _, counts = torch.unique_consecutive(labels[order], return_counts=True)
    weight = counts.double() * (counts - 1)
    if not len(counts) or weight.sum() == 0:
        return None
    generator = torch.Generator().manual_seed(seed)
    count = int(min(SAME_CLASS, weight.sum().item() / 2))
    # Classes by inverse transform: torch.multinomial takes no more than 2^24 of them.
    ends = weight.cumsum(0)
    drawn = torch.rand(count, generator=generator, dtype=torch.float64) * ends[-1]
    classes = torch.searchsorted(ends, drawn, right=True).clamp_max(len(counts) - 1)
    start, size = (counts.cumsum(0) - counts)[classes], counts[classes]
    first = (torch.rand(count, generator=generator, dtype=torch.float64) * size).long()
    step = 1 + (torch.rand(count, generator=generator, dtype=torch.float64) * (size - 1)).long()
    return order[start + first], order[start + (first + step) % size]


def _random_pairs(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random pairs of different points."""
    generator = torch.Generator().manual_seed(seed + 1)
    count = min(SAME_CLASS, n * (n - 1) // 2)
    i = torch.randint(n, (count,), generator=generator)
    return i, (i + torch.randint(1, n, (count,), generator=generator)) % n
