"""The hyperboloid of curvature -c as functions of points in space components.

    x_t = sqrt(1/c + |x|^2)        <x, y>_L = <x, y> - x_t y_t        sinh(r) = sqrt(c)|x|

The metric in this chart is g = I - c x x^T / (1 + c|x|^2). c is a positive number or a 0-dim
tensor. All functions raise ValueError for shapes, dtypes or devices that do not fit and for c <= 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, check_min_radius, curvature, is_double, prepare
from manifolds.cones import angle_of, aperture, lorentz_direction
from manifolds.hyperboloid import exponential, exterior_angle, logarithm, transport
from manifolds.kernels.dispatch import pairwise
from manifolds.numerics import asinhc, dot, safe_divide, safe_hypot, safe_norm, safe_sqrt, sinhc
from manifolds.polar import hyperbolic_q, tangential
from manifolds.rowwise import Frame, PolarAngle, PolarDistance, radial, rowwise

__all__ = [
    "lorentz_dist",
    "lorentz_dist0",
    "lorentz_egrad2rgrad",
    "lorentz_expmap",
    "lorentz_expmap0",
    "lorentz_exterior_angle",
    "lorentz_half_aperture",
    "lorentz_inner",
    "lorentz_logmap",
    "lorentz_logmap0",
    "lorentz_norm",
    "lorentz_pairwise_dist",
    "lorentz_pairwise_exterior_angle",
    "lorentz_pairwise_inner",
    "lorentz_transp",
]


def distance(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Unchecked distance (..., 1) in the dtype of its arguments."""
    return 2 * torch.asinh(safe_sqrt(hyperbolic_q(x, y, c))) / c.sqrt()


def fine_distance(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """`distance` with the pair in double words: what float64 points at large radius need."""
    return 2 * torch.asinh(safe_sqrt(hyperbolic_q(x, y, c, fine=True))) / c.sqrt()


def cosh_radius(x: Tensor, c: Tensor) -> Tensor:
    """cosh(r) = sqrt(1 + c|x|^2) (..., 1)."""
    a = c.sqrt() * safe_norm(x)
    return torch.hypot(torch.ones_like(a), a)


def lorentz_dist(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Geodesic distance 2/sqrt(c) asinh(sqrt(Q)), Q by `hyperbolic_q`; gradient 0 at x = y."""
    formula = fine_distance if is_double(x) else distance
    return rowwise("Lorentz.dist", PolarDistance(), formula, x, y, c=c)


def lorentz_dist0(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b"]:
    """Distance to the root, asinh(sqrt(c)|x|)/sqrt(c)."""

    def profile(r: Tensor, _: Tensor, c: Tensor) -> Tensor:
        z = c.sqrt() * r
        # Each has derivatives without cancellation: the first for c, the second for x.
        return torch.where(z < 1, r * asinhc(z), torch.asinh(z) / c.sqrt())

    return radial("Lorentz.dist0", profile, x, c, vector=False)


def lorentz_pairwise_dist(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar
) -> Float[Tensor, "*#b n m"]:
    """Distances of all pairs; one matrix product, close pairs repaired (`kernels.dispatch`)."""
    return pairwise("Lorentz.pairwise_dist", "lorentz", x, y, c)


def lorentz_pairwise_inner(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar
) -> Float[Tensor, "*#b n m"]:
    """Lorentzian products <x_i, y_j> - x_t y_t of all pairs of points; at most -1/c."""
    out, (x, y) = prepare("Lorentz.pairwise_inner", x, y, pairwise=True)
    c = curvature("Lorentz.pairwise_inner", c, x)
    x_time, y_time = cosh_radius(x, c) / c.sqrt(), cosh_radius(y, c) / c.sqrt()
    return (torch.cat([x, -x_time], dim=-1) @ torch.cat([y, y_time], dim=-1).mT).to(out)


def lorentz_inner(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Metric product u^T g(x) v of tangent vectors at x."""
    out, (x, u, v) = prepare("Lorentz.inner", x, u, v)
    c = curvature("Lorentz.inner", c, x)
    unit = safe_divide(x, safe_norm(x))
    cosh2 = cosh_radius(x, c).square()
    radial = dot(unit, u) * dot(unit, v) / cosh2  # <u, v> - c<x, u><x, v>/cosh^2 would cancel
    return (radial + dot(tangential(u, unit), tangential(v, unit))).squeeze(-1).to(out)


def lorentz_norm(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Metric length of a tangent vector at x; gradient 0 at u = 0."""
    out, (x, u) = prepare("Lorentz.norm", x, u)
    c = curvature("Lorentz.norm", c, x)
    unit = safe_divide(x, safe_norm(x))
    radial = dot(unit, u) / cosh_radius(x, c)
    return safe_hypot(radial, safe_norm(tangential(u, unit))).squeeze(-1).to(out)


def lorentz_expmap(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """End of the geodesic that leaves x with velocity u, after unit time."""
    out, (x, u) = prepare("Lorentz.expmap", x, u)
    c = curvature("Lorentz.expmap", c, x)
    return exponential(x, u, c, fine=x.dtype == out).to(out)


def lorentz_expmap0(u: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """Exponential map at the root, u sinh(z)/z with z = sqrt(c)|u|."""
    return radial("Lorentz.expmap0", lambda r, _, c: sinhc(c.sqrt() * r), u, c, vector=True)


def lorentz_logmap(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Velocity at x of the geodesic that reaches y after unit time.

    (D/sinh D) ((y - x) - 2 Q x) with D = sqrt(c) d, Q = sinh^2(D/2); analytic at x = y.
    """
    out, (x, y) = prepare("Lorentz.logmap", x, y)
    c = curvature("Lorentz.logmap", c, x)
    return logarithm(x, y, c, fine=x.dtype == out).to(out)


def lorentz_logmap0(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """Logarithmic map at the root, x asinh(z)/z with z = sqrt(c)|x|."""
    return radial("Lorentz.logmap0", lambda r, _, c: asinhc(c.sqrt() * r), x, c, vector=True)


def lorentz_transp(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Parallel transport of v from x to y: v + c<y, v>_L / (1 + cosh D) (x + y)."""
    out, (x, y, v) = prepare("Lorentz.transp", x, y, v)
    c = curvature("Lorentz.transp", c, x)
    return transport(x, y, v, c, fine=x.dtype == out).to(out)


def lorentz_egrad2rgrad(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Riemannian gradient g^-1 u = u + c <x, u> x of a Euclidean gradient u in the chart."""
    out, (x, u) = prepare("Lorentz.egrad2rgrad", x, u)
    c = curvature("Lorentz.egrad2rgrad", c, x)
    return (u + c * dot(x, u) * x).to(out)


def lorentz_half_aperture(
    x: Float[Tensor, "*b d"], c: Scalar, min_radius: float = 0.1
) -> Float[Tensor, "*b"]:
    """Half aperture asin(min(1, 2K/(sqrt(c)|x|))) of the cone at x, in radians.

    Source: MERU (arXiv 2304.09172). K = min_radius has no dimension.

    Raises:
        ValueError: min_radius is not positive, c <= 0.
    """
    check_min_radius("Lorentz.half_aperture", min_radius)

    def profile(r: Tensor, _: Tensor, c: Tensor) -> Tensor:
        return aperture(c.sqrt() * r, 2 * min_radius)

    return radial("Lorentz.half_aperture", profile, x, c, vector=False)


def lorentz_exterior_angle(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Angle at x between the ray from the root and the geodesic to y, in radians.

    0 with gradient 0 at x = 0 and x = y.
    """
    formula = exterior_angle if is_double(x) else exterior
    return rowwise("Lorentz.exterior_angle", PolarAngle(Frame("lorentz")), formula, x, y, c=c)


def exterior(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Unchecked exterior angle (..., 1) in the dtype of its arguments."""
    return angle_of(lorentz_direction(x, y, c))


def lorentz_pairwise_exterior_angle(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar
) -> Float[Tensor, "*#b n m"]:
    """`lorentz_exterior_angle(x_i, y_j)` for all pairs."""
    return pairwise("Lorentz.pairwise_exterior_angle", "lorentz_angle", x, y, c)
