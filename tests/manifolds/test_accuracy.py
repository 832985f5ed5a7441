"""Every operation against the high-precision reference, in the regimes of `manifolds.accuracy`.

A representative part runs here, all of them when slow tests do.
"""

import math

import mpmath
import pytest
import torch

from manifolds import PoincareBall, functional, lorentz_to_poincare, poincare_to_lorentz
from manifolds.accuracy.composed import MODELS
from manifolds.accuracy.exact import Span, digits, number
from manifolds.accuracy.measure import errors
from manifolds.accuracy.ours import operation
from manifolds.accuracy.regimes import EPS, Regime, regimes

# What no other library reaches, and what one word of float64 loses.
HARD = (
    "dist/gradient/lorentz/float32/radial/10",
    "dist/gradient/lorentz/float64/radial/20",
    "dist/gradient/lorentz/float64/general/40",
    "dist/gradient/lorentz/float64/radial/40",
    "dist/gradient/poincare/float32/general/16",
    "dist/gradient/poincare/float64/radial/36",
    "pairwise_dist/gradient/lorentz/float32/tangential/10",
    "expmap/gradient/lorentz/float64/inward off/20",
    "expmap/value/poincare/float64/inward off/25",
    "logmap/gradient/lorentz/float64/perpendicular/20",
    "logmap/gradient/lorentz/float64/radial/20",
    "transp/gradient/lorentz/float64/opposite/20",
    "transp/gradient/poincare/float64/far/36",
    "exterior_angle/gradient/lorentz/float64/axis/20",
)


def places() -> list[list[Regime]]:
    """Regimes that share their points, Hessian products apart."""
    found: dict[object, list[Regime]] = {}
    for regime in regimes():
        found.setdefault((regime.part == "second", *regime.place), []).append(regime)
    return list(found.values())


PLACES = places()
CHOSEN = [p for i, p in enumerate(PLACES) if i % 16 == 0 or any(r.name in HARD for r in p)]


def check(place: list[Regime]) -> None:
    first = place[0]
    with digits():
        worst = errors(place, {"ours": operation(first.quantity, first.manifold)})["ours"]
    for regime in place:
        assert worst[regime.part] <= regime.limit, f"{regime.name}: {worst[regime.part]:.3g} eps"


@pytest.mark.parametrize("place", CHOSEN, ids=lambda place: place[0].name)
def test_chosen_regimes(place):
    check(place)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0].name)
def test_all_regimes(place):
    check(place)


def test_the_hard_regimes_are_in_the_table():
    names = {regime.name for regime in regimes()}
    assert names.issuperset(HARD)


# --- laws of exactness that are no regimes ---


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_antipodes_of_the_sphere_are_pi_apart(dtype):
    torch.manual_seed(0)
    x = functional.sphere_projx(torch.randn(4, 5, dtype=dtype), 2.0)
    d = functional.sphere_dist(x, -x, 2.0)
    assert (d == torch.tensor(math.pi / math.sqrt(2), dtype=dtype)).all()


@pytest.mark.parametrize("c", [1e-12, 1e-8])
@pytest.mark.parametrize("name", ["lorentz", "poincare"])
def test_small_curvature_approaches_flat_space(name, c):
    torch.manual_seed(0)
    x, y = torch.randn(2, 5, dtype=torch.float64)
    flat = (2 if name == "poincare" else 1) * (x - y).norm()
    d = getattr(functional, f"{name}_dist")(x, y, c)
    assert d.item() == pytest.approx(flat.item(), rel=10 * c)


def test_ball_and_hyperboloid_are_isometric_to_the_last_digits():
    torch.manual_seed(0)
    for c in (0.1, 1.0, 10.0):
        x, y = (
            math.sinh(3) * torch.randn(2, 50, 8, dtype=torch.float64) / math.sqrt(8 * c)
        ).unbind()
        p, q = lorentz_to_poincare(x, c), lorentz_to_poincare(y, c)
        expected = functional.lorentz_dist(x, y, c)
        torch.testing.assert_close(functional.poincare_dist(p, q, c), expected, rtol=1e-13, atol=0)
        torch.testing.assert_close(poincare_to_lorentz(p, c), x, rtol=1e-12, atol=0)
        torch.testing.assert_close(
            PoincareBall(c=c).double().dist0(p), functional.lorentz_dist0(x, c), rtol=1e-14, atol=0
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["lorentz", "poincare"])
def test_derivative_for_the_curvature(name, dtype):
    torch.manual_seed(0)
    eps = EPS[str(dtype).removeprefix("torch.")]
    for value in (0.1, 1.0, 10.0):
        x, y = (0.3 * torch.randn(2, 4, dtype=torch.float64) / math.sqrt(value)).to(dtype)
        with digits(60):
            a, b = Span([x, y]).vectors
            expected = mpmath.diff(lambda t, a=a, b=b: MODELS[name](t).dist(a, b), number(value))
        for op in ("dist", "pairwise_dist"):
            c = torch.tensor(value, dtype=torch.float64, requires_grad=True)
            d = getattr(functional, f"{name}_{op}")(x[None], y[None], c)
            (grad,) = torch.autograd.grad(d.sum(), c)
            assert grad.item() == pytest.approx(float(expected), rel=1e4 * eps)


def test_no_overflow_or_underflow_at_the_ends_of_float32():
    big = torch.tensor(
        [[3e37, 1e37], [-3e37, 2e37], [1e-38, 1e-40], [0.0, 0.0]], requires_grad=True
    )
    for d in (
        functional.lorentz_pairwise_dist(big, big.detach(), 1.0),
        functional.lorentz_dist(big[:, None], big.detach(), 1.0),
        functional.euclidean_pairwise_dist(big, big.detach()),
    ):
        assert d.isfinite().all()
        (grad,) = torch.autograd.grad(d.sum(), big)
        assert grad.isfinite().all()
    with digits(200):
        x, y = Span([big[0].detach(), big[1].detach()]).vectors
        value = float(MODELS["lorentz"](1.0).dist(x, y))
    assert functional.lorentz_dist(big[0], big[1], 1.0).item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("operation", ["dist", "exterior_angle", "logmap", "expmap", "transp"])
@pytest.mark.parametrize("name", ["lorentz", "poincare"])
def test_float64_stays_finite_wherever_points_are(name, operation):
    """Also at coordinates of 1e140, and next to underflow."""
    sizes = (0.0, 1e-300, 1e-160, 1e-8, 0.7) + ((1e30, 1e140) if name == "lorentz" else ())
    rows = [[s, 0.5 * s] for s in sizes] + [[-s, 0.1 * s] for s in sizes]
    points = torch.tensor(rows, dtype=torch.float64)
    x, y = points[:, None], points[None]
    x, y = (p.expand(len(points), len(points), 2).clone().requires_grad_() for p in (x, y))
    arguments = {"expmap": (x, y.detach() * 1e-3 / (1 + y.detach().abs())), "transp": (x, y, y)}
    value = getattr(functional, f"{name}_{operation}")(*arguments.get(operation, (x, y)), 1.0)
    assert value.isfinite().all()
    for grad in torch.autograd.grad(value.sum(), [x, y], allow_unused=True):
        assert grad is None or grad.isfinite().all()
