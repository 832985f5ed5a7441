"""Supervised contrastive loss: equation 2 of Khosla et al. by hand, by its definition, in bands."""

import math

import geometry_points
import pytest
import torch
from torch import Tensor

from geomclip import build_geometry
from geomclip.losses import bands, info_nce, lonely_anchors, positive_counts, supcon_loss


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def on_the_circle(*degrees: float) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angle.cos(), angle.sin()], 1)


def definition(logits: Tensor, labels: list[int], paired: bool) -> float | None:
    """Anchors are rows; None where no anchor has a positive."""
    terms = []
    for i, row in enumerate(logits.tolist()):
        there = [a for a in range(len(row)) if paired or a != i]
        alike = [a for a in there if labels[a] == labels[i] >= 0 or (paired and a == i)]
        if alike:
            total = math.fsum(math.exp(row[a]) for a in there)
            terms.append(-math.fsum(math.log(math.exp(row[p]) / total) for p in alike) / len(alike))
    return math.fsum(terms) / len(terms) if terms else None


def test_three_points_by_hand() -> None:
    g = build_geometry("clip", 2).double()
    with torch.no_grad():
        g.logit_scale.fill_(math.log(math.log(3)))  # a cosine of 1 weighs 3, one of 0 weighs 1
    x = on_the_circle(0, 0, 90)
    # Anchors 0 and 1: the other of their label has 3 of 3 + 1; anchor 2 has none of its own.
    loss = supcon_loss(g, x, torch.tensor([5, 5, 7]))
    assert loss.item() == pytest.approx(math.log(4 / 3), rel=1e-14)
    # Partners at 0, 90, 90: anchors 0 and 1 have 3 and 1 of 3 + 1 + 1, anchor 2 3 of 1 + 3 + 3;
    # back, 3 and 3 of 3 + 3 + 1; 1 and 1 of 1 + 1 + 3; 3 of 1 + 1 + 3.
    y = on_the_circle(0, 90, 90)
    there = (2 * (math.log(5) - math.log(3) / 2) + math.log(7 / 3)) / 3
    back = (math.log(7 / 3) + math.log(5) + math.log(5 / 3)) / 3
    loss = supcon_loss(g, x, torch.tensor([5, 5, 7]), y)
    assert loss.item() == pytest.approx((there + back) / 2, rel=1e-14)


def test_equal_logits_give_the_log_of_the_candidates() -> None:
    g = build_geometry("euclip", 3).double()
    x = torch.zeros(6, 3, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    assert supcon_loss(g, x, labels).item() == pytest.approx(math.log(5), rel=1e-15)
    assert supcon_loss(g, x, labels, x).item() == pytest.approx(math.log(6), rel=1e-15)


@pytest.mark.parametrize("name", geometry_points.NAMES)
def test_labels_that_all_differ_give_info_nce(name: str) -> None:
    g = geometry_points.make(name)
    x, y = geometry_points.points(g, 7), geometry_points.points(g, 7, "text")
    expected = info_nce(g, x, y)
    for labels in (torch.arange(7), torch.full((7,), -1)):
        torch.testing.assert_close(supcon_loss(g, x, labels, y), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("name", ["clip", "euclidean", "hyperbolic", "poincare"])
def test_levels_are_the_weighted_mean_of_their_definitions(name: str, paired: bool) -> None:
    g = geometry_points.make(name, 3)
    x, y = geometry_points.points(g, 9), geometry_points.points(g, 9, "text")
    labels = torch.tensor(
        [[0, 0], [0, 0], [0, 1], [1, 2], [1, -1], [-1, -1], [1, 2], [0, 1], [2, 3]]
    )
    logits = g.logits(x, y if paired else x)
    expected = []
    for level in range(2):
        column = labels[:, level].tolist()
        value = definition(logits, column, paired)
        assert value is not None
        if paired:
            back = definition(logits.T, column, paired)
            assert back is not None
            value = (value + back) / 2
        expected.append(value)
    other = y if paired else None
    for weights in ((1.0, 1.0), (3.0, 1.0), (0.0, 2.0)):
        loss = supcon_loss(g, x, labels, other, weights=weights).item()
        mean = (weights[0] * expected[0] + weights[1] * expected[1]) / sum(weights)
        assert loss == pytest.approx(mean, rel=1e-12)
    plain = supcon_loss(g, x, labels, other).item()
    assert plain == pytest.approx(sum(expected) / 2, rel=1e-12)


def test_positives_and_lonely_anchors_are_counted() -> None:
    labels = torch.tensor([[0, 0], [0, 1], [0, -1], [1, 1], [-1, -1]])
    expected = torch.tensor([[2, 0], [2, 1], [2, 0], [0, 1], [0, 0]])
    assert torch.equal(positive_counts(labels, paired=False), expected)
    assert torch.equal(positive_counts(labels, paired=True), expected + 1)
    assert torch.equal(lonely_anchors(labels), expected == 0)
    assert torch.equal(lonely_anchors(labels[:, 0]), expected[:, :1] == 0)


@pytest.mark.parametrize("paired", [False, True])
def test_bands_change_neither_value_nor_gradient(
    monkeypatch: pytest.MonkeyPatch, paired: bool
) -> None:
    g = geometry_points.make("hyperbolic", 3)
    f = torch.randn(2, 11, 3, dtype=torch.float64)
    labels = torch.stack([torch.arange(11) % 3, torch.arange(11) % 5], 1)
    results = []
    for band in (bands.BAND, 3 * 11, 1):
        monkeypatch.setattr(bands, "BAND", band)
        x = f.clone().requires_grad_()
        points = g.lift(x[0], "image"), g.lift(x[1], "text")
        loss = supcon_loss(g, points[0], labels, points[1] if paired else None)
        inputs = (x, g.logit_scale, g.log_alpha["image"])
        results.append((loss, *torch.autograd.grad(loss, inputs)))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", geometry_points.NAMES)
def test_gradients(name: str) -> None:
    g = geometry_points.make(name)
    labels = torch.tensor([[0, 0], [0, 1], [1, 2], [0, 0]])
    geometry_points.check_gradients(
        g, lambda x, y: supcon_loss(g, x, labels, y), (4, "image"), (4, "text")
    )


def test_gradients_of_one_set() -> None:
    g = geometry_points.make("clip")
    labels = torch.tensor([0, 1, 0, 0])
    geometry_points.check_gradients(g, lambda x: supcon_loss(g, x, labels), (4, "image"))


def test_what_can_t_be_asked(unchecked: None) -> None:
    g = build_geometry("euclip", 3)
    x = torch.randn(4, 3)
    with pytest.raises(ValueError, match="none of 4 anchors has another point of its label"):
        supcon_loss(g, x, torch.arange(4))
    with pytest.raises(
        ValueError, match=r"labels are \(n,\) or \(n, levels\) for n = 4.*got \(3,\)"
    ):
        supcon_loss(g, x, torch.zeros(3, dtype=torch.long), x)
    for weights in ([1.0, 1.0], [-1.0], [0.0], [math.nan]):
        with pytest.raises(ValueError, match="one number >= 0 for each of 1 levels"):
            supcon_loss(g, x, torch.zeros(4, dtype=torch.long), x, weights=weights)
    # A level without weight is no help.
    only_second = torch.tensor([[0, 0], [1, 0], [2, 0], [3, 0]])
    with pytest.raises(ValueError, match="none of 4 anchors"):
        supcon_loss(g, x, only_second, weights=[1.0, 0.0])
