"""Every pairwise operation in torch: float64 products and repair (`reference`), on any device.

The path where no compiled kernel exists, for float64, for second derivatives, and inside the
custom operators wherever the compiled library does not apply. Arguments are checked by the caller.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from manifolds.arguments import work_dtype
from manifolds.cones import angle_of, euclidean_direction, pairwise_angle
from manifolds.kernels.reference import Rows, pairwise
from manifolds.numerics import deficit, dot, safe_divide, safe_norm


def out_dtype(x: Tensor) -> torch.dtype:
    """float64 for float64 points, float32 for all others."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _work(*tensors: Tensor) -> tuple[Tensor, ...]:
    work = work_dtype(tensors[0].device)
    return tuple(t.to(work) for t in tensors)


def _cosh(x: Tensor, c: Tensor) -> Tensor:
    a = c.sqrt() * safe_norm(x)
    return torch.hypot(torch.ones_like(a), a)


def lorentz(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Hyperboloid distances (..., n, m)."""
    from manifolds.functional.lorentz import distance

    out = out_dtype(x)
    x, y, c = _work(x, y, c)
    x_cosh, y_cosh = _cosh(x, c), _cosh(y, c)
    # cosh D - 1 = p + q + p q - c<x, y> with p = cosh(rx) - 1, q = cosh(ry) - 1.
    p, q = (c * dot(x, x) / (1 + x_cosh), c * dot(y, y) / (1 + y_cosh))
    x_rows, y_rows = Rows(-c * x, p, x_cosh), Rows(y, torch.ones_like(q), q)
    return pairwise("cosh", x_rows, y_rows, (x, y), distance, out, scale=c.rsqrt(), parameters=(c,))


def poincare(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Ball distances (..., n, m)."""
    from manifolds.functional.poincare import distance

    out = out_dtype(x)
    x, y, c = _work(x, y, c)
    x_scale, y_scale = 2 * c / deficit(x, c), 1 / deficit(y, c)  # cosh D - 1 = 2c|x - y|^2/(X Y)
    x_rows = Rows(-2 * x * x_scale, dot(x, x) * x_scale, x_scale)
    y_rows = Rows(y * y_scale, y_scale, dot(y, y) * y_scale)
    return pairwise("cosh", x_rows, y_rows, (x, y), distance, out, scale=c.rsqrt(), parameters=(c,))


def sphere(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Arc lengths (..., n, m)."""
    from manifolds.functional.sphere import distance

    out = out_dtype(x)
    x, y, c = _work(x, y, c)
    x_unit, y_unit = x / safe_norm(x), y / safe_norm(y)
    x_one, y_one = torch.ones_like(x[..., :1]), torch.ones_like(y[..., :1])
    x_rows, y_rows = Rows(-2 * x_unit, x_one, x_one), Rows(y_unit, y_one, y_one)
    return pairwise("arc", x_rows, y_rows, (x, y), distance, out, scale=c.rsqrt(), parameters=(c,))


def _flat_rows(x: Tensor, y: Tensor) -> tuple[Rows, Rows]:
    one = torch.ones_like(x[..., :1]), torch.ones_like(y[..., :1])
    return Rows(-2 * x, dot(x, x), one[0]), Rows(y, one[1], dot(y, y))


def euclidean(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """|x_i - y_j| (..., n, m); c is not used."""
    out = out_dtype(x)
    x, y = _work(x, y)
    return pairwise("root", *_flat_rows(x, y), (x, y), lambda a, b: safe_norm(a - b), out)


def euclidean2(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """|x_i - y_j|^2 (..., n, m); c is not used."""
    out = out_dtype(x)
    x, y = _work(x, y)
    return pairwise("square", *_flat_rows(x, y), (x, y), lambda a, b: dot(a - b, a - b), out)


def lorentz_angle(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Exterior angles (..., n, m) on the hyperboloid."""
    from manifolds.functional.lorentz import exterior

    out = out_dtype(x)
    x, y, c = _work(x, y, c)
    rows = []
    for points in (x, y):
        norm = safe_norm(points)
        rows.append((safe_divide(points, norm), c.sqrt() * norm, _cosh(points, c)))
    return pairwise_angle(rows[0], rows[1], (x, y), exterior, out, (c,))


def poincare_angle(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Exterior angles (..., n, m) on the ball."""
    from manifolds.functional.poincare import exterior

    out = out_dtype(x)
    x, y, c = _work(x, y, c)
    rows = []
    for points in (x, y):
        norm, gap = safe_norm(points), deficit(points, c)
        rows.append((safe_divide(points, norm), 2 * c.sqrt() * norm / gap, (2 - gap) / gap))
    return pairwise_angle(rows[0], rows[1], (x, y), exterior, out, (c,))


def euclidean_angle(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Exterior angles (..., n, m) in Euclidean space; c is not used."""
    out = out_dtype(x)
    x, y = _work(x, y)
    rows = []
    for points in (x, y):
        norm = safe_norm(points)
        rows.append((safe_divide(points, norm), norm, torch.ones_like(norm)))
    direct = lambda a, b: angle_of(euclidean_direction(a, b))  # noqa: E731
    return pairwise_angle(rows[0], rows[1], (x, y), direct, out)


PLAIN: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "lorentz": lorentz,
    "poincare": poincare,
    "sphere": sphere,
    "euclidean": euclidean,
    "euclidean2": euclidean2,
    "lorentz_angle": lorentz_angle,
    "poincare_angle": poincare_angle,
    "euclidean_angle": euclidean_angle,
}
"""The operation of a kind on (..., n, d), (..., m, d) and c: (..., n, m)."""
