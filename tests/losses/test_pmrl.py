"""PMRL: singular values by hand, its definition by torch's SVD, gradients where values agree."""

import math

import pytest
import torch
from torch import Tensor

from geomclip.losses import bands, pmrl_losses

TAU = {"tau_alignment": 0.5, "tau_separation": 0.2}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def draw(k: int, n: int = 6, d: int = 5) -> list[Tensor]:
    return list(torch.randn(k, n, d, dtype=torch.float64))


def test_aligned_and_orthogonal_samples_by_hand() -> None:
    """One sample's modalities agree (sigma = sqrt 3, 0, 0), the other's are at right angles."""
    e = torch.eye(4, dtype=torch.float64)
    features = [2 * torch.stack([e[0], e[1 + j]]) for j in range(3)]
    found = pmrl_losses(features, tau_alignment=0.5, tau_separation=1.0)
    aligned = math.log(1 + 2 * math.exp(-math.sqrt(3) / 0.5))
    assert found.alignment.item() == pytest.approx((aligned + math.log(3)) / 2, rel=1e-12)
    assert found.rank_one.item() == pytest.approx((1 + 1 / 3) / 2, rel=1e-12)
    # Their leading directions are orthogonal, whichever the second's is.
    assert found.separation.item() == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-12)


def test_the_definition_by_torchs_svd() -> None:
    features = draw(4)
    found = pmrl_losses(features, **TAU)
    z = torch.stack([torch.nn.functional.normalize(f, dim=1) for f in features], 2)
    u, s, _ = torch.linalg.svd(z)
    target = torch.zeros(6, dtype=torch.long)
    ce = torch.nn.functional.cross_entropy
    torch.testing.assert_close(found.alignment, ce(s / 0.5, target))
    leading = u[:, :, 0]
    leading = leading * (leading * z.sum(2)).sum(1, keepdim=True).sign()
    torch.testing.assert_close(found.separation, ce(leading @ leading.T / 0.2, torch.arange(6)))


def test_samples_that_are_all_the_same_give_log_n() -> None:
    same = torch.ones(7, 3, dtype=torch.float64)
    found = pmrl_losses([same, same, same], **TAU)
    assert found.separation.item() == pytest.approx(math.log(7), rel=1e-12)
    assert found.rank_one.item() == pytest.approx(1, rel=1e-12)


def test_it_does_not_depend_on_lengths_rotations_or_the_order_of_modalities() -> None:
    features = draw(3)
    found = pmrl_losses(features, **TAU)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    other = pmrl_losses([7 * f @ turn for f in reversed(features)], **TAU)
    torch.testing.assert_close(other.alignment, found.alignment)
    torch.testing.assert_close(other.separation, found.separation)


@pytest.mark.parametrize("part", ["alignment", "separation"])
def test_gradients(part: str) -> None:
    features = [f.requires_grad_() for f in draw(3, n=3, d=4)]
    tau = [torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in (0.5, 0.2)]

    def loss(t: Tensor, s: Tensor, *features: Tensor) -> Tensor:
        return getattr(pmrl_losses(features, tau_alignment=t, tau_separation=s), part)

    assert torch.autograd.gradcheck(loss, (*tau, *features), eps=1e-6, atol=1e-7)


def test_gradients_are_finite_where_singular_values_agree() -> None:
    aligned = draw(1)[0].requires_grad_()
    orthogonal = torch.eye(3, dtype=torch.float64)[:, None].clone().requires_grad_()
    for f, modalities in (
        (aligned, [aligned, 2 * aligned, aligned]),
        (orthogonal, list(orthogonal)),
    ):
        found = pmrl_losses(modalities, **TAU)
        (found.alignment + found.separation).backward()
        assert f.grad is not None and f.grad.isfinite().all()


def test_descent_aligns_modalities_and_keeps_samples_apart() -> None:
    vectors = torch.nn.Parameter(torch.randn(3, 8, 6, dtype=torch.float64))
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    for step in range(100):
        found = pmrl_losses(list(vectors), **TAU)
        loss = found.alignment + found.separation
        if step == 0:
            start = loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * start
    assert found.rank_one > 0.95
    unit = torch.nn.functional.normalize(vectors[0].detach(), dim=1)
    assert (unit @ unit.T).fill_diagonal_(0).max() < 0.5


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.stack(draw(3))
    results = []
    for band in (bands.BAND, 12):
        monkeypatch.setattr(bands, "BAND", band)
        v = drawn.clone().requires_grad_()
        loss = pmrl_losses(list(v), **TAU).separation
        results.append((loss, *torch.autograd.grad(loss, v)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_what_can_t_be_asked() -> None:
    with pytest.raises(ValueError, match="pmrl_losses needs at least 3 modalities, got 2"):
        pmrl_losses(draw(2), **TAU)
