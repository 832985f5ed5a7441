"""Alignment and uniformity (Wang & Isola, arXiv 2005.10242) on any manifold, and the uniformity
across two modalities that CUA and CUAXU add to the contrastive loss (Fahim et al., arXiv
2405.18570).

    CUA   = contrastive + alignment(x, y) + (uniformity(x) + uniformity(y)) / 2
    CUAXU = CUA + cross_uniformity(x, y)

The papers' points are unit vectors and their distance is the chord. Here the distance is geodesic
by default, and the chord an option of the sphere.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.losses.bands import by_bands
from geomclip.precision import no_autocast, widen
from manifolds import Sphere
from manifolds.arguments import check_tensor
from manifolds.base import Manifold
from manifolds.kernels import contrastive

Metric = Literal["geodesic", "chord"]


def alignment_loss(
    manifold: Manifold,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    *,
    metric: Metric = "geodesic",
) -> Float[Tensor, ""]:
    """Mean squared distance of partners, mean_i d(x_i, y_i)^2, in squared length (alpha = 2).

    Raises:
        ValueError: x and y are not the same number of points, or none; a chord off the sphere.
    """
    x, y = _check(manifold, x, y, metric, "alignment_loss", least=1)
    with no_autocast(x):
        squares = (x - y).square().sum(-1) if metric == "chord" else manifold.dist2(x, y)
        return squares.mean()


def uniformity_loss(
    manifold: Manifold,
    x: Float[Tensor, "n d"],
    *,
    spread: float = 2.0,
    metric: Metric = "geodesic",
) -> Float[Tensor, ""]:
    """Log of the mean Gaussian potential of all pairs, log mean_{i<j} exp(-t d(x_i, x_j)^2), nats.

    0 where all points coincide, lower the more they spread. On Euclidean and hyperbolic manifolds
    it has no minimum: it pulls points away from each other without end.

    Args:
        spread: t > 0, one over a squared length; 2 in the paper.

    Raises:
        ValueError: fewer than two points, a spread that is not positive, or a chord off the sphere.
    """
    x, _ = _check(manifold, x, x, metric, "uniformity_loss", least=2)
    return _log_mean_potential(manifold, x, x, spread, metric)


def cross_uniformity_loss(
    manifold: Manifold,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    *,
    spread: float = 2.0,
    metric: Metric = "geodesic",
) -> Float[Tensor, ""]:
    """`uniformity_loss` across two modalities: log mean_{i != j} exp(-t d(x_i, y_j)^2), nats.

    Arguments and errors as there; x and y the same number of points.
    """
    x, y = _check(manifold, x, y, metric, "cross_uniformity_loss", least=2)
    return _log_mean_potential(manifold, x, y, spread, metric)


def _log_mean_potential(
    manifold: Manifold, x: Tensor, y: Tensor, spread: float, metric: Metric
) -> Tensor:
    if not (spread > 0 and math.isfinite(spread)):
        raise ValueError(f"spread is the t of exp(-t d^2) and must be positive, got {spread}")
    n = len(x)
    shift = math.log(n * (n - 1))
    with no_autocast(x):
        if metric == "chord":
            # |x - y|^2 = 2/c - 2 <x, y>
            logs = contrastive.logsumexp(manifold, x, y, score="dot", scale=2 * spread).row
            return (logs.logsumexp(0) - shift - 2 * spread / manifold.c).to(x.dtype)
        if contrastive.supports(manifold, "-dist2"):
            logs = contrastive.logsumexp(manifold, x, y, score="-dist2", scale=spread).row
        else:
            bands = by_bands(_band, x, n, manifold, y, spread)
            logs = torch.cat([logs for (logs,) in bands])
        return (logs.logsumexp(0) - shift).to(x.dtype)


def _band(start: int, x: Tensor, manifold: Manifold, y: Tensor, spread: float) -> tuple[Tensor]:
    own = torch.arange(len(x), device=x.device)
    potential = -spread * manifold.pairwise_dist2(x, y)
    infinite = potential.new_tensor(-torch.inf)
    return (potential.index_put((own, own + start), infinite).logsumexp(1),)


def _check(
    manifold: Manifold, x: Tensor, y: Tensor, metric: Metric, what: str, *, least: int
) -> tuple[Tensor, Tensor]:
    for name, points in (("x", x), ("y", y)):
        check_tensor(what, name, points, "(n, d)")
    if x.shape != y.shape or x.ndim != 2 or len(x) < least:
        raise ValueError(
            f"{what} needs as many points x (n, d) as y (n, d), at least {least}, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    if metric not in ("geodesic", "chord"):
        raise ValueError(f"{what}: metric is geodesic or chord, got {metric!r}")
    if metric == "chord" and not isinstance(manifold, Sphere):
        raise ValueError(
            f"{what}: the chord is a distance of points of the sphere, not of {manifold.name}; "
            "take the geodesic one"
        )
    return widen(x, "x"), widen(y, "y")
