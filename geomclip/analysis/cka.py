"""Linear centred kernel alignment of two sets of vectors of the same things, without the bias that
few things in many dimensions give it.

(Kornblith et al., arXiv 1905.00414; the unbiased HSIC of Song et al. 2012, as in Nguyen et al.,
arXiv 2010.15327.)
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip import resampling
from geomclip.statistics import Measured


def debiased_cka(u: Float[Tensor, "n d"], v: Float[Tensor, "n e"], *, seed: int = 0) -> Measured:
    """Linear CKA, HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), from Song's unbiased HSIC, in O(n d^2)
    time. Raises ValueError for fewer than eight rows."""
    n = len(u)
    if n < 8:
        raise ValueError(f"debiased_cka needs at least eight rows, got {n}")
    # Blocks of four rows at least: HSIC needs four.
    blocks = resampling.blocks(n, min(resampling.BLOCKS, n // 4), seed)
    sums = [_Sums.of(u[rows], v[rows]) for rows in blocks]
    total = sums[0]
    for more in sums[1:]:
        total = total.plus(more)
    return resampling.jackknife(total.cka(), [total.plus(s, -1).cka() for s in sums], n)


@dataclass(frozen=True)
class _Sums:
    """Sums over rows of which the unbiased HSIC of linear kernels without diagonal is made.

    With a = |u|^2, b = |v|^2, each for (u, v), (u, u) and (v, v): uᵀv, sum u, sum u b, sum a b.
    """

    n: int
    products: tuple[Tensor, Tensor, Tensor]
    first: tuple[Tensor, Tensor]
    weighted: tuple[Tensor, Tensor, Tensor, Tensor]
    squares: Float[Tensor, "3"]
    lengths: Float[Tensor, "2"]

    @staticmethod
    def of(u: Tensor, v: Tensor) -> "_Sums":
        """Of some rows."""
        p, q = u.double(), v.double()
        a, b = p.square().sum(1), q.square().sum(1)
        return _Sums(
            len(u),
            (p.T @ q, p.T @ p, q.T @ q),
            (p.sum(0), q.sum(0)),
            (b @ p, a @ q, a @ p, b @ q),
            torch.stack([a @ b, a @ a, b @ b]),
            torch.stack([a.sum(), b.sum()]),
        )

    def plus(self, other: "_Sums", sign: int = 1) -> "_Sums":
        """With the rows of another, or without them."""

        def add(mine: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Any:
            return tuple(x + sign * y for x, y in zip(mine, theirs, strict=True))

        return _Sums(
            self.n + sign * other.n,
            add(self.products, other.products),
            add(self.first, other.first),
            add(self.weighted, other.weighted),
            self.squares + sign * other.squares,
            self.lengths + sign * other.lengths,
        )

    def cka(self) -> float:
        """The ratio of the three."""
        (uv, uu, vv), (u, v) = self.products, self.first
        ub, va, ua, vb = self.weighted
        ab, aa, bb = self.squares
        a, b = self.lengths
        cross = self._hsic(uv, u, v, ub, va, a, b, ab)
        both = self._hsic(uu, u, u, ua, ua, a, a, aa) * self._hsic(vv, v, v, vb, vb, b, b, bb)
        return (cross / both.sqrt()).item() if both > 0 else math.nan

    def _hsic(
        self, product: Tensor, u: Tensor, v: Tensor, ub: Tensor, va: Tensor, a: Tensor, b: Tensor,
        ab: Tensor,
    ) -> Tensor:  # fmt: skip
        """[tr K L + (1 K 1)(1 L 1) / ((n - 1)(n - 2)) - 2 / (n - 2) 1 K L 1] / (n (n - 3)), the
        diagonals of K and L being 0 (Song et al. 2012, eq. 5)."""
        n = self.n
        trace = product.square().sum() - ab
        ones = (u @ u - a) * (v @ v - b)
        through = u @ product @ v - u @ ub - v @ va + ab
        return (trace + ones / ((n - 1) * (n - 2)) - 2 / (n - 2) * through) / (n * (n - 3))
