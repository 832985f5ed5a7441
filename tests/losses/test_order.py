"""The order of coordinates and the loss of edges: answers by hand, gradients, errors."""

import math

import pytest
import torch

from geomclip.losses import edge_loss, order_energy, pairwise_order_energy


def test_the_order_energy_by_hand():
    x = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([[0.0, 5.0, -3.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    assert order_energy(x, y).tolist() == [1.0 + 4.0, 0.0]
    assert pairwise_order_energy(x, y).tolist() == [[5.0, 2.0], [9.0, 0.0]]


def test_the_energy_is_zero_for_what_is_below_and_transitively_so():
    torch.manual_seed(0)
    x = torch.randn(50, 4, dtype=torch.float64)
    y, z = x + torch.rand_like(x), x + 1 + torch.rand_like(x)
    assert (order_energy(x, y) == 0).all() and (order_energy(y, z) == 0).all()
    assert (order_energy(x, z) == 0).all() and (order_energy(z, x) > 0).all()


def test_the_edge_loss_by_hand():
    edges = torch.tensor([0.0, math.log(3) / 2], dtype=torch.float64)
    others = torch.tensor([[0.0, -math.log(3) / 2], [7.0, math.log(3) / 2]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 2.0], [0.0, 3.0]], dtype=torch.float64)
    # At beta = 2: log 2 + log(4/3) of the edges; log 2 + 2 log(4/3) + 3 log 4 of the others.
    expected = (
        math.log(2) + math.log(4 / 3) + math.log(2) + 2 * math.log(4 / 3) + 3 * math.log(4)
    ) / 2
    found = edge_loss(edges, others, weights, sharpness=2.0)
    assert found.item() == pytest.approx(expected, rel=1e-14)


def test_gradients_stay_finite_where_scores_are_far_off():
    edges = torch.tensor([-1e4, 1e4], requires_grad=True)
    others = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = edge_loss(edges, others, torch.ones(2), sharpness=10.0)
    a, b = torch.autograd.grad(loss, (edges, others))
    assert a.tolist() == [-5.0, 0.0] and b.tolist() == [5.0, 0.0]


@pytest.mark.usefixtures("unchecked")
def test_errors_say_what_is_wrong():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="as many children as parents"):
        order_energy(x, x[:2])
    with pytest.raises(ValueError, match="one dimension, got 2 and 1"):
        pairwise_order_energy(x, x[:, :1])
    with pytest.raises(ValueError, match="at least one edge"):
        edge_loss(torch.zeros(0), torch.zeros(1), torch.ones(1))
    with pytest.raises(ValueError, match="sharpness must be positive, got 0"):
        edge_loss(torch.zeros(1), torch.zeros(1), torch.ones(1), sharpness=0.0)
