"""Points with a sparse gradient: a step takes out the rows that it names, and puts them back.

The rows stand in for their table as a parameter of their own, so that nothing else in a step need
know of them.
"""

from dataclasses import dataclass
from typing import Any

import torch
from geoopt import ManifoldParameter, ManifoldTensor
from torch import Tensor

State = dict[Any, dict[str, Any]]


@dataclass(frozen=True)
class Rows:
    """Rows of a table of points.

    Args:
        whole: (n, ..., d).
        index: (k,) distinct rows of it.
        part: (k, ..., d), a copy of these rows with their gradients.
    """

    whole: ManifoldTensor
    index: Tensor
    part: ManifoldParameter

    def take_state(self, state: State) -> None:
        """Give the part its rows of the table's state; a table without state gets one of zeros at
        `put_back`."""
        if kept := state.get(self.whole):
            state[self.part] = {
                name: value[self.index] if _by_row(value) else value for name, value in kept.items()
            }

    def put_back(self, state: State) -> None:
        """Write points and state into the table; the part's state is dropped."""
        self.whole.index_copy_(0, self.index, self.part.detach())
        kept = state[self.whole]
        for name, value in state.pop(self.part).items():
            if not _by_row(value):
                kept[name] = value
                continue
            if name not in kept:
                kept[name] = torch.zeros_like(self.whole)
            kept[name].index_copy_(0, self.index, value)


def taken(p: ManifoldTensor) -> Rows:
    """The rows that the sparse gradient of p names, in ascending order."""
    assert p.grad is not None
    grad = p.grad.coalesce()
    index = grad.indices()[0]
    part = ManifoldParameter(p.detach()[index], manifold=p.manifold)
    part.grad = grad.values().clone()
    return Rows(p, index, part)


def _by_row(value: Any) -> bool:
    """Whether an entry of the state has a row a point; the count of steps has none."""
    return isinstance(value, Tensor) and value.ndim > 0
