"""First derivatives of the maps at x in double words: expmap, logmap and transp in float64.

Each is the derivative of <g, result> for a fixed g, the result written with products of vectors
(`tape`). In one word these formulas lose cosh(r)^2 eps, since a geodesic's direction along the
radius is shorter in the chart than one across it by cosh r; in double words none of that shows to
radius 20. Points x, y, vectors u, v, g (..., d) of one shape, c 0-dim, float64; derivatives for c
first. Values and higher derivatives: `hyperboloid`, `ball`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from manifolds import doubleword as dw
from manifolds import widemath
from manifolds.doubleword import grafted, wide
from manifolds.tape import Number, Tape, Vector, choose, share


@dataclass(frozen=True)
class FineMap:
    """A map of (c, *points) in float64, from three forms of it."""

    value: Callable[..., Tensor]
    """Without derivatives."""
    gradients: Callable[..., list[Tensor]]
    """(c, *points, g) -> first derivatives of <g, map>."""
    plain: Callable[..., Tensor]
    """In one word, for higher derivatives."""

    def __call__(self, c: Tensor, *points: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            # It can't trace the function below without gradients (torch 2.13 calls a forward with
            # *points as if it took a ctx), nor where it gets one tensor twice.
            if not (torch.is_grad_enabled() and any(t.requires_grad for t in (c, *points))):
                return self.value(c, *points)
            points = tuple(p.view_as(p) for p in points)
        return _FineMap.apply(self, c, *points)


class _FineMap(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(form: FineMap, c: Tensor, *points: Tensor) -> Tensor:
        return form.value(c, *points)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.form = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        found = ctx.form.gradients(*(t.detach() for t in inputs), grads[0].detach())
        if torch.is_grad_enabled():  # create_graph=True: the plain form's derivatives
            plain = torch.func.vjp(ctx.form.plain, *inputs)[1](grads[0])
            found = [grafted(f, p) for f, p in zip(found, plain, strict=True)]
        needs = ctx.needs_input_grad[1:]
        return None, *(f if need else None for f, need in zip(found, needs, strict=True))


def _curvature(c: Tensor, x: Tensor) -> Number:
    c = c.expand(*x.shape[:-1], 1)
    return Number(wide(c, c))


class _Pair:
    """Products of x and y on the hyperboloid, s = y - x, t = x + y."""

    def __init__(self, tape: Tape, x: Tensor, y: Tensor, c: Number) -> None:
        self.x, self.y = Vector(x, {"x": 1}), Vector(y, {"y": 1})
        self.s = Vector(dw.difference(y, x), {"y": 1, "x": -1})
        self.t = Vector(dw.difference(x, -y), {"x": 1, "y": 1})
        a2, b2 = (c * tape.product(v, v) for v in (self.x, self.y))
        self.x_cosh, y_cosh = (a2 + 1.0).sqrt(), (b2 + 1.0).sqrt()
        self.times = c * tape.product(self.s, self.t) / (self.x_cosh + y_cosh)  # cosh ry - cosh rx
        # Q = sinh^2(D/2) without cancellation.
        across, _ = tape.across(self.y, self.x)
        inner = c * tape.product(self.x, self.y)
        both = self.x_cosh * y_cosh + 1.0
        below = (both + inner) * 2.0
        one_side = c * tape.product(self.s, self.s) / below + share(a2, c * across, below)
        opposite = ((a2 + b2) / both + share(a2, b2, both) - inner) * 0.5
        self.q = choose(inner.value.high >= 0, one_side, opposite)


def lorentz_logmap(c: Tensor, x: Tensor, y: Tensor, g: Tensor) -> list[Tensor]:
    """(D/sinh D) s - D tanh(D/2) x."""
    tape, curvature = Tape(), _curvature(c, x)
    pair = _Pair(tape, x, y, curvature)
    weight = Vector(g, {})
    factor = pair.q.through(*widemath.arc(pair.q.value))
    above = factor.value + 1.0
    turn = pair.q.through(
        pair.q.value * factor.value * 2.0, above / (pair.q.value + 1.0)
    )  # D tanh(D/2)
    result = factor * tape.product(weight, pair.s) - turn * tape.product(weight, pair.x)
    return tape.derivatives(result, "xy", curvature)


def lorentz_transp(c: Tensor, x: Tensor, y: Tensor, v: Tensor, g: Tensor) -> list[Tensor]:
    """v + c <y, v>_L/(2 + 2 Q) (x + y)."""
    tape, curvature = Tape(), _curvature(c, x)
    pair = _Pair(tape, x, y, curvature)
    weight, moved = Vector(g, {}), Vector(v, {"v": 1})
    along = tape.product(moved, pair.x) / pair.x_cosh
    product = tape.product(moved, pair.s) - pair.times * along
    factor = curvature * product / (pair.q * 2.0 + 2.0)
    result = tape.product(weight, moved) + factor * tape.product(weight, pair.t)
    return tape.derivatives(result, "xyv", curvature)


def lorentz_expmap(c: Tensor, x: Tensor, u: Tensor, g: Tensor) -> list[Tensor]:
    """cosh(T) x + sinh(T)/T u with T^2 = c (|u|^2 + c |x|^2 |u across x|^2)/cosh^2 rx."""
    tape, curvature = Tape(), _curvature(c, x)
    point, step, weight = Vector(x, {"x": 1}), Vector(u, {"u": 1}), Vector(g, {})
    square = curvature * tape.product(point, point)
    below = square + 1.0
    across, _ = tape.across(step, point)
    reach = curvature * (tape.product(step, step) / below + share(square, across, below))
    cosh, sinhc = widemath.cosh_sinhc(reach.value)
    result = reach.through(*cosh) * tape.product(weight, point)
    result = result + reach.through(*sinhc) * tape.product(weight, step)
    return tape.derivatives(result, "xu", curvature)


# --- the ball: gap = 1 - c|x|^2 ---


def poincare_logmap(c: Tensor, x: Tensor, y: Tensor, g: Tensor) -> list[Tensor]:
    """(D/sinh D) (gap_x s - c|s|^2 x)/gap_y."""
    tape, curvature = Tape(), _curvature(c, x)
    start, end, weight = Vector(x, {"x": 1}), Vector(y, {"y": 1}), Vector(g, {})
    s = Vector(dw.difference(y, x), {"y": 1, "x": -1})
    x_gap = 1.0 - curvature * tape.product(start, start)
    y_gap = 1.0 - curvature * tape.product(end, end)
    r = curvature * tape.product(s, s)
    q = r / x_gap / y_gap
    direction = x_gap * tape.product(weight, s) - r * tape.product(weight, start)
    result = q.through(*widemath.arc(q.value)) * direction / y_gap
    return tape.derivatives(result, "xy", curvature)


def poincare_transp(c: Tensor, x: Tensor, y: Tensor, v: Tensor, g: Tensor) -> list[Tensor]:
    """gap_y/gap_x gyr v as in `ball.transport`, W v = c (<x, v> s - <s, v> x)."""
    tape, curvature = Tape(), _curvature(c, x)
    start, end, weight = Vector(x, {"x": 1}), Vector(y, {"y": 1}), Vector(g, {})
    s, moved = Vector(dw.difference(y, x), {"y": 1, "x": -1}), Vector(v, {"v": 1})
    p, along = curvature * tape.product(start, start), curvature * tape.product(s, start)
    x_gap, y_gap = 1.0 - p, 1.0 - curvature * tape.product(end, end)
    r = curvature * tape.product(s, s)
    by_s, by_x = curvature * tape.product(s, moved), curvature * tape.product(start, moved)
    inner = (x_gap + y_gap + r) * 0.5
    first = by_x * along - by_s * p - inner * by_x
    second = by_x * r - by_s * along - inner * by_s
    turned = first * tape.product(weight, s) - second * tape.product(weight, start)
    result = tape.product(weight, moved) + turned * 2.0 / (x_gap * y_gap + r)
    return tape.derivatives(y_gap / x_gap * result, "xyv", curvature)


def poincare_expmap(c: Tensor, x: Tensor, u: Tensor, g: Tensor) -> list[Tensor]:
    """x (+) w with w = tanh(h)/h u/gap, h = sqrt(c)|u|/gap."""
    tape, curvature = Tape(), _curvature(c, x)
    point, step, weight = Vector(x, {"x": 1}), Vector(u, {"u": 1}), Vector(g, {})
    p = curvature * tape.product(point, point)
    gap = 1.0 - p
    reach = curvature * tape.product(step, step) / gap / gap
    factor = reach.through(*widemath.tanhc(reach.value))
    along = curvature * tape.product(point, step) / gap * factor * 2.0 + 1.0
    square = reach * factor * factor
    by_x = (along + square) * tape.product(weight, point)
    result = by_x + factor * tape.product(weight, step)
    return tape.derivatives(result / (along + p * square), "xu", curvature)
