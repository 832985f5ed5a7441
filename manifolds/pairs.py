"""Pairs of points of the hyperboloid: every number and vector that distances, logarithms, transport
and cones are made of, plain or in double words.

With a = sinh rx = sqrt(c)|x|, b = sinh ry, t the angle between x and y at the root, n = |x| - |y|,
e2 = 2 (1 - cos t) and T(x, y) the part of x across y,

    S = sinh(rx - ry) = sqrt(c) n (a + b)/(a cosh ry + b cosh rx)
    Q = sinh^2(D/2) = S^2/(2 (1 + cosh(rx - ry))) + a b e2/4
    along_x = -S - b e2 cosh(rx)/2,  across_x = T(x - y, x)

The geodesic from x to y starts in the direction (along_x, -sqrt(c) across_x), of length sinh D in
an orthonormal frame: along the radius at x, and across it. along_y, across_y = T(x - y, y) are the
same at y, seen from y.

Nothing here cancels, up to one thing: across_x of a pair on nearly one ray is a difference of
vectors, and in one word keeps eps |x - y|. At radius r a way of eps |x - y| across the radius is
cosh(r) times longer than along it, so radial pairs lose cosh(r) digits. In double words
(`fine=True`) none of that shows to radius 40 in float64. float32 input never needs it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from manifolds import doubleword as dw
from manifolds.doubleword import Wide
from manifolds.numerics import dot, power_above, safe_divide, safe_norm


@dataclass(frozen=True)
class Pair:
    """A broadcast pair in one word; scalars (..., 1), vectors (..., d); 0 where undefined."""

    x_norm: Tensor
    y_norm: Tensor
    x_unit: Tensor
    y_unit: Tensor
    a: Tensor
    b: Tensor
    x_cosh: Tensor
    y_cosh: Tensor
    q: Tensor
    along_x: Tensor
    along_y: Tensor
    across_x: Tensor
    across_y: Tensor
    times: Tensor
    """cosh rx - cosh ry."""


@dataclass(frozen=True)
class FinePair:
    """The same in double words, as far as `Lorentz.transp` needs it."""

    x_norm: Wide
    y_norm: Wide
    n: Wide
    e2: Wide
    a: Wide
    b: Wide
    x_cosh: Wide
    y_cosh: Wide
    s: Wide
    across_x: Wide
    root_c: Wide

    @property
    def q(self) -> Wide:
        """sinh^2(D/2)."""
        half = self.s * (self.s / ((_hypotenuse(self.s) + 1.0) * 2.0))
        return half + self.a * (self.b * self.e2) * 0.25

    @property
    def along_x(self) -> Wide:
        return -self.s - self.b * self.e2 * self.x_cosh * 0.5

    @property
    def along_y(self) -> Wide:
        return self.s - self.a * self.e2 * self.y_cosh * 0.5


def fine_pair(x: Tensor, y: Tensor, c: Tensor) -> FinePair:
    """The pair in double words, without gradients."""
    x, y, c = x.detach(), y.detach(), c.detach()
    x_norm, y_norm = dw.norm(x), dw.norm(y)
    power = torch.maximum(power_above(x), power_above(y))
    step = dw.difference(x, y)
    small = step.scaled(1 / power)
    # |x|^2 - |y|^2 = 2 <x - y, x> - |x - y|^2
    squares = dw.dot(small, x / power) * 2.0 - dw.dot(small, small)
    n = squares.scaled(power) / (x_norm + y_norm).scaled(1 / power)
    across = fine_across(x, y)
    root = (x_norm.high == 0) | (y_norm.high == 0)
    sine = power_above(across.high)
    shrunk = across.scaled(1 / sine)
    ratio = dw.dot(shrunk, shrunk).sqrt().scaled(sine) / y_norm
    sine2 = ratio * ratio
    cosine = dw.dot(x / power, y / power).scaled(power) / x_norm / y_norm.scaled(1 / power)
    near = sine2 * 2.0 / (cosine + 1.0)
    e2 = dw.select(cosine.high >= 0, near, (1.0 - cosine) * 2.0)
    e2 = dw.select(root, dw.wide(0.0, e2.high), e2)
    root_c = dw.wide(c, c).sqrt()
    a, b = root_c * x_norm, root_c * y_norm
    x_cosh, y_cosh = _hypotenuse(a), _hypotenuse(b)
    x_tanh, y_tanh = a / x_cosh, b / y_cosh
    s = root_c * n * ((x_tanh / y_cosh + y_tanh / x_cosh) / (x_tanh + y_tanh))
    return FinePair(x_norm, y_norm, n, e2, a, b, x_cosh, y_cosh, s, across, root_c)


def fine_across(x: Tensor, y: Tensor) -> Wide:
    """T(x - y, x) in double words, without gradients; -y at x = 0."""
    return -dw.across(y.detach(), x.detach())


def _hypotenuse(a: Wide) -> Wide:
    """sqrt(1 + a^2); |a| where a^2 would only overflow."""
    far = a.high.abs() > torch.finfo(a.high.dtype).eps ** -2
    inner = dw.select(far, dw.wide(1.0, a.high), a)
    size = dw.select(a.high < 0, -a, a)
    return dw.select(far, size, (inner * inner + 1.0).sqrt())


def pair(x: Tensor, y: Tensor, c: Tensor, *, fine: bool) -> Pair:
    """The pair in one word, plain and differentiable, or rounded from double words (constants)."""
    if fine:
        p = fine_pair(x, y, c)
        x, y = x.detach(), y.detach()
        x_norm, y_norm, across = p.x_norm.value, p.y_norm.value, p.across_x.value
        a, b, x_cosh, y_cosh = p.a.value, p.b.value, p.x_cosh.value, p.y_cosh.value
        q, along_x, along_y = p.q.value, p.along_x.value, p.along_y.value
        n, e2, root_c = p.n.value, p.e2.value, p.root_c.value
    else:
        x_norm, y_norm = safe_norm(x), safe_norm(y)
        step, root_c = x - y, c.sqrt()
        n = dot(step, safe_divide(x + y, x_norm + y_norm))
        unit = safe_divide(x, x_norm)
        # Where y is the shorter vector, -y has the same part across x with less to cancel.
        base = torch.where(safe_norm(step) <= y_norm, step - n * unit, -y)
        across = base - dot(base, unit) * unit
        ratio = safe_divide(across, y_norm)
        sine2 = dot(ratio, ratio)
        cosine = dot(unit, safe_divide(y, y_norm))
        near = 2 * sine2 / (1 + cosine.clamp_min(0))
        e2 = torch.where(cosine >= 0, near, 2 - 2 * cosine)
        e2 = torch.where((x_norm == 0) | (y_norm == 0), torch.zeros_like(e2), e2)
        a, b = root_c * x_norm, root_c * y_norm
        x_cosh, y_cosh = (torch.hypot(torch.ones_like(t), t) for t in (a, b))
        x_tanh, y_tanh = a / x_cosh, b / y_cosh
        s = root_c * n * safe_divide(x_tanh / y_cosh + y_tanh / x_cosh, x_tanh + y_tanh)
        half = s / (2 * (1 + torch.hypot(torch.ones_like(s), s))).sqrt()
        q = half.square() + a / 4 * (b * e2)
        along_x, along_y = -s - b * e2 / 2 * x_cosh, s - a * e2 / 2 * y_cosh
    x_unit, y_unit = safe_divide(x, x_norm), safe_divide(y, y_norm)
    # T(x, y) by turning T(y, x) into the plane's other frame; both terms have one sign.
    cosine = 1 - e2 / 2
    share = safe_divide(across, y_norm)
    turned = x_norm * (cosine * share + dot(share, share) * x_unit)
    across_y = torch.where(x_norm == 0, torch.zeros_like(turned), turned)
    across_y = torch.where(y_norm == 0, x.expand_as(turned), across_y)
    times = root_c * n * (a + b) / (x_cosh + y_cosh)
    return Pair(
        x_norm, y_norm, x_unit, y_unit, a, b, x_cosh, y_cosh, q, along_x, along_y, across,
        across_y, times,
    )  # fmt: skip
