"""Geometries in float64 with scalars off their initial values, and gradient checks through them."""

from collections.abc import Callable

import torch
from torch import Tensor

from geomclip import build_geometry
from geomclip.geometry import GEOMETRIES, Geometry

NAMES = tuple(GEOMETRIES)
CONES = tuple(name for name in GEOMETRIES if build_geometry(name, 2).has_cones)


def make(name: str, dim: int = 2) -> Geometry:
    g = build_geometry(name, dim).double()
    with torch.no_grad():
        g.logit_scale.fill_(0.4)
        for log_alpha in g.log_alpha.values():
            log_alpha.fill_(-0.3)
    return g


def points(g: Geometry, n: int, modality: str = "image") -> Tensor:
    return g.lift(torch.randn(n, g.dim, dtype=torch.float64), modality).detach()


def check_gradients(
    g: Geometry, loss: Callable[..., Tensor], *features: tuple[int, str], fast: bool = False
) -> None:
    """gradcheck of loss(points...) in features (n, modality) and in the geometry's scalars.

    fast: of one random direction, not of each.
    """
    drawn = [torch.randn(n, g.dim, dtype=torch.float64, requires_grad=True) for n, _ in features]
    names = [modality for _, modality in features]

    def through(*inputs: Tensor) -> Tensor:
        lifted = [g.lift(f, m) for f, m in zip(inputs, names, strict=False)]
        return loss(*lifted)

    inputs = (*drawn, *g.scalar_parameters())
    options = {"eps": 1e-6, "atol": 1e-6 if fast else 1e-8, "rtol": 1e-5 if fast else 1e-6}
    assert torch.autograd.gradcheck(through, inputs, fast_mode=fast, **options)
