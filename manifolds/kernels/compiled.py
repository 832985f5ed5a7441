"""The C++ passes over a tile (`csrc/sums.cpp`): float32 on the CPU, in place of torch's chains.

Same sums and weights as the torch path of `reductions`, in two passes over a tile instead of about
twenty. A tile with too many close pairs is refused (False), untouched but for its product.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from manifolds.kernels import near
from manifolds.kernels.library import Library, threads
from manifolds.kernels.online import Online
from manifolds.kernels.precision import TAU
from manifolds.kernels.radial import FUNCTIONS
from manifolds.kernels.tiles import Pairs


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
    a: Tensor
    b: Tensor

    @classmethod
    def of(cls, pairs: Pairs, factor: float, bias: float, lse: bool) -> "Compiled | None":
        """The passes, or None where the torch path computes."""
        if pairs.x.vector.dtype != torch.float32:
            return None
        library = near.compiled(pairs.x.vector)
        if library is None:
            return None
        levels = pairs.x.level.float(), pairs.y.level.float()
        return cls(library, pairs, factor, bias, lse, *levels)

    def _block(
        self, product: Tensor, out: Tensor, rows: slice, columns: slice
    ) -> tuple[tuple[Tensor | int, ...], tuple[Tensor, Tensor]]:
        p = self.pairs
        partner = rows.start + p.offset - columns.start
        options = (p.coupled, FUNCTIONS.index(p.function), not self.lse, partner)
        # A share of -inf (times a level of 0: NaN) calls no pair close.
        share = -torch.inf if p.space == "dot" else TAU[p.precision]
        far = 2 - share if p.space == "sphere" else torch.inf
        scalars = (p.k, self.factor, self.bias, share, far)
        sides = (product, product.stride(0), out, out.stride(0), *out.shape)
        return (*sides, self.a[rows], self.b[columns]), (
            torch.tensor(options, dtype=torch.int64),
            torch.tensor(scalars, dtype=torch.float64),
        )

    def forward(
        self,
        product: Tensor,
        out: Tensor,
        rows: slice,
        columns: slice,
        sums: tuple[Online, Online],
        tops: tuple[Tensor, Tensor],
    ) -> bool:
        """Adds a tile to the sums, its largest logits to `tops`; logits come into `out`."""
        row, column = sums
        options = self._block(product, out, rows, columns)
        close, limit = torch.zeros((), dtype=torch.int64), self.pairs.limit(out.numel())
        lines = (row.top[rows], row.sum[rows], column.top[columns], column.sum[columns])
        self.library.call(
            "manifolds_sums_forward",
            *options[0],
            *options[1],
            *lines,
            *tops,
            limit,
            close,
            threads(),
        )
        if close > limit:
            return False
        if close:
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
        return True

    def _marked(self, tile: Tensor, mark: float, rows: slice, columns: slice) -> Tensor:
        """Indices (k, 2) of the close pairs of a tile."""
        mask = tile == mark
        partners = self.pairs.diagonal(rows, columns)
        if partners is not None:
            mask.diagonal(partners[0]).fill_(False)
        return mask.nonzero()

    def backward(
        self,
        product: Tensor,
        out: Tensor,
        rows: slice,
        columns: slice,
        sides: tuple[Lines, Lines],
        levels: tuple[Tensor, Tensor],
        totals: Tensor,
    ) -> Tensor | None:
        """Weights of a tile into `out`, 0 for its close pairs, whose indices (k, 2) come back.

        Adds to the levels, and to `totals` what dL/dfactor and dL/dbias get. None: refused.
        """
        options = self._block(product, out, rows, columns)
        close, limit = torch.zeros((), dtype=torch.int64), self.pairs.limit(out.numel())
        row, column = sides
        column_part = (column.base[columns], column.grad[columns]) if self.lse else (None, None)
        self.library.call(
            "manifolds_sums_backward",
            *options[0],
            *options[1],
            row.base[rows],
            row.grad[rows],
            *column_part,
            levels[0][rows],
            levels[1][columns],
            totals,
            limit,
            close,
            threads(),
        )
        if close > limit:
            return None
        if not close:
            return out.new_empty(0, 2, dtype=torch.int64)
        index = self._marked(out, torch.inf, rows, columns)
        out[index.unbind(1)] = 0
        return index
