"""The compiled passes over a tile (`csrc/sums.*`, `csrc/slopes.cu`) in place of torch's chains.

Same sums and weights as the torch path of `reductions`, in two or three passes over a tile instead
of about twenty. A tile with too many close pairs is refused: nothing is added, and once all tiles
have been through, `Compiled.refused` names those that torch has to compute. That is the only look
at the device that a call takes for its close pairs.
"""

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifolds.kernels import near
from manifolds.kernels.library import Library
from manifolds.kernels.online import Online
from manifolds.kernels.precision import closeness
from manifolds.kernels.radial import FUNCTIONS
from manifolds.kernels.tiles import Pairs

if TYPE_CHECKING:
    from manifolds.kernels.reductions import Accumulation


class Block(ctypes.Structure):
    """struct Block of csrc/scores.h."""

    _fields_ = (
        ("product", ctypes.c_void_p),
        ("product_ld", ctypes.c_int64),
        ("out", ctypes.c_void_p),
        ("out_ld", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("a", ctypes.c_void_p),
        ("b", ctypes.c_void_p),
        ("coupled", ctypes.c_int64),
        ("function", ctypes.c_int64),
        ("softplus", ctypes.c_int64),
        ("partner", ctypes.c_int64),
        ("k", ctypes.c_double),
        ("factor", ctypes.c_double),
        ("bias", ctypes.c_double),
        ("share", ctypes.c_double),
        ("far", ctypes.c_double),
        ("limit", ctypes.c_int64),
        ("close", ctypes.c_void_p),
        ("space", ctypes.c_int64),
        ("d", ctypes.c_int64),
        ("c", ctypes.c_double),
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
    )


class Weights(ctypes.Structure):
    """struct Weights of csrc/scores.h: what the weights of close pairs need, and where they go."""

    _fields_ = (
        ("row_base", ctypes.c_void_p),
        ("row_grad", ctypes.c_void_p),
        ("column_base", ctypes.c_void_p),
        ("column_grad", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Lines:
    """What every row, or column, brings to the weights: exp(logit + base) * grad."""

    base: Tensor
    grad: Tensor


def lines(base: Tensor, grad: Tensor, dtype: torch.dtype) -> Lines:
    """base in `dtype`, and what its rounding takes from every weight given back to the gradient."""
    short = base.to(dtype)
    return Lines(short, (grad * (base - short.to(base.dtype)).exp()).to(dtype))


@dataclass(frozen=True)
class Compiled:
    """The passes over the tiles of one problem."""

    library: Library
    pairs: Pairs
    factor: float
    bias: float
    lse: bool
    c: float
    a: Tensor
    b: Tensor
    blocks: tuple[list[slice], list[slice]]
    close: Tensor
    """Close pairs by tile (row blocks, column blocks), where the library counts them."""

    @classmethod
    def of(cls, pairs: Pairs, factor: float, bias: float, lse: bool) -> "Compiled | None":
        """The passes, or None where the torch path computes."""
        library = near.compiled(pairs.x.vector)
        if library is None:
            return None
        levels, blocks = (pairs.x.level.float(), pairs.y.level.float()), pairs.blocks()
        close = pairs.c.new_zeros(len(blocks[0]), len(blocks[1]), dtype=torch.int64)
        c = pairs.c.item()
        return cls(library, pairs, factor, bias, lse, c, *levels, blocks, close)

    def refused(self) -> list[tuple[int, int]]:
        """The tiles (a, b) with more close pairs than the library takes."""
        sizes = [[part.stop - part.start for part in blocks] for blocks in self.blocks]
        return [
            (a, b)
            for (a, row), height in zip(enumerate(self.close.tolist()), sizes[0], strict=True)
            for (b, close), width in zip(enumerate(row), sizes[1], strict=True)
            if close > self.pairs.limit(height * width)
        ]

    def _block(self, product: Tensor, out: Tensor, tile: tuple[int, int]) -> Block:
        p, (rows, columns) = self.pairs, self._slices(tile)
        # A share of -inf (times a level of 0: NaN) calls no pair close.
        share = -torch.inf
        if p.space != "dot":
            share = closeness(p.precision, p.x.points.shape[1], p.c.device)
        return Block(
            product=product.data_ptr(),
            product_ld=product.stride(0),
            out=out.data_ptr(),
            out_ld=out.stride(0),
            rows=out.shape[0],
            columns=out.shape[1],
            a=self.a[rows].data_ptr(),
            b=self.b[columns].data_ptr(),
            coupled=p.coupled,
            function=FUNCTIONS.index(p.function),
            softplus=not self.lse,
            partner=rows.start + p.offset - columns.start,
            k=p.k,
            factor=self.factor,
            bias=self.bias,
            share=share,
            far=2 - share if p.space == "sphere" else torch.inf,
            limit=p.limit(out.numel()),
            close=self.close[tile].data_ptr(),
            space=near.SPACE_CODES[p.space],
            d=p.x.points.shape[1],
            c=self.c,
            x=p.x.points[rows].data_ptr(),
            y=p.y.points[columns].data_ptr(),
        )

    def _slices(self, tile: tuple[int, int]) -> tuple[slice, slice]:
        return self.blocks[0][tile[0]], self.blocks[1][tile[1]]

    def forward(
        self,
        product: Tensor,
        out: Tensor,
        tile: tuple[int, int],
        sums: tuple[Online, Online],
        tops: tuple[Tensor, Tensor],
    ) -> None:
        """Adds a tile to the sums, its largest logits to `tops`; logits come into `out`."""
        (row, column), (rows, columns) = sums, self._slices(tile)
        self.library.call(
            "manifolds_sums_forward",
            ctypes.byref(self._block(product, out, tile)),
            row.top[rows],
            row.sum[rows],
            column.top[columns],
            column.sum[columns],
            *tops,
            block=(*out.shape, 0),
        )
        if self.library.grid or not 0 < self.close[tile] <= self.pairs.limit(out.numel()):
            return
        index = self._marked(out, -torch.inf, rows, columns)
        logits = self.factor * self.pairs.near_scores(rows, columns, index) + self.bias
        i, j = index.unbind(1)
        tops[0].scatter_reduce_(0, i, logits, "amax")
        tops[1].scatter_reduce_(0, j, logits, "amax")
        if self.lse:
            row.add_single(i + rows.start, logits)
            column.add_single(j + columns.start, logits)
        else:
            row.sum.index_add_(0, i + rows.start, torch.nn.functional.softplus(logits))

    def _marked(self, tile: Tensor, mark: float, rows: slice, columns: slice) -> Tensor:
        """Indices (k, 2) of the close pairs of a tile."""
        mask = tile == mark
        partners = self.pairs.diagonal(rows, columns)
        if partners is not None:
            mask.diagonal(partners[0]).fill_(False)
        return mask.nonzero()

    def backward(
        self, product: Tensor, out: Tensor, tile: tuple[int, int], into: "Accumulation"
    ) -> Tensor | None:
        """Weights of a tile into `out`, 0 for close pairs; adds to levels and totals of `into`.

        Close pairs (k, 2) that are left to the caller come back; None if the tile was refused.
        """
        rows, columns = self._slices(tile)
        row, column, grid = into.row, into.column, self.library.grid
        weights = None
        if grid:
            near_x, near_y = into.direct()
            weights = Weights(
                into.known[0][rows].data_ptr(),
                into.grads[0][rows].data_ptr(),
                into.known[1][columns].data_ptr() if self.lse else None,
                into.grads[1][columns].data_ptr() if self.lse else None,
                near_x[rows].data_ptr(),
                near_y[columns].data_ptr(),
            )
        self.library.call(
            "manifolds_sums_backward",
            ctypes.byref(self._block(product, out, tile)),
            row.base[rows],
            row.grad[rows],
            column.base[columns] if self.lse else None,
            column.grad[columns] if self.lse else None,
            into.levels[0][rows],
            into.levels[1][columns],
            into.totals,
            ctypes.byref(weights) if weights is not None else None,
            block=(*out.shape, 0),
        )
        nothing = out.new_empty(0, 2, dtype=torch.int64)
        if grid:
            return nothing  # close pairs are in, and a refused tile has no weights
        if self.close[tile] > self.pairs.limit(out.numel()):
            return None
        if not self.close[tile]:
            return nothing
        index = self._marked(out, torch.inf, rows, columns)
        out[index.unbind(1)] = 0
        return index
