"""Entailment cones: exact values, high-precision references, limits at the axis and the root."""

import math

import mpmath
import pytest
import torch
from torch.testing import assert_close

from manifolds import (
    Euclidean,
    Lorentz,
    PoincareBall,
    Sphere,
    functional,
    lorentz_to_poincare,
    poincare_to_lorentz,
)
from manifolds.rowwise import PASSES, compiled_passes, torch_passes

EPS = {torch.float32: 1.2e-7, torch.float64: 2.3e-16}
CONES = [Euclidean, Lorentz, PoincareBall]


def exact_exterior_angle(x: torch.Tensor, y: torch.Tensor, c: float) -> mpmath.mpf:
    """Lorentz exterior angle by the law of cosines (MERU, arXiv 2304.09172)."""
    with mpmath.workdps(120):
        x, y, c = (
            [mpmath.mpf(v) for v in x.tolist()],
            [mpmath.mpf(v) for v in y.tolist()],
            mpmath.mpf(c),
        )
        xx, yy, xy = mpmath.fdot(x, x), mpmath.fdot(y, y), mpmath.fdot(x, y)
        x_time, y_time = mpmath.sqrt(1 / c + xx), mpmath.sqrt(1 / c + yy)
        product = c * (xy - x_time * y_time)
        return mpmath.acos((y_time + x_time * product) / mpmath.sqrt(xx * (product**2 - 1)))


def on_manifold(cone: type, x: torch.Tensor) -> torch.Tensor:
    """Space components as a point of the manifold at c = 1."""
    return lorentz_to_poincare(x, 1.0) if cone is PoincareBall else x


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_exterior_angle_against_high_precision(dtype, c):
    torch.manual_seed(0)
    for dim in (2, 64):
        for radius in (1e-3, 0.3, 3.0, 8.0):
            scale = math.sinh(radius) / math.sqrt(c * dim)
            x, y = (scale * torch.randn(2, 4, dim, dtype=torch.float64)).to(dtype)
            y[2] = x[2] * (1 + 1e-3) + 1e-4 * y[2]
            angle = functional.lorentz_exterior_angle(x, y, c)
            pairs = functional.lorentz_pairwise_exterior_angle(x, y, c)
            for i in range(4):
                exact = float(exact_exterior_angle(x[i], y[i], c))
                assert angle[i].item() == pytest.approx(
                    exact, rel=32 * EPS[dtype], abs=16 * EPS[dtype]
                )
                assert pairs[i, i].item() == pytest.approx(
                    exact, rel=64 * EPS[dtype], abs=16 * EPS[dtype]
                )


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_ball_and_hyperboloid_have_the_same_cones(c):
    torch.manual_seed(0)
    hyperboloid, ball = Lorentz(c=c).double(), PoincareBall(c=c).double()
    x = hyperboloid.random_normal(30, 5, std=1 / math.sqrt(c), dtype=torch.float64)
    y = hyperboloid.random_normal(30, 5, std=2 / math.sqrt(c), dtype=torch.float64)
    p, q = lorentz_to_poincare(x, c), lorentz_to_poincare(y, c)
    assert_close(ball.half_aperture(p), hyperboloid.half_aperture(x), rtol=1e-12, atol=0)
    assert_close(
        ball.exterior_angle(p, q), hyperboloid.exterior_angle(x, y), rtol=1e-11, atol=1e-13
    )
    assert_close(
        ball.pairwise_exterior_angle(p, q),
        hyperboloid.pairwise_exterior_angle(x, y),
        rtol=1e-11,
        atol=1e-13,
    )
    assert_close(
        ball.pairwise_entailment_energy(p, q, 0.3),
        hyperboloid.pairwise_entailment_energy(x, y, 0.3),
        rtol=1e-11,
        atol=1e-12,
    )


def test_apertures_are_those_of_the_formulas():
    x = torch.tensor([[0.3, 0.4], [0.0, 0.1], [0.0, 0.05], [0.0, 0.0]], dtype=torch.float64)
    euclidean = Euclidean().half_aperture(x)
    assert_close(euclidean[0].item(), math.asin(0.2), rtol=1e-15, atol=0)
    assert euclidean[1:].tolist() == [math.pi / 2] * 3  # K at least the norm: a half space
    lorentz = functional.lorentz_half_aperture(x, 4.0, min_radius=0.1)
    assert_close(lorentz[0].item(), math.asin(0.2), rtol=1e-15, atol=0)  # 2K/(sqrt(c)|x|)
    assert lorentz[1:].tolist() == [math.pi / 2] * 3
    p = torch.tensor([0.0, 0.5], dtype=torch.float64)
    ganea = math.asin(0.1 * (1 - 0.25) / 0.5)
    assert_close(functional.poincare_half_aperture(p, 1.0).item(), ganea, rtol=1e-15, atol=0)


def test_figure_1_of_the_paper():
    """On y = K half aperture and polar angle agree; the cone at (K, K) is the shifted quadrant.

    arXiv 2409.13079.
    """
    m, k = Euclidean(), 0.1
    along = torch.linspace(0.05, 3, 20, dtype=torch.float64)
    x = torch.stack([along, torch.full_like(along, k)], dim=-1)
    assert_close(m.half_aperture(x, k), torch.atan2(x[:, 1], x[:, 0]), rtol=1e-14, atol=0)
    corner = torch.tensor([k, k], dtype=torch.float64)
    y = corner + torch.randn(200, 2, dtype=torch.float64)
    inside = m.entailment_energy(corner, y, k) <= 1e-12
    assert torch.equal(inside, (y >= corner).all(-1))


@pytest.mark.parametrize("cone", CONES)
def test_root_and_coincident_points_have_angle_and_gradient_zero(cone):
    m = cone().double()
    x = m.random_normal(3, 4, dtype=torch.float64)
    for a, b in (
        (torch.zeros_like(x), x),
        (x, x.clone()),
        (torch.zeros_like(x), torch.zeros_like(x)),
    ):
        a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
        for angle in (m.exterior_angle(a, b), m.pairwise_exterior_angle(a, b).diagonal()):
            assert (angle == 0).all()
            for grad in torch.autograd.grad(angle.sum(), (a, b)):
                assert (grad == 0).all()


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("cone", CONES)
def test_axis(cone, dtype):
    m = cone().to(dtype)
    x = on_manifold(cone, torch.tensor([0.5, 0.0], dtype=dtype))
    ahead = on_manifold(cone, torch.tensor([1.5, 0.0], dtype=dtype)).requires_grad_()
    behind = on_manifold(cone, torch.tensor([-1.5, 0.0], dtype=dtype))
    angle = m.exterior_angle(x, ahead)
    assert angle.item() == 0
    assert (torch.autograd.grad(angle, ahead)[0] == 0).all()
    assert m.exterior_angle(x, behind).item() == pytest.approx(math.pi, rel=EPS[dtype])


@pytest.mark.parametrize("cone", CONES)
@pytest.mark.parametrize(
    "dtype, offset",
    [(dtype, offset) for dtype in EPS for offset in (1e-3, 1e-6, 1e-12, 1e-30)]
    + [(torch.float64, 1e-200)],
)
def test_next_to_the_axis(cone, dtype, offset):
    m = cone().to(dtype)
    x = on_manifold(cone, torch.tensor([0.5, 0.0], dtype=dtype))
    ahead = on_manifold(cone, torch.tensor([1.5, 0.0], dtype=dtype))
    beside = (ahead + torch.tensor([0.0, offset], dtype=dtype)).requires_grad_()
    angle = m.exterior_angle(x, beside)
    (grad,) = torch.autograd.grad(angle, beside)
    assert angle.item() > 0
    assert grad.isfinite().all() and grad[1].item() > 0.1
    assert angle.item() == pytest.approx(grad[1].item() * offset, rel=1e-2)


@pytest.mark.parametrize("passes", [torch_passes, compiled_passes], ids=["torch", "compiled"])
@pytest.mark.parametrize("cone", CONES)
def test_one_unit_in_the_last_place_off_the_axis(cone, passes, monkeypatch):
    """In any direction: on the axis no gradient, the next float32 point beside it has all of it."""
    monkeypatch.setitem(PASSES, "cpu", passes)
    torch.manual_seed(0)
    x = on_manifold(cone, 0.02 * torch.randn(20, 512))
    on = 2 * x
    beside = on.clone()
    beside[:, 7] = torch.nextafter(on[:, 7], torch.ones(20))
    m, exact = cone(), cone().double()
    for y in (on, beside):
        points = [p.clone().requires_grad_() for p in (x, y)]
        grads = torch.autograd.grad(m.exterior_angle(*points).sum(), points)
        wide = [p.detach().double().requires_grad_() for p in points]
        for g, e in zip(
            grads, torch.autograd.grad(exact.exterior_angle(*wide).sum(), wide), strict=True
        ):
            assert ((g - e).norm(dim=-1) <= 32 * EPS[torch.float32] * e.norm(dim=-1)).all()
    assert (e.norm(dim=-1) > 0.1).all()


@pytest.mark.parametrize("cone", CONES)
def test_gradient_of_the_aperture_is_finite_everywhere(cone):
    m = cone().double()
    radii = torch.tensor([0.0, 1e-12, 0.1, 0.2, math.nextafter(0.2, 1), 0.5], dtype=torch.float64)
    x = on_manifold(cone, radii[:, None] * torch.tensor([0.6, 0.8])).requires_grad_()
    (grad,) = torch.autograd.grad(m.half_aperture(x).sum(), x)
    assert grad.isfinite().all()
    assert (grad[:2] == 0).all()


@pytest.mark.parametrize("cone", CONES)
def test_entailment_energy_is_the_angle_outside_the_cone(cone):
    m = cone().double()
    torch.manual_seed(0)
    x, y = m.random_normal(2, 50, 3, std=0.7, dtype=torch.float64)
    y[:25] = m.expmap0(m.logmap0(1.1 * x[:25]) + 0.1 * y[:25])
    energy = m.entailment_energy(x, y, 0.4)
    excess = m.exterior_angle(x, y) - m.half_aperture(x, 0.4)
    assert_close(energy, excess.clamp_min(0))
    assert 0 < (energy == 0).sum() < 50
    assert_close(m.pairwise_entailment_energy(x, y, 0.4).diagonal(), energy, rtol=1e-12, atol=1e-13)


def test_small_curvature_gives_the_euclidean_angle():
    x, y = torch.randn(2, 10, 3, dtype=torch.float64)
    for c in (1e-8, 1e-12):
        angle = functional.lorentz_exterior_angle(x, y, c)
        for i in range(10):
            exact = float(exact_exterior_angle(x[i], y[i], c))
            assert angle[i].item() == pytest.approx(exact, rel=1e-14)
    assert_close(angle, Euclidean().exterior_angle(x, y), rtol=1e-9, atol=1e-10)


def test_pairwise_cones_equal_the_elementwise_ones_in_float32():
    torch.manual_seed(0)
    for cone in CONES:
        m = cone()
        x, y = m.random_normal(2, 40, 8, std=0.6)
        y[:10] = m.expmap(x[:10], 1e-4 * torch.randn(10, 8))
        pairs, single = m.pairwise_exterior_angle(x, y), m.exterior_angle(x[:, None], y)
        assert_close(pairs, single, rtol=64 * 1.2e-7, atol=16 * 1.2e-7)


def test_a_manifold_without_cones_says_so():
    m, x = Sphere(), torch.eye(3)
    assert not m.has_cones
    for call in (
        lambda: m.half_aperture(x),
        lambda: m.exterior_angle(x, x),
        lambda: m.entailment_energy(x, x),
        lambda: m.pairwise_entailment_energy(x, x),
    ):
        with pytest.raises(NotImplementedError, match="Sphere"):
            call()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_min_radius_must_be_positive(bad):
    with pytest.raises(ValueError, match="min_radius"):
        Lorentz().half_aperture(torch.ones(2), bad)


def test_a_point_off_the_ball_has_no_angle():
    x, y = torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.5])
    assert functional.poincare_exterior_angle(x, y, 1.0).isnan()
    assert functional.poincare_exterior_angle(y, x, 1.0).isnan()
    assert poincare_to_lorentz(y, 1.0).isnan().all()
