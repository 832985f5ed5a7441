"""Work on a matrix of all pairs by bands of its rows, in memory linear in the number of points."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Entries of one band: 16 MiB in float32.
BAND = 1 << 22


def by_bands(
    function: Callable[..., tuple[Tensor, ...]], x: Tensor, columns: int, *arguments: Any
) -> list[tuple[Tensor, ...]]:
    """function(start, rows, *arguments) of one band of rows of x after the other, `start` being
    the number of its first row.

    A band's matrix is made again in the backward pass, unless one band holds all rows.
    """
    step = max(1, BAND // max(1, columns))
    if len(x) <= step:
        return [function(0, x, *arguments)]
    return [
        checkpoint(function, index * step, rows, *arguments, use_reentrant=False)
        for index, rows in enumerate(x.split(step))
    ]
