"""The Poincaré ball of curvature -c as functions of points p with c|p|^2 < 1.

    X = 1 - c|x|^2        lambda(x) = 2/X        tanh(r/2) = sqrt(c)|x|

X is evaluated in double-word arithmetic (`numerics.deficit`), so nothing is lost next to the rim,
and a point on or beyond the rim gives NaN. Maps that produce points keep them within geodesic
radius 16 (float32) or 36 (float64), where a coordinate can still tell a point from the rim. c is a
positive number or a 0-dim tensor. All functions raise ValueError for shapes, dtypes or devices that
do not fit and for c <= 0.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, check_min_radius, curvature, is_double, prepare
from manifolds.ball import exponential, hyperbolic_q, logarithm, transport  # noqa: F401
from manifolds.cones import angle_of, aperture, poincare_direction
from manifolds.kernels.dispatch import pairwise
from manifolds.numerics import (
    MAX_BALL_RADIUS,
    asinhc,
    deficit,
    dot,
    safe_divide,
    safe_norm,
    tanhc,
)
from manifolds.rowwise import BallDistance, Frame, PolarAngle, radial, rowwise

__all__ = [
    "poincare_dist",
    "poincare_dist0",
    "poincare_egrad2rgrad",
    "poincare_expmap",
    "poincare_expmap0",
    "poincare_exterior_angle",
    "poincare_half_aperture",
    "poincare_inner",
    "poincare_logmap",
    "poincare_logmap0",
    "poincare_norm",
    "poincare_pairwise_dist",
    "poincare_pairwise_exterior_angle",
    "poincare_projx",
    "poincare_transp",
]


def distance(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Unchecked distance (..., 1) in the dtype of its arguments."""
    # The square root of the product, not the product of squares, keeps separations of 1e-160.
    s = c.sqrt() * safe_norm(x - y) / (deficit(x, c).sqrt() * deficit(y, c).sqrt())
    return 2 * torch.asinh(s) / c.sqrt()


def within(x: Tensor, c: Tensor, out: torch.dtype) -> Tensor:
    """x, moved radially to the largest radius that dtype `out` can hold if it lies beyond."""
    limit = math.tanh(MAX_BALL_RADIUS[out] / 2) / c.sqrt()
    norm = safe_norm(x)
    beyond = norm > limit
    # Chosen before dividing: the derivative of limit/norm overflows next to the root.
    return torch.where(beyond, x * (limit / torch.where(beyond, norm, limit)), x)


def poincare_projx(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """x within geodesic radius 16 (float32) or 36 (float64) of the root; inside that, x itself."""
    out, (x,) = prepare("PoincareBall.projx", x)
    return within(x, curvature("PoincareBall.projx", c, x), out).to(out)


def poincare_dist(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Geodesic distance 2/sqrt(c) asinh(sqrt(c)|x - y| / sqrt(X Y)); gradient 0 at x = y."""
    return rowwise("PoincareBall.dist", BallDistance(), distance, x, y, c=c)


def poincare_dist0(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b"]:
    """Distance to the root, 2/sqrt(c) asinh(sqrt(c)|x|/sqrt(X)) = 2/sqrt(c) atanh(sqrt(c)|x|)."""

    def profile(r: Tensor, gap: Tensor, c: Tensor) -> Tensor:
        scaled = r / gap.sqrt()
        return 2 * scaled * asinhc(c.sqrt() * scaled)

    return radial("PoincareBall.dist0", profile, x, c, vector=False, ball=True)


def poincare_pairwise_dist(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar
) -> Float[Tensor, "*#b n m"]:
    """Distances of all pairs; one matrix product, close pairs repaired (`kernels.dispatch`)."""
    return pairwise("PoincareBall.pairwise_dist", "poincare", x, y, c)


def poincare_inner(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Metric product lambda(x)^2 <u, v> of tangent vectors at x."""
    out, (x, u, v) = prepare("PoincareBall.inner", x, u, v)
    factor = 2 / deficit(x, curvature("PoincareBall.inner", c, x))
    return dot(factor * u, factor * v).squeeze(-1).to(out)


def poincare_norm(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Metric length lambda(x)|u| of a tangent vector at x; gradient 0 at u = 0."""
    out, (x, u) = prepare("PoincareBall.norm", x, u)
    factor = 2 / deficit(x, curvature("PoincareBall.norm", c, x))
    return (factor * safe_norm(u)).squeeze(-1).to(out)


def poincare_expmap(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """End of the geodesic that leaves x with velocity u, after unit time.

    x (+) w with w = tanh(z) u/(sqrt(c)|u|), z = sqrt(c)|u|/X.
    """
    out, (x, u) = prepare("PoincareBall.expmap", x, u)
    c = curvature("PoincareBall.expmap", c, x)
    return within(exponential(x, u, c, fine=x.dtype == out), c, out).to(out)


def poincare_expmap0(u: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """Exponential map at the root, u tanh(z)/z with z = sqrt(c)|u| (metric length 2|u|)."""
    limit = math.tanh(MAX_BALL_RADIUS[torch.float64 if is_double(u) else torch.float32] / 2)

    def profile(r: Tensor, _: Tensor, c: Tensor) -> Tensor:
        z = c.sqrt() * r
        factor = tanhc(z)
        return torch.where(factor * z > limit, safe_divide(torch.full_like(z, limit), z), factor)

    return radial("PoincareBall.expmap0", profile, u, c, vector=True)


def poincare_logmap(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Velocity at x of the geodesic to y, along the Möbius difference -x (+) y; length X d/2."""
    out, (x, y) = prepare("PoincareBall.logmap", x, y)
    c = curvature("PoincareBall.logmap", c, x)
    return logarithm(x, y, c, fine=x.dtype == out).to(out)


def poincare_logmap0(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """Logarithmic map at the root, x atanh(z)/z with z = sqrt(c)|x|."""

    def profile(r: Tensor, gap: Tensor, c: Tensor) -> Tensor:
        return asinhc(c.sqrt() * r / gap.sqrt()) / gap.sqrt()

    return radial("PoincareBall.logmap0", profile, x, c, vector=True, ball=True)


def poincare_transp(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Parallel transport of v from x to y, (1 - c|y|^2)/(1 - c|x|^2) gyr[y, -x] v."""
    out, (x, y, v) = prepare("PoincareBall.transp", x, y, v)
    c = curvature("PoincareBall.transp", c, x)
    return transport(x, y, v, c, fine=x.dtype == out).to(out)


def poincare_egrad2rgrad(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Riemannian gradient u / lambda(x)^2 = u X^2/4 of a Euclidean gradient u."""
    out, (x, u) = prepare("PoincareBall.egrad2rgrad", x, u)
    c = curvature("PoincareBall.egrad2rgrad", c, x)
    return (u * (deficit(x, c) / 2).square()).to(out)


def poincare_half_aperture(
    x: Float[Tensor, "*b d"], c: Scalar, min_radius: float = 0.1
) -> Float[Tensor, "*b"]:
    """Half aperture asin(min(1, K X/(sqrt(c)|x|))) of the cone at x, in radians.

    Equal to the hyperboloid's under the isometry. Source: Ganea et al. (arXiv 1804.01882).

    Raises:
        ValueError: min_radius is not positive, c <= 0.
    """
    check_min_radius("PoincareBall.half_aperture", min_radius)

    def profile(r: Tensor, gap: Tensor, c: Tensor) -> Tensor:
        return aperture(c.sqrt() * r / gap, min_radius)

    return radial("PoincareBall.half_aperture", profile, x, c, vector=False, ball=True)


def poincare_exterior_angle(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Angle at x between the ray from the root and the geodesic to y, in radians.

    0 with gradient 0 at x = 0 and x = y.
    """
    formula = _fine_exterior if is_double(x) else exterior
    return rowwise("PoincareBall.exterior_angle", PolarAngle(Frame("ball")), formula, x, y, c=c)


def _fine_exterior(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    return exterior(x, y, c, fine=True)


def exterior(x: Tensor, y: Tensor, c: Tensor, *, fine: bool = False) -> Tensor:
    """Unchecked exterior angle (..., 1) in the dtype of its arguments; NaN off the ball."""
    inside = deficit(y, c) > 0
    angle = angle_of(poincare_direction(x, y, deficit(x, c), c, fine=fine))
    return torch.where(inside, angle, torch.full_like(angle, float("nan")))


def poincare_pairwise_exterior_angle(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar
) -> Float[Tensor, "*#b n m"]:
    """`poincare_exterior_angle(x_i, y_j)` for all pairs."""
    return pairwise("PoincareBall.pairwise_exterior_angle", "poincare_angle", x, y, c)
