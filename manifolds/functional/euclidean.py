"""Euclidean space as functions of points; c does not occur (the curvature is 0)."""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import check_min_radius, is_double, prepare
from manifolds.cones import angle_of, aperture, euclidean_direction
from manifolds.kernels.dispatch import pairwise
from manifolds.numerics import dot, safe_norm
from manifolds.rowwise import ChordDistance, Frame, PolarAngle, radial, rowwise

__all__ = [
    "euclidean_dist",
    "euclidean_dist0",
    "euclidean_dist2",
    "euclidean_expmap",
    "euclidean_expmap0",
    "euclidean_exterior_angle",
    "euclidean_half_aperture",
    "euclidean_inner",
    "euclidean_logmap",
    "euclidean_logmap0",
    "euclidean_norm",
    "euclidean_pairwise_dist",
    "euclidean_pairwise_dist2",
    "euclidean_pairwise_exterior_angle",
    "euclidean_transp",
]


def euclidean_dist(x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
    """|x - y|; gradient 0 at x = y."""
    return rowwise("Euclidean.dist", ChordDistance(), _distance, x, y)


def _distance(x: Tensor, y: Tensor, _: Tensor) -> Tensor:
    return safe_norm(x - y)


def euclidean_dist2(x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
    """|x - y|^2, without a square root."""
    out, (x, y) = prepare("Euclidean.dist2", x, y)
    return dot(x - y, x - y).squeeze(-1).to(out)


def euclidean_dist0(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """|x|, the distance to the root."""
    return radial("Euclidean.dist0", lambda r, *_: r, x, vector=False)


def euclidean_inner(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b"]:
    """<u, v> of tangent vectors at x."""
    out, (x, u, v) = prepare("Euclidean.inner", x, u, v)
    x, u, v = torch.broadcast_tensors(x, u, v)
    return dot(u, v).squeeze(-1).to(out)


def euclidean_norm(x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b"]:
    """|u| of a tangent vector at x; gradient 0 at u = 0."""
    out, (x, u) = prepare("Euclidean.norm", x, u)
    x, u = torch.broadcast_tensors(x, u)
    return safe_norm(u).squeeze(-1).to(out)


def euclidean_pairwise_dist2(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]
) -> Float[Tensor, "*#b n m"]:
    """|x_i - y_j|^2 for all pairs."""
    return pairwise("Euclidean.pairwise_dist2", "euclidean2", x, y)


def euclidean_pairwise_dist(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]
) -> Float[Tensor, "*#b n m"]:
    """|x_i - y_j| for all pairs; gradient 0 at coincident pairs."""
    return pairwise("Euclidean.pairwise_dist", "euclidean", x, y)


def euclidean_expmap(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """x + u."""
    out, (x, u) = prepare("Euclidean.expmap", x, u)
    return (x + u).to(out)


def euclidean_expmap0(u: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """u itself."""
    out, (u,) = prepare("Euclidean.expmap0", u)
    return u.to(out)


def euclidean_logmap(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """y - x."""
    out, (x, y) = prepare("Euclidean.logmap", x, y)
    return (y - x).to(out)


def euclidean_logmap0(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """x itself."""
    out, (x,) = prepare("Euclidean.logmap0", x)
    return x.to(out)


def euclidean_transp(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """v itself, broadcast."""
    out, (x, y, v) = prepare("Euclidean.transp", x, y, v)
    return torch.broadcast_tensors(x, y, v)[2].to(out)


def euclidean_half_aperture(
    x: Float[Tensor, "*b d"], min_radius: float = 0.1
) -> Float[Tensor, "*b"]:
    """Half aperture asin(min(1, K/|x|)) of the cone at x, in radians; K = min_radius is a length.

    Raises:
        ValueError: min_radius is not positive.
    """
    check_min_radius("Euclidean.half_aperture", min_radius)
    name = "Euclidean.half_aperture"
    return radial(name, lambda r, *_: aperture(r, min_radius), x, vector=False)


def euclidean_exterior_angle(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b"]:
    """Angle at x between the ray from 0 and the segment to y, in radians; 0 at x = 0 and x = y."""
    formula = _fine_exterior if is_double(x) else _exterior
    return rowwise("Euclidean.exterior_angle", PolarAngle(Frame("flat")), formula, x, y)


def _exterior(x: Tensor, y: Tensor, _: Tensor | None = None) -> Tensor:
    return angle_of(euclidean_direction(x, y))


def _fine_exterior(x: Tensor, y: Tensor, _: Tensor | None = None) -> Tensor:
    return angle_of(euclidean_direction(x, y, fine=True))


def euclidean_pairwise_exterior_angle(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]
) -> Float[Tensor, "*#b n m"]:
    """`euclidean_exterior_angle(x_i, y_j)` for all pairs."""
    return pairwise("Euclidean.pairwise_exterior_angle", "euclidean_angle", x, y)
