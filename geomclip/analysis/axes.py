"""Norms, and how many directions a modality fills.

The spectrum is that of the covariance in the tangent space at the modality's midpoint, its values
variances along axes, squared geodesic lengths. A modality of CLIP lies on a shell around a point
off the centre, with axes of very different lengths: the double ellipsoid of Levi & Gilboa (arXiv
2411.14517), of which conformity is the mean cosine of a point to all others.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.midpoints import midpoint
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Space
from geomclip.analysis.tangent import TILE, coordinates
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured
from manifolds import Manifold, Sphere

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart


@dataclass(frozen=True)
class Spectrum(Result):
    """By modality: lengths, ranks, axes.

    Args:
        norm: mean distance to the manifold's origin (of the sphere: 1/sqrt(c) times the angle).
        norm_variation: standard deviation of that distance over its mean.
        effective_rank: exp of the entropy of the normalised spectrum (Roy & Vetterli 2007).
        participation: (sum v)^2 / sum v^2, the participation ratio.
        isotropy: participation ratio over the manifold's dimension; 1 where all axes are equal.
        offset: distance of the midpoint to the root, the centre of the ellipsoid.
        longest, middle: longest and median axis, standard deviations along them.
        conformity: mean over points of the mean cosine to all others, as seen from the origin (on
            the sphere of the vectors themselves).
        axes: standard deviations along all axes, longest first.
    """

    geometry: str
    norm: dict[str, Measured]
    norm_variation: dict[str, Measured]
    effective_rank: dict[str, Measured]
    participation: dict[str, Measured]
    isotropy: dict[str, Measured]
    offset: dict[str, Measured]
    longest: dict[str, Measured]
    middle: dict[str, Measured]
    conformity: dict[str, Measured]
    axes: dict[str, Float[Tensor, "_"]] = field(repr=False)
    sampled: str = ""

    def rows(self) -> list[Row]:
        """All of them by modality."""
        length = "geodesic length"
        kinds = [
            ("norm", "Distance to the origin", length),
            ("norm_variation", "Its variation (s / mean)", ""),
            ("effective_rank", "Effective rank", ""),
            ("participation", "Participation ratio", ""),
            ("isotropy", "Isotropy", ""),
            ("offset", "Centre to root", length),
            ("longest", "Longest axis", length),
            ("middle", "Median axis", length),
            ("conformity", "Conformity", "cosine"),
        ]
        return [
            Row(f"{key}.{m}", f"{label}, {m}", value, unit)
            for key, label, unit in kinds
            for m, value in getattr(self, key).items()
        ]

    def notes(self) -> list[str]:
        """The sample, what a rank can't exceed."""
        out = [
            "Tangent space at each modality's midpoint; ranks cannot exceed the number of points."
        ]
        return [*out, self.sampled] if self.sampled else out

    def charts(self) -> "list[Chart]":
        """Axes by their rank, on logarithmic scales."""
        from geomclip.viz.densities import lines, name_of

        series = {}
        for m, axes in self.axes.items():
            kept = axes[axes > axes[0] * 1e-6]
            series[m] = (list(range(1, len(kept) + 1)), kept.tolist())
        title = f"{name_of(self.geometry)}: axes of each modality"
        return [
            lines(
                "spectrum", title, self.geometry, "axis, longest first",
                "standard deviation, geodesic length", series, log=True,
            )
        ]  # fmt: skip


@torch.no_grad()
def spectrum(source: Embeddings | Space) -> Spectrum:
    """Norm and spectrum of every modality; errors by the block jackknife, which takes off the bias
    that few points give a rank.

    Raises:
        RequestError: a modality has fewer than four points.
    """
    space = Space.of(source)
    e, manifold = space.embeddings, space.manifold
    out: dict[str, dict[str, Measured]] = {}
    axes = {}
    for m in e.modalities:
        if len(e[m]) < 4:
            raise RequestError(
                f"{e.source or 'embeddings'}: a spectrum needs at least four points, {m} has "
                f"{len(e[m])}",
                "Give more.",
            )
        values, axes[m] = _of(manifold, e, m, space.seed)
        for key, value in values.items():
            out.setdefault(key, {})[m] = value
    return Spectrum(space.geometry_name, axes=axes, sampled=space.sampled, **out)


def _of(
    manifold: Manifold, e: Embeddings, modality: str, seed: int
) -> tuple[dict[str, Measured], Tensor]:
    x = e[modality]
    n = len(x)
    away = torch.cat([manifold.dist0(part) for part in x.split(8192)]).double()
    norm = resampling.mean(away)

    def variation(rows: Tensor) -> float:
        return (away[rows].std() / away[rows].mean()).item()

    middle = midpoint(manifold, x)
    parts = resampling.blocks(n, seed=seed)
    first = torch.zeros(len(parts), x.shape[1], dtype=torch.float64)
    second = torch.zeros(len(parts), x.shape[1], x.shape[1], dtype=torch.float64)
    for k, rows in enumerate(parts):
        for some in rows.split(TILE):
            u = coordinates(manifold, middle, x[some]).double()
            first[k] += u.sum(0)
            second[k] += u.T @ u

    def spectrum_of(left_out: int | None) -> Tensor:
        s, total, count = second.sum(0), first.sum(0), n
        if left_out is not None:
            s, total = s - second[left_out], total - first[left_out]
            count -= len(parts[left_out])
        mean = total / count
        covariance = s / (count - 1) - torch.outer(mean, mean) * (count / (count - 1))
        return torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0)

    whole = spectrum_of(None)
    without = [spectrum_of(k) for k in range(len(parts))] if len(parts) > 1 else []

    def by_jackknife(statistic) -> Measured:  # type: ignore[no-untyped-def]
        return resampling.jackknife(statistic(whole), [statistic(v) for v in without], n)

    dimension = x.shape[1] - manifold.codim
    participation = by_jackknife(_participation)
    error = participation.error
    geometry = e.geometry
    root = (
        geometry.root.to(x) if geometry.spec.root == "mean" else manifold.origin(x.shape[1]).to(x)
    )
    offset = manifold.dist(root, middle).item()
    scatter = math.sqrt(whole.sum().item() / n)
    values = {
        "norm": norm,
        "norm_variation": resampling.bootstrap(variation, n, replicates=100, seed=seed),
        "effective_rank": by_jackknife(effective_rank),
        "participation": participation,
        "isotropy": Measured(
            participation.value / dimension, None if error is None else error / dimension, n
        ),
        # The midpoint moves by at most its scatter, whatever the direction.
        "offset": Measured(offset, scatter, n),
        "longest": by_jackknife(lambda v: math.sqrt(v[0].item())),
        "middle": by_jackknife(lambda v: math.sqrt(v[:dimension].median().item())),
        "conformity": _conformity(manifold, x),
    }
    return values, whole.sqrt()


def effective_rank(variances: Float[Tensor, "d"]) -> float:
    """exp(-sum p log p), p the variances over their sum; 0 where all are 0."""
    total = variances.sum()
    if total <= 0:
        return 0.0
    p = variances / total
    return torch.special.entr(p).sum().exp().item()


def _participation(variances: Tensor) -> float:
    square = variances.square().sum().item()
    return variances.sum().item() ** 2 / square if square > 0 else 0.0


def _conformity(manifold: Manifold, x: Tensor) -> Measured:
    """Mean cosine of a point to the others, over points: by sums, so in linear time."""
    sphere = isinstance(manifold, Sphere)
    total = torch.zeros(x.shape[1], dtype=torch.float64)

    def directions(part: Tensor) -> Tensor:
        # From the root of the hyperboloid and the ball all directions are those of the coordinates.
        u = part.double() if sphere else manifold.logmap0(part).double()
        return u / torch.linalg.vector_norm(u, dim=-1, keepdim=True).clamp_min(1e-300)

    for part in x.split(8192):
        total += directions(part).sum(0)
    n = len(x)
    each = torch.cat([(directions(part) @ total - 1) / (n - 1) for part in x.split(8192)])
    found = resampling.mean(each)
    # Every point stands in the mean of all others too: the error of a U-statistic is twice that.
    return Measured(found.value, None if found.error is None else 2 * found.error, n)
