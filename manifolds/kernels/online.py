"""log sum exp of many lines at once, kept as a maximum and a sum while parts arrive."""

import torch
from torch import Tensor


def finite(top: Tensor) -> Tensor:
    """0 where a line is still empty, so that -inf minus it stays -inf."""
    return top.masked_fill(top == -torch.inf, 0)


class Online:
    """log sum exp of `size` lines; top and sum are float64, exp(top) sum is the value."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.top = like.new_full((size,), -torch.inf)
        self.sum = like.new_zeros(size)

    def add(self, part: slice, logits: Tensor, dim: int) -> Tensor:
        """Adds exp(logits) summed over `dim` to the lines `part`; returns the largest logits."""
        tile_top = logits.amax(dim)
        tile_sum = (logits - finite(tile_top).unsqueeze(dim)).exp_().sum(dim)
        tile_top = tile_top.to(self.top.dtype)
        top = torch.maximum(self.top[part], tile_top)
        base = finite(top)
        self.sum[part] *= (self.top[part] - base).exp_()
        self.sum[part] += tile_sum * (tile_top - base).exp_()
        self.top[part] = top
        return tile_top

    def add_single(self, line: Tensor, logits: Tensor) -> None:
        """Adds exp(logits_k) to the line line_k; lines may repeat."""
        top = self.top.scatter_reduce(0, line, logits, "amax")
        base = finite(top)
        self.sum *= (self.top - base).exp_()
        self.sum.index_add_(0, line, (logits - base[line]).exp_())
        self.top = top

    def result(self) -> Tensor:
        """log sum exp; -inf for lines without a logit."""
        return self.top + self.sum.log()
