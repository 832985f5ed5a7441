"""Exponential map, logarithm, transport and exterior angle on the hyperboloid, unchecked.

Points x, y (..., d) in space components, tangent vectors u, v, c 0-dim, all in one dtype. `fine`
turns on double words (`doubleword`) where a result depends on what cancels between float64
coordinates at large radius; float32 input, computed in float64, does without.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from manifolds import doubleword as dw
from manifolds.doubleword import grafted
from manifolds.mapgradients import FineMap, lorentz_expmap, lorentz_logmap, lorentz_transp
from manifolds.numerics import (
    asinhc,
    dot,
    safe_atan2,
    safe_divide,
    safe_hypot,
    safe_norm,
    safe_sqrt,
    sinhc,
)
from manifolds.pairs import fine_pair, pair
from manifolds.polar import hyperbolic_q, tangential


def exponential(x: Tensor, u: Tensor, c: Tensor, *, fine: bool) -> Tensor:
    """End of the geodesic that leaves x with velocity u, after unit time.

    An inward step passes the root at a distance that the part of u across x decides: for u of
    length r at radius r that part is amplified by cosh(r)^2.
    """
    x, u = torch.broadcast_tensors(x, u)
    return _EXPONENTIAL(c, x, u) if fine else _exponential(c, x, u)


def _exponential(c: Tensor, x: Tensor, u: Tensor, *, fine: bool = False) -> Tensor:
    x_norm, root_c = safe_norm(x), c.sqrt()
    unit = safe_divide(x, x_norm)
    sinh_x = root_c * x_norm
    cosh_x = torch.hypot(torch.ones_like(sinh_x), sinh_x)
    radial = root_c * dot(unit, u) / cosh_x
    across = dw.across(u, x).value if fine else tangential(u, unit)
    length = safe_hypot(radial, root_c * safe_norm(across))
    # sinh(rx) cosh T + cosh(rx) sinh(T) cos: as written it is smooth at T = 0, but cancels for long
    # inward steps.
    short = sinh_x * torch.cosh(length) + cosh_x * radial * sinhc(length)
    far = length > 0.5
    step = torch.where(far, length, torch.ones_like(length))
    sign = torch.where(radial < 0, -torch.ones_like(radial), torch.ones_like(radial))
    cosine = torch.where(far, radial / step, torch.zeros_like(radial)).abs()
    sine2 = c * dot(across, across) / step.square()
    inward = sign * cosh_x * torch.sinh(step) * sine2 / (1 + cosine)
    long = torch.sinh(torch.asinh(sinh_x) + sign * step) - inward
    polar = torch.where(far, long, short) / root_c * unit + sinhc(length) * across
    # Near the root x/|x| turns fast: derivatives through it cancel like 1/r, and at x = 0 there is
    # none. There the ambient form loses nothing, and has its own derivative of T.
    direct = c * (dot(u, u) - c * dot(x, u).square() / cosh_x.square())
    square = grafted((length * length).detach(), direct)
    near = safe_sqrt(square)
    # cosh T - 1 = 2 sinh^2(T/2), by T^2: its second derivative at T = 0 is not 0.
    ambient = x + square / 2 * sinhc(near / 2).square() * x + sinhc(near) * u
    return torch.where(sinh_x < 1, ambient, polar)


def logarithm(x: Tensor, y: Tensor, c: Tensor, *, fine: bool) -> Tensor:
    """Velocity at x of the geodesic that reaches y after unit time.

    (D/sinh D) ((y - x) - 2 Q x) with D = sqrt(c) d, Q = sinh^2(D/2); analytic at x = y.
    """
    x, y = torch.broadcast_tensors(x, y)
    return _LOGARITHM(c, x, y) if fine else _logarithm(c, x, y)


def _logarithm(c: Tensor, x: Tensor, y: Tensor) -> Tensor:
    q = hyperbolic_q(x, y, c)
    return asinhc(safe_sqrt(q)) / (1 + q).sqrt() * ((y - x) - 2 * q * x)


def _fine_logarithm(c: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """By its parts along and across x: where they are of one size, 2 Q x is longer by cosh(r), and
    its rounding with it."""
    p = fine_pair(x, y, c)
    q = p.q.value
    factor = asinhc(safe_sqrt(q)) / (1 + q).sqrt()  # before cosh(r), which is as large as 1/factor
    along = (p.along_x.times(factor) * p.x_cosh / p.root_c).value
    return along * safe_divide(x, p.x_norm.value) - factor * p.across_x.value


def transport(x: Tensor, y: Tensor, v: Tensor, c: Tensor, *, fine: bool) -> Tensor:
    """Parallel transport of v from x to y: v + c<y, v>_L / (1 + cosh D) (x + y)."""
    x, y, v = torch.broadcast_tensors(x, y, v)
    return _TRANSPORT(c, x, y, v) if fine else _transport(c, x, y, v)


def _transport(c: Tensor, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    p, root_c = pair(x, y, c, fine=False), c.sqrt()
    # sqrt(c) <y, v>_L: of v only its product with the direction x -> y counts.
    polar = p.along_x * dot(p.x_unit, v) / p.x_cosh
    polar = polar - root_c * dot(p.across_x, tangential(v, p.x_unit))
    # Near the root, where x/|x| turns fast, <y, v>_L = <y - x, v> - (y_t/x_t - 1) <x, v> as it is.
    times = root_c * dot(y - x, (x + y) / (p.x_cosh + p.y_cosh)) / p.x_cosh
    direct = root_c * (dot(y - x, v) - root_c * times * dot(x, v))
    product = torch.where(p.a < 1, direct, polar)
    return v + root_c * product / (2 + 2 * hyperbolic_q(x, y, c)) * (x + y)


def _fine_transport(c: Tensor, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    p = fine_pair(x, y, c)
    product = p.along_x * (dw.dot(v, x) / p.x_norm / p.x_cosh)
    product = product - p.root_c * dw.dot(p.across_x, dw.across(v, x))
    factor = p.root_c * product / ((p.q + 1.0) * 2.0)
    return (factor * dw.difference(x, -y) + dw.wide(v, v)).value


_EXPONENTIAL = FineMap(partial(_exponential, fine=True), lorentz_expmap, _exponential)
_LOGARITHM = FineMap(_fine_logarithm, lorentz_logmap, _logarithm)
_TRANSPORT = FineMap(_fine_transport, lorentz_transp, _transport)


class _ExteriorAngle(torch.autograd.Function):
    """atan2(sqrt(c)|across_x|, along_x) (..., 1) of equally shaped x, y, in double words."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        p = fine_pair(x, y, c)
        angle = safe_atan2(c.sqrt() * safe_norm(p.across_x.value), p.along_x.value)
        return torch.where(p.x_norm.high == 0, torch.zeros_like(angle), angle)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, c = ctx.saved_tensors
        gradients = _angle_gradients(x, y, c, fine=True)
        if torch.is_grad_enabled():
            plain = _angle_gradients(x, y, c, fine=False)
            gradients = tuple(grafted(g, p) for g, p in zip(gradients, plain, strict=True))
        grad_x, grad_y, grad_c = (grads[0] * g for g in gradients)
        return grad_x, grad_y, grad_c.sum()


def _angle_gradients(x: Tensor, y: Tensor, c: Tensor, *, fine: bool) -> tuple[Tensor, ...]:
    """With B = b sin t, A = along_x, sinh D = hypot(A, B): by the hyperbolic laws of sines and
    cosines, for the radii and the angle t at the root,

        d/drx = B cosh D/sinh^2 D    d/dry = -a sin t/sinh^2 D    d/dt = -b along_y/sinh^2 D
    """
    p, root_c = pair(x, y, c, fine=fine), c.sqrt()
    x_sine, y_sine = safe_norm(p.across_x), safe_norm(p.across_y)  # times |y|, |x|
    sinh = safe_hypot(p.along_x, root_c * x_sine)
    cosh = 1 + 2 * p.q
    x_rate = safe_divide(root_c * x_sine, sinh) * safe_divide(cosh, sinh) * root_c / p.x_cosh
    y_rate = safe_divide(safe_divide(-root_c * y_sine, sinh), sinh) * root_c / p.y_cosh
    turn = safe_divide(p.along_y, sinh)  # over -b/sinh
    x_side = safe_divide(safe_divide(p.b, sinh), p.x_norm) * safe_divide(p.across_x, x_sine)
    y_side = safe_divide(root_c, sinh) * safe_divide(p.across_y, y_sine)
    grad_x = x_rate * p.x_unit - turn * x_side
    grad_y = y_rate * p.y_unit + turn * y_side
    change = (2 * p.q - p.times / p.y_cosh) / p.x_cosh
    both = safe_divide(safe_divide(p.a * root_c * x_sine, sinh), sinh)
    grad_c = both * change / (2 * c)
    gradients = grad_x, grad_y, grad_c
    return tuple(torch.where(p.x_norm == 0, torch.zeros_like(g), g) for g in gradients)


def exterior_angle(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Exterior angle (..., 1) in double words; 0 with gradient 0 at x = 0 and x = y."""
    x, y = torch.broadcast_tensors(x, y)
    return _ExteriorAngle.apply(x, y, c)
