"""What a step does to points beside stepping them: decay, cap, and moves with the curvature."""

import math

import geoopt
import pytest
import torch
from optim_model import directions
from spaces import SPACES, make
from torch import nn
from torch.testing import assert_close

from manifolds import MANIFOLDS, Lorentz, PoincareBall, Sphere
from manifolds.optim import RiemannianAdam
from manifolds.optim.moves import cap_, decay_, slope, stored

CURVED = [name for name in SPACES if name != "euclidean"]


# --- decay, cap ---


def test_decay_shortens_logmap0_and_keeps_the_momentums_length(manifold):
    x = geoopt.ManifoldParameter(
        manifold.random_normal(5, 4, std=0.5, dtype=torch.float64), manifold=manifold
    )
    optimizer = RiemannianAdam([x], lr=0.5, weight_decay=0.2)
    x.grad = torch.zeros_like(x)
    before = manifold.logmap0(x).detach().clone()
    optimizer.step()
    assert_close(manifold.logmap0(x).detach(), 0.9 * before, rtol=1e-11, atol=1e-12)

    momentum = optimizer.state[x]["exp_avg"]
    momentum.copy_(manifold.proju(x.detach(), torch.randn_like(x)))
    length = manifold.norm(x.detach(), momentum)
    for entry in stored(manifold, x.detach(), momentum):
        decay_(entry, 0.9)
    assert_close(manifold.norm(x.detach(), momentum), length, rtol=1e-11, atol=1e-12)
    assert manifold.check_vector(x.detach(), momentum)


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("name", ["lorentz", "poincare", "halfspace"])
def test_points_beyond_the_cap_come_in_and_are_counted(name, c):
    torch.manual_seed(0)
    m = MANIFOLDS[name](c=c).double()
    u = m.logmap0(m.random_normal(4, 3, std=1.0, dtype=torch.float64))
    radius = torch.tensor([2.0, 11.9, 14.0, 20.0], dtype=torch.float64) / math.sqrt(c)
    start = m.expmap0(u * (radius / m.norm(m.origin(3, dtype=u.dtype), u)).unsqueeze(-1)).detach()
    x = geoopt.ManifoldParameter(start.clone(), manifold=m)
    optimizer = RiemannianAdam([x])
    x.grad = torch.zeros_like(x)
    optimizer.step()
    assert optimizer.last_report.capped == 2
    assert_close(x.detach()[:2], start[:2], rtol=1e-15, atol=0)
    assert_close(
        math.sqrt(c) * m.dist0(x.detach()),
        torch.tensor([2.0, 11.9, 12.0, 12.0], dtype=torch.float64),
        rtol=1e-9,
        atol=0,
    )
    assert_close(directions(m, x.detach())[0], directions(m, start)[0], rtol=1e-9, atol=1e-10)
    optimizer.step()
    assert optimizer.last_report.capped == 0 and optimizer.capped_total == 2
    assert optimizer.last_report.to_dict() == {"capped": 0, "bounds": {}}


def test_a_loss_that_flees_ends_at_the_cap():
    x = geoopt.ManifoldParameter(torch.tensor([[0.1, 0.0]]), manifold=PoincareBall())
    optimizer = RiemannianAdam([x], lr=2.0)
    for _ in range(20):
        optimizer.zero_grad()
        (-x.manifold.dist0(x)).sum().backward()
        optimizer.step()
    assert x.manifold.dist0(x).item() == pytest.approx(12.0, rel=2e-3)
    assert optimizer.last_report.capped == 1 and optimizer.capped_total > 10
    free = geoopt.ManifoldParameter(torch.tensor([[1e7, 0.0]]), manifold=Lorentz())
    free.grad = torch.zeros_like(free)
    RiemannianAdam([free], max_radius=None).step()
    assert free[0, 0].item() == 1e7


# --- curvature ---


@pytest.mark.parametrize(("c", "sign"), [(0.1, 1.0), (1.0, -1.0), (10.0, 1.0)])
@pytest.mark.parametrize("name", CURVED)
def test_points_keep_their_logmap0_when_c_changes(name, c, sign):
    torch.manual_seed(0)
    m = make(name, c=c, learnable=True).double()
    start = m.random_normal(6, 4, std=0.5 / math.sqrt(c), dtype=torch.float64).detach()
    x = geoopt.ManifoldParameter(start, manifold=m)
    log_c = list(m.parameters())
    optimizer = RiemannianAdam([x, *log_c], lr=0.3)
    x.grad = torch.zeros_like(x)
    optimizer.step()
    momentum = optimizer.state[x]["exp_avg"]
    momentum.copy_(m.proju(x.detach(), torch.randn_like(x)))
    before, length = directions(m, x.detach()), m.norm(x.detach(), momentum)
    values = [p.item() for p in log_c]
    x.grad = None
    for p in log_c:
        p.grad = torch.tensor(sign, dtype=torch.float64)
    optimizer.step()
    assert [p.item() for p in log_c] == pytest.approx([v - 0.3 * sign for v in values], rel=1e-6)
    assert m.check_point(x)
    assert_close(directions(m, x.detach()), before, rtol=1e-10, atol=1e-11)
    assert_close(m.norm(x.detach(), momentum), length, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", [n for n in CURVED if n != "product"])
def test_the_slope_of_c_is_the_one_along_its_step(name):
    torch.manual_seed(0)
    m = make(name, c=2.0, learnable=True).double()
    x, y = m.random_normal(2, 5, 4, std=0.4, dtype=torch.float64).detach()
    point = geoopt.ManifoldParameter(x, manifold=m)
    m.dist2(point, y).sum().backward()
    (entry,) = stored(m, point.detach(), None)
    total = (m.log_c.grad + slope(entry, point.grad)).item()

    held, start, h = directions(m, x), m.log_c.item(), 1e-5
    values = []
    for shift in (h, -h):
        with torch.no_grad():
            m.log_c.fill_(start + shift)
            if isinstance(m, Sphere):
                moved = held[0] / m.c.sqrt()
            else:
                root = m.origin(4, dtype=torch.float64)
                unit = m.norm(root, torch.eye(4, dtype=torch.float64)[0])
                moved = m.expmap0(held[0].detach() * held[1].detach().unsqueeze(-1) / unit)
            values.append(m.dist2(moved, y).sum().item())
    assert total == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-7)


@pytest.mark.parametrize("name", ["lorentz", "poincare", "halfspace"])
def test_a_loss_of_root_distances_says_nothing_about_c(name):
    torch.manual_seed(0)
    m = make(name, learnable=True).double()
    x = geoopt.ManifoldParameter(m.random_normal(6, 4, dtype=torch.float64), manifold=m)
    optimizer = RiemannianAdam([x, m.log_c], lr=0.1)
    m.dist0(x).sum().backward()
    assert m.log_c.grad.abs() > 0.1  # at fixed coordinates it would
    partial = m.log_c.grad.clone()
    optimizer.step()
    assert m.c.item() == pytest.approx(1.0, abs=1e-6)
    assert torch.equal(m.log_c.grad, partial)


@pytest.mark.parametrize("name", CURVED)
def test_bounds_are_kept_in_the_step_and_points_follow(name):
    torch.manual_seed(0)
    m = make(name, learnable=True, c_max=1.5).double()
    x = geoopt.ManifoldParameter(m.random_normal(6, 4, std=0.3, dtype=torch.float64), manifold=m)
    before = directions(m, x.detach())
    log_c = list(m.parameters())
    optimizer = RiemannianAdam([x, *log_c], lr=2.0)
    for p in log_c:
        p.grad = torch.tensor(-1.0, dtype=torch.float64)
    optimizer.step()
    assert [p.item() for p in log_c] == pytest.approx([math.log(1.5)] * len(log_c), rel=1e-6)
    names = ["factors.0.c", "factors.1.c"] if name == "product" else ["c"]
    assert optimizer.last_report.bounds == dict.fromkeys(names, "upper")
    assert_close(directions(m, x.detach()), before, rtol=1e-10, atol=1e-11)
    optimizer.zero_grad()
    optimizer.step()
    assert optimizer.last_report.bounds == {}


def test_bounds_of_a_modules_scalars_are_kept_too():
    import geomclip

    geometry = geomclip.build_geometry("meru", dim=8, alpha_max=1.0)
    optimizer = RiemannianAdam(nn.ModuleDict({"geometry": geometry}), lr=100.0)
    for p in geometry.parameters():
        p.grad = -torch.ones_like(p)
    optimizer.step()
    assert optimizer.last_report.bounds == {
        "geometry.logit_scale": "upper",
        "geometry.alpha_image": "upper",
        "geometry.alpha_text": "upper",
        "geometry.c": "upper",
    }
    assert geometry.at_bound().keys() == {"logit_scale", "alpha_image", "alpha_text", "c"}


def test_a_point_that_c_pushed_out_is_capped():
    m = PoincareBall(learnable=True)
    x = geoopt.ManifoldParameter(m.expmap0(torch.tensor([[5.0, 0.0]])), manifold=m)
    optimizer = RiemannianAdam([x, m.log_c], lr=2.0)
    m.log_c.grad = torch.tensor(-1.0)
    optimizer.step()  # r = sqrt(c) dist0 goes from 10 to 27, beyond what float32 can hold
    assert optimizer.last_report.capped == 1
    assert (m.c.sqrt() * m.dist0(x)).item() == pytest.approx(12.0, rel=5e-3)


def test_euclidean_space_has_no_cap():
    m = MANIFOLDS["euclidean"]()
    assert cap_(stored(m, torch.full((2, 3), 1e6), None)[0], 12.0) == 0
