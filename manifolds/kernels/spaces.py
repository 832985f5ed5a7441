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

from manifolds.numerics import deficit, safe_norm

Rows = tuple[Tensor, Tensor]
Pulled = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Space:
    """How points become rows, and how gradients of rows become gradients of points and of c."""

    rows: Callable[[Tensor, Tensor], Rows]
    """(points (n, d), c) -> (X (n, d), A (n,)), all float64."""
    pull: Callable[[Tensor, Tensor, Tensor, Tensor], Pulled]
    """(points, c, dL/dX, dL/dA) -> (dL/dpoints, dL/dc), c entering through the rows only."""
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


def _dot_pull(x: Tensor, c: Tensor, grad: Tensor, level: Tensor) -> Pulled:
    return grad, c.new_zeros(())


def _euclidean_rows(x: Tensor, c: Tensor) -> Rows:
    return x, _norm2(x)


def _euclidean_pull(x: Tensor, c: Tensor, grad: Tensor, level: Tensor) -> Pulled:
    return grad + 2 * level[:, None] * x, c.new_zeros(())


def _sphere_rows(x: Tensor, c: Tensor) -> Rows:
    return x / safe_norm(x), x.new_full(x.shape[:1], 0.5)


def _sphere_pull(x: Tensor, c: Tensor, grad: Tensor, level: Tensor) -> Pulled:
    norm = safe_norm(x)
    unit = x / norm
    return (grad - (grad * unit).sum(-1, keepdim=True) * unit) / norm, c.new_zeros(())


def _times(x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """(|x|^2, cosh r) (n,)."""
    norm2 = safe_norm(x).squeeze(-1).square()
    return norm2, (1 + c * norm2).sqrt()


def _lorentz_rows(x: Tensor, c: Tensor) -> Rows:
    norm2, time = _times(x, c)
    return x, c * norm2 / (1 + time)


def _lorentz_pull(x: Tensor, c: Tensor, grad: Tensor, level: Tensor) -> Pulled:
    norm2, time = _times(x, c)
    slope = level / time
    return grad + (c * slope)[:, None] * x, (slope * norm2).sum() / 2


def _poincare_rows(x: Tensor, c: Tensor) -> Rows:
    gap = deficit(x, c)
    return 2 * x / gap, 2 * c * _norm2(x) / gap.squeeze(-1)


def _poincare_pull(x: Tensor, c: Tensor, grad: Tensor, level: Tensor) -> Pulled:
    gap = deficit(x, c)
    # X = 2x/gap and A = 2/gap - 2, with gap = 1 - c|x|^2.
    along = ((grad * x).sum(-1) + level).unsqueeze(-1) * 2 / gap.square()
    return 2 * grad / gap + 2 * c * along * x, (along.squeeze(-1) * _norm2(x)).sum()


SPACES: dict[str, Space] = {
    "dot": Space(_dot_rows, _dot_pull, False, -1.0, False),
    "euclidean": Space(_euclidean_rows, _euclidean_pull, False, 2.0, False),
    "sphere": Space(_sphere_rows, _sphere_pull, False, 1.0, True),
    "lorentz": Space(_lorentz_rows, _lorentz_pull, True, None, False),
    "poincare": Space(_poincare_rows, _poincare_pull, True, None, True),
}

CHUNK = 1 << 18


def chunks(n: int, d: int) -> list[slice]:
    """Slices of n rows whose float64 copies hold about 2 MB."""
    step = max(1, CHUNK // max(1, d))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def build(space: Space, points: Tensor, c: Tensor, work: torch.dtype) -> Rows:
    """(X (n, d) in the work dtype, A (n,) float64); X is `points` where nothing changes."""
    n, d = points.shape
    same = not space.copies and points.dtype == work
    vector = points.contiguous() if same else points.new_empty(n, d, dtype=work)
    level = points.new_empty(n, dtype=c.dtype)
    for part in chunks(n, d):
        rows, level[part] = space.rows(points[part].to(c.dtype), c)
        if not same:
            vector[part] = rows
    return vector, level


def pull_back(space: Space, points: Tensor, c: Tensor, grad: Tensor, level: Tensor) -> Tensor:
    """Turns dL/dX in `grad` into dL/dpoints in place; returns dL/dc (float64)."""
    total = c.new_zeros(())
    for part in chunks(*points.shape):
        wide = points[part].to(c.dtype)
        grad[part], by_c = space.pull(wide, c, grad[part].to(c.dtype), level[part])
        total = total + by_c
    return total
