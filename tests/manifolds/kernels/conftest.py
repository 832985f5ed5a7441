"""Tiles so small that a test crosses several."""

import pytest

from manifolds.kernels import tiles


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 16 x 24 pairs."""
    monkeypatch.setattr(tiles, "CPU_TILE", (16, 24))
