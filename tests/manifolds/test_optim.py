"""Steps of one optimizer for points, curvatures and ordinary parameters."""

import math

import geoopt
import pytest
import torch
from optim_model import Model, run, target_for
from spaces import SPACES, make
from torch import nn
from torch.testing import assert_close

from manifolds import Lorentz
from manifolds.optim import RiemannianAdam


@pytest.mark.parametrize("name", SPACES)
def test_one_optimizer_steps_all_kinds(name):
    torch.manual_seed(0)
    model = Model(make(name, learnable=True))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    target = target_for(model)
    start = model.loss(target).item()
    run(model, RiemannianAdam(model, lr=0.3, weight_decay=0.01), 8)
    assert model.loss(target).item() < 0.3 * start
    assert model.manifold.check_point(model.points)
    for n, p in model.named_parameters():
        assert not torch.equal(p, before[n]) or n.endswith(("bilinear.bias", "norm.bias")), n


@pytest.mark.parametrize("amsgrad", [False, True])
def test_ordinary_parameters_get_adamw(amsgrad):
    torch.manual_seed(0)
    ours, theirs = [
        [nn.Parameter(p.clone()) for p in (torch.ones(3, 2).double(), torch.ones(()).double())]
        for _ in range(2)
    ]
    options = {"lr": 0.1, "weight_decay": 0.3, "amsgrad": amsgrad}
    pairs = (
        (ours, RiemannianAdam(ours, **options)),
        (theirs, torch.optim.AdamW(theirs, **options)),
    )
    for step in range(20):
        for params, optimizer in pairs:
            optimizer.zero_grad()
            (params[0].sin().sum() * params[1] * math.cos(step)).backward()
            optimizer.step()
    assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", SPACES)
def test_with_geoopts_settings_points_move_as_geoopts(name):
    torch.manual_seed(0)
    m = make(name).double()
    start, target = m.random_normal(2, 5, 4, std=0.5, dtype=torch.float64).detach()
    ends = []
    for optimizer, options in (
        (geoopt.optim.RiemannianAdam, {"eps": 1e-8}),
        (RiemannianAdam, {"point_eps": 1e-8, "max_radius": None}),
    ):
        x = geoopt.ManifoldParameter(start.clone(), manifold=m)
        steps = optimizer([x], lr=0.05, amsgrad=True, stabilize=2, **options)
        for _ in range(5):
            steps.zero_grad()
            m.dist2(x, target).sum().backward()
            steps.step()
        ends.append(x.detach())
    assert_close(ends[0], ends[1], rtol=0, atol=0)


def test_points_without_a_slope_stay_where_geoopts_defaults_drift():
    drift = {}
    for optimizer in (geoopt.optim.RiemannianAdam, RiemannianAdam):
        m = Lorentz()
        x = geoopt.ManifoldParameter(torch.zeros(1, 2), manifold=m)
        steps = optimizer([x], lr=1.0)
        for _ in range(20):
            x.grad = torch.tensor([[-1e-7, 0.0]])
            steps.step()
        drift[optimizer] = m.dist0(x).item()
    assert drift[geoopt.optim.RiemannianAdam] > 10
    assert drift[RiemannianAdam] < 1e-4


def test_the_closure_is_called_once_with_gradients_on():
    x = nn.Parameter(torch.ones(2))
    optimizer = RiemannianAdam([x], lr=0.1)
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = x.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2 and calls == [True]


def test_step_hooks_run_once_beside_geoopts_own():
    geoopt.optim.RiemannianAdam([nn.Parameter(torch.ones(1))])
    x = nn.Parameter(torch.ones(1))
    optimizer = RiemannianAdam([x])
    seen = []
    optimizer.register_step_post_hook(lambda *args: seen.append("post"))
    x.grad = torch.ones(1)
    optimizer.step()
    assert seen == ["post"]


def test_a_sparse_gradient_is_refused_before_anything_moves():
    m = Lorentz(learnable=True)
    embedding = nn.Embedding(4, 2, sparse=True)
    embedding.weight = geoopt.ManifoldParameter(torch.ones(4, 2), manifold=m)
    optimizer = RiemannianAdam([embedding.weight, m.log_c], weight_decay=0.1)
    m.dist0(embedding(torch.tensor([1]))).sum().backward()
    with pytest.raises(RuntimeError, match="SparseRiemannianAdam"):
        optimizer.step()
    assert torch.equal(embedding.weight, torch.ones(4, 2)) and m.c.item() == 1
