"""Losses of batches that are nearly perfect keep their digits, value and gradient."""

import copy
import math

import mpmath
import pytest
import torch
from torch import Tensor

from geomclip import build_geometry
from geomclip.geometry import Geometry
from geomclip.losses import (
    angle_loss,
    gram_loss,
    gram_volumes,
    info_nce,
    info_nce_from_logits,
    one_way_info_nce,
    pmrl_losses,
    ranking_loss,
    supcon_loss,
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def reference(logits: Tensor) -> tuple[float, Tensor]:
    """Loss and gradient with 50 digits, of the logits as they are."""
    n = len(logits)
    with mpmath.workdps(50):
        exact = [[mpmath.mpf(v) for v in line] for line in logits.tolist()]
        loss, grad = mpmath.mpf(0), [[mpmath.mpf(0)] * n for _ in range(n)]
        for i in range(n):
            for line in ([(i, j) for j in range(n)], [(j, i) for j in range(n)]):
                weight = {(a, b): mpmath.exp(exact[a][b] - exact[i][i]) for a, b in line}
                others = mpmath.fsum(w for place, w in weight.items() if place != (i, i))
                loss += mpmath.log1p(others)
                for a, b in line:
                    share = -others if (a, b) == (i, i) else weight[a, b]
                    grad[a][b] += share / (1 + others)
        return float(loss / (2 * n)), torch.tensor(
            [[float(g / (2 * n)) for g in line] for line in grad], dtype=torch.float64
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_info_nce_from_1e_minus_12_to_100(n: int, ties: bool, dtype: torch.dtype) -> None:
    eps, found = torch.finfo(dtype).eps, []
    # An exponent of 100 is itself rounded by 50 eps in float64; float32 logits are widened before.
    limit = (128 if dtype == torch.float64 else 4) * eps
    for ahead in (-104, -20, -2, 0, 2, 8, 14, 20, 26, 32):
        noise = torch.zeros(n, n) if ties else torch.randn(n, n)
        logits = (noise - 70 + ahead * torch.eye(n)).to(dtype).requires_grad_()
        loss = info_nce_from_logits(logits)
        loss.backward()
        expected, grad = reference(logits.detach())
        found.append(expected)
        assert loss.item() == pytest.approx(expected, rel=limit, abs=0)
        torch.testing.assert_close(logits.grad.double(), grad, rtol=4 * limit, atol=0)
    assert n == 1 or (max(found) > 99 and min(found) < 1e-12)


def test_masked_logits_give_no_nan() -> None:
    """-inf leaves a candidate out: of a line, of all lines, and the pair itself."""
    masked = torch.full((3, 3), -torch.inf)
    masked[0] = torch.tensor([2.0, 0.0, -torch.inf])
    masked[1, 1] = masked[2, 2] = 1.0
    logits = masked.clone().requires_grad_()
    loss = info_nce_from_logits(logits)
    loss.backward()
    # Row 0: 2 against 0; column 1: 1 against 0; all others are alone.
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 6
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert logits.grad.isfinite().all() and (logits.grad[masked == -torch.inf] == 0).all()
    missing = torch.zeros(2, 2)
    missing[0, 0] = -torch.inf
    logits = missing.clone().requires_grad_()
    loss = info_nce_from_logits(logits)
    loss.backward()
    assert loss.item() == math.inf
    # Its own row and column want nothing else; those of pair 1 are ties.
    expected = torch.tensor([[-2.0, 1.5], [1.5, -1.0]]) / 4
    torch.testing.assert_close(logits.grad, expected, rtol=1e-6, atol=0)


def apart(g: Geometry, n: int, spread: float) -> Tensor:
    """Features of n samples far from each other under the geometry."""
    return spread * torch.eye(n, g.dim) + 0.02 * torch.randn(n, g.dim)


ON_LOGITS = {
    "info_nce": lambda g, x, y: info_nce(g, x, y),
    "one_way": lambda g, x, y: one_way_info_nce(g, x, y),
    "supcon": lambda g, x, y: supcon_loss(g, x, torch.arange(len(x)), y),
    "supcon of one set": lambda g, x, y: supcon_loss(
        g, torch.cat([x, y]), torch.arange(len(x)).repeat(2)
    ),
    "ranking": lambda g, x, y: ranking_loss(g, x, y, torch.eye(len(x), dtype=torch.bool)),
}


@pytest.mark.parametrize("name", ["clip", "euclip", "meru", "lorentz4xsphere4"])
@pytest.mark.parametrize("loss", ON_LOGITS)
def test_small_losses_over_logits_keep_their_digits(loss: str, name: str) -> None:
    """float32 against float64 of the same points: what is left is the rounding of the logits."""
    g = build_geometry(name, 8, init_logit_scale=math.log(20.0))
    f = apart(g, 6, 4.0)
    h = f + 0.02 * torch.randn(6, 8)
    results = []
    for geometry, dtype in ((g, torch.float32), (copy.deepcopy(g).double(), torch.float64)):
        x, y = (geometry.lift(t, m).detach().to(dtype) for t, m in ((f, "image"), (h, "text")))
        x.requires_grad_()
        value = ON_LOGITS[loss](geometry, x, y)
        value.backward()
        results.append((value.detach().double(), x.grad.double()))
    (value, grad), (exact, exact_grad) = results
    assert 0 < exact < 1e-4
    torch.testing.assert_close(value, exact, rtol=1e-4, atol=0)
    assert (grad - exact_grad).norm() <= 1e-4 * exact_grad.norm()


def test_angles_keep_their_digits() -> None:
    """Texts on the way from the root to their images, all others to the side."""
    g = build_geometry("euclip", 8, init_logit_scale=math.log(30.0))
    image = apart(g, 6, 4.0)
    text = 0.5 * image + 0.001 * torch.randn(6, 8)
    exact = angle_loss(copy.deepcopy(g).double(), text.double(), image.double())
    assert exact < 1e-5
    assert angle_loss(g, text, image).item() == pytest.approx(exact.item(), rel=1e-4)


def test_volumes_keep_their_digits() -> None:
    """Anchors in the plane of their partners, at right angles to all others: losses of e^-80."""
    first, across = torch.eye(8, dtype=torch.float64).split(4)
    noise = 1e-3 * torch.randn(2, 4, 8, dtype=torch.float64)
    others = [first + across + noise[0], first - across + noise[1]]
    volume = gram_volumes(first, others)
    below = (volume.diagonal() - volume.mT) / 0.01, (volume.diagonal() - volume) / 0.01
    row, column = (part.exp().fill_diagonal_(0).sum(0).log1p().mean() for part in below)
    found = gram_loss(first, others, 0.01)
    assert 0 < found < 1e-34
    torch.testing.assert_close(found, (row + column) / 2, rtol=1e-10, atol=0)


def test_principal_directions_keep_their_digits() -> None:
    first = torch.eye(4, dtype=torch.float64)
    features = [first, *(first + 1e-3 * torch.randn(2, 4, 4, dtype=torch.float64))]
    found = pmrl_losses(features, tau_alignment=0.01, tau_separation=0.01)
    # sigma = sqrt 3, 0, 0 and directions at right angles, but for the noise.
    assert found.alignment.log().item() == pytest.approx(-math.sqrt(3) / 0.01, rel=0.01)
    assert found.separation.log().item() == pytest.approx(-100, rel=0.1)
