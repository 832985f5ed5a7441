"""Points as rows of a matrix product: the bilinear form behind every pairwise score.

For the points x_i, y_j of a space, with row vectors X_i, Y_j and levels A_i, B_j >= 0,

    u_ij = A_i + B_j + h A_i B_j - k <X_i, Y_j>

    space       X               A                  h  k  u
    dot         x               0                  0 -1  <x, y>
    euclidean   x               |x|^2              0  2  |x - y|^2
    sphere      x/|x|           1/2                0  1  1 - cos(angle)
    lorentz     x               cosh r - 1         1  c  cosh(sqrt(c) d) - 1
    poincare    2x/(1-c|x|^2)   2c|x|^2/(1-c|x|^2) 1  c  cosh(sqrt(c) d) - 1

(h = 1 multiplies the two times.) In floating point u is off by a few eps of A + B + h A B, so it
keeps its digits unless u is a small part of that: `pairs` computes such pairs from differences.
Rows are float64 here; the caller rounds the vectors to the dtype of its product.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifolds.kernels import rounding
from manifolds.numerics import deficit

Rows = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Pull:
    """dL/dpoints = scale dL/dX + along points, row by row; dL/dc through the rows."""

    scale: Tensor | None
    along: Tensor | None
    by_c: Tensor | None


@dataclass(frozen=True)
class Space:
    """How points become rows, and how gradients of rows become gradients of points and of c."""

    rows: Callable[[Tensor, Tensor], Rows]
    """(points (n, d), c) -> (X (n, d), A (n,)), all float64."""
    pull: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Pull]
    """(points float64, A, c, <dL/dX, points>, dL/dA) -> the way back."""
    coupled: bool
    """h."""
    factor: float | None
    """k; None for c."""
    copies: bool
    """Whether X differs from the points."""

    def k(self, c: Tensor) -> float:
        """The factor of the product."""
        return c.item() if self.factor is None else self.factor


def _norm2(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def _dot_rows(x: Tensor, c: Tensor) -> Rows:
    return x, x.new_zeros(x.shape[0])


def _dot_pull(x: Tensor, a: Tensor, c: Tensor, dot: Tensor, level: Tensor) -> Pull:
    return Pull(None, None, None)


def _euclidean_rows(x: Tensor, c: Tensor) -> Rows:
    return x, _norm2(x)


def _euclidean_pull(x: Tensor, a: Tensor, c: Tensor, dot: Tensor, level: Tensor) -> Pull:
    return Pull(None, 2 * level, None)


def _sphere_rows(x: Tensor, c: Tensor) -> Rows:
    return x / _norm2(x).sqrt()[:, None], x.new_full(x.shape[:1], 0.5)


def _sphere_pull(x: Tensor, a: Tensor, c: Tensor, dot: Tensor, level: Tensor) -> Pull:
    norm = _norm2(x).sqrt()
    return Pull(1 / norm, -dot / norm / norm / norm, None)


def _lorentz_rows(x: Tensor, c: Tensor) -> Rows:
    norm2 = _norm2(x)
    return x, c * norm2 / (1 + (1 + c * norm2).sqrt())


def _lorentz_pull(x: Tensor, a: Tensor, c: Tensor, dot: Tensor, level: Tensor) -> Pull:
    slope = level / (1 + a)
    return Pull(None, c * slope, (slope * a * (2 + a)).sum() / (2 * c))  # c|x|^2 = A (2 + A)


def _poincare_rows(x: Tensor, c: Tensor) -> Rows:
    gap = deficit(x, c)
    return 2 * x / gap, 2 * c * _norm2(x) / gap.squeeze(-1)


def _poincare_pull(x: Tensor, a: Tensor, c: Tensor, dot: Tensor, level: Tensor) -> Pull:
    gap = 2 / (2 + a)
    # X = 2x/gap and A = 2/gap - 2, with gap = 1 - c|x|^2.
    along = 2 * (dot + level) / gap.square()
    return Pull(2 / gap, 2 * c * along, (along * a * gap).sum() / (2 * c))


SPACES: dict[str, Space] = {
    "dot": Space(_dot_rows, _dot_pull, False, -1.0, False),
    "euclidean": Space(_euclidean_rows, _euclidean_pull, False, 2.0, False),
    "sphere": Space(_sphere_rows, _sphere_pull, False, 1.0, True),
    "lorentz": Space(_lorentz_rows, _lorentz_pull, True, None, False),
    "poincare": Space(_poincare_rows, _poincare_pull, True, None, True),
}

CHUNK = 1 << 16


def chunks(n: int, d: int) -> list[slice]:
    """Slices of n rows whose float64 copies hold about 0.5 MB."""
    step = max(1, CHUNK // max(1, d))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def build(
    space: Space, points: Tensor, c: Tensor, work: torch.dtype, *, turned: bool = False
) -> Rows:
    """(X (n, d) in the work dtype, A (n,) float64); X is `points` where nothing changes.

    turned: X by `rounding.turn`, as products of equal terms need it.
    """
    n, d = points.shape
    same = not space.copies and points.dtype == work and not turned
    vector = points.contiguous() if same else points.new_empty(n, d, dtype=work)
    level = points.new_empty(n, dtype=c.dtype)
    for part in chunks(n, d):
        rows, level[part] = space.rows(points[part].to(c.dtype), c)
        if not same:
            vector[part] = rounding.turn(rows.clone()) if turned else rows
    return vector, level


def row_dots(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """<a_i, b_i> (n,), summed in `dtype`."""
    result = a.new_empty(a.shape[0], dtype=dtype)
    for part in chunks(*a.shape):
        result[part] = (a[part] * b[part]).sum(-1, dtype=dtype)
    return result


def pull_back(
    space: Space, points: Tensor, levels: Tensor, c: Tensor, grad: Tensor, level: Tensor
) -> Tensor:
    """Turns dL/dX in `grad` into dL/dpoints in place; returns dL/dc through the rows (float64)."""
    total = c.new_zeros(())
    for part in chunks(*points.shape):
        x, g = points[part].to(grad.dtype), grad[part]
        dot = (g * x).sum(-1, dtype=c.dtype) if space.copies else c
        wide = x.to(c.dtype) if space is SPACES["sphere"] else x
        pull = space.pull(wide, levels[part], c, dot, level[part])
        if pull.scale is not None:
            g *= pull.scale.to(g.dtype)[:, None]
        if pull.along is not None:
            g.addcmul_(pull.along.to(g.dtype)[:, None], x)
        if pull.by_c is not None:
            total += pull.by_c
    return total
