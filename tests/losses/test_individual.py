"""iSogCLR: the batch objective and its gradients by autograd, moving averages by hand, state."""

import math

import geometry_points
import pytest
import torch
from torch import Tensor

from geomclip import build_geometry
from geomclip.geometry import Geometry
from geomclip.losses import IndividualTemperatures, bands

WIDE = {"tau": 0.5, "tau_min": 0.01, "tau_max": 10.0, "rho": 0.3}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def objective(g: Geometry, x: Tensor, y: Tensor, tau: Tensor, rho: float) -> Tensor:
    """F over a batch that is the whole data set."""
    s = g.score(x, y)
    others = ~torch.eye(len(x), dtype=torch.bool)
    total = torch.zeros((), dtype=x.dtype)
    for t, scores in ((tau[0], s), (tau[1], s.T)):
        h = (scores - scores.diagonal()[:, None]) / t[:, None]
        mean = torch.stack([row[keep].exp().mean() for row, keep in zip(h, others, strict=True)])
        total = total + (t * (rho + mean.log())).mean()
    return total


def test_two_pairs_by_hand() -> None:
    g = build_geometry("clip", 2).double()
    x = torch.eye(2, dtype=torch.float64)
    loss = IndividualTemperatures(2, decay=1.0, **WIDE)
    # Partners coincide: every h is -1, every log mean -1 / tau.
    value = loss(g, x, x, torch.arange(2))
    assert value.item() == pytest.approx(2 * (0.5 * 0.3 - 1), rel=1e-14)
    loss.commit_()
    # dF/dtau = rho + log u - h / tau = rho: the one negative has no spread.
    expected = torch.full((2, 2), 0.5 - 0.01 * 0.9 * 0.3, dtype=torch.float64)
    torch.testing.assert_close(loss.temperature, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", geometry_points.NAMES)
def test_the_batch_alone_is_the_objective_with_its_gradients(name: str) -> None:
    g = geometry_points.make(name, 3)
    f = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    points = g.lift(f[0], "image"), g.lift(f[1], "text")
    ids = torch.tensor([7, 3, 5, 0, 1, 8])
    loss = IndividualTemperatures(9, decay=1.0, momentum=1.0, rate=0.1, **WIDE)
    loss.temperature.copy_(0.2 + torch.rand(2, 9))
    tau = loss.temperature[:, ids].clone().requires_grad_()
    expected = objective(g, *points, tau, 0.3)
    found = loss(g, *points, ids)
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad(expected, (f, tau), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(found, f)[0], wanted[0], rtol=1e-9, atol=1e-12)
    before = loss.temperature.clone()
    loss.commit_()
    # One plain step of gradient descent: F holds the mean over n samples, tau its own share.
    moved = (before[:, ids] - 0.1 * 6 * wanted[1]).clamp(0.01, 10.0)
    torch.testing.assert_close(loss.temperature[:, ids], moved)
    untouched = [i for i in range(9) if i not in ids.tolist()]
    assert torch.equal(loss.temperature[:, untouched], before[:, untouched])


def test_the_moving_average_by_hand() -> None:
    g = build_geometry("clip", 2).double()
    x = torch.eye(2, dtype=torch.float64)
    y = torch.tensor([[0.6, 0.8], [0.8, 0.6]], dtype=torch.float64)
    ids = torch.arange(2)
    loss = IndividualTemperatures(2, decay=0.25, rate=0.0, momentum=1.0, **WIDE)
    loss(g, x, x, ids)
    loss.commit_()  # the first batch is taken as it is: u = exp(-2)
    value = loss(g, x, y, ids)  # h = 0.2, u = 0.75 exp(-2) + 0.25 exp(0.4)
    u = 0.75 * math.exp(-2) + 0.25 * math.exp(0.4)
    assert value.item() == pytest.approx(2 * 0.5 * (0.3 + math.log(u)), rel=1e-13)
    loss.commit_()
    assert loss.log_mean.exp().tolist() == [[pytest.approx(u, rel=1e-13)] * 2] * 2
    # dF/dtau = rho + log u - exp(0.4) 0.4 / u, with momentum 1.
    gradient = 0.3 + math.log(u) - math.exp(0.4) * 0.4 / u
    assert loss.velocity.tolist() == [[pytest.approx(gradient, rel=1e-12)] * 2] * 2


def test_gradients_with_a_memory_are_those_of_fixed_weights() -> None:
    """exp(h / tau) / u times the gradient of h, whatever the batch's own mean is."""
    g = geometry_points.make("hyperbolic", 3)
    loss = IndividualTemperatures(4, decay=0.5, rate=0.0, **WIDE)
    first = geometry_points.points(g, 4), geometry_points.points(g, 4, "text")
    ids = torch.arange(4)
    loss(g, *first, ids)
    loss.commit_()
    f = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    points = g.lift(f[0], "image"), g.lift(f[1], "text")
    value = loss(g, *points, ids)
    (found,) = torch.autograd.grad(value, f, retain_graph=True)
    s = g.score(*points)
    loss.commit_()  # log_mean now holds the u of that call
    by_hand = torch.zeros((), dtype=torch.float64)
    for row, scores in ((0, s), (1, s.T)):
        h = scores - scores.diagonal()[:, None]
        weight = (h / 0.5).exp() / loss.log_mean[row].exp()[:, None]
        by_hand = by_hand + (weight.detach() * h).fill_diagonal_(0).sum() / (4 * 3)
    torch.testing.assert_close(found, torch.autograd.grad(by_hand, f)[0])


def test_forward_leaves_the_state_and_a_state_dict_carries_it() -> None:
    g = geometry_points.make("clip", 3)
    x, y = geometry_points.points(g, 5), geometry_points.points(g, 5, "text")
    ids = torch.arange(5)
    loss = IndividualTemperatures(8, **WIDE)
    before = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    first = loss(g, x, y, ids)
    assert torch.equal(first, loss(g, x, y, ids))
    assert all(torch.equal(tensor, before[name]) for name, tensor in loss.state_dict().items())
    loss.commit_()
    assert loss.seen.tolist() == [True] * 5 + [False] * 3
    other = IndividualTemperatures(8, **WIDE)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(loss(g, x, y, ids), other(g, x, y, ids))
    loss.commit_()
    again = loss.state_dict()
    loss.commit_()  # nothing was computed since
    assert all(torch.equal(again[name], tensor) for name, tensor in loss.state_dict().items())


def test_temperatures_find_the_spread_that_rho_asks_for() -> None:
    """At the optimum the divergence of the weights from uniform is rho."""
    g = geometry_points.make("clip", 3)
    x, y = geometry_points.points(g, 6), geometry_points.points(g, 6, "text")
    loss = IndividualTemperatures(6, rate=0.1, decay=1.0, **(WIDE | {"tau_max": 1e3}))
    for _ in range(400):
        loss(g, x, y, torch.arange(6))
        loss.commit_()
    s = g.score(x, y)
    h = (s / loss.temperature[0, :, None]).masked_fill(torch.eye(6, dtype=torch.bool), -torch.inf)
    p = h.softmax(1)
    divergence = math.log(5) + torch.special.xlogy(p, p).sum(1)
    torch.testing.assert_close(divergence, torch.full_like(divergence, 0.3), rtol=0, atol=1e-3)


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    g = geometry_points.make("hyperbolic", 3)
    drawn = torch.randn(2, 7, 3, dtype=torch.float64)
    results = []
    for band in (bands.BAND, 21, 1):
        monkeypatch.setattr(bands, "BAND", band)
        loss = IndividualTemperatures(7, **WIDE)
        f = drawn.clone().requires_grad_()
        value = loss(g, g.lift(f[0], "image"), g.lift(f[1], "text"), torch.arange(7))
        (grad,) = torch.autograd.grad(value, f)
        loss.commit_()
        results.append((value, grad, loss.temperature, loss.log_mean))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-12, atol=1e-14)


def test_small_temperatures_stay_finite() -> None:
    g = build_geometry("clip", 8)
    loss = IndividualTemperatures(16)
    for _ in range(3):
        x, y = (g.lift(torch.randn(16, 8), m) for m in ("image", "text"))
        f = x.detach().requires_grad_()
        value = loss(g, f, y, torch.arange(16))
        value.backward()
        loss.commit_()
        assert value.isfinite() and f.grad is not None and f.grad.isfinite().all()
        assert value.dtype == torch.float32
    assert (loss.temperature >= 0.005).all() and (loss.temperature <= 0.05).all()


def test_what_can_t_be_asked(unchecked: None) -> None:
    for options in ({"tau": 0.001}, {"tau_min": 0.0}, {"tau_max": math.inf}):
        with pytest.raises(ValueError, match="0 < tau_min <= tau <= tau_max"):
            IndividualTemperatures(3, **options)
    for options in ({"rho": -1.0}, {"momentum": 0.0}, {"decay": 2.0}, {"rate": math.nan}):
        with pytest.raises(
            ValueError, match=r"rho >= 0, rate >= 0, momentum and decay in \(0, 1\]"
        ):
            IndividualTemperatures(3, **options)
    with pytest.raises(ValueError, match="at least one sample, got 0"):
        IndividualTemperatures(0)
    g = build_geometry("euclip", 2)
    x, loss = torch.randn(3, 2), IndividualTemperatures(4)
    with pytest.raises(ValueError, match=r"0\.\.3, the samples, got 1\.\.4"):
        loss(g, x, x, torch.tensor([1, 2, 4]))
    with pytest.raises(ValueError, match="ids repeat"):
        loss(g, x, x, torch.tensor([1, 1, 2]))
    with pytest.raises(ValueError, match="one id a pair"):
        loss(g, x, x, torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="at least two pairs"):
        loss(g, x[:1], x[:1], torch.tensor([1]))
