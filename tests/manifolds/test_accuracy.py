"""Distances and maps against 120-digit references, in both dtypes: near pairs, far pairs, root and
rim.
"""

import math

import mpmath
import pytest
import torch
from mpmath import mpf
from torch import Tensor

from manifolds import PoincareBall, functional, lorentz_to_poincare, poincare_to_lorentz

EPS = {torch.float32: 1.2e-7, torch.float64: 2.3e-16}
SEPARATIONS = [1e-1, 1e-4, 1e-8, 1e-12]


@pytest.fixture(autouse=True)
def digits():
    with mpmath.workdps(120):
        yield


def exact(x: Tensor) -> list[mpf]:
    return [mpf(v) for v in x.tolist()]


def combine(p: mpf, x: list[mpf], q: mpf, y: list[mpf]) -> list[mpf]:
    return [p * a + q * b for a, b in zip(x, y, strict=True)]


def lorentz(x: Tensor, y: Tensor, c: float) -> tuple[mpf, list[mpf]]:
    """Distance by arcosh(-c<x, y>_L), and its gradient at x."""
    x, y, c = exact(x), exact(y), mpf(c)
    x_time, y_time = (mpmath.sqrt(1 / c + mpmath.fdot(p, p)) for p in (x, y))
    cosh = max(mpf(1), c * (x_time * y_time - mpmath.fdot(x, y)))
    if x == y:
        return mpf(0), [mpf(0)] * len(x)
    factor = mpmath.sqrt(c / (cosh**2 - 1))
    return mpmath.acosh(cosh) / mpmath.sqrt(c), combine(factor * y_time / x_time, x, -factor, y)


def poincare(x: Tensor, y: Tensor, c: float) -> tuple[mpf, list[mpf]]:
    """Distance by asinh, and its gradient at x."""
    x, y, c = exact(x), exact(y), mpf(c)
    step = combine(mpf(1), x, mpf(-1), y)
    gap = 1 - c * mpmath.fdot(x, x)
    length2 = mpmath.fdot(step, step)
    if not length2:
        return mpf(0), [mpf(0)] * len(x)
    s = mpmath.sqrt(c * length2 / (gap * (1 - c * mpmath.fdot(y, y))))
    factor = 2 * s / mpmath.sqrt(c * (1 + s**2))
    return 2 * mpmath.asinh(s) / mpmath.sqrt(c), combine(
        factor / length2, step, factor * c / gap, x
    )


def sphere(x: Tensor, y: Tensor, c: float) -> tuple[mpf, list[mpf]]:
    """Arc between the directions of x and y, and its gradient at x."""
    x, y, c = exact(x), exact(y), mpf(c)
    x_norm, y_norm = mpmath.norm(x), mpmath.norm(y)
    x, y = [v / x_norm for v in x], [v / y_norm for v in y]
    if x == y:
        return mpf(0), [mpf(0)] * len(x)
    cosine = mpmath.fdot(x, y)
    factor = 1 / (mpmath.sqrt(c * (1 - cosine**2)) * x_norm)
    return mpmath.acos(cosine) / mpmath.sqrt(c), combine(cosine * factor, x, -factor, y)


REFERENCE = {"lorentz": lorentz, "poincare": poincare, "sphere": sphere}


def pair(name: str, kind: str, r: float, separation: float, dim: int, c: float, dtype: torch.dtype):
    """Two points at geodesic radius r / sqrt(c), rounded to dtype before anything is computed."""
    u, w = torch.linalg.qr(torch.randn(dim, 2, dtype=torch.float64))[0].T

    def radius(r: float) -> float:
        return {"lorentz": math.sinh(r), "poincare": math.tanh(r / 2), "sphere": 1.0}[
            name
        ] / math.sqrt(c)

    x = radius(r) * u
    y = {
        "radial": radius(r * (1 + separation)) * u,
        "tangential": x + radius(r) * separation * w,
        "mixed": x
        + radius(r) * separation * torch.randn(dim, dtype=torch.float64) / math.sqrt(dim),
        "far": radius(r) * (0.6 * w - 0.8 * u),
        "antipodal": -x + radius(r) * separation * w,
    }[kind]
    if name == "sphere":
        y = y * radius(r) / y.norm()
    x, y = x.to(dtype), y.to(dtype)
    if name == "poincare":
        x, y = functional.poincare_projx(x, c), functional.poincare_projx(y, c)
    return x, y


def errors(name: str, x: Tensor, y: Tensor, c: float) -> tuple[float, float]:
    """Largest relative errors of value and gradient (in norm) over rows, for dist and
    pairwise_dist.
    """
    worst = worst_slope = 0.0
    references = [REFERENCE[name](a, b, c) for a, b in zip(x, y, strict=True)]
    for op in ("dist", "pairwise_dist"):
        a = x.clone().requires_grad_()
        d = getattr(functional, f"{name}_{op}")(a, y, c)
        d = d if op == "dist" else d.diagonal()
        (grad,) = torch.autograd.grad(d.sum(), a)
        for row, (value, slope) in enumerate(references):
            if value == 0:
                assert d[row].item() == 0 and (grad[row] == 0).all()
                continue
            worst = max(worst, float(abs(mpf(d[row].item()) - value) / value))
            difference = combine(mpf(1), exact(grad[row]), mpf(-1), slope)
            worst_slope = max(worst_slope, float(mpmath.norm(difference) / mpmath.norm(slope)))
    return worst, worst_slope


def check(name, kind, radii, limit, slope_limit, dtype, separations=SEPARATIONS) -> None:
    torch.manual_seed(0)
    for r in radii:
        for dim, c in ((2, 10.0), (64, 0.1)):
            pairs = [pair(name, kind, r, s, dim, c, dtype) for s in separations]
            x, y = (torch.stack(points) for points in zip(*pairs, strict=True))
            value, slope = errors(name, x, y, c)
            where = f"{name} {kind} r={r} d={dim} c={c}"
            assert value <= limit * EPS[dtype], f"{where}: {value / EPS[dtype]} eps"
            assert slope <= slope_limit * EPS[dtype], f"{where}: gradient {slope / EPS[dtype]} eps"


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("name", REFERENCE)
def test_near_pairs(name, dtype):
    """manifolds.md section 6, row 1: 16 eps for value and gradient, r <= 5, separations down to
    1e-12.
    """
    radii = (1.0,) if name == "sphere" else (1e-3, 0.1, 1.0, 5.0)
    kinds = ("tangential",) if name == "sphere" else ("tangential", "mixed")
    for kind in kinds:
        check(name, kind, radii, 16, 16, dtype)


@pytest.mark.parametrize("dtype", EPS)
def test_radial_near_pairs(dtype):
    check("poincare", "radial", (1e-3, 1.0, 5.0), 16, 16, dtype)
    # On the hyperboloid the gradient of a radial pair is conditioned like cosh(r)^2.
    check("lorentz", "radial", (1e-3, 0.1, 1.0), 16, 64, dtype)
    if dtype == torch.float32:  # computed in float64
        check("lorentz", "radial", (5.0, 10.0), 16, 64, dtype)
    else:
        check("lorentz", "radial", (10.0,), 1e-13 / EPS[dtype], math.inf, dtype)
        check("lorentz", "radial", (20.0,), 1e-8 / EPS[dtype], math.inf, dtype)


@pytest.mark.parametrize("dtype", EPS)
def test_far_pairs(dtype):
    """8 eps to r = 40 on the hyperboloid; on the ball 16 eps (gradient 32) to r = 16 and 36."""
    check("lorentz", "far", (0.1, 1.0, 10.0, 40.0), 8, 16, dtype, [1.0])
    ball = (1.0, 8.0, 16.0) if dtype == torch.float32 else (1.0, 8.0, 20.0, 36.0)
    check("poincare", "far", ball, 16, 32, dtype, [1.0])
    check("poincare", "mixed", ball, 16, 32, dtype)
    check("sphere", "far", (1.0,), 16, 16, dtype, [1.0])


@pytest.mark.parametrize("dtype", EPS)
def test_antipodes_of_the_sphere(dtype):
    check("sphere", "antipodal", (1.0,), 16, 32, dtype, [1e-1, 1e-3, 1e-5])
    x = functional.sphere_projx(torch.randn(4, 5, dtype=dtype), 2.0)
    d = functional.sphere_dist(x, -x, 2.0)
    assert (d == torch.tensor(math.pi / math.sqrt(2), dtype=dtype)).all()


@pytest.mark.parametrize("c", [1e-12, 1e-8])
@pytest.mark.parametrize("name", ["lorentz", "poincare"])
def test_small_curvature_approaches_flat_space(name, c):
    torch.manual_seed(0)
    x, y = torch.randn(2, 5, dtype=torch.float64)
    value, slope = errors(name, x[None], y[None], c)
    assert value <= 16 * EPS[x.dtype] and slope <= 16 * EPS[x.dtype]
    flat = (2 if name == "poincare" else 1) * (x - y).norm()
    assert getattr(functional, f"{name}_dist")(x, y, c).item() == pytest.approx(
        flat.item(), rel=10 * c
    )


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_maps_at_the_root(dtype, c):
    """exp0, log0: 16 eps at r <= 1, 128 eps at r = 20."""
    torch.manual_seed(0)
    root_c = mpmath.sqrt(mpf(c))
    for r, limit in ((1e-12, 16), (1e-3, 16), (1.0, 16), (10.0, 128), (20.0, 128)):
        for dim in (2, 64):
            u = torch.randn(dim, dtype=torch.float64)
            u = (u * r / (u.norm() * math.sqrt(c))).to(dtype)
            z = root_c * mpmath.norm(exact(u))
            cases = [(functional.lorentz_expmap0(u, c), u, mpmath.sinh(z) / z)]
            x = functional.lorentz_expmap0(u, c)
            z = root_c * mpmath.norm(exact(x))
            cases.append((functional.lorentz_logmap0(x, c), x, mpmath.asinh(z) / z))
            if r < 10 or dtype == torch.float64:
                z = root_c * mpmath.norm(exact(u / 2))
                p = functional.poincare_expmap0(u / 2, c)
                cases.append((p, u / 2, mpmath.tanh(z) / z))
                z = root_c * mpmath.norm(exact(p))
                cases.append((functional.poincare_logmap0(p, c), p, mpmath.atanh(z) / z))
            for got, base, factor in cases:
                difference = combine(mpf(1), exact(got), -factor, exact(base))
                error = mpmath.norm(difference) / (abs(factor) * mpmath.norm(exact(base)))
                assert error <= limit * EPS[dtype], (r, dim)


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


@pytest.mark.parametrize("dtype", EPS)
def test_derivative_for_the_curvature(dtype):
    torch.manual_seed(0)
    for name in ("lorentz", "poincare"):
        for value in (0.1, 1.0, 10.0):
            x, y = (0.3 * torch.randn(2, 4, dtype=torch.float64) / math.sqrt(value)).to(dtype)
            c = torch.tensor(value, dtype=torch.float64, requires_grad=True)
            expected = mpmath.diff(lambda t, n=name, a=x, b=y: REFERENCE[n](a, b, t)[0], mpf(value))
            for op in ("dist", "pairwise_dist"):
                d = getattr(functional, f"{name}_{op}")(x[None], y[None], c)
                (grad,) = torch.autograd.grad(d.sum(), c)
                assert grad.item() == pytest.approx(float(expected), rel=1e4 * EPS[dtype])


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
    value, _ = lorentz(big[0].detach(), big[1].detach(), 1.0)
    assert functional.lorentz_dist(big[0], big[1], 1.0).item() == pytest.approx(
        float(value), rel=1e-6
    )
