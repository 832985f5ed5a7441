"""Entailment loss, what it is made of, and the schedules of its weight and its K."""

import math

import pytest
import torch
from torch import Tensor

from geomclip import build_geometry
from geomclip.losses import cone_statistics, entailment_loss, linear_schedule, warmup_weight
from manifolds import MANIFOLDS, Euclidean, Lorentz, Sphere


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_exact_values_in_the_plane() -> None:
    # |x| = 1, K = 1/2: half aperture pi/6. The children lie ahead, across, and 30 degrees off.
    parent = rows([1, 0], [1, 0], [1, 0])
    child = rows([3, 0], [1, 2], [1 + math.sqrt(3), 1.0001])
    angle = [0, math.pi / 2, math.atan2(1.0001, math.sqrt(3))]
    outside = (math.pi / 3 + angle[2] - math.pi / 6) / 3
    loss = entailment_loss(Euclidean(), parent, child, 0.5)
    assert loss.item() == pytest.approx(outside, abs=1e-12)
    statistics = cone_statistics(Euclidean(), parent, child, 0.5)
    assert statistics.satisfied == pytest.approx(1 / 3)
    assert statistics.aperture == pytest.approx(math.pi / 6, abs=1e-12)
    assert statistics.angle == pytest.approx(sum(angle) / 3, abs=1e-12)
    assert statistics.saturated == 0


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_exact_values_on_the_hyperboloid(c: float) -> None:
    m = Lorentz(c=c).double()
    # A child at the far end of a geodesic that leaves the parent across its axis: angle pi/2.
    parent = rows([1.0, 0.0])
    child = m.expmap(parent, rows([0.0, 0.7]))
    k = math.sqrt(c) / 4  # 2K / (sqrt(c) |x|) = 1/2
    assert entailment_loss(m, parent, child, k).item() == pytest.approx(math.pi / 3, abs=1e-10)
    statistics = cone_statistics(m, parent, parent * 2, k)
    assert statistics.aperture == pytest.approx(math.pi / 6, abs=1e-12)
    assert statistics.angle == pytest.approx(0, abs=1e-12)
    assert (statistics.satisfied, statistics.saturated) == (1.0, 0.0)


def test_saturated_cones_are_counted() -> None:
    parent = rows([0.05, 0], [0.1, 0], [0.1001, 0], [3, 0])
    statistics = cone_statistics(Euclidean(), parent, parent + 1, 0.1)
    assert statistics.saturated == 0.5
    assert statistics.to_dict() == {
        "satisfied": statistics.satisfied,
        "aperture": statistics.aperture,
        "angle": statistics.angle,
        "saturated": 0.5,
    }


@pytest.mark.parametrize("name", [n for n, m in MANIFOLDS.items() if m().has_cones])
def test_the_loss_is_the_mean_of_the_hinge_and_statistics_are_its_parts(name: str) -> None:
    torch.manual_seed(0)
    m = MANIFOLDS[name]().double()
    x, y = m.random_normal(2, 40, 3, std=0.5, dtype=torch.float64).unbind(0)
    y = torch.cat([y[:20], m.expmap0(1.5 * m.logmap0(x[20:]))])
    angle, aperture = m.exterior_angle(x, y), m.half_aperture(x, 0.2)
    expected = torch.relu(angle - aperture).mean()
    torch.testing.assert_close(entailment_loss(m, x, y, 0.2), expected, rtol=1e-12, atol=0)
    statistics = cone_statistics(m, x, y, 0.2)
    assert statistics.satisfied == (angle <= aperture).double().mean().item() >= 0.5
    assert statistics.angle == pytest.approx(angle.mean().item())
    assert statistics.aperture == pytest.approx(aperture.mean().item())


def test_k_of_zero_is_the_plain_exterior_angle() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 9, 3, dtype=torch.float64).unbind(0)
    for m in (Euclidean(), Lorentz().double()):
        angle = m.exterior_angle(x, y).mean()
        torch.testing.assert_close(entailment_loss(m, x, y, 0.0), angle, rtol=0, atol=0)
        torch.testing.assert_close(entailment_loss(m, x, y, 1e-13), angle, rtol=0, atol=1e-11)
        statistics = cone_statistics(m, x, y, 0.0)
        assert statistics.aperture == 0 and statistics.angle == pytest.approx(angle.item())


@pytest.mark.parametrize("name", ["euclidean", "hyperbolic", "poincare"])
def test_gradients_reach_both_sides_and_the_curvature(name: str) -> None:
    torch.manual_seed(3)
    g = build_geometry(name, 2).double()
    f, h = (torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    scalars = [p for p in g.scalar_parameters() if p is not g.logit_scale]

    def loss(f: Tensor, h: Tensor, *scalars: Tensor) -> Tensor:
        return g.entailment_loss(g.lift(f, "text"), g.lift(h, "image"), 0.1)

    assert loss(f, h) > 0.1
    assert torch.autograd.gradcheck(loss, (f, h, *scalars), eps=1e-6, atol=1e-8, rtol=1e-6)
    loss(f, h).backward()
    assert f.grad is not None and h.grad is not None
    assert f.grad.norm() > 0 and h.grad.norm() > 0


def test_what_can_t_be_asked() -> None:
    x = torch.randn(3, 4)
    with pytest.raises(NotImplementedError, match="Sphere"):
        entailment_loss(Sphere(), x, x)
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"min_radius .* got"):
            entailment_loss(Euclidean(), x, x, bad)
    for call in (entailment_loss, cone_statistics):
        with pytest.raises(ValueError, match="at least one pair"):
            call(Euclidean(), x[:0], x[:0])


def test_linear_schedule_runs_from_start_to_end() -> None:
    assert linear_schedule(0, 10, 0.3, 0.1) == 0.3
    assert linear_schedule(10, 10, 0.3, 0.1) == 0.1
    assert linear_schedule(5, 10, 0.3, 0.1) == pytest.approx(0.2, abs=1e-15)
    assert all(linear_schedule(t, 7, 0.1, 0.1) == pytest.approx(0.1, abs=1e-15) for t in range(8))


@pytest.mark.parametrize(
    ("step", "fractions", "expected"),
    [
        (0, (0.0, 0.0), 0.2),
        (0, (0.0, 0.5), 0.0),
        (25, (0.0, 0.5), 0.1),
        (50, (0.0, 0.5), 0.2),
        (20, (0.2, 0.6), 0.0),
        (21, (0.2, 0.6), 0.005),
        (40, (0.2, 0.6), 0.1),
        (100, (0.2, 0.6), 0.2),
        (29, (0.3, 0.3), 0.0),
        (30, (0.3, 0.3), 0.2),
        (99, (1.0, 1.0), 0.0),
    ],
)
def test_the_weight_warms_up(step: int, fractions: tuple[float, float], expected: float) -> None:
    assert warmup_weight(step, 100, 0.2, *fractions) == pytest.approx(expected, abs=1e-15)


def test_schedules_refuse_what_lies_outside() -> None:
    for step, total in ((-1, 10), (11, 10), (0, 0)):
        with pytest.raises(ValueError, match=f"got {step} of {total}"):
            linear_schedule(step, total, 0.3, 0.1)
        with pytest.raises(ValueError, match=f"got {step} of {total}"):
            warmup_weight(step, total, 0.2, 0.0, 0.5)
    for fractions in ((-0.1, 0.5), (0.6, 0.5), (0.5, 1.5)):
        with pytest.raises(ValueError, match="start_fraction <= end_fraction"):
            warmup_weight(1, 10, 0.2, *fractions)
