"""geoopt's optimizers step points of our manifolds: dense, sparse, line search."""

import geoopt
import pytest
import torch
from spaces import make
from torch import nn

from manifolds import MANIFOLDS
from manifolds.optim import RiemannianLineSearch

DENSE = {
    "adam": (geoopt.optim.RiemannianAdam, {"lr": 0.2}),
    "adam-amsgrad-stabilize": (
        geoopt.optim.RiemannianAdam,
        {"lr": 0.2, "amsgrad": True, "stabilize": 5},
    ),
    "sgd": (geoopt.optim.RiemannianSGD, {"lr": 0.2}),
    "sgd-momentum": (geoopt.optim.RiemannianSGD, {"lr": 0.1, "momentum": 0.5, "stabilize": 5}),
    "sgd-nesterov": (geoopt.optim.RiemannianSGD, {"lr": 0.1, "momentum": 0.5, "nesterov": True}),
}
SPARSE = {
    "adam": (geoopt.optim.SparseRiemannianAdam, {"lr": 0.2, "amsgrad": True}),
    "sgd": (geoopt.optim.SparseRiemannianSGD, {"lr": 0.2}),
    "sgd-momentum": (geoopt.optim.SparseRiemannianSGD, {"lr": 0.1, "momentum": 0.5}),
}


def pair(m, n=5, std=0.5):
    start, target = m.random_normal(2, n, 4, std=std).detach()
    return start, target


@pytest.mark.parametrize("how", DENSE)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_dense_ones_find_the_point(name, how):
    torch.manual_seed(0)
    m = make(name)
    start, target = pair(m)
    point = geoopt.ManifoldParameter(start, manifold=m)
    optimizer, options = DENSE[how]
    steps = optimizer([point], **options)
    schedule = torch.optim.lr_scheduler.ExponentialLR(steps, 0.9)
    before = m.dist2(point, target).sum().item()
    for _ in range(25):
        steps.zero_grad()
        m.dist2(point, target).sum().backward()
        steps.step()
        schedule.step()
    assert m.dist2(point, target).sum().item() < 0.02 * before
    assert m.check_point(point) and point.dtype == torch.float32


@pytest.mark.parametrize("how", SPARSE)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_sparse_ones_move_the_rows_that_were_used(name, how):
    torch.manual_seed(0)
    m = make(name)
    start, target = pair(m, n=6)
    embedding = nn.Embedding(6, 4, sparse=True)
    embedding.weight = geoopt.ManifoldParameter(start.clone(), manifold=m)
    optimizer, options = SPARSE[how]
    steps = optimizer(embedding.parameters(), **options)
    used, unused = torch.tensor([0, 2, 5]), torch.tensor([1, 3, 4])
    before = m.dist2(start, target)
    for _ in range(25):
        steps.zero_grad()
        m.dist2(embedding(used), target[used]).sum().backward()
        steps.step()
        steps.param_groups[0]["lr"] *= 0.9
    weight = embedding.weight.detach()
    assert m.dist2(weight, target)[used].sum() < 0.02 * before[used].sum()
    assert torch.equal(weight[unused], start[unused])
    assert m.check_point(weight)


@pytest.mark.parametrize("conjugate", ["steepest", "fr", "pr"])
@pytest.mark.parametrize("method", ["armijo", "wolfe"])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_line_search_takes_a_closure_that_returns_its_loss(name, method, conjugate):
    torch.manual_seed(0)
    m = make(name).double()
    start, target = pair(m)
    point = geoopt.ManifoldParameter(start.double(), manifold=m)
    point.proj_()
    target = m.projx(target.double())
    steps = RiemannianLineSearch([point], line_search_method=method, cg_method=conjugate)

    def closure():
        steps.zero_grad()
        loss = m.dist2(point, target).sum()
        loss.backward()
        return loss

    before = closure().item()
    values = [steps.step(closure) for _ in range(4)]
    assert all(isinstance(v, float) for v in values)
    assert m.dist2(point, target).sum().item() < 1e-3 * before
    assert m.check_point(point)
    assert not any(
        isinstance(t, torch.Tensor) and t.requires_grad for t in steps.state[point].values()
    )


@pytest.mark.parametrize("name", [n for n in MANIFOLDS if n != "euclidean"])
def test_geoopts_own_line_search_needs_a_float(name):
    torch.manual_seed(0)
    m = make(name)
    start, target = pair(m)
    ends = []
    for optimizer in (geoopt.optim.RiemannianLineSearch, RiemannianLineSearch):
        point = geoopt.ManifoldParameter(start.clone(), manifold=m)
        steps = optimizer([point])

        def closure(steps=steps, point=point):
            steps.zero_grad()
            loss = m.dist2(point, target).sum()
            loss.backward()
            return loss.item()

        for _ in range(3):
            steps.step(closure)
        ends.append(point.detach())
    assert torch.equal(*ends)
