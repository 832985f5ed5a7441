"""Fixtures: a law over every manifold and curvature, in float64; a test over every kernel path.

Laws draw points of d = 4 (`drawing.DIM`): that is what the product has.
"""

from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from emulation import emulated

from manifolds import MANIFOLDS, Lorentz, Manifold, Product, Sphere
from manifolds.kernels import library

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


@pytest.fixture(params=["torch", "cpp", pytest.param("grid", marks=pytest.mark.slow)])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test on the torch path, in C++, and (slow) in CUDA's sources over an emulated grid."""
    if request.param == "grid":
        loaded = emulated()
        if isinstance(loaded, str):
            pytest.skip(f"no emulated grid: {loaded}")
        monkeypatch.setitem(library._state, "cpp", loaded)
        monkeypatch.setenv("MANIFOLDS_KERNELS", "cpp")
        return "grid"
    if request.param == "cpp" and library.load() is None:
        pytest.skip(f"no C++ kernels: {library.missing()}")
    monkeypatch.setenv("MANIFOLDS_KERNELS", request.param)
    return request.param


@pytest.fixture
def unchecked() -> Iterator[None]:
    """What a user sees: shapes and types not enforced by the test runner's jaxtyping hook."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
