"""Clipping by the Riemannian norm: independent of the chart, torch's own where space is flat."""

import math

import geoopt
import pytest
import torch
from spaces import SPACES, make
from torch import nn
from torch.testing import assert_close

from manifolds import MANIFOLDS, Lorentz, PoincareBall, lorentz_to_poincare
from manifolds.optim import clip_grad_norm_


def point_with_gradient(m, x, y):
    point = geoopt.ManifoldParameter(x.clone(), manifold=m)
    m.dist2(point, y).sum().backward()
    return point


def test_the_norm_is_that_of_the_riemannian_gradient(manifold):
    x, y = manifold.random_normal(2, 5, 4, std=0.5, dtype=torch.float64).detach()
    point = point_with_gradient(manifold, x, y)
    # The gradient of d(x, y)^2 at x is -2 log_x(y), of length 2 d(x, y).
    expected = 2 * manifold.dist(x, y).square().sum().sqrt()
    before = point.grad.clone()
    assert_close(clip_grad_norm_([point], 1e9), expected, rtol=1e-10, atol=0)
    assert torch.equal(point.grad, before)
    assert_close(clip_grad_norm_(point, 0.5), expected, rtol=1e-10, atol=0)
    after = manifold.norm(x, manifold.egrad2rgrad(x, point.grad)).square().sum().sqrt()
    assert_close(after, torch.tensor(0.5, dtype=torch.float64), rtol=1e-5, atol=0)
    assert_close(point.grad / before, (after / expected).expand_as(before), rtol=1e-9, atol=0)


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_the_norm_does_not_depend_on_the_model(c):
    torch.manual_seed(0)
    m, ball = Lorentz(c=c).double(), PoincareBall(c=c).double()
    x, y = m.random_normal(2, 5, 4, std=1 / math.sqrt(c), dtype=torch.float64).detach()
    mine = point_with_gradient(m, x, y)
    theirs = point_with_gradient(ball, lorentz_to_poincare(x, c), lorentz_to_poincare(y, c))
    assert_close(clip_grad_norm_([mine], 1.0), clip_grad_norm_([theirs], 1.0), rtol=1e-10, atol=0)
    assert mine.grad.norm() != pytest.approx(theirs.grad.norm().item(), rel=0.1)


def test_ordinary_parameters_are_clipped_as_by_torch():
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        ours, theirs = nn.Linear(4, 3, dtype=dtype), nn.Linear(4, 3, dtype=dtype)
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(7, 4, dtype=dtype)
        for module in (ours, theirs):
            (10 * module(x).square().sum()).backward()
        total = clip_grad_norm_(ours.parameters(), 0.3)
        assert_close(total, nn.utils.clip_grad_norm_(theirs.parameters(), 0.3))
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert_close(p.grad, q.grad)


def test_points_and_ordinary_parameters_are_clipped_together():
    m = MANIFOLDS["sphere"]()
    point = geoopt.ManifoldParameter(torch.tensor([[1.0, 0.0]]), manifold=m)
    flat = nn.Parameter(torch.zeros(2))
    point.grad, flat.grad = torch.tensor([[100.0, 3.0]]), torch.tensor([4.0, 0.0])
    unused = nn.Parameter(torch.zeros(2))
    # The part of the gradient along x leaves the sphere and does not count.
    assert clip_grad_norm_([point, flat, unused], 1.0).item() == pytest.approx(5.0)
    assert_close(flat.grad, torch.tensor([0.8, 0.0]), rtol=1e-5, atol=0)
    assert clip_grad_norm_([unused], 1.0).item() == 0


@pytest.mark.parametrize("name", SPACES)
def test_sparse_gradients_count_like_dense_ones(name):
    torch.manual_seed(0)
    m = make(name)
    rows = m.random_normal(6, 4, std=0.5).detach()
    norms, gradients = [], []
    for sparse in (False, True):
        embedding = nn.Embedding(6, 4, sparse=sparse)
        embedding.weight = geoopt.ManifoldParameter(rows.clone(), manifold=m)
        taken = embedding(torch.tensor([1, 3, 3]))
        m.dist2(taken, m.origin(4)).sum().backward()
        norms.append(clip_grad_norm_(embedding.parameters(), 0.1))
        grad = embedding.weight.grad
        assert grad.is_sparse is sparse
        gradients.append(grad.to_dense() if sparse else grad)
    assert_close(norms[0], norms[1])
    assert_close(gradients[0], gradients[1])


def test_what_can_not_be_clipped_is_refused():
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.tensor([math.nan, 1.0])
    with pytest.raises(ValueError, match="max_norm must be positive, got 0"):
        clip_grad_norm_([p], 0.0)
    with pytest.raises(RuntimeError, match="norm is nan"):
        clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert clip_grad_norm_([p], 1.0).isnan()
