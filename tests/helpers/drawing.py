"""Random points and tangent vectors of any manifold, in units of its own curvature."""

import math
from collections.abc import Callable

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from manifolds import Manifold, Product

DIM = 4
"""Coordinates of a point in the laws; what the product of the fixture has."""


def scale(m: Manifold) -> float:
    """1/sqrt(c), the length at which curvature shows; of a product the smallest."""
    if isinstance(m, Product):
        return min(scale(factor) for factor in m.factors)
    return 1 / math.sqrt(m.c.item() or 1.0)


def points(m: Manifold, *size: int, radius: float | Tensor = 1.0) -> Tensor:
    """Points about radius * scale(m) from the root, float64."""
    std = radius * scale(m) / math.sqrt(size[-1])
    return m.random_normal(*size, std=std, dtype=torch.float64)


def tangent(m: Manifold, x: Tensor, length: float | Tensor = 0.5) -> Tensor:
    """Tangent vectors at x of metric length length * scale(m)."""
    u = m.proju(x, torch.randn_like(x))
    length = torch.as_tensor(length, dtype=x.dtype)
    return u * (length[..., None] * scale(m) / m.norm(x, u, keepdim=True))


RADII = torch.tensor([1e-6, 1e-2, 0.3, 1.0, 3.0], dtype=torch.float64)[:, None]
"""Of the points in the laws, in units of `scale`."""


def draw(m: Manifold, seed: int, count: int, n: int = 8) -> Tensor:
    """`count` sets of points (5, n, DIM), one row a radius."""
    torch.manual_seed(seed)
    return points(m, count, len(RADII), n, DIM, radius=RADII)


def law(test: Callable) -> Callable:
    """Runs a test with a seed that hypothesis picks: argument `seed`."""
    drawn = given(seed=st.integers(0, 2**31))(test)
    return settings(
        max_examples=1,
        phases=[Phase.generate],  # a smaller seed is no simpler example
        deadline=None,
        derandomize=True,
        # The fixture's manifold is the same in every example, and nothing changes it.
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )(drawn)
