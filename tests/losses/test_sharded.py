"""Losses over two and four processes equal those of one: value and every gradient."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sharded_losses
import torch

from geomclip import build_geometry
from geomclip.losses import sharded_info_nce
from manifolds.kernels.sharded import sharded_sums

PROGRAM = Path(sharded_losses.__file__)
WORLDS = sharded_losses.WORLDS


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict]]:
    """By the number of processes, what each of them wrote."""
    folder = tmp_path_factory.mktemp("sharded")
    environment = os.environ | {"PYTHONPATH": str(PROGRAM.parents[2]), "OMP_NUM_THREADS": "1"}
    environment["CUDA_VISIBLE_DEVICES"] = ""  # a fork has no use of autograd's device threads
    command = [sys.executable, str(PROGRAM), str(folder)]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    worlds = (1, *WORLDS)
    return {w: [torch.load(folder / f"{w}-{r}.pt") for r in range(w)] for w in worlds}


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 4e-6)])
@pytest.mark.parametrize("exchange", sharded_losses.EXCHANGES)
@pytest.mark.parametrize("world", WORLDS)
def test_equals_one_process(results, world, exchange, dtype, limit) -> None:
    for case, whole in results[1][0][dtype].items():
        parts = [part[exchange, dtype][case] for part in results[world]]
        assert all(set(part) == set(whole) for part in parts)
        for part in parts:
            assert part["loss"].dtype == dtype
            assert abs(part["loss"] - whole["loss"]) <= limit * whole["loss"], case
        # Every process has `world` times its part, as an average over processes expects.
        for key, one in whole.items():
            if key in ("f", "h"):
                ours = torch.cat([part[key] for part in parts]) / world
                assert (ours - one).norm() <= limit * one.norm(), (case, key)
            elif one is None:
                assert all(part[key] is None for part in parts)
            elif key != "loss":
                mean = sum(part[key] for part in parts) / world
                assert abs(mean - one) <= limit * (abs(one) + 1), (case, key)


@pytest.mark.parametrize("world", WORLDS)
def test_gathered_rows_get_the_gradients_of_all_processes(results, world) -> None:
    for rank, part in enumerate(results[world]):
        expected = world * torch.tensor([2.0 * rank, 2.0 * rank + 1])[:, None].expand(2, 3)
        assert torch.equal(part["gathered"], expected)


@pytest.mark.parametrize("world", WORLDS)
def test_uneven_shares_are_refused_everywhere(results, world) -> None:
    for rank, part in enumerate(results[world]):
        here = f"got {2 + rank} and {2 + rank} here, between 2 and {1 + world} rows"
        assert here in part["uneven"]


def test_without_a_process_group() -> None:
    g, x = build_geometry("euclidean", 4), torch.randn(6, 4)
    with pytest.raises(ValueError, match="init_process_group first"):
        sharded_info_nce(g, x, x)
    with pytest.raises(ValueError, match="init_process_group first"):
        sharded_sums(g.manifold, x, x)
