"""Squared distances, geodesics, midpoints and transport from the root, in closed form.

t is a number or a tensor (...), 0 at x and 1 at y (`geodesic`) or a geodesic length
(`geodesic_unit`). All raise ValueError for shapes, dtypes or devices that do not fit and for
c <= 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, check, curvature, prepare, time
from manifolds.functional import lorentz, poincare, sphere
from manifolds.numerics import asinhc, deficit, dot, safe_divide, safe_norm, safe_sqrt, sinhc
from manifolds.polar import hyperbolic_q, polar

__all__ = [
    "euclidean_from_frame",
    "euclidean_geodesic",
    "euclidean_geodesic_unit",
    "euclidean_midpoint",
    "euclidean_to_frame",
    "euclidean_transp0",
    "lorentz_dist2",
    "lorentz_from_frame",
    "lorentz_geodesic",
    "lorentz_geodesic_unit",
    "lorentz_midpoint",
    "lorentz_to_frame",
    "lorentz_transp0",
    "poincare_dist2",
    "poincare_from_frame",
    "poincare_geodesic",
    "poincare_geodesic_unit",
    "poincare_midpoint",
    "poincare_to_frame",
    "poincare_transp0",
    "sphere_dist2",
    "sphere_from_frame",
    "sphere_geodesic",
    "sphere_geodesic_unit",
    "sphere_midpoint",
    "sphere_to_frame",
    "sphere_transp0",
]

Time = float | int | Tensor

# --- squared distances: smooth at x = y, where the square of `dist` has no second derivative ---


def _hyperbolic_dist2(q: Tensor, c: Tensor) -> Tensor:
    """d^2 = 4/c asinh^2(sqrt(Q)), analytic in Q."""
    return (4 / c * q * asinhc(safe_sqrt(q)).square()).squeeze(-1)


def lorentz_dist2(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Squared geodesic distance; gradient 0 and second derivative 2 g at x = y."""
    out, (x, y) = prepare("Lorentz.dist2", x, y)
    c = curvature("Lorentz.dist2", c, x)
    return _hyperbolic_dist2(hyperbolic_q(x, y, c), c).to(out)


def poincare_dist2(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Squared geodesic distance; gradient 0 and second derivative 2 g at x = y."""
    out, (x, y) = prepare("PoincareBall.dist2", x, y)
    c = curvature("PoincareBall.dist2", c, x)
    return _hyperbolic_dist2(poincare.hyperbolic_q(x, y, c), c).to(out)


def sphere_dist2(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Squared arc length; gradient 0 and second derivative 2 g at x = y, gradient 0 at x = -y."""
    out, (x, y) = prepare("Sphere.dist2", x, y)
    c = curvature("Sphere.dist2", c, x)
    log = sphere.sphere_logmap(x, y, c)
    far = sphere.distance(x, y, c).square()
    return torch.where(dot(x, y) >= 0, dot(log, log), far).squeeze(-1).to(out)


# --- geodesics between points ---


def _hyperbolic_weights(t: Time, q: Tensor) -> tuple[Tensor, Tensor]:
    """sinh((1 - t) D)/sinh D and sinh(t D)/sinh D; exact at t = 0 and 1, 1 - t and t at D = 0."""
    length = 2 * torch.asinh(safe_sqrt(q))
    whole = sinhc(length)
    return (1 - t) * (sinhc((1 - t) * length) / whole), t * (sinhc(t * length) / whole)


def to_ball(x: Tensor, c: Tensor, out: torch.dtype) -> Tensor:
    a = c.sqrt() * safe_norm(x)
    return poincare.within(x / (1 + torch.hypot(torch.ones_like(a), a)), c, out)


def euclidean_geodesic(
    t: Time, x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """(1 - t) x + t y."""
    t = time("Euclidean.geodesic", t, x, y)
    out, (x, y) = prepare("Euclidean.geodesic", x, y)
    return ((1 - t) * x + t * y).to(out)


def lorentz_geodesic(
    t: Time, x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """(sinh((1 - t) D) x + sinh(t D) y)/sinh D with D = sqrt(c) d.

    Between x and y nothing cancels, however far they lie from the root.
    """
    t = time("Lorentz.geodesic", t, x, y)
    out, (x, y) = prepare("Lorentz.geodesic", x, y)
    c = curvature("Lorentz.geodesic", c, x)
    a, b = _hyperbolic_weights(t, hyperbolic_q(x, y, c))
    return (a * x + b * y).to(out)


def poincare_geodesic(
    t: Time, x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """`lorentz_geodesic` of the points 2x/X, 2y/Y of the hyperboloid, back on the ball."""
    t = time("PoincareBall.geodesic", t, x, y)
    out, (x, y) = prepare("PoincareBall.geodesic", x, y)
    c = curvature("PoincareBall.geodesic", c, x)
    a, b = _hyperbolic_weights(t, poincare.hyperbolic_q(x, y, c))
    return to_ball(a * (2 * x / deficit(x, c)) + b * (2 * y / deficit(y, c)), c, out).to(out)


def sphere_geodesic(
    t: Time, x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """exp_x(t log_x(y)); x at every t if y is its antipode, where no arc is the shortest."""
    t = time("Sphere.geodesic", t, x, y)
    out, (x, y) = prepare("Sphere.geodesic", x, y)
    c = curvature("Sphere.geodesic", c, x)
    return sphere.sphere_expmap(x, t * sphere.sphere_logmap(x, y, c), c).to(out)


# --- geodesics from a point in a direction ---


def euclidean_geodesic_unit(
    t: Time, x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """x + t u/|u|; x where u = 0."""
    t = time("Euclidean.geodesic_unit", t, x, u)
    out, (x, u) = prepare("Euclidean.geodesic_unit", x, u)
    return (x + t * safe_divide(u, safe_norm(u))).to(out)


def lorentz_geodesic_unit(
    t: Time, x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """exp_x(t u/norm(u)); x where u = 0."""
    t = time("Lorentz.geodesic_unit", t, x, u)
    out, (x, u) = prepare("Lorentz.geodesic_unit", x, u)
    c = curvature("Lorentz.geodesic_unit", c, x)
    norm = lorentz.lorentz_norm(x, u, c).unsqueeze(-1)
    return lorentz.lorentz_expmap(x, t * safe_divide(u, norm), c).to(out)


def poincare_geodesic_unit(
    t: Time, x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """exp_x(t u/norm(u)); x where u = 0."""
    t = time("PoincareBall.geodesic_unit", t, x, u)
    out, (x, u) = prepare("PoincareBall.geodesic_unit", x, u)
    c = curvature("PoincareBall.geodesic_unit", c, x)
    norm = poincare.poincare_norm(x, u, c).unsqueeze(-1)
    y = poincare.poincare_expmap(x, t * safe_divide(u, norm), c)
    return poincare.within(y, c, out).to(out)


def sphere_geodesic_unit(
    t: Time, x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """exp_x(t u/|u|); x where u = 0."""
    t = time("Sphere.geodesic_unit", t, x, u)
    out, (x, u) = prepare("Sphere.geodesic_unit", x, u)
    c = curvature("Sphere.geodesic_unit", c, x)
    return sphere.sphere_expmap(x, t * safe_divide(u, safe_norm(u)), c).to(out)


# --- midpoints ---


def euclidean_midpoint(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """(x + y)/2."""
    out, (x, y) = prepare("Euclidean.midpoint", x, y)
    return ((x + y) / 2).to(out)


def lorentz_midpoint(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """(x + y)/(2 cosh(D/2))."""
    out, (x, y) = prepare("Lorentz.midpoint", x, y)
    c = curvature("Lorentz.midpoint", c, x)
    return ((x + y) / (2 * (1 + hyperbolic_q(x, y, c)).sqrt())).to(out)


def poincare_midpoint(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """`lorentz_midpoint` of the points 2x/X, 2y/Y of the hyperboloid, back on the ball."""
    out, (x, y) = prepare("PoincareBall.midpoint", x, y)
    c = curvature("PoincareBall.midpoint", c, x)
    cosh = (1 + poincare.hyperbolic_q(x, y, c)).sqrt()
    return to_ball((x / deficit(x, c) + y / deficit(y, c)) / cosh, c, out).to(out)


def sphere_midpoint(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Direction of x^ + y^, unit vectors, scaled to the sphere; x if y is its antipode."""
    out, (x, y) = prepare("Sphere.midpoint", x, y)
    c = curvature("Sphere.midpoint", c, x)
    x, y = torch.broadcast_tensors(x, y)
    total = polar(x, -y).e  # x^ + y^, which keeps its digits next to the antipode
    length = safe_norm(total)
    start = x / safe_norm(x)
    return (torch.where(length == 0, start, safe_divide(total, length)) / c.sqrt()).to(out)


# --- transport from the root, and orthonormal frames transported from there ---


def euclidean_transp0(
    y: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """v itself, broadcast."""
    out, (y, v) = prepare("Euclidean.transp0", y, v)
    return torch.broadcast_tensors(y, v)[1].to(out)


def lorentz_transp0(
    y: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """v + c<y, v>/(1 + cosh r) y: v with its part along y stretched by cosh r."""
    out, (y, v) = prepare("Lorentz.transp0", y, v)
    c = curvature("Lorentz.transp0", c, y)
    return (v + c * dot(y, v) / (1 + lorentz.cosh_radius(y, c)) * y).to(out)


def poincare_transp0(
    y: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Y v, Y = 1 - c|y|^2."""
    out, (y, v) = prepare("PoincareBall.transp0", y, v)
    return (deficit(y, curvature("PoincareBall.transp0", c, y)) * v).to(out)


def sphere_transp0(
    y: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Parallel transport of v from the root to y; v itself at the root's antipode."""
    out, (y, v) = prepare("Sphere.transp0", y, v)
    c = curvature("Sphere.transp0", c, y)
    return sphere.sphere_transp(sphere.sphere_root(y, c), y, v, c).to(out)


def euclidean_to_frame(
    x: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """v itself, broadcast."""
    out, (x, v) = prepare("Euclidean.to_frame", x, v)
    return torch.broadcast_tensors(x, v)[1].to(out)


def euclidean_from_frame(
    x: Float[Tensor, "*#b d"], z: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """z itself, broadcast."""
    out, (x, z) = prepare("Euclidean.from_frame", x, z)
    return torch.broadcast_tensors(x, z)[1].to(out)


def lorentz_to_frame(
    x: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """v with its part along x divided by cosh r."""
    out, (x, v) = prepare("Lorentz.to_frame", x, v)
    c = curvature("Lorentz.to_frame", c, x)
    cosh, unit = lorentz.cosh_radius(x, c), safe_divide(x, safe_norm(x))
    along = dot(unit, v)
    # v - (1 - 1/cosh) <x^, v> x^ would cancel in the part along x.
    return (v - along * unit + along / cosh * unit).to(out)


def lorentz_from_frame(
    x: Float[Tensor, "*#b d"], z: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """`lorentz_transp0`: at the root the metric is the identity."""
    check("Lorentz.from_frame", x, z)
    curvature("Lorentz.from_frame", c, x)
    return lorentz_transp0(x, z, c)


def poincare_to_frame(
    x: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """2 v/X, X = 1 - c|x|^2."""
    out, (x, v) = prepare("PoincareBall.to_frame", x, v)
    return (2 * v / deficit(x, curvature("PoincareBall.to_frame", c, x))).to(out)


def poincare_from_frame(
    x: Float[Tensor, "*#b d"], z: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """X z/2."""
    out, (x, z) = prepare("PoincareBall.from_frame", x, z)
    return (deficit(x, curvature("PoincareBall.from_frame", c, x)) * z / 2).to(out)


def sphere_to_frame(
    x: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """v transported to the root; its first coordinate is 0."""
    out, (x, v) = prepare("Sphere.to_frame", x, v)
    c = curvature("Sphere.to_frame", c, x)
    return sphere.sphere_transp(x, sphere.sphere_root(x, c), v, c).to(out)


def sphere_from_frame(
    x: Float[Tensor, "*#b d"], z: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """`sphere_transp0`."""
    check("Sphere.from_frame", x, z)
    curvature("Sphere.from_frame", c, x)
    return sphere_transp0(x, z, c)
