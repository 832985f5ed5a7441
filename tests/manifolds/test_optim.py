"""One optimizer for points, curvatures and ordinary parameters."""

import copy
import io
import math
import pickle

import geoopt
import pytest
import torch
from spaces import SPACES, make
from torch import nn
from torch.testing import assert_close

from manifolds import MANIFOLDS, Lorentz, PoincareBall, Product, Sphere
from manifolds.optim import RiemannianAdam, param_groups
from manifolds.optim.moves import cap_, decay_, slope, stored

CURVED = [name for name in SPACES if name != "euclidean"]


class Model(nn.Module):
    """Points on a manifold beside parameters of every other kind."""

    def __init__(self, m, *, n=5, d=4, std=0.5):
        super().__init__()
        self.manifold = m
        self.points = geoopt.ManifoldParameter(m.random_normal(n, d, std=std), manifold=m)
        self.linear = nn.Linear(d, 3)
        self.norm = nn.LayerNorm((2, 3))
        self.bilinear = nn.Bilinear(2, 3, 4)
        self.logit_scale = nn.Parameter(torch.tensor(0.5))

    def loss(self, target):
        near = self.manifold.dist2(self.points, target).sum()
        rest = self.logit_scale * self.linear(target).sum() + self.norm.weight.square().sum()
        return near + rest.square() + self.bilinear.weight.square().sum()


def target_for(model):
    generator = torch.Generator().manual_seed(1)
    like = model.points
    x = model.manifold.random_normal(*like.shape, std=0.5, dtype=like.dtype, generator=generator)
    return x.detach()


def run(model, optimizer, steps):
    target = target_for(model)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(target).backward()
        optimizer.step()


def directions(m, x):
    """Of logmap0, direction and length; on the sphere those from its centre."""
    if isinstance(m, Product):
        parts = [directions(f, part) for f, part in zip(m.factors, m.split(x), strict=True)]
        both = zip(*parts, strict=True)
        return tuple(torch.cat([part.reshape(len(x), -1) for part in q], -1) for q in both)
    if isinstance(m, Sphere):
        return x * m.c.sqrt(), m.dist0(x) * m.c.sqrt()
    u = m.logmap0(x)
    return u / u.norm(dim=-1, keepdim=True), m.dist0(x)


# --- groups ---


def test_every_parameter_is_in_the_group_of_its_kind():
    model = Model(Lorentz(learnable=True))
    groups = param_groups(
        model, lr=1.0, weight_decay=0.1, point_lr=2.0, point_decay=0.2, scalar_lr=3.0
    )
    place = {id(p): group for group in groups for p in group["params"]}
    expected = {
        "points": ("points", 2.0, 0.2),
        "manifold.log_c": ("curvature", 1.0, 0.0),
        "logit_scale": ("scalars", 3.0, 0.0),
        "linear.weight": ("decay", 1.0, 0.1),
        "linear.bias": ("no_decay", 1.0, 0.0),
        "norm.weight": ("no_decay", 1.0, 0.0),
        "norm.bias": ("no_decay", 1.0, 0.0),
        "bilinear.weight": ("decay", 1.0, 0.1),
        "bilinear.bias": ("no_decay", 1.0, 0.0),
    }
    assert {name for name, _ in model.named_parameters()} == expected.keys()
    for name, p in model.named_parameters():
        group = place[id(p)]
        assert (group["name"], group["lr"], group["weight_decay"]) == expected[name], name
    assert sum(len(group["params"]) for group in groups) == len(expected)


def test_what_does_not_learn_is_left_out():
    model = Model(Lorentz(learnable=False))
    assert "curvature" not in {group["name"] for group in param_groups(model)}
    with pytest.raises(ValueError, match=r"no parameter of Model requires a gradient"):
        param_groups(model.requires_grad_(False))


def test_a_manifold_that_was_not_registered_is_named():
    module = nn.Module()
    module.points = geoopt.ManifoldParameter(torch.zeros(2, 3), manifold=Lorentz(learnable=True))
    with pytest.raises(ValueError, match=r"points lies on Lorentz.*module\.manifold = manifold"):
        param_groups(module)


def test_the_groups_suit_any_torch_optimizer():
    model = Model(MANIFOLDS["euclidean"]())
    optimizer = torch.optim.AdamW(param_groups(model, weight_decay=0.1))
    run(model, optimizer, 2)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    optimizer.load_state_dict(torch.load(file, weights_only=True))


@pytest.mark.parametrize("option", [{"point_eps": 0.0}, {"max_radius": -1.0}, {"lr": -1.0}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=r"point_eps|max_radius|learning rate"):
        RiemannianAdam([torch.zeros(2, requires_grad=True)], **option)


# --- steps ---


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


# --- copies and files ---


def through_file(name, model, optimizer):
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    torch.manual_seed(7)
    twin = Model(make(name, learnable=True))
    twin.load_state_dict(state["model"])
    steps = RiemannianAdam(twin, lr=0.05, weight_decay=0.01)
    steps.load_state_dict(state["optimizer"])
    return twin, steps


COPIES = {
    "file": through_file,
    "deepcopy": lambda name, *pair: copy.deepcopy(pair),
    "pickle": lambda name, *pair: pickle.loads(pickle.dumps(pair)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", SPACES)
def test_a_copy_goes_on_bit_for_bit(name, how):
    torch.manual_seed(0)
    model = Model(make(name, learnable=True))
    optimizer = RiemannianAdam(model, lr=0.05, weight_decay=0.01)
    run(model, optimizer, 2)
    twin, steps = COPIES[how](name, model, optimizer)
    assert twin.points.manifold is twin.manifold and twin.manifold is not model.manifold
    assert isinstance(twin.points, geoopt.ManifoldParameter)
    assert not any(isinstance(t, geoopt.ManifoldTensor) for t in model.state_dict().values())
    for pair in ((model, optimizer), (twin, steps)):
        run(*pair, 2)
    for (n, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(p, q), n
    assert steps.last_report == optimizer.last_report
