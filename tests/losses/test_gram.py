"""GRAM: volumes that are known, the determinant of torch, gradients at aligned vectors, a limit."""

import math

import pytest
import torch
from torch import Tensor

from geomclip.losses import bands, gram_loss, gram_volumes


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def draw(k: int, n: int = 6, d: int = 5) -> list[Tensor]:
    return list(torch.randn(k, n, d, dtype=torch.float64))


def test_volumes_that_are_known() -> None:
    x, y, z = 3 * torch.eye(3, dtype=torch.float64)[:, None]
    assert gram_volumes(x, [y, z]).item() == pytest.approx(1, rel=1e-14)
    assert gram_volumes(x, [y, 2 * y]).item() == 0
    assert gram_volumes(x, [x]).item() == 0
    # A right angle and one of 60 degrees in a plane: the area is a sine.
    assert gram_volumes(x, [x / 2 + math.sqrt(3) / 2 * y]).item() == pytest.approx(math.sqrt(0.75))
    # Three unit vectors 60 degrees apart: 1 - 3/4 + 1/4.
    corner = [x + y, y + z, z + x]
    assert gram_volumes(corner[0], corner[1:]).item() == pytest.approx(math.sqrt(0.5), rel=1e-14)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_volumes_are_roots_of_gram_determinants(k: int) -> None:
    first, *rest = draw(k)
    found = gram_volumes(first, rest)
    unit = [torch.nn.functional.normalize(v, dim=1) for v in (first, *rest)]
    for i in range(6):
        for j in range(6):
            vectors = torch.stack([unit[0][i], *(v[j] for v in unit[1:])])
            expected = torch.linalg.det(vectors @ vectors.T).sqrt()
            torch.testing.assert_close(found[i, j], expected, rtol=1e-7, atol=1e-12)


def test_two_modalities_are_sines_and_the_loss_the_cross_entropy_of_volumes() -> None:
    first, *rest = draw(4)
    cosine = torch.nn.functional.cosine_similarity(first[:, None], rest[0], dim=-1)
    torch.testing.assert_close(gram_volumes(first, rest[:1]), (1 - cosine**2).sqrt())
    logits = -gram_volumes(first, rest) / 0.1
    target = torch.arange(6)
    ce = torch.nn.functional.cross_entropy
    expected = (ce(logits, target) + ce(logits.T, target)) / 2
    torch.testing.assert_close(gram_loss(first, rest, 0.1), expected)


def test_equal_volumes_give_log_n() -> None:
    same = torch.ones(7, 3, dtype=torch.float64)
    assert gram_loss(same, [same, same], 0.07).item() == pytest.approx(math.log(7), rel=1e-14)


def test_it_does_not_depend_on_lengths_rotations_or_signs() -> None:
    first, *rest = draw(3)
    loss = gram_loss(first, rest, 0.1)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    turned = gram_loss(first @ turn, [-7 * v @ turn for v in rest], 0.1)
    torch.testing.assert_close(turned, loss)


def test_gradients() -> None:
    first, *rest = (v.requires_grad_() for v in draw(3, n=3, d=4))
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def loss(t: Tensor, *vectors: Tensor) -> Tensor:
        return gram_loss(vectors[0], vectors[1:], t)

    assert torch.autograd.gradcheck(loss, (temperature, first, *rest), eps=1e-6, atol=1e-8)


def test_aligned_modalities_have_finite_gradients() -> None:
    """The goal of training: every Gram matrix has rank 1."""
    first = draw(1)[0].requires_grad_()
    loss = gram_loss(first, [first * 2, first * 0.5], 0.07)
    loss.backward()
    assert first.grad is not None and first.grad.isfinite().all()
    # One step away the volume grows like the distance.
    second = (first.detach() + 1e-4 * torch.randn(6, 5, dtype=torch.float64)).requires_grad_()
    volume = gram_volumes(second, [first.detach()]).diagonal()
    assert (volume > 1e-6).all() and (volume < 1e-2).all()


def test_descent_aligns_three_modalities() -> None:
    vectors = torch.nn.Parameter(torch.randn(3, 8, 6, dtype=torch.float64))
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    start = gram_loss(vectors[0], list(vectors[1:]), 0.1).item()
    for _ in range(100):
        loss = gram_loss(vectors[0], list(vectors[1:]), 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    own = gram_volumes(vectors[0], list(vectors[1:])).diagonal()
    assert loss.item() < 0.1 * start and own.max() < 0.3


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.stack(draw(3))
    results = []
    for band in (bands.BAND, 12):
        monkeypatch.setattr(bands, "BAND", band)
        v = drawn.clone().requires_grad_()
        loss = gram_loss(v[0], [v[1], v[2]], 0.1)
        results.append((loss, *torch.autograd.grad(loss, v)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_what_can_t_be_asked(unchecked: None) -> None:
    first, *rest = draw(3)
    with pytest.raises(ValueError, match="at least 3 modalities, got 2"):
        gram_loss(first, rest[:1], 0.1)
    with pytest.raises(ValueError, match=r"number 0 is \(6, 5\), number 1 \(6, 4\)"):
        gram_loss(first, [rest[0][:, :4], rest[1]], 0.1)
    with pytest.raises(ValueError, match="1 of 6 features of modality 2 are zero"):
        gram_loss(first, [rest[0], rest[1] * (torch.arange(6) > 0)[:, None]], 0.1)
