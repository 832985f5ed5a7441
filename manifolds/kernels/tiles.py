"""Tiles of pairwise scores: values, close pairs from differences, and the products of the backward.

A `Pairs` holds the two sides of a problem; `Pairs.tile(rows, columns, product)` gives u and F(u) of
a block in float32, or in float64 where float32 can't hold it: where more than 1 % of its pairs are
too close for a float32 product, or where cosh(r_x) cosh(r_y) is beyond float32's range for slopes.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from manifolds.kernels import near, precision, radial, rounding, spaces

CPU_TILE = (512, 2048)
GPU_TILE = (4096, 4096)
# Share of close pairs in a tile from which a float64 product is cheaper than single pairs.
CLOSE_SHARE = 0.01
# Beyond it slopes, about 1/u, times softmax weights of 1e-17 fall below float32's normal range.
MAX_FORM = 1e18
TINY = 2.0**-120
# Logits this far below the sum can't change it at float64 resolution; exp makes denormals there.
CUT = -60.0


class Side(NamedTuple):
    """One side: points, their rows in the work dtype and their levels (float64)."""

    points: Tensor
    vector: Tensor
    level: Tensor


class Tile(NamedTuple):
    """A block of pairs; u, score (r, c) in its work dtype, u is 1 at the close pairs (k, 2)."""

    u: Tensor
    score: Tensor
    close: Tensor | None


@dataclass(frozen=True)
class Pairs:
    """All pairs of two sides under one score F(u)."""

    space: str
    function: str
    x: Side
    y: Side
    c: Tensor
    k: float
    coupled: bool
    offset: int
    """Column of row 0's partner; partners are never part of a tile's sums."""
    precision: str
    turned: bool
    """Whether the vectors, and so their gradients, went through `rounding.turn`."""

    @property
    def kind(self) -> spaces.Space:
        """The rows' definition."""
        return spaces.SPACES[self.space]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        return self.x.points.shape[0], self.y.points.shape[0]

    def partners(self) -> slice:
        """The rows i with a partner: 0 <= i + offset < m."""
        n, m = self.shape
        start = min(n, max(0, -self.offset))
        return slice(start, max(start, min(n, m - self.offset)))

    def blocks(self) -> tuple[list[slice], list[slice]]:
        """Rows and columns of the tiles."""
        (height, width), (n, m) = tile_size(self.c.device), self.shape
        return _slices(n, height), _slices(m, width)

    def product(self, rows: slice, columns: slice, out: Tensor | None = None) -> Tensor:
        """<X_i, Y_j> of a block in the work dtype."""
        left, right = self.x.vector[rows], self.y.vector[columns]
        return precision.product(left, right, self.precision, out)

    def wide_rows(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """X and Y of a block in float64, from the points."""
        dtype = self.c.dtype
        left, _ = self.kind.rows(self.x.points[rows].to(dtype), self.c)
        right, _ = self.kind.rows(self.y.points[columns].to(dtype), self.c)
        return left, right

    def in_range(self) -> list[list[bool]]:
        """Whether float32 holds the slopes of a block, by rows and columns of blocks."""
        row_blocks, column_blocks = self.blocks()
        plain = not self.coupled or self.x.vector.dtype == self.c.dtype
        if plain or not row_blocks or not column_blocks:
            return [[True] * len(column_blocks) for _ in row_blocks]
        times = [
            1 + torch.stack([side.level[part].amax() for part in blocks])
            for side, blocks in ((self.x, row_blocks), (self.y, column_blocks))
        ]
        # One look at the device for all blocks; NaN stays in float32.
        return (~(times[0][:, None] * times[1] > MAX_FORM)).tolist()

    def tile(self, rows: slice, columns: slice, product: Tensor | None) -> Tile:
        """u and F(u) of a block from its product; in float64 without one, or if need be."""
        narrow = self.x.vector.dtype != self.c.dtype
        wide = narrow and product is None
        u, close = self._form(rows, columns, product)
        if close is not None and narrow and not wide and len(close) > self.limit(u.numel()):
            u, close = self._form(rows, columns, None)
        if close is None:
            return Tile(u, radial.value(self.function, u), None)
        where = close.unbind(1)
        u[where] = 1.0
        score = radial.value(self.function, u)
        score = score.clone() if score is u else score
        score[where] = self.near_scores(rows, columns, close).to(u.dtype)
        return Tile(u, score, close)

    def limit(self, size: int) -> int:
        """Close pairs in a block of `size` beyond which it is computed in float64."""
        return int(CLOSE_SHARE * size)

    def unresolved(self) -> int:
        """How many pairs the products don't resolve, partners aside."""
        forms = (self._form(r, c, self.product(r, c)) for r, c in itertools.product(*self.blocks()))
        return sum(len(close) for _, close in forms if close is not None)

    def near_scores(self, rows: slice, columns: slice, close: Tensor) -> Tensor:
        """F (k,) of the pairs (k, 2) of a block from differences, in float64."""
        i, j = close[:, 0] + rows.start, close[:, 1] + columns.start
        return near.scores(self.space, self.function, self.x.points, self.y.points, self.c, i, j)

    def _form(
        self, rows: slice, columns: slice, product: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """u of a block, 1 for partners, and its close pairs; float64 without a product."""
        share = precision.closeness(self.precision, self.x.points.shape[1], self.c.device)
        if product is None:
            left, right = self.wide_rows(rows, columns)
            product, share = left @ right.mT, precision.WIDE_TAU
        u = product * -self.k
        if self.space != "dot":
            a, b = self.x.level[rows].to(u.dtype), self.y.level[columns].to(u.dtype)
            u.addcmul_(1 + a[:, None] if self.coupled else u.new_ones(()), b).add_(a[:, None])
        partners = self.diagonal(rows, columns)
        if partners is not None:
            torch.diagonal(u, partners[0]).fill_(1)  # no sum reads them, and u may be below 0 there
        return u, self._close(u, rows, columns, share)

    def diagonal(self, rows: slice, columns: slice) -> tuple[int, slice] | None:
        """Where partners lie in a block: torch's offset of the diagonal, and its rows in there."""
        start = max(rows.start, columns.start - self.offset)
        stop = min(rows.stop, columns.stop - self.offset)
        if start >= stop:
            return None
        return rows.start + self.offset - columns.start, slice(
            start - rows.start, stop - rows.start
        )

    def _close(self, u: Tensor, rows: slice, columns: slice, share: float) -> Tensor | None:
        """Indices (k, 2) of the pairs of a block that u doesn't resolve, partners aside."""
        if self.space == "dot":
            return None
        a, b = self.x.level[rows].to(u.dtype), self.y.level[columns].to(u.dtype)
        largest = a.amax() + b.amax() * (1 + a.amax() if self.coupled else 1)
        low, high = torch.aminmax(u)
        far = self.space == "sphere"  # antipodes lose their digits as coincident points do
        if bool(low >= share * largest) and not (far and bool(high > 2 - share)):
            return None
        scale = torch.addcmul(a[:, None], 1 + a[:, None] if self.coupled else u.new_ones(()), b)
        mask = u <= scale.mul_(share)
        if far:
            mask |= u > 2 - share
        partners = self.diagonal(rows, columns)
        if partners is not None:
            mask.diagonal(partners[0]).fill_(False)
        close = mask.nonzero()
        return close if len(close) else None


def tile_size(device: torch.device) -> tuple[int, int]:
    """Rows and columns of a tile: about the cache of a CPU, enough work for a GPU's launch."""
    return CPU_TILE if device.type == "cpu" else GPU_TILE


def _slices(n: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def build(
    space: str,
    function: str,
    x: Tensor,
    y: Tensor,
    c: Tensor,
    offset: int,
    precision: str,
) -> Pairs:
    """The pairs of x (n, d) and y (m, d): float64 inputs work in float64, all others in float32."""
    kind = spaces.SPACES[space]
    work = torch.float64 if x.dtype == torch.float64 else torch.float32
    turned = rounding.equal_terms(x, y)
    sides = (p.contiguous() for p in (x, y))
    x_side, y_side = (Side(p, *spaces.build(kind, p, c, work, turned=turned)) for p in sides)
    form = kind.k(c), kind.coupled
    return Pairs(space, function, x_side, y_side, c, *form, offset, precision, turned)
