"""Containment with answers from geometry, AUC against a count of pairs."""

import math

import pytest
import torch

import manifolds
from geomclip.evaluate import cone_statistics, roc_auc
from geomclip.evaluate import cones as module


def count(positive, negative):
    higher, equal = positive[:, None] > negative, positive[:, None] == negative
    return (higher.double() + equal.double() / 2).mean().item()


@pytest.mark.parametrize("values", [2, 5, 1000])
def test_auc_is_the_share_of_pairs_in_order_ties_half(values):
    generator = torch.Generator().manual_seed(values)
    positive = torch.randint(0, values, (83,), generator=generator).double()
    negative = torch.randint(0, values, (211,), generator=generator).double() - values / 4
    assert roc_auc(positive, negative) == pytest.approx(count(positive, negative), abs=1e-12)


def test_auc_at_its_ends():
    high, low = torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])
    assert roc_auc(high, low) == 1 and roc_auc(low, high) == 0 and roc_auc(low, low) == 0.5


def test_euclidean_cones_along_the_axes():
    # At (1, 0) with K = 0.5 the half aperture is 30 degrees; (2, 1) is seen at 45, (3, 1) at 26.6.
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    images = torch.tensor([[3.0, 1.0], [2.0, 1.0], [0.0, 5.0]])
    found = cone_statistics(manifolds.Euclidean(), labels, images, torch.tensor([0, 0, 1]), 0.5)
    assert found.aperture == pytest.approx(math.pi / 6, rel=1e-6)
    assert found.own == pytest.approx(2 / 3)
    assert found.other == 0
    assert found.auc == 1
    assert found.saturated == 0
    assert (found.labels, found.pictures) == (2, 3)
    angles = [math.atan2(1, 2), math.pi / 4, 0.0]
    assert found.exterior == pytest.approx(sum(angles) / 3, rel=1e-6)
    assert found.violation == pytest.approx((math.pi / 4 - math.pi / 6) / 3, rel=1e-6)


@pytest.mark.parametrize("make", [manifolds.Euclidean, manifolds.Lorentz, manifolds.PoincareBall])
def test_statistics_are_those_of_a_plain_loop(make, monkeypatch):
    m = make().double()
    monkeypatch.setattr(module, "BLOCK", 40)
    torch.manual_seed(0)
    labels = m.expmap0(0.3 * torch.randn(7, 4).double())
    images = m.expmap0(0.6 * torch.randn(13, 4).double())
    own = torch.arange(13) % 7
    found = cone_statistics(m, labels, images, own, 0.1)
    mine, other = [], []
    for i, image in enumerate(images):
        for j, label in enumerate(labels):
            margin = m.half_aperture(label, min_radius=0.1) - m.exterior_angle(label, image)
            (mine if own[i] == j else other).append(margin)
    mine, other = torch.stack(mine), torch.stack(other)
    assert found.own == (mine >= 0).double().mean().item()
    assert found.other == (other >= 0).double().mean().item()
    assert found.auc == pytest.approx(count(mine, other), abs=1e-12)


def test_labels_at_the_root_hold_everything_and_say_nothing():
    m = manifolds.Lorentz()
    found = cone_statistics(m, m.origin(3, 4), m.random_normal(20, 4), torch.arange(20) % 3)
    assert (found.own, found.other, found.saturated, found.auc) == (1, 1, 1, 0.5)
    assert found.aperture == pytest.approx(math.pi / 2)


def test_a_single_label_has_no_others():
    m = manifolds.Euclidean()
    found = cone_statistics(m, torch.ones(1, 2), torch.full((3, 2), 2.0), torch.zeros(3).long())
    assert found.own == 1 and found.other is None and found.auc is None


def test_a_larger_minimum_radius_opens_the_cones():
    m = manifolds.Lorentz()
    torch.manual_seed(0)
    labels, images = m.random_normal(5, 2), m.random_normal(40, 2)
    own = torch.arange(40) % 5
    narrow, wide = (cone_statistics(m, labels, images, own, k) for k in (0.1, 0.8))
    assert wide.aperture > narrow.aperture and wide.other > narrow.other
