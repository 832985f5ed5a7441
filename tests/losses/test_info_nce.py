"""Symmetric InfoNCE: its definition, exact values, and its gradient through every geometry."""

import math

import pytest
import torch
from torch import Tensor

from geomclip import build_geometry
from geomclip.geometry import GEOMETRIES
from geomclip.losses import info_nce, info_nce_from_logits


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def definition(logits: list[list[float]]) -> float:
    """Mean over both directions of the cross-entropy of the pair among its row or column."""
    n = len(logits)
    total = 0.0
    for i in range(n):
        row = math.fsum(math.exp(logits[i][j] - logits[i][i]) for j in range(n))
        column = math.fsum(math.exp(logits[j][i] - logits[i][i]) for j in range(n))
        total += math.log(row) + math.log(column)
    return total / (2 * n)


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_info_nce_is_its_definition(n: int) -> None:
    logits = 4 * torch.randn(n, n, dtype=torch.float64)
    loss = info_nce_from_logits(logits).item()
    assert loss == pytest.approx(definition(logits.tolist()), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("n", [1, 2, 7, 128])
@pytest.mark.parametrize("value", [0.0, -3.0, 100.0])
def test_uniform_logits_give_log_n(n: int, value: float) -> None:
    logits = torch.full((n, n), value, dtype=torch.float64)
    assert info_nce_from_logits(logits).item() == pytest.approx(math.log(n), rel=1e-15, abs=0)


def test_two_pairs_exactly() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]], dtype=torch.float64)
    # Rows: log 4, log 2; columns: log 2, log 4.
    assert info_nce_from_logits(logits).item() == pytest.approx(1.5 * math.log(2), rel=1e-15)


def test_symmetries() -> None:
    logits = torch.randn(9, 9, dtype=torch.float64)
    loss = info_nce_from_logits(logits)
    order = torch.randperm(9)
    for same in (logits.T, logits + 50, logits[order][:, order]):
        torch.testing.assert_close(info_nce_from_logits(same), loss, rtol=1e-12, atol=0)
    assert info_nce_from_logits(logits[order]) != loss


def test_extreme_logits_stay_finite() -> None:
    perfect = 1e4 * torch.eye(5)
    assert info_nce_from_logits(perfect).item() == 0
    wrong = perfect.roll(1, 0).requires_grad_()
    loss = info_nce_from_logits(wrong)
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert wrong.grad is not None and wrong.grad.isfinite().all()


def test_gradient_is_softmax_minus_identity() -> None:
    logits = torch.randn(6, 6, dtype=torch.float64, requires_grad=True)
    info_nce_from_logits(logits).backward()
    expected = (logits.softmax(0) + logits.softmax(1) - 2 * torch.eye(6)) / 12
    torch.testing.assert_close(logits.grad, expected.detach(), rtol=1e-12, atol=1e-15)


def test_half_precision_logits_are_widened() -> None:
    logits = torch.randn(6, 6).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce_from_logits(logits)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, info_nce_from_logits(logits.float()))


def test_logits_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"square logits, .*got 3 x 4"):
        info_nce_from_logits(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="at least one pair"):
        info_nce_from_logits(torch.zeros(0, 0))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_gradients_through_every_geometry(name: str) -> None:
    g = build_geometry(name, 2).double()
    with torch.no_grad():
        g.logit_scale.fill_(0.4)
        for log_alpha in g.log_alpha.values():
            log_alpha.fill_(-0.3)
    f, h = torch.randn(2, 3, 2, dtype=torch.float64).unbind(0)

    # gradcheck moves its inputs in place, the geometry's own parameters among them.
    def loss(f: Tensor, h: Tensor, *scalars: Tensor) -> Tensor:
        return info_nce(g, g.lift(f, "image"), g.lift(h, "text"))

    inputs = (f.clone().requires_grad_(), h.clone().requires_grad_(), *g.scalar_parameters())
    assert len(inputs) == 2 + len(g.scalars())
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-6, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_info_nce_is_that_of_the_logits(name: str) -> None:
    g = build_geometry(name, 5)
    x, y = g.lift(torch.randn(8, 5), "image"), g.lift(torch.randn(8, 5), "text")
    torch.testing.assert_close(info_nce(g, x, y), info_nce_from_logits(g.logits(x, y)))
    # Pairs that match beat pairs that do not, whatever the geometry.
    if name != "euclidean-inner" and name != "hyperbolic-inner":
        z = g.lift(torch.randn(8, 5), "image")
        assert info_nce(g, z, z) < info_nce(g, z, z.roll(1, 0))
