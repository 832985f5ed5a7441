"""The fixture that runs a law over every manifold and curvature, in float64."""

import pytest
import torch

from manifolds import MANIFOLDS, Manifold

CASES = [(n, c) for n in MANIFOLDS for c in ((None,) if n == "euclidean" else (0.1, 1.0, 10.0))]


@pytest.fixture(
    params=CASES, ids=lambda case: case[0] if case[1] is None else f"{case[0]}-{case[1]}"
)
def manifold(request: pytest.FixtureRequest) -> Manifold:
    name, c = request.param
    torch.manual_seed(0)
    return (MANIFOLDS[name]() if c is None else MANIFOLDS[name](c=c)).double()
