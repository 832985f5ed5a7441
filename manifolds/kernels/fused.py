"""Pairwise distances and exterior angles of float32 points through a compiled library.

    forward    distances = epilogue(scaled_x @ scaled_y.T), in place, one matrix product a band
    backward   weights = epilogue(distances, gradients); two matrix products a band

The formulas stand in `csrc/pairs.h`. Close pairs, which the product does not resolve in float32,
are computed from differences by the library (`csrc/direct.h`). Features are centred first, so a
pair is close only by the measure of the whole batch: a collapsed batch costs what any other does.
Where most pairs are close in spite of that (a few tight clusters) the direct loops bound the cost:
O(d) a pair as in the products, but an order of magnitude slower than those.
"""

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from manifolds.kernels import rounding
from manifolds.kernels.library import Library, threads

KINDS = {
    "lorentz": 0,
    "poincare": 1,
    "euclidean": 2,
    "euclidean2": 3,
    "sphere": 4,
    "lorentz_angle": 5,
    "poincare_angle": 6,
    "euclidean_angle": 7,
}
DIFFERENTIABLE = frozenset(list(KINDS)[:5])
"""Kinds whose gradient the library knows."""

FIELDS = 6  # columns of the row tables, as in csrc
EXACTS = 2
# Entries of a band: large enough for the matrix products; the weights of a band are extra memory,
# the results are not.
FORWARD_BAND = 1 << 22
BACKWARD_BAND = 1 << 20
GRID_BAND = 1 << 24  # on a GPU, both: enough to hide the launches
LARGE = 1 << 23  # bytes from which a matrix is worth large pages


class Side(ctypes.Structure):
    """struct Side of csrc/sides.h."""

    _fields_ = (
        ("points", ctypes.c_void_p),
        ("ld", ctypes.c_int64),
        ("n", ctypes.c_int64),
        ("table", ctypes.c_void_p),
        ("exact", ctypes.c_void_p),
        ("scaled", ctypes.c_void_p),
    )


class Problem(ctypes.Structure):
    """struct Problem of csrc/sides.h."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("d", ctypes.c_int64),
        ("c", ctypes.c_double),
        ("close", ctypes.c_double),
        ("center", ctypes.c_void_p),
        ("x", Side),
        ("y", Side),
    )


def closeness(kind: str, d: int, device: torch.device) -> float:
    """Share of T (csrc/pairs.h) below which a pair is computed from differences.

    A distance takes half of the product's relative error, its square all of it: both stay within 50
    eps.
    """
    return rounding.product_error(d, device) / (50 if kind == "euclidean2" else 100)


@dataclass(frozen=True)
class Prepared:
    """Both sides with their row terms, ready for the kernels; owns the memory."""

    library: Library
    problem: Problem
    scaled: tuple[Tensor, Tensor]
    exact: tuple[Tensor, Tensor]
    keep: tuple[Tensor, ...]


def _rows(x: Tensor) -> Tensor:
    """x (n, d) with unit stride in its rows."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def prepare(library: Library, kind: str, x: Tensor, y: Tensor, c: float) -> Prepared:
    """Row terms of x (n, d) and y (m, d), float32, n and m at least 1."""
    d = x.shape[1]
    problem = Problem(kind=KINDS[kind], d=d, c=c, close=closeness(kind, d, x.device))
    total = x.new_zeros(d + 1, dtype=torch.float64)
    center = total[:d]
    problem.center = center.data_ptr()
    keep, scaled, exacts = [total], [], []
    for side, points in ((problem.x, _rows(x)), (problem.y, _rows(y))):
        n = points.shape[0]
        table = x.new_empty(FIELDS, n)
        exact = x.new_empty(EXACTS, n, dtype=torch.float64)
        factors = x.new_empty(n, d)
        side.points, side.ld, side.n = points.data_ptr(), points.stride(0), n
        side.table, side.exact = table.data_ptr(), exact.data_ptr()
        side.scaled = factors.data_ptr()
        keep += [points, table]
        exacts.append(exact)
        scaled.append(factors)
    most = max(x.shape[0], y.shape[0])
    library.call("manifolds_measure", ctypes.byref(problem), total, block=(most, d, d + 1))
    total /= x.shape[0] + y.shape[0]
    # Off the mean by a little that differs from feature to feature: no product has equal terms.
    spread2 = (total[d] - center.square().sum()).clamp_(min=0) / max(1, d)
    center.addcmul_(rounding.noise(d, x.device), spread2.sqrt_())
    library.call("manifolds_prepare", ctypes.byref(problem))
    return Prepared(library, problem, (scaled[0], scaled[1]), (exacts[0], exacts[1]), tuple(keep))


def _bands(library: Library, n: int, m: int, size: int) -> list[slice]:
    step = max(1, min(n, (GRID_BAND if library.grid else size) // max(1, m)))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def empty(library: Library, *shape: int) -> Tensor:
    """A float32 matrix to be filled, on large pages where the system has them."""
    out = torch.empty(*shape, device=library.device)
    if out.nbytes >= LARGE and not library.grid:
        library.call("manifolds_large_pages", out, out.nbytes)
    return out


def forward(
    library: Library, kind: str, x: Tensor, y: Tensor, c: float, out: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Distances or angles (n, m), into `out` if given; and how many pairs were direct, 0-dim."""
    out = empty(library, x.shape[0], y.shape[0]) if out is None else out
    if out.numel() == 0:
        return out, x.new_zeros((), dtype=torch.int64)
    ready = prepare(library, kind, x, y, c)
    left, right = ready.scaled
    bands = _bands(library, x.shape[0], y.shape[0], FORWARD_BAND)
    repaired = x.new_zeros(len(bands), dtype=torch.int64)
    for rows, count in zip(bands, repaired, strict=True):
        torch.mm(left[rows], right.T, out=out[rows])
        epilogue(ready, rows.start, out[rows], count)
    return out, repaired.sum()


def epilogue(ready: Prepared, first: int, out: Tensor, repaired: Tensor) -> None:
    """Turns products of the rows from `first` on into results, in place.

    `repaired`, 0 before, gets the number of pairs computed from differences.
    """
    ready.library.call(
        "manifolds_forward", ctypes.byref(ready.problem), first, out.shape[0], out, out.stride(0),
        repaired,
    )  # fmt: skip


@dataclass(frozen=True)
class Sums:
    """Float64 sums of weights, and of what else a row or column takes from its pairs (extras)."""

    x: Tensor
    """(2, n): weights, extras."""
    y: Tensor
    """(parts, 2, m) likewise, in one part for each thread of the host."""
    c: Tensor

    @classmethod
    def of(cls, library: Library, n: int, m: int) -> "Sums":
        """Zeros."""
        parts = 1 if library.grid else threads()
        zeros = torch.zeros(2 * n + 2 * m * parts + 1, dtype=torch.float64, device=library.device)
        x, y, c = zeros.split([2 * n, 2 * m * parts, 1])
        return cls(x.view(2, n), y.view(parts, 2, m), c)


def weights_of(
    ready: Prepared,
    first: int,
    distances: Tensor,
    grad: Tensor,
    out: Tensor,
    sums: Sums,
    curvature: bool,
) -> Tensor:
    """Weights of the gradient products for rows from `first` on, into `out`; close pairs are NaN.

    Adds to the sums and gives the number of close pairs, 0-dim.
    """
    close = out.new_zeros((), dtype=torch.int64)
    ready.library.call(
        "manifolds_backward", ctypes.byref(ready.problem), int(curvature), first, out.shape[0],
        distances, distances.stride(0), grad, grad.stride(0), out, out.stride(0),
        sums.x[0, first:], sums.x[1, first:], sums.y, sums.c, close,
        block=(*out.shape, ready.problem.d),
    )  # fmt: skip
    return close


def backward(
    library: Library,
    kind: str,
    x: Tensor,
    y: Tensor,
    c: float,
    distances: Tensor,
    grad: Tensor,
    need: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Tensor, Tensor, float]:
    """Gradients (n, d), (m, d) and with respect to c, of a kind in `DIFFERENTIABLE`.

    Those not needed are empty or 0.
    """
    n, m, d = x.shape[0], y.shape[0], x.shape[1]
    v_y = x.new_zeros((m, d) if need[1] else 0)
    if n == 0 or m == 0:
        return x.new_zeros((n, d) if need[0] else 0), v_y, 0.0
    ready = prepare(library, kind, x, y, c)
    left, right = ready.scaled
    distances = _rows(distances)
    bands = _bands(library, n, m, BACKWARD_BAND)
    weights = empty(library, bands[0].stop, m)
    sums = Sums.of(library, n, m)
    problem = ctypes.byref(ready.problem)
    for rows in bands:
        size = rows.stop - rows.start
        part, of = weights[:size], _rows(grad[rows])  # of a sum: one number, expanded
        close = weights_of(ready, rows.start, distances[rows], of, part, sums, need[2])
        pulled = None
        if library.grid or close > 0:  # on a grid, looking would mean waiting
            # Before the products: the marks of close pairs must be gone.
            pulled = x.new_zeros(size, d) if need[0] else None
            library.call(
                "manifolds_backward_close", problem, int(need[2]), rows.start, size,
                of, of.stride(0), part, part.stride(0), pulled, sums.x[1, rows.start :],
                v_y if need[1] else None, sums.y[0, 1], sums.c, close, block=(size, m, d),
            )  # fmt: skip
        if need[1]:
            v_y.addmm_(part.T, left[rows])
        if need[0]:  # in the place of the rows' features, which nothing needs any more
            torch.mm(part, right, out=left[rows])
            if pulled is not None:
                left[rows] += pulled
    x_sums, y_sums = sums.x, sums.y.sum(0) if len(sums.y) > 1 else sums.y[0]
    at_x, at_y = left if need[0] else None, v_y if need[1] else None
    library.call("manifolds_finish", problem, x_sums, at_x, y_sums, at_y)
    by_c = _curvature(ready, kind, c, x_sums[1], y_sums[1], sums.c) if need[2] else 0.0
    return left if need[0] else x.new_empty(0), v_y, by_c


def _curvature(
    ready: Prepared, kind: str, c: float, x_extra: Tensor, y_extra: Tensor, by_c: Tensor
) -> float:
    total = by_c.item()
    if kind == "poincare":
        # d d/dc = -d/(2c) + tanh(D/2)/sqrt(c) (1/c + |x|^2/X + |y|^2/Y)
        for extra, exact, share in zip((x_extra, y_extra), ready.exact, (1 / c, 0.0), strict=True):
            norm, deficit = exact
            total += (extra * (share + norm.square() / deficit)).sum().item() / c**0.5
    return total if kind in ("lorentz", "poincare", "sphere") else 0.0
