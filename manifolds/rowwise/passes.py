"""Passes over rows: all of a row-wise operation that touches (n, d) data.

Each pass reads rows in their own dtype, computes in float64 and rounds once, to the dtype it
writes. A pass works on blocks of rows whose float64 copies stay in the cache, so no float64 tensor
of the size of the input exists. Everything between two passes has one number a row.

Gradients that are sums of such numbers times float32 rows, and do not cancel, are taken in float32
on the CPU where that leaves about 1 eps of their length instead of 1/2 (2 at most).

`PASSES` is where another implementation takes over: it maps a device type to a `Passes`, and
`dataclasses.replace(torch_passes, polar_rows=...)` replaces one pass. Arguments are always
two-dimensional points of floating dtypes and (n,) float64 numbers.

Notation: x^ = x/|x|, 0 at x = 0; T(v, w) = v - <v, w^> w^, the part of v across w; m the sign of
<x, y>, and 0 where 2|x| < |y|, so that x - m y is short where the two lines are close.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, cast

import torch
from torch import Tensor

Two = tuple[Tensor | None, Tensor | None]
Needs = tuple[bool, bool]

WORK = torch.float64
# float64 elements of all buffers and of what is read and written beside them, 1 MB for each thread:
# more leaves the core's own cache, less is all calls. On a GPU 32 MB for each buffer, to bound
# memory only.
BLOCK = 1 << 17
BLOCK_GPU = 1 << 22
# What cancels down to this share of itself still has 2e-10 of its value in float64; 2e-3 eps of the
# float32 result. Rows below it are computed without cancellation.
SAFE = 2.0**-20
# Error of a gradient, relative to its length, up to which it may be taken in float32. What rounding
# the factors of a row does is known; rounding each product and each sum is half a unit in the last
# place at most, and over many coordinates, from `MANY` on, less than a quarter (2^-25) of its norm.
SINGLE = 0.9 * 2.0**-23
MANY = 64
# Powers of two between which a factor may be rounded to float32.
FITS = 2.0**100


@dataclass(frozen=True)
class Passes:
    """One implementation of the passes."""

    norms: Callable[[Tensor], Tensor]
    """x (n, d) -> |x| (n,)."""
    scaled: Callable[[Tensor, Tensor, torch.dtype], Tensor]
    """x (n, d), f (n,), dtype -> f x (n, d) in that dtype."""
    value_gradient: Callable[[Tensor, Tensor], Tensor]
    """x (n, d), f (n,) -> f x (n, d) in the dtype of x."""
    map_gradient: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """g, x (n, d), f, k (n,) -> f g + k <g, x> x (n, d) in the dtype of x, and <g, x> (n,)."""
    difference_rows: Callable[[Tensor, Tensor, bool], Tensor]
    """x, y (n, d), ends -> |x - y| (1, n), with ends |x - y|, |x|, |y| (3, n)."""
    difference_gradient: Callable[[Tensor, Tensor, Tensor, Needs], Two]
    """x, y, e (1, n) or (e, a, b) (3, n), needs -> a x + e (x - y), b y - e (x - y).

    None if not needed.
    """
    polar_rows: Callable[[Tensor, Tensor], Tensor]
    """x, y (n, d) -> |x|, |y|, <x, y>, <x - m y, x>, <x - m y, y^>, |T(x, y)| (6, n)."""
    polar_gradient: Callable[[Tensor, Tensor, Tensor, Tensor, Needs], Two]
    """x, y, what polar_rows gave, (p, q, r, s) (4, n), needs -> p x^ + q T(y, x), r y^ + s T(x, y).

    None if not needed.
    """


def blocks(count: int, *tensors: Tensor | None) -> Iterator[tuple[list[Any], list[Tensor]]]:
    """Tensors (n, ...) in parts of few rows, None as None, each with `count` float64 buffers.

    The buffers have the shape of a part of the first tensor, which is (n, d).
    """
    first = cast(Tensor, tensors[0])
    n, d = first.shape
    on_cpu = first.device.type == "cpu"
    size = BLOCK * torch.get_num_threads() // (count + 1) if on_cpu else BLOCK_GPU
    step = max(1, min(n, size // d))
    buffers = [first.new_empty(step, d, dtype=WORK) for _ in range(count)]
    split = (repeat(None) if t is None else t.split(step) for t in tensors)
    for parts in zip(*split, strict=False):
        rows = len(parts[0])
        yield list(parts), buffers if rows == step else [b[:rows] for b in buffers]


def _positive(norm: Tensor) -> Tensor:
    """The norm, 1 where it is 0: what to divide by."""
    return norm + (norm == 0)


def norms(x: Tensor) -> Tensor:
    out = x.new_empty(x.shape[0], dtype=WORK)
    for [own, size], [a] in blocks(1, x, out):
        torch.linalg.vector_norm(a.copy_(own), dim=-1, out=size)
    return out


def scaled(x: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    out = torch.empty_like(x, dtype=dtype)
    for [own, f, to], [a] in blocks(1, x, factor.unsqueeze(-1), out):
        to.copy_(a.copy_(own).mul_(f))
    return out


def value_gradient(x: Tensor, factor: Tensor) -> Tensor:
    if x.shape[1] < MANY or not _in_float32(x, factor):
        return scaled(x, factor, x.dtype)
    return x * factor.to(x.dtype).unsqueeze(-1)


def _in_float32(x: Tensor, factors: Tensor) -> bool:
    """Whether the rows are float32 on the CPU, and the factors can be rounded to it too."""
    if x.dtype != torch.float32 or x.device.type != "cpu":
        return False
    size = factors.abs()
    return bool(((size <= FITS) & (size >= 1 / FITS) | (size == 0)).all())


def map_gradient(g: Tensor, x: Tensor, f: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    out, product = torch.empty_like(x), x.new_empty(x.shape[0], dtype=WORK)
    rows = g, x, f.unsqueeze(-1), k.unsqueeze(-1), product.unsqueeze(-1), out
    for [along, own, scale, share, inner, to], [a, b, part] in blocks(3, *rows):
        a.copy_(along)
        b.copy_(own)
        torch.sum(torch.mul(a, b, out=part), -1, keepdim=True, out=inner)
        to.copy_(a.mul_(scale).addcmul_(b, share * inner))
    return out, product


def difference_rows(x: Tensor, y: Tensor, ends: bool) -> Tensor:
    out = x.new_empty(3 if ends else 1, x.shape[0], dtype=WORK)
    for [own, other, *sizes], [a, b] in blocks(2, x, y, *out):
        a.copy_(own)
        b.copy_(other)
        for end, size in zip((a, b), sizes[1:], strict=False):
            torch.linalg.vector_norm(end, dim=-1, out=size)
        torch.linalg.vector_norm(a.sub_(b), dim=-1, out=sizes[0])
    return out


def difference_gradient(x: Tensor, y: Tensor, factors: Tensor, needs: Needs) -> Two:
    grads = outputs(x, y, needs)
    rows = x, y, *grads, *factors.unsqueeze(-1)
    for [own, other, to_x, to_y, e, *ends], [a, b, step] in blocks(3, *rows):
        a.copy_(own)
        b.copy_(other)
        torch.sub(a, b, out=step).mul_(e)
        if to_x is not None:
            to_x.copy_(a.mul_(ends[0]).add_(step) if ends else step)
        if to_y is not None:
            to_y.copy_(b.mul_(ends[1]).sub_(step) if ends else step.neg_())
    return grads


def outputs(x: Tensor, y: Tensor, needs: Needs) -> Two:
    """Where the gradients that are needed go."""
    return (torch.empty_like(x) if needs[0] else None, torch.empty_like(y) if needs[1] else None)


def polar_rows(x: Tensor, y: Tensor) -> Tensor:
    out = x.new_empty(6, x.shape[0], dtype=WORK)
    for [own, other, *numbers], [a, b] in blocks(2, x, y, *out[:3]):
        torch.linalg.vector_norm(a.copy_(own), dim=-1, out=numbers[0])
        torch.linalg.vector_norm(b.copy_(other), dim=-1, out=numbers[1])
        torch.sum(a.mul_(b), -1, out=numbers[2])
    x_norm, y_norm, product = out[:3]
    near = _near(x_norm, y_norm, product)
    out[3] = x_norm.square() - near * product
    out[4] = product / _positive(y_norm) - near * y_norm
    cosine = product / _positive(x_norm) / _positive(y_norm)
    sine2 = (1 - cosine) * (1 + cosine)
    out[5] = x_norm * sine2.clamp(min=0).sqrt()
    for index in _chosen(sine2 < SAFE):
        out[3:, index] = _close_rows(x[index], y[index], y_norm[index], near[index])
    return out


def _close_rows(x: Tensor, y: Tensor, y_norm: Tensor, near: Tensor) -> Tensor:
    """The last three of polar_rows (3, n) without cancellation."""
    out = x.new_empty(3, x.shape[0], dtype=WORK)
    rows = x, y, near.unsqueeze(-1), _positive(y_norm).unsqueeze(-1), *out
    for [own, other, m, norm, *numbers], [a, b, part] in blocks(3, *rows):
        a.copy_(own)
        b.copy_(other)
        torch.addcmul(a, b, m, value=-1, out=part)
        torch.linalg.vecdot(part, a, out=numbers[0])
        torch.linalg.vecdot(part, b, out=numbers[1]).div_(norm.squeeze(-1))
        torch.linalg.vector_norm(_across(a, b, norm, part), dim=-1, out=numbers[2])
    return out


def polar_gradient(x: Tensor, y: Tensor, polar: Tensor, factors: Tensor, needs: Needs) -> Two:
    # Both ends at once, x over y: (2, n) each. What points at the other end is flipped.
    lengths, (product, x_step, y_along, across) = polar[:2], polar[2:]
    size = _positive(lengths)
    near = _near(lengths.flip(0), lengths, product)
    # <y - m x, x^>, which is that of x - m y but for signs where m is the same.
    x_along = product / size[0] - near[0] * lengths[0]
    x_along = torch.where(near[0] * near[1] != 0, -near[0] * x_step / size[0], x_along)
    whole = torch.stack([x_along, y_along]).addcmul_(near, lengths)  # <v, w^>
    turned = torch.stack([across / size[0] * lengths[1], across])  # |T(y, x)|, |T(x, y)|
    radial, other = factors[::2], factors[1::2]
    weight = (radial - other * whole) / size
    sizes = torch.hypot(radial, other * turned)
    cancel = sizes < SAFE * (other * torch.hypot(whole, turned)).abs()
    columns = torch.stack([weight[0], other[0], other[1], weight[1]])
    grads = _combined(x, y, columns, lengths, sizes, needs)
    for i, (grad, w, v) in enumerate(zip(grads, (x, y), (y, x), strict=True)):
        if grad is not None:
            for rows in _chosen(cancel[i]):
                numbers = torch.stack([lengths[i, rows], radial[i, rows], other[i, rows]])
                grad[rows] = _close_gradient(w[rows], v[rows], numbers)
    return grads


def _combined(
    x: Tensor, y: Tensor, weights: Tensor, lengths: Tensor, sizes: Tensor, needs: Needs
) -> Two:
    """a x + b y and c x + d y for weights a, b, c, d (4, n), |x|, |y| and their lengths (2, n)."""
    if x.shape[1] < MANY or not _in_float32(x, weights):
        return _combined_wide(x, y, weights, needs)
    single = weights.to(x.dtype)
    both = weights.unflatten(0, (2, 2))
    step = ((both - single.unflatten(0, (2, 2))).abs() * lengths).sum(1)
    noise = 2.0**-25 * (sizes.square() + (both * lengths).square().sum(1)).sqrt()
    fine = (step + noise <= SINGLE * sizes) | (sizes == 0)
    part = (~fine.all(0)).nonzero().squeeze(-1)
    if 2 * len(part) > len(x):
        return _combined_wide(x, y, weights, needs)
    grads = outputs(x, y, needs)
    for [own, other, to_x, to_y, a, b, c, d], _ in blocks(0, x, y, *grads, *single.unsqueeze(-1)):
        if to_x is not None:
            torch.mul(own, a, out=to_x).addcmul_(other, b)
        if to_y is not None:
            torch.mul(other, d, out=to_y).addcmul_(own, c)
    if len(part):
        again = _combined_wide(x[part], y[part], weights[:, part], needs)
        for grad, rows in zip(grads, again, strict=True):
            if grad is not None and rows is not None:
                grad[part] = rows
    return grads


def _combined_wide(x: Tensor, y: Tensor, weights: Tensor, needs: Needs) -> Two:
    """The same in float64, rounded once."""
    grads = outputs(x, y, needs)
    rows = x, y, *grads, *weights.unsqueeze(-1)
    for [own, other, to_x, to_y, p, q, r, s], [a, b, total] in blocks(3, *rows):
        a.copy_(own)
        b.copy_(other)
        if to_x is not None:
            to_x.copy_(torch.mul(a, p, out=total).addcmul_(b, q))
        if to_y is not None:
            to_y.copy_(b.mul_(s).addcmul_(a, r))
    return grads


def _close_gradient(w: Tensor, v: Tensor, numbers: Tensor) -> Tensor:
    """p w^ + q T(v, w) without cancellation; numbers |w|, p, q (3, n)."""
    out = torch.empty_like(w)
    for [own, other, to, norm, p, q], [a, b, part] in blocks(3, w, v, out, *numbers.unsqueeze(-1)):
        norm = _positive(norm)
        _across(b.copy_(other), a.copy_(own), norm, part)
        to.copy_(part.mul_(q).addcmul_(a, p / norm))
    return out


def _near(v_norm: Tensor, w_norm: Tensor, product: Tensor) -> Tensor:
    """m of v - m w: the sign of <v, w>, 0 where v is much shorter than w.

    T(v, w) = T(v - m w, w). For v near w or -w, m leaves nothing large to cancel; a short v would
    drown in w.
    """
    return torch.copysign((2 * v_norm >= w_norm).to(WORK), product)


def _chosen(rows: Tensor) -> list[Tensor | slice]:
    """Indices of the rows, if there are any; on a GPU, where looking means waiting, all rows."""
    if rows.device.type != "cpu":
        return [slice(None)]
    index = rows.nonzero().squeeze(-1)
    if index.numel() == rows.numel():
        return [slice(None)] if index.numel() else []
    return [index] if index.numel() else []


def _across(v: Tensor, w: Tensor, norm: Tensor, out: Tensor) -> Tensor:
    """T(v, w) for |w| = norm, relative to itself; 0 only where v lies along w.

    With w_p the longest coordinate of w, v - (v_p/w_p) w differs from it by a part along w that is
    at most sqrt(d) times longer, and its coordinates (v w_p - w v_p)/w_p lose nothing: products of
    float32 numbers are exact.
    """
    index = w.abs().argmax(-1, keepdim=True)
    own, other = w.gather(-1, index), v.gather(-1, index)
    torch.mul(v, own, out=out).addcmul_(w, other, value=-1).div_(_positive(own))
    along = torch.linalg.vecdot(out, w).unsqueeze(-1) / norm / norm
    return out.addcmul_(w, along, value=-1)


torch_passes = Passes(
    norms=norms,
    scaled=scaled,
    value_gradient=value_gradient,
    map_gradient=map_gradient,
    difference_rows=difference_rows,
    difference_gradient=difference_gradient,
    polar_rows=polar_rows,
    polar_gradient=polar_gradient,
)

PASSES: dict[str, Passes] = {"cpu": torch_passes, "cuda": torch_passes}
"""Implementation by device type; devices that are not listed use the composable formulas."""
