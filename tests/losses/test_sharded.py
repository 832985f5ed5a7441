"""Losses over two processes equal those of one: value and every gradient."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from geomclip import build_geometry
from geomclip.losses import info_nce, sharded_info_nce, sigmoid_loss
from manifolds.kernels.sharded import sharded_sums

HELPER = Path(__file__).parents[1] / "helpers" / "sharded_losses.py"
WORLD = 2


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[dict]]:
    folder = tmp_path_factory.mktemp("sharded")
    torch.manual_seed(0)
    f = torch.randn(44, 6)
    batch = {"f": f, "h": f + 0.5 * torch.randn(44, 6)}
    torch.save(batch, folder / "batch.pt")
    calls = [
        subprocess.Popen(
            [sys.executable, HELPER, str(rank), str(WORLD), folder], stderr=-1, text=True
        )
        for rank in range(WORLD)
    ]
    for call in calls:
        _, errors = call.communicate(timeout=300)
        assert call.returncode == 0, errors
    return batch, [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("exchange", ["gather", "ring"])
@pytest.mark.parametrize("loss", ["info_nce", "sigmoid"])
@pytest.mark.parametrize("name", ["clip", "euclidean", "hyperbolic", "poincare"])
def test_equals_one_process(results, name: str, loss: str, exchange: str) -> None:
    batch, parts = results
    parts = [part[name, loss, exchange] for part in parts]
    g = build_geometry(name, 6)
    f, h = (batch[key].clone().requires_grad_() for key in "fh")
    x, y = g.lift(f, "image"), g.lift(h, "text")
    bias = torch.tensor(-2.0, requires_grad=True)
    value = info_nce(g, x, y) if loss == "info_nce" else sigmoid_loss(g, x, y, bias)
    value.backward()
    for part in parts:
        torch.testing.assert_close(part["loss"], value.detach(), rtol=1e-6, atol=0)
    # Every process has WORLD times its part, as an average over processes expects.
    for key, whole in (("f", f.grad), ("h", h.grad)):
        ours = torch.cat([part[key] for part in parts]) / WORLD
        assert (ours - whole).norm() <= 4e-6 * whole.norm()
    scalars = {str(i): p.grad for i, p in enumerate(g.scalar_parameters())}
    for key, whole in {**scalars, "bias": bias.grad}.items():
        if whole is None:
            assert all(part[key] is None for part in parts)
            continue
        mean = sum(part[key] for part in parts) / WORLD
        assert abs(mean - whole) <= 4e-6 * (abs(whole) + 1)


def test_gathered_rows_get_the_gradients_of_all_processes(results) -> None:
    for rank, part in enumerate(results[1]):
        expected = WORLD * torch.tensor([2.0 * rank, 2.0 * rank + 1])[:, None].expand(2, 3)
        assert torch.equal(part["gather"]["grad"], expected)


def test_uneven_shares_are_refused_everywhere(results) -> None:
    for rank, part in enumerate(results[1]):
        assert f"got {2 + rank} and {2 + rank} here, between 2 and 3 rows" in part["uneven"]


def test_without_a_process_group() -> None:
    g, x = build_geometry("euclidean", 4), torch.randn(6, 4)
    with pytest.raises(ValueError, match="init_process_group first"):
        sharded_info_nce(g, x, x)
    with pytest.raises(ValueError, match="init_process_group first"):
        sharded_sums(g.manifold, x, x)
