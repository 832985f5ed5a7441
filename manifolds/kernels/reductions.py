"""Sums over the rows and columns of a score matrix, tile by tile, and their gradients.

With logits l_ij = factor * F(u_ij) + bias, and (i, i + offset) the partners:

    lse       row_i = log sum_j exp(l_ij), column_j = log sum_i exp(l_ij), partners left out
    softplus  row_i = sum_j log(1 + exp(l_ij)), partners left out
    pair_i    F(u) of the partners, from differences

Row and column maxima and sums are kept online; the backward pass computes every tile again from the
points (or from kept products), so memory is O((n + m) d) plus a few tiles. Results are float64.
"""

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from manifolds.kernels import near, radial, rounding, spaces
from manifolds.kernels.compiled import Compiled, lines
from manifolds.kernels.online import Online, finite
from manifolds.kernels.tiles import CUT, TINY, Pairs, Tile

# A line's largest weight is at least 1 / its length. A tile whose weights all lie this many nats
# below that is less than float32's last place of every sum, all its elements together. Sigmoid
# weights have no sum to compare with: theirs go below CUT only.
CUT_MARGIN = 24.0


class Sums(NamedTuple):
    """What `forward` gives. reach (row tiles, column tiles): largest log weight in a tile."""

    row: Tensor
    column: Tensor
    pair: Tensor
    reach: Tensor
    kept: Tensor


class Gradients(NamedTuple):
    """What `backward` gives, in the dtype of the points; scalars in float64."""

    x: Tensor
    y: Tensor
    c: Tensor
    factor: Tensor
    bias: Tensor


def forward(p: Pairs, factor: float, bias: float, reduction: str, keep: int) -> Sums:
    """The sums of all pairs; the products of the first `keep` rows, whole tiles, are kept."""
    (n, m), like = p.shape, p.c
    row_blocks, column_blocks = p.blocks()
    partners = p.partners()
    i = torch.arange(partners.start, partners.stop, device=like.device)
    points = p.x.points, p.y.points
    pair = near.scores(p.space, p.function, *points, p.c, i, i + p.offset)
    kept = p.x.vector.new_empty(keep, m)
    lse = reduction == "lse"
    row, column = Online(n, like), Online(m if lse else 0, like)
    row_tops = like.new_full((len(column_blocks), n), -torch.inf)
    column_tops = like.new_full((len(row_blocks), m), -torch.inf)
    compiled, scratch, in_range = Compiled.of(p, factor, bias, lse), _scratch(p), p.in_range()

    def product_of(a: int, b: int) -> Tensor:
        rows, columns = row_blocks[a], column_blocks[b]
        into = kept[rows, columns] if rows.stop <= keep else _view(scratch, rows, columns)
        return p.product(rows, columns, into)

    in_torch = []
    for a, b in itertools.product(range(len(row_blocks)), range(len(column_blocks))):
        if compiled is None or not in_range[a][b]:
            in_torch.append((a, b))
            continue
        rows, columns = row_blocks[a], column_blocks[b]
        out, tops = _view(scratch, rows, columns), (row_tops[b, rows], column_tops[a, columns])
        compiled.forward(product_of(a, b), out, (a, b), (row, column), tops)
    for a, b in in_torch + (compiled.refused() if compiled else []):
        rows, columns = row_blocks[a], column_blocks[b]
        narrow = compiled is None and in_range[a][b]
        tile = p.tile(rows, columns, product_of(a, b) if narrow else None)
        logits = _logits(p, tile.score, rows, columns, factor, bias)
        if lse:
            row_tops[b, rows] = row.add(rows, logits, 1)
            column_tops[a, columns] = column.add(columns, logits, 0)
        else:
            row_tops[b, rows] = logits.amax(1).to(like.dtype)
            row.sum[rows] += torch.logaddexp(logits, logits.new_zeros(())).sum(1)
    row_sums, column_sums = (row.result(), column.result()) if lse else (row.sum, column.sum)
    reach = _reach(p, row_tops, column_tops, row_sums, column_sums, lse)
    return Sums(row_sums, column_sums, pair, reach, kept)


def _scratch(p: Pairs) -> Tensor:
    """Memory of one tile, used again for every one."""
    rows, columns = p.blocks()
    size = (rows[0].stop * columns[0].stop) if rows and columns else 0
    return p.x.vector.new_empty(size)


def _view(scratch: Tensor, rows: slice, columns: slice) -> Tensor:
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return scratch[: height * width].view(height, width)


def _logits(
    p: Pairs, score: Tensor, rows: slice, columns: slice, factor: float, bias: float
) -> Tensor:
    """factor F + bias of a tile, -inf for partners."""
    logits = score * factor
    if bias:
        logits += bias
    partners = p.diagonal(rows, columns)
    if partners is not None:
        torch.diagonal(logits, partners[0]).fill_(-torch.inf)
    return logits


def _reach(
    p: Pairs, row_tops: Tensor, column_tops: Tensor, row: Tensor, column: Tensor, lse: bool
) -> Tensor:
    """Largest log weight in every tile."""
    row_blocks, column_blocks = p.blocks()
    reach = row_tops.new_full((len(row_blocks), len(column_blocks)), -torch.inf)
    if lse:
        row_tops, column_tops = row_tops - finite(row), column_tops - finite(column)
    for a, rows in enumerate(row_blocks):
        for b, columns in enumerate(column_blocks):
            reach[a, b] = row_tops[b, rows].amax()
            if lse:
                reach[a, b] = torch.maximum(reach[a, b], column_tops[a, columns].amax())
    return reach


def backward(
    p: Pairs,
    sums: Sums,
    grads: tuple[Tensor, Tensor, Tensor],
    factor: float,
    bias: float,
    lse: bool,
) -> Gradients:
    """Gradients of sum(row * grads[0]) + sum(column * grads[1]) + sum(pair * grads[2])."""
    n, m = p.shape
    work = Accumulation(p, sums, grads, factor, bias, lse)
    cut = -CUT_MARGIN - math.log(max(n, m, 1)) if lse else CUT
    live = ((sums.reach >= cut) | sums.reach.isnan()).nonzero().tolist()
    in_torch = [(a, b) for a, b in live if not work.add_compiled(a, b)]
    for a, b in in_torch + work.refused():
        work.add_torch(a, b)
    return work.result()


class Accumulation:
    """The gradients of a problem while its tiles arrive."""

    def __init__(
        self,
        p: Pairs,
        sums: Sums,
        grads: tuple[Tensor, Tensor, Tensor],
        factor: float,
        bias: float,
        lse: bool,
    ) -> None:
        self.p, self.sums, self.factor, self.bias, self.lse = p, sums, factor, bias, lse
        self.grads = grads[0].contiguous(), grads[1].contiguous(), grads[2].contiguous()
        self.known = (finite(sums.row), finite(sums.column)) if lse else (sums.row * 0, sums.column)
        self.x, self.y = torch.zeros_like(p.x.vector), torch.zeros_like(p.y.vector)
        self.levels = torch.zeros_like(p.x.level), torch.zeros_like(p.y.level)
        self.near: tuple[Tensor, Tensor] | None = None
        self.totals = p.c.new_zeros(3)  # dL/dfactor, dL/dbias, dL/dc of what the library adds
        self.by_c = p.c.new_zeros(())
        dtype = p.x.vector.dtype
        self.row = lines(-self.known[0], self.grads[0], dtype)
        self.column = lines(-self.known[1], self.grads[1], dtype)
        self.compiled, self.scratch = Compiled.of(p, factor, bias, lse), _scratch(p)
        self.in_range = p.in_range()

    def _product(self, rows: slice, columns: slice) -> Tensor:
        kept = self.sums.kept
        if rows.stop <= kept.shape[0]:
            return kept[rows, columns]
        return self.p.product(rows, columns, _view(self.scratch, rows, columns))

    def add_compiled(self, a: int, b: int) -> bool:
        """Adds what a tile gives through the library; False where torch has to."""
        if self.compiled is None or not self.in_range[a][b]:
            return False
        rows, columns = (blocks[k] for blocks, k in zip(self.p.blocks(), (a, b), strict=True))
        out = _view(self.scratch, rows, columns)
        close = self.compiled.backward(self._product(rows, columns), out, (a, b), self)
        if close is not None:
            if len(close):
                scores = self.p.near_scores(rows, columns, close)
                self._add_near(rows, columns, close, scores)
            self._add_products(rows, columns, out)
        return True

    def refused(self) -> list[tuple[int, int]]:
        """The tiles that the library refused."""
        return self.compiled.refused() if self.compiled else []

    def add_torch(self, a: int, b: int) -> None:
        """Adds what a tile gives; in float64 where the library left it."""
        p = self.p
        rows, columns = (blocks[k] for blocks, k in zip(p.blocks(), (a, b), strict=True))
        narrow = self.compiled is None and self.in_range[a][b]
        tile = p.tile(rows, columns, self._product(rows, columns) if narrow else None)
        weight = self._weights(rows, columns, tile)
        if tile.close is not None:
            where = tile.close.unbind(1)
            self._add_near(rows, columns, tile.close, tile.score[where].to(p.c.dtype))
            weight[where] = 0
        self.totals[0] += (weight * tile.score).sum(dtype=p.c.dtype)
        self.totals[1] += weight.sum(dtype=p.c.dtype)
        weight *= radial.slope(p.function, tile.u, tile.score).mul_(self.factor)
        if p.coupled:
            weight = torch.nn.functional.hardshrink(weight, TINY)
        if weight.dtype == p.x.vector.dtype:
            self._add_levels(weight, p.x.level[rows], p.y.level[columns], rows, columns)
            self._add_products(rows, columns, weight)
        else:
            self._add_wide(rows, columns, weight)

    def _weights(self, rows: slice, columns: slice, tile: Tile) -> Tensor:
        """dL/dlogits of a tile."""
        logits = _logits(self.p, tile.score, rows, columns, self.factor, self.bias)
        row_base, row_grad = self.row.base[rows, None], self.row.grad[rows, None]
        if not self.lse:
            return torch.threshold_(logits, CUT, -torch.inf).sigmoid_().mul_(row_grad)
        weight = _share(logits + row_base, row_grad)
        weight += _share(logits.add_(self.column.base[columns]), self.column.grad[columns])
        return weight

    def _add_near(self, rows: slice, columns: slice, close: Tensor, score: Tensor) -> None:
        """Adds what the close pairs (k, 2) of a tile give, their scores F known."""
        p = self.p
        i, j = close[:, 0] + rows.start, close[:, 1] + columns.start
        logits = self.factor * score + self.bias
        if self.lse:
            weight = self.grads[0][i] * (logits - self.known[0][i]).exp()
            weight += self.grads[1][j] * (logits - self.known[1][j]).exp()
        else:
            weight = self.grads[0][i] * logits.sigmoid()
        self.totals[0] += (weight * score).sum()
        self.totals[1] += weight.sum()
        points, into = (p.x.points, p.y.points), self.direct()
        self.by_c += near.add_gradients(
            p.space, p.function, points, p.c, (i, j), weight * self.factor, into
        )

    def direct(self) -> tuple[Tensor, Tensor]:
        """Gradients of the points that do not come through rows and levels."""
        if self.near is None:
            self.near = torch.zeros_like(self.p.x.points), torch.zeros_like(self.p.y.points)
        return self.near

    def _add_levels(
        self, weight: Tensor, a: Tensor, b: Tensor, rows: slice, columns: slice
    ) -> None:
        """Adds what w = dL/du of a tile gives to the levels of its lines."""
        by_row, by_column = self._level_sums(weight, a, b)
        self.levels[0][rows] += by_row
        self.levels[1][columns] += by_column

    def _level_sums(self, weight: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        if self.p.coupled:
            a, b = a.to(weight.dtype), b.to(weight.dtype)
            return weight @ (1 + b), weight.mT @ (1 + a)
        return weight.sum(1), weight.sum(0)

    def _add_products(self, rows: slice, columns: slice, weight: Tensor) -> None:
        """Adds w Y and w^T X of a tile."""
        self.x[rows].addmm_(weight, self.p.y.vector[columns])
        self.y[columns].addmm_(weight.mT, self.p.x.vector[rows])

    def _add_wide(self, rows: slice, columns: slice, weight: Tensor) -> None:
        """Adds the gradients of a float64 tile, complete: its products cancel against its levels,
        which float32 sums would not show.
        """
        p, (left, right) = self.p, self.p.wide_rows(rows, columns)
        grads = weight @ right, weight.mT @ left
        if p.coupled:
            self.by_c -= (grads[0] * left).sum()
        levels = self._level_sums(weight, p.x.level[rows], p.y.level[columns])
        parts = zip((p.x, p.y), (rows, columns), grads, levels, self.direct(), strict=True)
        for side, part, grad, level, into in parts:
            grad.mul_(-p.k)
            points, known = side.points[part].to(grad.dtype), side.level[part]
            self.by_c += spaces.pull_back(p.kind, points, known, p.c, grad, level)
            into[part] += grad.to(into.dtype)

    def result(self) -> Gradients:
        """The gradients, once every tile has been added."""
        p = self.p
        self.by_c += self.totals[2]
        if p.coupled:
            # k = c: dL/dk = -sum_ij w_ij <X_i, Y_j>, and sum_j w_ij Y_j is there already.
            self.by_c -= spaces.row_dots(self.x, p.x.vector, p.c.dtype).sum()
        for side, grad, level in zip((p.x, p.y), (self.x, self.y), self.levels, strict=True):
            grad.mul_(-p.k)
            if p.turned:
                rounding.turn(grad, back=True)
            self.by_c += spaces.pull_back(p.kind, side.points, side.level, p.c, grad, level)
        if self.near is not None:
            self.x += self.near[0]
            self.y += self.near[1]
        rows = p.partners()
        i = torch.arange(rows.start, rows.stop, device=p.c.device)
        points, into = (p.x.points, p.y.points), (self.x, self.y)
        self.by_c += near.add_gradients(
            p.space, p.function, points, p.c, (i, i + p.offset), self.grads[2], into, once=True
        )
        return Gradients(self.x, self.y, self.by_c, self.totals[0].clone(), self.totals[1].clone())


def _share(log_weight: Tensor, grad: Tensor) -> Tensor:
    """grad * exp(log_weight), with true zeros where exp would come near denormals."""
    torch.threshold_(log_weight, CUT, -torch.inf)
    return log_weight.exp_().mul_(grad.to(log_weight.dtype))
