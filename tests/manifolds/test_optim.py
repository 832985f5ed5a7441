"""Steps of one optimizer for points, curvatures and ordinary parameters."""

import copy
import math

import geoopt
import pytest
import torch
from optim_model import Model, run, target_for
from spaces import SPACES, make
from torch import nn
from torch.nn import functional as F
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


@pytest.mark.parametrize(("name", "learnable"), [("euclidean", False), ("product", True)])
def test_a_sparse_gradient_steps_its_rows_as_a_dense_one_does(name, learnable):
    torch.manual_seed(0)
    m = make(name, learnable=learnable)
    start, target = m.random_normal(2, 6, 4, std=0.5).detach()
    ends = []
    for sparse in (False, True):
        model = copy.deepcopy(nn.ModuleList([m]))
        points = geoopt.ManifoldParameter(start.clone(), manifold=model[0])
        curvatures = [p for p in model.parameters() if p.requires_grad]
        options = {"lr": 0.1, "weight_decay": 0.1, "max_radius": 0.8, "amsgrad": True}
        optimizer = RiemannianAdam([points, *curvatures], **options)
        for _ in range(3):
            optimizer.zero_grad()
            rows = F.embedding(torch.tensor([5, 0, 1, 3, 2, 4]), points, sparse=sparse)
            model[0].dist2(rows, target).sum().backward()
            assert points.grad.is_sparse is sparse
            optimizer.step()
        ends.append((points.detach(), optimizer.state[points], optimizer.capped_total, curvatures))
        assert set(optimizer.state) == {points, *curvatures}
    assert_close(*ends, rtol=1e-6, atol=1e-7)
    assert name == "euclidean" or ends[0][2] > 0


def test_rows_that_a_sparse_gradient_lacks_stay_with_their_momentum():
    m = Lorentz()
    start = m.random_normal(4, 3).detach()
    points = geoopt.ManifoldParameter(start.clone(), manifold=m)
    optimizer = RiemannianAdam([points], lr=0.1, weight_decay=0.1, max_radius=0.01)
    for rows in ([0, 1], [2, 2]):
        optimizer.zero_grad()
        m.dist0(F.embedding(torch.tensor(rows), points, sparse=True)).sum().backward()
        optimizer.step()
        kept = optimizer.state[points]["exp_avg"].clone()
    assert torch.equal(points[3], start[3]) and (points[:3] != start[:3]).all()
    assert optimizer.last_report.capped == 1 and optimizer.capped_total == 3
    assert kept[:3].norm(dim=-1).min() > 0 and not kept[3].any()
    assert optimizer.state[points]["step"] == 2


def test_a_sparse_gradient_of_an_ordinary_parameter_is_refused_before_anything_moves():
    m = Lorentz(learnable=True)
    points = geoopt.ManifoldParameter(torch.ones(4, 2), manifold=m)
    embedding = nn.Embedding(4, 2, sparse=True)
    optimizer = RiemannianAdam([points, m.log_c, embedding.weight], weight_decay=0.1)
    (m.dist0(points).sum() + embedding(torch.tensor([1])).sum()).backward()
    with pytest.raises(RuntimeError, match="an ordinary parameter is sparse"):
        optimizer.step()
    assert torch.equal(points, torch.ones(4, 2)) and m.c.item() == 1
