"""Every loss is the same in parts and over processes: in float64, to 1e-10."""

import sys
from pathlib import Path

import pytest
import torch
from launching import finish, launch
from loss_gradients import CASES, compute
from torch import Tensor

from geomclip.train.world import World

PROGRAM = Path(sys.modules["loss_gradients"].__file__ or "")


def agree(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        scale = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(ours[name], expected, rtol=0, atol=1e-10 * scale, msg=name)


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Tensor]]:
    """One process, the batch in one piece."""
    return {case: compute(case, World()) for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_cached_parts_equal_the_whole_batch(alone: dict[str, dict[str, Tensor]], case: str) -> None:
    agree(compute(case, World(), accumulate=4), alone[case])


def test_two_processes_equal_one(tmp_path: Path, alone: dict[str, dict[str, Tensor]]) -> None:
    for code, err in finish(launch(2, [PROGRAM, tmp_path])):
        assert code == 0, err
        assert err == ""
    for rank in range(2):
        found = torch.load(tmp_path / f"2-{rank}.pt")
        assert found.keys() == set(CASES)
        for case, values in found.items():
            agree(values, alone[case])
