"""Ranking: values worked out by hand, and which pairs count."""

import math

import pytest
import torch
from torch.testing import assert_close

from geomclip import build_geometry
from geomclip.losses import ranking_loss


@pytest.fixture
def geometry():
    return build_geometry("euclidean", 1, init_logit_scale=math.log(2.0))


X = torch.tensor([[0.0], [10.0]], dtype=torch.float64)
Y = torch.tensor([[1.0], [-2.0], [3.0], [10.0]], dtype=torch.float64)
POSITIVE = torch.tensor([[True, True, False, False], [False, False, False, False]])


def test_a_positive_stands_against_all_negatives_and_no_other_positive(geometry):
    # Query 0: positives at distance 1 and 2, negatives at 3 and 10; beta 2. Query 1 has none.
    wrong = math.exp(-6) + math.exp(-20)
    value = (math.log1p(wrong * math.exp(2)) + math.log1p(wrong * math.exp(4))) / 2
    assert ranking_loss(geometry, X, Y, POSITIVE).item() == pytest.approx(value, rel=1e-12)
    # What is neither is left out.
    negative = torch.tensor([[False, False, True, False], [True, True, True, False]])
    value = (math.log1p(math.exp(-4)) + math.log1p(math.exp(-2))) / 2
    found = ranking_loss(geometry, X, Y, POSITIVE, negative)
    assert found.item() == pytest.approx(value, rel=1e-12)


def test_equal_distances_give_the_chance_line():
    g = build_geometry("poincare", 2)
    x, y = torch.zeros(3, 2), torch.eye(2).repeat(3, 1) / 2
    positive = torch.zeros(3, 6, dtype=torch.bool)
    positive[:, 0] = True
    assert ranking_loss(g, x, y, positive).item() == pytest.approx(math.log(6), rel=1e-6)


def test_the_gradient_reaches_all_that_count_and_nothing_else(geometry):
    x, y = X.clone().requires_grad_(), Y.clone().requires_grad_()
    negative = torch.tensor([[False, False, True, False], [False] * 4])
    ranking_loss(geometry, x, y, POSITIVE, negative).backward()
    assert x.grad[0] != 0 and x.grad[1] == 0
    assert (y.grad[:3] != 0).all() and y.grad[3] == 0

    def loss(x, y):
        return ranking_loss(geometry, x, y, POSITIVE, negative)

    assert torch.autograd.gradcheck(loss, (X.clone().requires_grad_(), Y.clone().requires_grad_()))


def test_far_negatives_give_no_loss(geometry):
    near = torch.tensor([[0.0], [1e4]], dtype=torch.float64)
    loss = ranking_loss(geometry, X[:1], near, torch.tensor([[True, False]]))
    assert_close(loss, torch.zeros((), dtype=torch.float64))


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        (torch.zeros(2, 4, dtype=torch.bool), None, "none of 2 x 4 pairs is positive"),
        (POSITIVE, POSITIVE, "2 pairs are positive and negative"),
        (POSITIVE, torch.zeros_like(POSITIVE), "query 0 has positives and no negative"),
    ],
)
def test_masks_that_do_not_fit_are_refused(geometry, positive, negative, message):
    with pytest.raises(ValueError, match=message):
        ranking_loss(geometry, X, Y, positive, negative)
