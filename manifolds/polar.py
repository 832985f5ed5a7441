"""Pairs of points in polar form: differences of radii and of unit vectors, without cancellation.

For x, y in R^d:

    n = |x| - |y| = <x - y, x + y> / (|x| + |y|)
    e = x/|x| - y/|y| = ((x - y) - n y/|y|) / |x|

and the hyperboloid's Q = sinh^2(sqrt(c) d(x, y) / 2) is a sum of squares in them, so close pairs
keep all digits.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from manifolds.numerics import dot, safe_divide, safe_norm


@dataclass(frozen=True)
class Polar:
    """A broadcast pair (x, y) in polar form; scalars have shape (..., 1), vectors (..., d)."""

    x_norm: Tensor
    y_norm: Tensor
    x_unit: Tensor
    y_unit: Tensor
    difference: Tensor
    """x - y."""
    n: Tensor
    """|x| - |y|."""
    e: Tensor
    """x/|x| - y/|y|; 0 where x or y is 0."""
    e2: Tensor
    """|e|^2 = 2 (1 - cos of the angle at 0)."""


def polar(x: Tensor, y: Tensor) -> Polar:
    """Polar form of the pair."""
    x_norm, y_norm = safe_norm(x), safe_norm(y)
    x_unit, y_unit = safe_divide(x, x_norm), safe_divide(y, y_norm)
    difference = x - y
    n = dot(difference, safe_divide(x + y, x_norm + y_norm))
    # Dividing by the longer of the two keeps a short x beside a long y (and the swapped pair)
    # exact. Not torch.maximum: at equal norms its gradient is halved between them.
    x_longer = x_norm >= y_norm
    longer, other = torch.where(x_longer, x_norm, y_norm), torch.where(x_longer, y_unit, x_unit)
    e = safe_divide(difference - n * other, longer)
    e = torch.where((x_norm == 0) | (y_norm == 0), torch.zeros_like(e), e)
    return Polar(x_norm, y_norm, x_unit, y_unit, difference, n, e, dot(e, e))


def tangential(vector: Tensor, unit: Tensor) -> Tensor:
    """The vector minus its part along `unit` (the whole vector where unit is 0)."""
    return vector - dot(vector, unit) * unit


def radial_sinh(p: Polar, c: Tensor) -> Tensor:
    """S = sinh(rx - ry) (..., 1), where sinh(rx) = sqrt(c)|x|."""
    a, b = c.sqrt() * p.x_norm, c.sqrt() * p.y_norm
    cosh_x, cosh_y = torch.hypot(torch.ones_like(a), a), torch.hypot(torch.ones_like(b), b)
    # sqrt(c) n (a + b) / (a cosh_y + b cosh_x), arranged so that nothing overflows before the
    # result does.
    ta, tb = a / cosh_x, b / cosh_y
    return c.sqrt() * p.n * safe_divide(ta / cosh_y + tb / cosh_x, ta + tb)


class _HyperbolicQ(torch.autograd.Function):
    """Q = sinh^2(sqrt(c) d / 2) (..., 1) of equally shaped x, y; the backward is polar too."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        return _q(polar(x, y), c)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, y, c = ctx.saved_tensors
        p, grad = polar(x, y), grads[0]
        root_c = c.sqrt()
        a, b = root_c * p.x_norm, root_c * p.y_norm
        cosh_x, cosh_y = torch.hypot(torch.ones_like(a), a), torch.hypot(torch.ones_like(b), b)
        s = radial_sinh(p, c)
        grad_x = grad_y = grad_c = None
        if ctx.needs_input_grad[0]:
            across = tangential(p.difference - p.n * p.x_unit, p.x_unit)
            radial = s / cosh_x + b * p.e2 / 2
            grad_x = grad * (root_c / 2) * (radial * p.x_unit + root_c * across)
        if ctx.needs_input_grad[1]:
            across = tangential(p.n * p.y_unit - p.difference, p.y_unit)
            radial = -s / cosh_y + a * p.e2 / 2
            grad_y = grad * (root_c / 2) * (radial * p.y_unit + root_c * across)
        if ctx.needs_input_grad[2]:
            times = root_c * p.n * (a + b) / (cosh_x + cosh_y)  # sqrt(c) (x_t - y_t)
            rest = times / cosh_x * times / cosh_y / 2
            grad_c = (grad * (2 * _q(p, c) - rest) / (2 * c)).sum()
        return grad_x, grad_y, grad_c


def _q(p: Polar, c: Tensor) -> Tensor:
    s = radial_sinh(p, c)
    # h = sinh((rx - ry) / 2) from its double angle; sqrt((cosh - 1) / 2) would cancel.
    half = s / (2 * (1 + torch.hypot(torch.ones_like(s), s))).sqrt()
    return half.square() + (c.sqrt() * p.x_norm / 4) * (c.sqrt() * p.y_norm) * p.e2


def hyperbolic_q(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """sinh^2(sqrt(c) d(x, y) / 2) (..., 1) of points in space components; analytic at x = y.

    Polar split of the two-sheet form: with h = sinh((rx - ry) / 2), Q = h^2 + (c |x||y| / 4) |e|^2.
    Relative error about 4 eps + (eps cosh r)^2 in value.
    """
    x, y = torch.broadcast_tensors(x, y)
    return _HyperbolicQ.apply(x, y, c)
