"""The sphere of curvature +c as functions of ambient points (..., d) of norm 1/sqrt(c).

Angles are formed from unit vectors, so that the rounding of a norm does not look like distance. The
root is (1/sqrt(c), 0, ..., 0). c is a positive number or a 0-dim tensor. All functions raise
ValueError for shapes, dtypes or devices that do not fit and for c <= 0.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, curvature, prepare
from manifolds.kernels.dispatch import pairwise
from manifolds.numerics import dot, safe_divide, safe_norm, sinc
from manifolds.polar import polar, tangential
from manifolds.rowwise import ArcDistance, rowwise

__all__ = [
    "sphere_dist",
    "sphere_dist0",
    "sphere_expmap",
    "sphere_expmap0",
    "sphere_inner",
    "sphere_logmap",
    "sphere_logmap0",
    "sphere_norm",
    "sphere_pairwise_dist",
    "sphere_proju",
    "sphere_projx",
    "sphere_transp",
]


def _unit(x: Tensor) -> Tensor:
    return x / safe_norm(x)


class _Arc(torch.autograd.Function):
    """Angle (..., 1) between equally shaped x and y; gradient of length 1/|x|, 0 at 0 and pi."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return 2 * torch.atan2(safe_norm(polar(x, y).e), safe_norm(polar(x, -y).e))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, y = ctx.saved_tensors
        grad_x = grad_y = None
        if ctx.needs_input_grad[0]:
            grad_x = -grads[0] * _direction(x, y) / safe_norm(x)
        if ctx.needs_input_grad[1]:
            grad_y = -grads[0] * _direction(y, x) / safe_norm(y)
        return grad_x, grad_y


def _chord(x: Tensor, y: Tensor) -> Tensor:
    """y/|y| minus its part along x: sin(angle) times the direction x -> y, exact near 0 and pi."""
    unit = _unit(x)
    near, far = -polar(x, y).e, polar(x, -y).e
    # The part of y/|y| across x equals that of y/|y| - x/|x| and of y/|y| + x/|x|: take the
    # shorter.
    return tangential(torch.where(dot(x, y) >= 0, near, far), unit)


def _direction(x: Tensor, y: Tensor) -> Tensor:
    chord = _chord(x, y)
    return safe_divide(chord, safe_norm(chord))


def distance(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Unchecked arc length (..., 1) in the dtype of its arguments."""
    x, y = torch.broadcast_tensors(x, y)
    return _Arc.apply(x, y) / c.sqrt()


def sphere_projx(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """x / (sqrt(c)|x|); NaN for x = 0, which has no nearest point."""
    out, (x,) = prepare("Sphere.projx", x)
    return (_unit(x) / curvature("Sphere.projx", c, x).sqrt()).to(out)


def sphere_dist(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Arc length 2 atan2(|x^ - y^|, |x^ + y^|)/sqrt(c), x^ = x/|x|; gradient 0 at x = y, x = -y."""
    return rowwise("Sphere.dist", ArcDistance(), distance, x, y, c=c)


def sphere_dist0(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b"]:
    """Arc length to the root (1/sqrt(c), 0, ..., 0)."""
    out, (x,) = prepare("Sphere.dist0", x)
    c = curvature("Sphere.dist0", c, x)
    return distance(sphere_root(x, c), x, c).squeeze(-1).to(out)


def sphere_root(x: Tensor, c: Tensor) -> Tensor:
    """The root in the shape of x."""
    first = torch.zeros_like(x)
    first[..., 0] = 1
    return first / c.sqrt()


def sphere_pairwise_dist(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar
) -> Float[Tensor, "*#b n m"]:
    """Arc lengths of all pairs; one matrix product, close and antipodal pairs repaired."""
    return pairwise("Sphere.pairwise_dist", "sphere", x, y, c)


def sphere_inner(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """<u, v> of tangent vectors at x."""
    out, (x, u, v) = prepare("Sphere.inner", x, u, v)
    curvature("Sphere.inner", c, x)
    x, u, v = torch.broadcast_tensors(x, u, v)
    return dot(u, v).squeeze(-1).to(out)


def sphere_norm(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """|u| of a tangent vector at x; gradient 0 at u = 0."""
    out, (x, u) = prepare("Sphere.norm", x, u)
    curvature("Sphere.norm", c, x)
    x, u = torch.broadcast_tensors(x, u)
    return safe_norm(u).squeeze(-1).to(out)


def sphere_proju(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """u minus its part along x; also the Riemannian gradient of a Euclidean one."""
    out, (x, u) = prepare("Sphere.proju", x, u)
    curvature("Sphere.proju", c, x)
    return tangential(u, _unit(x)).to(out)


def sphere_expmap(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """cos(z) x + sin(z)/z u with z = sqrt(c)|u|."""
    out, (x, u) = prepare("Sphere.expmap", x, u)
    z = curvature("Sphere.expmap", c, x).sqrt() * safe_norm(u)
    return (torch.cos(z) * x + sinc(z) * u).to(out)


def sphere_expmap0(u: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """Exponential map at the root; u is tangent there, its first coordinate 0."""
    out, (u,) = prepare("Sphere.expmap0", u)
    c = curvature("Sphere.expmap0", c, u)
    z = c.sqrt() * safe_norm(u)
    return (torch.cos(z) * sphere_root(u, c) + sinc(z) * u).to(out)


def _log(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    chord = _chord(x, y)
    angle = distance(x, y, c) * c.sqrt()
    # angle/|chord| has no derivative at x = y, angle/sin(angle) no digits near the antipode.
    near = dot(x, y) >= 0
    inner = torch.where(near, angle, torch.ones_like(angle))
    factor = torch.where(near, 1 / sinc(inner), safe_divide(angle, safe_norm(chord)))
    return factor * chord / c.sqrt()


def sphere_logmap(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Velocity at x of the shortest arc to y; 0 at the antipode, where no arc is the shortest."""
    out, (x, y) = prepare("Sphere.logmap", x, y)
    return _log(x, y, curvature("Sphere.logmap", c, x)).to(out)


def sphere_logmap0(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """Logarithmic map at the root; its first coordinate is 0."""
    out, (x,) = prepare("Sphere.logmap0", x)
    c = curvature("Sphere.logmap0", c, x)
    return _log(sphere_root(x, c), x, c).to(out)


def sphere_transp(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Parallel transport of v from x to y; v itself at the antipode, where no geodesic is shortest.

    v - <y, v>/(1 + <x, y>) (x + y) for unit x, y.
    """
    out, (x, y, v) = prepare("Sphere.transp", x, y, v)
    curvature("Sphere.transp", c, x)
    total = polar(*torch.broadcast_tensors(x, -y)).e  # x^ + y^, and 1 + <x^, y^> is half its square
    y_unit = _unit(y)
    return (v - safe_divide(2 * dot(y_unit, v), dot(total, total)) * total).to(out)
