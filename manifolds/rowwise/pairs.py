"""Row-wise operations of two points: distances and exterior angles, with their gradients.

The polar ones see a pair as two radii and the angle t between them: with a = sinh rx, b = sinh ry,

    S = sinh(rx - ry)        e2 = |x^ - y^|^2 = 2 (1 - cos t)
    Q = sinh^2(D/2) = h^2 + a b e2/4, h = sinh((rx - ry)/2)        sinh D = 2 sqrt(Q (1 + Q))

(`manifolds.polar`); a flat space has a = |x|, cosh = 1. The exterior angle is atan2(B, A), B = b
sin t, A = -S - b e2 cosh(rx)/2, A^2 + B^2 = sinh^2 D. Its derivatives, w = -S + a cosh(ry) e2/2:

    d/da = b sin t cosh D / (cosh rx sinh^2 D)
    d/db = -a sin t / (cosh ry sinh^2 D)        d/dt = b w / sinh^2 D
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manifolds.numerics import safe_atan2, safe_divide
from manifolds.rowwise.ball import factors, gaps
from manifolds.rowwise.fused import Gradients
from manifolds.rowwise.passes import Passes, Two


@dataclass(frozen=True)
class Pair:
    """Numbers (n,) of pairs of points on one manifold."""

    x_norm: Tensor
    y_norm: Tensor
    n: Tensor
    """|x| - |y|."""
    sine: Tensor
    """sin t, 0 where x or y is 0."""
    e2: Tensor
    """The same."""
    a: Tensor
    b: Tensor
    x_cosh: Tensor
    y_cosh: Tensor
    s: Tensor
    """sinh(rx - ry)."""
    q: Tensor
    """sinh^2(D/2)."""


@dataclass(frozen=True)
class Frame:
    """How the numbers of a pair follow from norms and c; kind: "flat", "lorentz" or "ball"."""

    kind: str

    def rows(self, passes: Passes, c: Tensor, points: list[Tensor]) -> Tensor:
        """polar_rows (6, n), on the ball with the two gaps (8, n)."""
        rows = passes.polar_rows(points[0], points[1])
        if self.kind != "ball":
            return rows
        ends = [gaps(p, norm, c) for p, norm in zip(points, rows[:2], strict=True)]
        return torch.cat([rows, torch.stack(ends)])

    def pair(self, rows: Tensor, c: Tensor) -> Pair:
        """The numbers."""
        x_norm, y_norm, product, x_step, y_along, across = rows[:6]
        # |x|^2 - |y|^2 = <x - s y, x + s y> where x is not much shorter, s the sign of <x, y>.
        y_step = torch.copysign(torch.ones_like(product), product) * y_along * y_norm
        n = safe_divide(x_step + y_step, x_norm + y_norm)
        n = torch.where(2 * x_norm >= y_norm, n, x_norm - y_norm)
        root = (x_norm == 0) | (y_norm == 0)
        sine = safe_divide(across, x_norm).clamp(max=1).masked_fill(root, 0)
        cosine = safe_divide(safe_divide(product, x_norm), y_norm)
        close = 2 * sine.square() / (1 + cosine.abs())
        wide = torch.where(cosine < 0, 4 - close, 2 - 2 * cosine)
        e2 = torch.where(cosine > 0.5, close, wide).masked_fill(root, 0)
        numbers = x_norm, y_norm, n, sine, e2
        if self.kind == "flat":
            one = torch.ones_like(n)
            return Pair(*numbers, x_norm, y_norm, one, one, n, torch.zeros_like(n))
        root_c = c.sqrt()
        if self.kind == "ball":
            a, x_cosh = factors(x_norm, rows[6], c)
            b, y_cosh = factors(y_norm, rows[7], c)
            half = root_c * n / (rows[6] * rows[7]).sqrt()
            s = 2 * half * (1 + half.square()).sqrt()
        else:
            a, b = root_c * x_norm, root_c * y_norm
            x_cosh, y_cosh = (1 + a.square()).sqrt(), (1 + b.square()).sqrt()
            x_tanh, y_tanh = a / x_cosh, b / y_cosh
            s = root_c * n * safe_divide(x_tanh / y_cosh + y_tanh / x_cosh, x_tanh + y_tanh)
            half = s / (2 * (1 + (1 + s.square()).sqrt())).sqrt()
        q = half.square() + a * (b * e2) / 4
        return Pair(*numbers, a, b, x_cosh, y_cosh, s, q)


@dataclass(frozen=True)
class PolarDistance:
    """Geodesic distance on the hyperboloid."""

    vector = False
    frame = Frame("lorentz")

    def value(self, passes: Passes, c: Tensor, points: list[Tensor]) -> tuple[Tensor, Tensor]:
        rows = self.frame.rows(passes, c, points)
        return 2 / c.sqrt() * torch.asinh(self.frame.pair(rows, c).q.sqrt()), rows

    def gradient(
        self,
        passes: Passes,
        c: Tensor,
        rows: Tensor,
        points: list[Tensor],
        grad: Tensor,
        needs: tuple[bool, ...],
    ) -> Gradients:
        p, root_c, grad = self.frame.pair(rows, c), c.sqrt(), grad.to(rows.dtype)
        weight = safe_divide(grad, 2 * (p.q * (1 + p.q)).sqrt())  # over sinh D
        # Along x^: S/cosh rx + b e2/2; the rest is the part of sqrt(c) (x - y) across x^.
        along_x = weight * (p.s / p.x_cosh + p.b * p.e2 / 2)
        along_y = weight * (p.a * p.e2 / 2 - p.s / p.y_cosh)
        across = -root_c * weight
        columns = torch.stack([along_x, across, along_y, across])
        grad_x, grad_y = _polar_gradient(passes, points, rows, columns, needs)
        grad_c = None
        if needs[0]:
            times = root_c * p.n * (p.a + p.b) / (p.x_cosh + p.y_cosh)  # sqrt(c) (x_t - y_t)
            rest = times / p.x_cosh * times / p.y_cosh / 2
            grad_c = -(grad * _lag(p.q.sqrt()) + weight * rest).sum() / (c * root_c)
        return grad_c, grad_x, grad_y


@dataclass(frozen=True)
class PolarAngle:
    """Exterior angle at x, between the ray from the root and the geodesic to y."""

    frame: Frame
    vector = False

    def value(self, passes: Passes, c: Tensor, points: list[Tensor]) -> tuple[Tensor, Tensor]:
        rows = self.frame.rows(passes, c, points)
        angle = safe_atan2(*self._direction(self.frame.pair(rows, c)))
        if self.frame.kind == "ball":
            angle = torch.where(rows[7] > 0, angle, math.nan)
        return angle, rows

    @staticmethod
    def _direction(p: Pair) -> tuple[Tensor, Tensor]:
        """B and A; 0 at the root."""
        root = p.x_norm == 0
        across, along = p.b * p.sine, -p.s - p.b * p.e2 / 2 * p.x_cosh
        return across.masked_fill(root, 0), along.masked_fill(root, 0)

    def gradient(
        self,
        passes: Passes,
        c: Tensor,
        rows: Tensor,
        points: list[Tensor],
        grad: Tensor,
        needs: tuple[bool, ...],
    ) -> Gradients:
        p, root_c, kind = self.frame.pair(rows, c), c.sqrt(), self.frame.kind
        across, along = self._direction(p)
        # Over sinh D twice: at radius 40 its square is too near to the end of float64.
        sinh = torch.hypot(across, along)
        weight = safe_divide(safe_divide(grad.to(rows.dtype), sinh), sinh)
        cosh = 1 + 2 * p.q
        # d a/d|x| over cosh rx, and b/|y|, which is d b/d|y| over cosh ry.
        if kind == "flat":
            x_rate = y_rate = torch.ones_like(p.n)
        elif kind == "ball":
            x_rate, y_rate = 2 * root_c / rows[6], 2 * root_c / rows[7]
        else:
            x_rate, y_rate = root_c / p.x_cosh, root_c / p.y_cosh
        along_x = weight * x_rate * p.b * p.sine * cosh
        along_y = -weight * y_rate * p.a * p.sine
        ratio = y_rate if kind != "lorentz" else root_c
        turn = weight * ratio * (p.a * p.y_cosh * p.e2 / 2 - p.s)
        turn = -safe_divide(safe_divide(turn, p.sine), p.x_norm)
        columns = torch.stack([along_x, turn, along_y, turn])
        grad_x, grad_y = _polar_gradient(passes, points, rows, columns, needs)
        grad_c = None
        if needs[0]:
            if kind == "ball":
                change = 2 * p.q
            else:
                # (cosh ry cosh D - cosh rx) / (cosh rx cosh ry)
                times = root_c * p.n * (p.a + p.b) / (p.x_cosh + p.y_cosh)
                change = (2 * p.q - times / p.y_cosh) / p.x_cosh
            grad_c = (weight * p.a * p.b * p.sine * change / (2 * c)).sum()
        return grad_c, grad_x, grad_y


def _polar_gradient(
    passes: Passes, points: list[Tensor], rows: Tensor, columns: Tensor, needs: tuple[bool, ...]
) -> Two:
    if not (needs[1] or needs[2]):
        return None, None
    x, y = points
    return passes.polar_gradient(x, y, rows[:6], columns, (needs[1], needs[2]))


@dataclass(frozen=True)
class ArcDistance:
    """Arc on the sphere, t/sqrt(c)."""

    vector = False

    def value(self, passes: Passes, c: Tensor, points: list[Tensor]) -> tuple[Tensor, Tensor]:
        rows = passes.polar_rows(points[0], points[1])
        return self._angle(rows) / c.sqrt(), rows

    @staticmethod
    def _angle(rows: Tensor) -> Tensor:
        x_norm, y_norm, product, _, _, across = rows
        return torch.atan2(across / x_norm, product / x_norm / y_norm)

    def gradient(
        self,
        passes: Passes,
        c: Tensor,
        rows: Tensor,
        points: list[Tensor],
        grad: Tensor,
        needs: tuple[bool, ...],
    ) -> Gradients:
        grad = grad.to(rows.dtype) / c.sqrt()
        turn = -safe_divide(grad, rows[1] * rows[5])
        zero = torch.zeros_like(turn)
        columns = torch.stack([zero, turn, zero, turn])
        grad_x, grad_y = _polar_gradient(passes, points, rows, columns, needs)
        grad_c = -(grad * self._angle(rows)).sum() / (2 * c) if needs[0] else None
        return grad_c, grad_x, grad_y


@dataclass(frozen=True)
class BallDistance:
    """2/sqrt(c) asinh(s) with s = sqrt(c)|x - y|/sqrt(X Y), X = 1 - c|x|^2."""

    vector = False

    def value(self, passes: Passes, c: Tensor, points: list[Tensor]) -> tuple[Tensor, Tensor]:
        rows = passes.difference_rows(points[0], points[1], True)
        ends = [gaps(p, norm, c) for p, norm in zip(points, rows[1:], strict=True)]
        rows = torch.cat([rows, torch.stack(ends)])
        return 2 / c.sqrt() * torch.asinh(self._s(rows, c)), rows

    @staticmethod
    def _s(rows: Tensor, c: Tensor) -> Tensor:
        return c.sqrt() * rows[0] / (rows[3].sqrt() * rows[4].sqrt())

    def gradient(
        self,
        passes: Passes,
        c: Tensor,
        rows: Tensor,
        points: list[Tensor],
        grad: Tensor,
        needs: tuple[bool, ...],
    ) -> Gradients:
        length, x_norm, y_norm, x_gap, y_gap = rows
        grad, grad_c, s = grad.to(rows.dtype), None, self._s(rows, c)
        weight = 2 * grad * s / (1 + s.square()).sqrt() / c.sqrt()  # for d log s
        if needs[0]:
            both = x_norm.square() / x_gap + y_norm.square() / y_gap
            grad_c = (weight * both / 2 - grad * _lag(s) / (c * c.sqrt())).sum()
        if not (needs[1] or needs[2]):
            return grad_c, None, None
        push = safe_divide(safe_divide(weight, length), length)
        factors = torch.stack([push, weight * c / x_gap, weight * c / y_gap])
        x, y = points
        return grad_c, *passes.difference_gradient(x, y, factors, (needs[1], needs[2]))


@dataclass(frozen=True)
class ChordDistance:
    """|x - y|."""

    vector = False

    def value(self, passes: Passes, c: Tensor, points: list[Tensor]) -> tuple[Tensor, Tensor]:
        rows = passes.difference_rows(points[0], points[1], False)
        return rows[0], rows

    def gradient(
        self,
        passes: Passes,
        c: Tensor,
        rows: Tensor,
        points: list[Tensor],
        grad: Tensor,
        needs: tuple[bool, ...],
    ) -> Gradients:
        x, y = points
        factors = safe_divide(grad.to(rows.dtype), rows)
        return None, *passes.difference_gradient(x, y, factors, (needs[1], needs[2]))


def _lag(s: Tensor) -> Tensor:
    """asinh(s) - s/sqrt(1 + s^2), s >= 0; below 0.01 its series, to 1e-12 relative."""
    q = s.square()
    near = q * s * (1 / 3 - q * (3 / 10 - q * (15 / 56)))
    return torch.where(s < 0.01, near, torch.asinh(s) - s / (1 + q).sqrt())
