"""Losses in bands never hold a matrix of all pairs, forward or backward."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from geometry_points import make
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from geomclip.geometry import Geometry
from geomclip.losses import (
    IndividualTemperatures,
    angle_loss,
    bands,
    cross_uniformity_loss,
    gram_loss,
    pmrl_losses,
    supcon_loss,
)
from manifolds import Euclidean, Product

N, DIM, BAND = 240, 3, 2400


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor):
                self.elements = max(self.elements, value.numel())
        return out


def individual(g: Geometry, x: Tensor, y: Tensor) -> Tensor:
    return IndividualTemperatures(N, tau=0.5, tau_max=1.0)(g, x, y, torch.arange(N))


LOSSES: dict[str, Callable[[Geometry, Tensor, Tensor], Tensor]] = {
    "supcon": lambda g, x, y: supcon_loss(g, x, torch.arange(N) % 7, y),
    "individual": individual,
    "angle": lambda g, x, y: angle_loss(g, x, y),
    # Other manifolds have kernels, which keep what they have room for.
    "cross-uniformity": lambda g, x, y: cross_uniformity_loss(
        Product([Euclidean(), Euclidean()], dims=[1, 2]), x, y
    ),
    "gram": lambda g, x, y: gram_loss(x, [y, x + y], 0.1),
    "pmrl": lambda g, x, y: (
        pmrl_losses([x, y, x + y], tau_alignment=0.5, tau_separation=0.1).separation
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_no_matrix_of_all_pairs(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(bands, "BAND", BAND)
    g = make("euclidean", DIM)
    x, y = torch.randn(2, N, DIM, dtype=torch.float64, requires_grad=True).unbind(0)
    with Largest() as largest:
        LOSSES[name](g, x, y).backward()
    assert largest.elements < N * N / 2
