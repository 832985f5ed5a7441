"""Scores of single pairs from differences, and their gradients: what a matrix product can't give.

A batch of pairs (x_k, y_k) is (k, d) float64 twice. `Pair.u` is the form of `spaces` with all its
digits at any separation, `v` is 2 - u likewise (sphere), and `pull(w)` gives
sum_k w_k du_k/d(x_k, y_k, c).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifolds.kernels.library import Library, of
from manifolds.kernels.radial import slope, value
from manifolds.kernels.spaces import chunks
from manifolds.numerics import deficit, dot, safe_divide
from manifolds.polar import hyperbolic_q, polar, radial_sinh, tangential

Gradients = tuple[Tensor, Tensor, Tensor]
SPACE_CODES = {"dot": 0, "euclidean": 1, "sphere": 2, "lorentz": 3, "poincare": 4}


@dataclass(frozen=True)
class Pair:
    """The form u (k, 1) of k pairs, v = 2 - u where it matters, and the way back."""

    u: Tensor
    v: Tensor | None
    pull: Callable[[Tensor], Gradients]
    """dL/du (k, 1) -> (dL/dx (k, d), dL/dy (k, d), dL/dc)."""


def _dot(x: Tensor, y: Tensor, c: Tensor) -> Pair:
    return Pair(dot(x, y), None, lambda w: (w * y, w * x, c.new_zeros(())))


def _euclidean(x: Tensor, y: Tensor, c: Tensor) -> Pair:
    difference = x - y

    def pull(w: Tensor) -> Gradients:
        grad = 2 * w * difference
        return grad, -grad, c.new_zeros(())

    return Pair(dot(difference, difference), None, pull)


def _sphere(x: Tensor, y: Tensor, c: Tensor) -> Pair:
    near, far = polar(x, y), polar(x, -y)  # e is the difference, or the sum, of the unit vectors

    def pull(w: Tensor) -> Gradients:
        # The part of y/|y| across x equals that of the difference and of the sum: take the shorter.
        close = near.e2 <= far.e2
        across_x = tangential(torch.where(close, -near.e, far.e), near.x_unit)
        across_y = tangential(torch.where(close, near.e, far.e), near.y_unit)
        grad_x = -w * safe_divide(across_x, near.x_norm)
        return grad_x, -w * safe_divide(across_y, near.y_norm), c.new_zeros(())

    return Pair(near.e2 / 2, far.e2 / 2, pull)


def _lorentz(x: Tensor, y: Tensor, c: Tensor) -> Pair:
    q = hyperbolic_q(x, y, c)  # sinh^2 of half the scaled distance, u / 2

    def pull(w: Tensor) -> Gradients:
        p, root_c = polar(x, y), c.sqrt()
        a, b = root_c * p.x_norm, root_c * p.y_norm
        x_cosh, y_cosh = torch.hypot(torch.ones_like(a), a), torch.hypot(torch.ones_like(b), b)
        s = radial_sinh(p, c)
        across = tangential(p.difference - p.n * p.x_unit, p.x_unit)
        grad_x = (s / x_cosh + b * p.e2 / 2) * p.x_unit + root_c * across
        across = tangential(p.n * p.y_unit - p.difference, p.y_unit)
        grad_y = (a * p.e2 / 2 - s / y_cosh) * p.y_unit + root_c * across
        times = root_c * p.n * (a + b) / (x_cosh + y_cosh)  # sqrt(c) (x_t - y_t)
        rest = times / x_cosh * times / y_cosh / 2
        return w * root_c * grad_x, w * root_c * grad_y, (w * (2 * q - rest) / c).sum()

    return Pair(2 * q, None, pull)


def _poincare(x: Tensor, y: Tensor, c: Tensor) -> Pair:
    x_gap, y_gap = deficit(x, c), deficit(y, c)
    difference = x - y
    u = 2 * c * dot(difference, difference) / x_gap / y_gap

    def pull(w: Tensor) -> Gradients:
        grad = 4 * c * w * difference / x_gap / y_gap
        grad_x = grad + 2 * c * w * u * x / x_gap
        grad_y = -grad + 2 * c * w * u * y / y_gap
        by_c = u * (1 / c + dot(x, x) / x_gap + dot(y, y) / y_gap)
        return grad_x, grad_y, (w * by_c).sum()

    return Pair(u, None, pull)


PAIRS: dict[str, Callable[[Tensor, Tensor, Tensor], Pair]] = {
    "dot": _dot,
    "euclidean": _euclidean,
    "sphere": _sphere,
    "lorentz": _lorentz,
    "poincare": _poincare,
}


def scores(
    space: str, function: str, x: Tensor, y: Tensor, c: Tensor, i: Tensor, j: Tensor
) -> Tensor:
    """F(u) (k,) of the pairs (x[i], y[j]) in c's dtype."""
    library = compiled(x, y)
    if library is not None:
        u, v = (c.new_empty(i.shape[0]) for _ in range(2))
        sides = SPACE_CODES[space], x, y, x.shape[1], c.item(), i, j, i.shape[0]
        library.call("manifolds_near_values", *sides, u, v)
        return value(function, u, v if space == "sphere" else None)
    result = c.new_empty(i.shape[0])
    for part in chunks(i.shape[0], x.shape[1]):
        pair = PAIRS[space](x[i[part]].to(c.dtype), y[j[part]].to(c.dtype), c)
        far = None if pair.v is None else pair.v.squeeze(-1)
        result[part] = value(function, pair.u.squeeze(-1), far)
    return result


def add_gradients(
    space: str,
    function: str,
    points: tuple[Tensor, Tensor],
    c: Tensor,
    index: tuple[Tensor, Tensor],
    weight: Tensor,
    into: tuple[Tensor, Tensor],
    *,
    once: bool = False,
) -> Tensor:
    """Adds sum_k weight_k dF_k/dx, dF_k/dy to the rows of `into`; returns dL/dc.

    once: no row appears in two pairs.
    """
    (x, y), (i, j), total = points, index, c.new_zeros(())
    library = compiled(x, y)
    if library is not None and (once or not library.grid):
        count = i.shape[0]
        u, v, by_c = (c.new_empty(count) for _ in range(3))
        sides = SPACE_CODES[space], x, y, x.shape[1], c.item(), i, j
        library.call("manifolds_near_values", *sides, count, u, v)
        known = v if space == "sphere" else None
        score = value(function, u.clone(), known)
        w = weight.to(c.dtype) * slope(function, u, score, known)
        library.call("manifolds_near_pull", *sides, w, count, *into, by_c, int(once))
        return by_c.sum()
    for part in chunks(i.shape[0], x.shape[1]):
        pair = PAIRS[space](x[i[part]].to(c.dtype), y[j[part]].to(c.dtype), c)
        score = value(function, pair.u.clone(), pair.v)
        w = weight[part].to(c.dtype).unsqueeze(-1) * slope(function, pair.u, score, pair.v)
        grad_x, grad_y, by_c = pair.pull(w)
        into[0].index_add_(0, i[part], grad_x.to(into[0].dtype))
        into[1].index_add_(0, j[part], grad_y.to(into[1].dtype))
        total = total + by_c
    return total


def compiled(*points: Tensor) -> Library | None:
    """The library that computes on contiguous float32 points, where it is live."""
    if not all(p.dtype == torch.float32 and p.is_contiguous() for p in points):
        return None
    return of(points[0])
