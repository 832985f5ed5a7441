"""The fixture that runs a law over every manifold and curvature, in float64.

Laws draw points of d = 4 (`drawing.DIM`): that is what the product has.
"""

import pytest
import torch

from manifolds import MANIFOLDS, Lorentz, Manifold, Product, Sphere

CASES = [(n, c) for n in MANIFOLDS for c in ((None,) if n == "euclidean" else (0.1, 1.0, 10.0))]
CASES.append(("product", None))


@pytest.fixture(
    params=CASES, ids=lambda case: case[0] if case[1] is None else f"{case[0]}-{case[1]}"
)
def manifold(request: pytest.FixtureRequest) -> Manifold:
    name, c = request.param
    torch.manual_seed(0)
    if name == "product":
        return Product([Lorentz(c=2.0), Sphere(c=0.5)], dims=[2, 2]).double()
    return (MANIFOLDS[name]() if c is None else MANIFOLDS[name](c=c)).double()
