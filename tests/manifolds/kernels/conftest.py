"""Both paths of the CPU kernels, on tiles so small that a test crosses several."""

import pytest

from manifolds.kernels import library, tiles


@pytest.fixture(params=["torch", "cpp"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test on the torch path and on the C++ path, where there is one."""
    if request.param == "cpp" and library.load() is None:
        pytest.skip(f"no C++ kernels: {library.missing()}")
    monkeypatch.setenv("MANIFOLDS_KERNELS", request.param)
    return request.param


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 16 x 24 pairs."""
    monkeypatch.setattr(tiles, "CPU_TILE", (16, 24))
