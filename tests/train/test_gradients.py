"""A batch's loss and gradients are the same in parts and over processes: in float64, to 1e-10."""

import sys
from pathlib import Path

import pytest
import torch
from batch_gradients import batch, build, cases, compute, settings
from launching import finish, launch
from torch import Tensor

from geomclip.names import CANONICAL
from geomclip.train.world import World

PROGRAM = Path(sys.modules["batch_gradients"].__file__ or "")


def agree(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        scale = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(ours[name], expected, rtol=0, atol=1e-10 * scale, msg=name)


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, str], dict[str, Tensor]]:
    """One process, the batch in one piece, by geometry and tower."""
    ways = {(g, t): (g, t, "gather", 1) for g in CANONICAL for t in ("convnet", "vit")}
    return {key: compute(case, World()) for key, case in ways.items()}


@pytest.mark.parametrize("accumulate", [2, 4, 16])
@pytest.mark.parametrize("geometry", CANONICAL)
def test_cached_parts_equal_the_whole_batch(
    alone: dict[tuple[str, str], dict[str, Tensor]], geometry: str, accumulate: int
) -> None:
    agree(compute((geometry, "vit", "gather", accumulate), World()), alone[geometry, "vit"])


@pytest.mark.parametrize("world", [2, 4])
def test_processes_equal_one(
    tmp_path: Path, alone: dict[tuple[str, str], dict[str, Tensor]], world: int
) -> None:
    for code, err in finish(launch(world, [PROGRAM, tmp_path])):
        assert code == 0, err
        assert err == ""
    for rank in range(world):
        found = torch.load(tmp_path / f"{world}-{rank}.pt")
        assert found.keys() == set(cases())
        for (geometry, tower, _, _), values in found.items():
            agree(values, alone[geometry, tower])
