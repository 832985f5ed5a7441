"""Sums over the rows and columns of a score matrix, tile by tile, and their gradients.

With logits l_ij = factor * F(u_ij) + bias, and (i, i + offset) the partners:

    lse       row_i = log sum_j exp(l_ij), column_j = log sum_i exp(l_ij), partners left out
    softplus  row_i = sum_j log(1 + exp(l_ij)), partners left out
    pair_i    F(u) of the partners, from differences

Row and column maxima and sums are kept online; the backward pass computes every tile again from the
points (or from a kept u), so memory is O((n + m) d) plus a few tiles. Results are float64.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from manifolds.kernels import pairs, radial, spaces
from manifolds.kernels.tiles import CUT, TINY, Pairs


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


class _Online:
    """log sum exp of lines (rows or columns) to which tiles add."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.top = like.new_full((size,), -torch.inf)
        self.sum = like.new_zeros(size)

    def add(self, part: slice, logits: Tensor, dim: int) -> Tensor:
        """Adds exp(logits) summed over `dim` to the lines `part`; returns the largest logits."""
        tile_top = logits.amax(dim)
        tile_sum = (logits - _finite(tile_top).unsqueeze(dim)).exp_().sum(dim)
        tile_top = tile_top.to(self.top.dtype)
        top = torch.maximum(self.top[part], tile_top)
        base = _finite(top)
        self.sum[part] *= (self.top[part] - base).exp_()
        self.sum[part] += tile_sum * (tile_top - base).exp_()
        self.top[part] = top
        return tile_top

    def result(self) -> Tensor:
        """log sum exp; -inf for lines without a logit."""
        return self.top + self.sum.log()


def _finite(top: Tensor) -> Tensor:
    """0 where a line is still empty, so that -inf minus it stays -inf."""
    return top.masked_fill(top == -torch.inf, 0)


def forward(p: Pairs, factor: float, bias: float, reduction: str, keep: bool) -> Sums:
    """The sums of all pairs; `keep` returns the n x m forms for the backward pass."""
    (n, m), like = p.shape, p.c
    row_blocks, column_blocks = p.blocks()
    partners = p.partners()
    i = torch.arange(partners.start, partners.stop, device=like.device)
    points = p.x.points, p.y.points
    pair = pairs.scores(p.space, p.function, *points, p.c, i, i + p.offset)
    kept = p.x.vector.new_empty((n, m) if keep else (0, 0))
    lse = reduction == "lse"
    row, column = _Online(n, like), _Online(m if lse else 0, like)
    row_tops = like.new_full((len(column_blocks), n), -torch.inf)
    column_tops = like.new_full((len(row_blocks), m), -torch.inf)
    for a, rows in enumerate(row_blocks):
        for b, columns in enumerate(column_blocks):
            form = p.form(rows, columns) if keep else None
            if form is not None:
                kept[rows, columns] = form
            tile = p.tile(rows, columns, form)
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
        row_tops, column_tops = row_tops - _finite(row), column_tops - _finite(column)
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
    (n, m), (x, y), like = p.shape, (p.x, p.y), p.c
    grad_x, grad_y = torch.zeros_like(x.vector), torch.zeros_like(y.vector)
    level_x, level_y = torch.zeros_like(x.level), torch.zeros_like(y.level)
    near: tuple[Tensor, Tensor] | None = None
    points = x.points, y.points
    by_factor, by_bias, by_c = (like.new_zeros(()) for _ in range(3))
    row_base, column_base = _finite(sums.row), _finite(sums.column)
    row_blocks, column_blocks = p.blocks()
    # Relative to a line's largest weight, which is at least 1 / its length: below float32's last
    # place even if every element of the tile had it. Sigmoid weights have no sum to compare with.
    cut = -24.0 - torch.tensor(float(max(n, m, 1))).log().item() if lse else CUT
    # factor F = factor (1 + A)(1 + B) - factor k <X, Y>: the sums that reach the levels give it,
    # and what it shares with dL/dk then cancels exactly in dL/dc.
    products = p.function == "shifted" and factor != 0
    live = (sums.reach >= cut) | sums.reach.isnan()
    for a, rows in enumerate(row_blocks):
        for b, columns in enumerate(column_blocks):
            if not live[a, b]:
                continue
            saved = sums.kept[rows, columns] if sums.kept.numel() else None
            tile = p.tile(rows, columns, saved)
            logits, dtype = _logits(p, tile.score, rows, columns, factor, bias), tile.u.dtype
            if lse:
                weight = _share(logits - row_base[rows, None].to(dtype), grads[0][rows, None])
                weight += _share(logits.sub_(column_base[columns].to(dtype)), grads[1][columns])
            else:
                weight = torch.threshold_(logits, CUT, -torch.inf).sigmoid_()
                weight *= grads[0][rows, None].to(dtype)
            if not products:
                by_factor = by_factor + (weight * tile.score).sum(dtype=like.dtype)
            by_bias = by_bias + weight.sum(dtype=like.dtype)
            if tile.close is not None:
                i, j = tile.close.unbind(1)
                if near is None:
                    near = like.new_zeros(x.points.shape), like.new_zeros(y.points.shape)
                index = i + rows.start, j + columns.start
                direct = weight[i, j] * factor
                if products:
                    by_factor = by_factor + (weight * tile.score)[i, j].sum(dtype=like.dtype)
                weight[i, j] = 0
                by_c = by_c + pairs.add_gradients(
                    p.space, p.function, points, p.c, index, direct, near
                )
            weight *= radial.slope(p.function, tile.u, tile.score).mul_(factor)
            if p.coupled:
                weight = torch.nn.functional.hardshrink(weight, TINY)
            _add_products(p, rows, columns, weight, (grad_x, grad_y), (level_x, level_y))
    if p.space in ("lorentz", "poincare"):
        # k = c: dL/dk = -sum_ij w_ij <X_i, Y_j>, and sum_j w_ij Y_j is there already.
        total = like.new_zeros(())
        for part in spaces.chunks(*x.points.shape):
            total = total + (grad_x[part].to(like.dtype) * x.vector[part].to(like.dtype)).sum()
        by_c = by_c - total
        if products:
            by_factor = by_factor + (((1 + x.level) * level_x).sum() - p.k * total) / factor
    for side, grad, level in ((x, grad_x, level_x), (y, grad_y, level_y)):
        grad.mul_(-p.k)
        by_c = by_c + spaces.pull_back(spaces.SPACES[p.space], side.points, p.c, grad, level)
    if near is not None:
        grad_x, grad_y = grad_x + near[0].to(grad_x.dtype), grad_y + near[1].to(grad_y.dtype)
    partners = p.partners()
    i = torch.arange(partners.start, partners.stop, device=like.device)
    by_c = by_c + pairs.add_gradients(
        p.space, p.function, points, p.c, (i, i + p.offset), grads[2], (grad_x, grad_y)
    )
    return Gradients(grad_x, grad_y, by_c, by_factor, by_bias)


def _share(log_weight: Tensor, grad: Tensor) -> Tensor:
    """grad * exp(log_weight), with true zeros where exp would come near denormals."""
    torch.threshold_(log_weight, CUT, -torch.inf)
    return log_weight.exp_().mul_(grad.to(log_weight.dtype))


def _add_products(
    p: Pairs,
    rows: slice,
    columns: slice,
    weight: Tensor,
    grads: tuple[Tensor, Tensor],
    levels: tuple[Tensor, Tensor],
) -> None:
    """Adds what w = dL/du of a tile gives: w Y and w^T X, and the sums that reach the levels."""
    left, right, dtype = p.x.vector[rows], p.y.vector[columns], p.x.vector.dtype
    if weight.dtype == dtype:
        grads[0][rows].addmm_(weight, right)
        grads[1][columns].addmm_(weight.mT, left)
    else:
        grads[0][rows] += (weight @ right.to(weight.dtype)).to(dtype)
        grads[1][columns] += (weight.mT @ left.to(weight.dtype)).to(dtype)
    if p.space in ("dot", "sphere"):  # their levels are constants
        return
    a, b = p.x.level[rows].to(weight.dtype), p.y.level[columns].to(weight.dtype)
    if p.coupled:
        levels[0][rows] += weight @ (1 + b)
        levels[1][columns] += weight.mT @ (1 + a)
    else:
        levels[0][rows] += weight.sum(1)
        levels[1][columns] += weight.sum(0)
