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

from manifolds.doubleword import grafted
from manifolds.numerics import dot, safe_divide, safe_norm
from manifolds.pairs import pair


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
    def forward(x: Tensor, y: Tensor, c: Tensor, fine: bool) -> Tensor:
        return pair(x, y, c, fine=fine).q

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: Tensor
    ) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.fine = inputs[3]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, c = ctx.saved_tensors
        gradients = _q_gradients(x, y, c, fine=ctx.fine)
        if ctx.fine and torch.is_grad_enabled():  # create_graph=True: the plain form's derivatives
            plain = _q_gradients(x, y, c, fine=False)
            gradients = tuple(grafted(g, p) for g, p in zip(gradients, plain, strict=True))
        grad_x, grad_y, grad_c = (
            grads[0] * g if need else None
            for g, need in zip(gradients, ctx.needs_input_grad, strict=False)
        )
        return grad_x, grad_y, None if grad_c is None else grad_c.sum(), None


def _q_gradients(x: Tensor, y: Tensor, c: Tensor, *, fine: bool) -> tuple[Tensor, ...]:
    p, root_c = pair(x, y, c, fine=fine), c.sqrt()
    grad_x = root_c * p.across_x - p.along_x / p.x_cosh * p.x_unit
    grad_y = -root_c * p.across_y - p.along_y / p.y_cosh * p.y_unit
    rest = p.times / p.x_cosh * p.times / p.y_cosh / 2
    return root_c / 2 * grad_x, root_c / 2 * grad_y, (2 * p.q - rest) / (2 * c)


def hyperbolic_q(x: Tensor, y: Tensor, c: Tensor, *, fine: bool = False) -> Tensor:
    """sinh^2(sqrt(c) d(x, y) / 2) (..., 1) of points in space components; analytic at x = y.

    Polar split of the two-sheet form: with h = sinh((rx - ry) / 2), Q = h^2 + (c |x||y| / 4) |e|^2.
    Relative error about 4 eps + (eps cosh r)^2 in value, eps cosh(r)^2 in the gradient of radial
    pairs; with `fine`, in double words, a few eps in both to radius 40 in float64. Second
    derivatives are those of the plain form.
    """
    x, y = torch.broadcast_tensors(x, y)
    return _HyperbolicQ.apply(x, y, c, fine)
