"""Passes over rows: all of a row-wise operation that touches (n, d) data.

Each pass reads rows in their own dtype, computes in float64 and rounds once, to the dtype it
writes. A pass works on blocks of rows whose float64 copies stay in the cache, so no float64 tensor
of the size of the input exists. Everything between two passes has one number a row.

`PASSES` is where another implementation takes over: it maps a device type to a `Passes`, and
`dataclasses.replace(torch_passes, polar_rows=...)` replaces one pass. Arguments are always
two-dimensional points of floating dtypes and (n,) float64 numbers.

Notation: x^ = x/|x|, 0 at x = 0; s = -1 where <x, y> < 0, else 1; y' = s y, so that x and y' never
point apart; T(v, w) = v - <v, w^> w^, the part of v across w.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Two = tuple[Tensor | None, Tensor | None]
Needs = tuple[bool, bool]

WORK = torch.float64
# Elements of a block: 512 KB in float64 for each of at most five buffers and thread, between the
# caches of one core and the time of a call; on a GPU 32 MB each, to bound memory only.
BLOCK = 1 << 16
BLOCK_GPU = 1 << 22


@dataclass(frozen=True)
class Passes:
    """One implementation of the passes."""

    norms: Callable[[Tensor], Tensor]
    """x (n, d) -> |x| (n,)."""
    scaled: Callable[[Tensor, Tensor, torch.dtype], Tensor]
    """x (n, d), f (n,), dtype -> f x (n, d) in that dtype."""
    map_gradient: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """g, x (n, d), f, k (n,) -> f g + k <g, x> x (n, d) in the dtype of x, and <g, x> (n,)."""
    difference_rows: Callable[[Tensor, Tensor], Tensor]
    """x, y (n, d) -> |x|, |y|, |x - y| (3, n)."""
    difference_gradient: Callable[[Tensor, Tensor, Tensor, Needs], Two]
    """x, y, (a, b, e) (3, n), needs -> a x + e (x - y), b y - e (x - y); None if not needed."""
    polar_rows: Callable[[Tensor, Tensor], Tensor]
    """x, y (n, d) -> |x|, |y|, <x, y>, <x - y', x>, <x - y', y'>, |T(longer, shorter)| (6, n)."""
    polar_gradient: Callable[[Tensor, Tensor, Tensor, Tensor, Needs], Two]
    """x, y, what polar_rows gave, (p, q, r, s) (4, n), needs -> p x^ + q T(y, x), r y^ + s T(x, y).

    None if not needed.
    """


def blocks(x: Tensor) -> Iterator[slice]:
    """Slices of rows of x (n, d), of at most the size of a block."""
    n, d = x.shape
    size = BLOCK * torch.get_num_threads() if x.device.type == "cpu" else BLOCK_GPU
    step = max(1, size // d)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _buffers(x: Tensor, count: int) -> list[Tensor]:
    rows = next(blocks(x), slice(0, 0))
    return [x.new_empty(rows.stop, x.shape[1], dtype=WORK) for _ in range(count)]


def _cut(buffers: list[Tensor], rows: slice) -> list[Tensor]:
    return [b[: rows.stop - rows.start] for b in buffers]


def _positive(norm: Tensor) -> Tensor:
    """The norm, 1 where it is 0: what to divide by."""
    return norm + (norm == 0)


def _sign(product: Tensor) -> Tensor:
    return (product >= 0).to(WORK).mul_(2).sub_(1)


def norms(x: Tensor) -> Tensor:
    out = x.new_empty(x.shape[0], dtype=WORK)
    buffers = _buffers(x, 1)
    for rows in blocks(x):
        (a,) = _cut(buffers, rows)
        torch.linalg.vector_norm(a.copy_(x[rows]), dim=-1, out=out[rows])
    return out


def scaled(x: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    out = torch.empty_like(x, dtype=dtype)
    buffers = _buffers(x, 1)
    for rows in blocks(x):
        (a,) = _cut(buffers, rows)
        out[rows].copy_(a.copy_(x[rows]).mul_(factor[rows, None]))
    return out


def map_gradient(g: Tensor, x: Tensor, f: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    out, product = torch.empty_like(x), x.new_empty(x.shape[0], dtype=WORK)
    buffers = _buffers(x, 2)
    for rows in blocks(x):
        a, b = _cut(buffers, rows)
        a.copy_(g[rows])
        b.copy_(x[rows])
        along = torch.linalg.vecdot(a, b, out=product[rows])
        a.mul_(f[rows, None]).addcmul_(b, (k[rows] * along)[:, None])
        out[rows].copy_(a)
    return out, product


def difference_rows(x: Tensor, y: Tensor) -> Tensor:
    out = x.new_empty(3, x.shape[0], dtype=WORK)
    buffers = _buffers(x, 2)
    for rows in blocks(x):
        a, b = _cut(buffers, rows)
        torch.linalg.vector_norm(a.copy_(x[rows]), dim=-1, out=out[0, rows])
        torch.linalg.vector_norm(b.copy_(y[rows]), dim=-1, out=out[1, rows])
        torch.linalg.vector_norm(a.sub_(b), dim=-1, out=out[2, rows])
    return out


def difference_gradient(x: Tensor, y: Tensor, factors: Tensor, needs: Needs) -> Two:
    grad_x = torch.empty_like(x) if needs[0] else None
    grad_y = torch.empty_like(y) if needs[1] else None
    buffers = _buffers(x, 3)
    for rows in blocks(x):
        a, b, step = _cut(buffers, rows)
        along_x, along_y, across = factors[:, rows].unsqueeze(-1)
        torch.sub(a.copy_(x[rows]), b.copy_(y[rows]), out=step).mul_(across)
        if grad_x is not None:
            grad_x[rows].copy_(a.mul_(along_x).add_(step))
        if grad_y is not None:
            grad_y[rows].copy_(b.mul_(along_y).sub_(step))
    return grad_x, grad_y


def polar_rows(x: Tensor, y: Tensor) -> Tensor:
    out = x.new_empty(6, x.shape[0], dtype=WORK)
    buffers = _buffers(x, 4)
    for rows in blocks(x):
        a, b, step, shorter = _cut(buffers, rows)
        x_norm, y_norm, product, x_step, y_step, across = out[:, rows]
        torch.linalg.vector_norm(a.copy_(x[rows]), dim=-1, out=x_norm)
        torch.linalg.vector_norm(b.copy_(y[rows]), dim=-1, out=y_norm)
        torch.linalg.vecdot(a, b, out=product)
        b.mul_(_sign(product)[:, None])
        torch.sub(a, b, out=step)
        torch.linalg.vecdot(step, a, out=x_step)
        torch.linalg.vecdot(step, b, out=y_step)
        # lerp with weight 0 or 1 selects exactly, at a third of the time of where.
        x_shorter = (x_norm < y_norm).to(WORK)
        short_norm = _positive(torch.minimum(x_norm, y_norm))
        along = torch.lerp(y_step, x_step, x_shorter).div_(short_norm)
        torch.lerp(b, a, x_shorter[:, None], out=shorter).div_(short_norm[:, None])
        # The shorter one's ray: next to it the longer one's rounding is relative to itself.
        step.addcmul_(shorter, along[:, None], value=-1)
        torch.linalg.vector_norm(step, dim=-1, out=across)
    return out


def polar_gradient(x: Tensor, y: Tensor, polar: Tensor, factors: Tensor, needs: Needs) -> Two:
    grad_x = torch.empty_like(x) if needs[0] else None
    grad_y = torch.empty_like(y) if needs[1] else None
    x_norm, y_norm, product, x_step, y_step, _ = polar
    sign = _sign(product)
    x_safe, y_safe, product = _positive(x_norm), _positive(y_norm), product.abs()
    # T(v, w) = T(v - m w, w): m = 1 where the two are of similar length, or the rounding of a
    # close pair's own coordinates would be all there is to see.
    x_near, y_near = (2 * y_norm >= x_norm).to(WORK), (2 * x_norm >= y_norm).to(WORK)
    columns = torch.stack([
        sign, x_safe, y_safe, -x_near, -y_near,
        -torch.lerp(product, -x_step, x_near) / x_safe,
        -torch.lerp(product, y_step, y_near) / y_safe,
        factors[0], factors[1] * sign, factors[2] * sign, factors[3],
    ]).unsqueeze(-1)  # fmt: skip
    buffers = _buffers(x, 4)
    for rows in blocks(x):
        a, b, unit, across = _cut(buffers, rows)
        s, x_by, y_by, x_off, y_off, x_along, y_along, p, q, r, t = columns[:, rows]
        a.copy_(x[rows])
        b.copy_(y[rows]).mul_(s)
        if grad_x is not None:
            torch.div(a, x_by, out=unit)
            torch.addcmul(b, a, x_off, out=across).addcmul_(unit, x_along)
            grad_x[rows].copy_(across.mul_(q).addcmul_(unit, p))
        if grad_y is not None:
            torch.div(b, y_by, out=unit)
            torch.addcmul(a, b, y_off, out=across).addcmul_(unit, y_along)
            grad_y[rows].copy_(across.mul_(t).addcmul_(unit, r))
    return grad_x, grad_y


torch_passes = Passes(
    norms=norms,
    scaled=scaled,
    map_gradient=map_gradient,
    difference_rows=difference_rows,
    difference_gradient=difference_gradient,
    polar_rows=polar_rows,
    polar_gradient=polar_gradient,
)

PASSES: dict[str, Passes] = {"cpu": torch_passes, "cuda": torch_passes}
"""Implementation by device type; devices that are not listed use the composable formulas."""
