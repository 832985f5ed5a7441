"""Boosts, Möbius translations and rotations: laws, 60-digit references, and stability far out."""

import math

import jaxtyping
import mpmath
import pytest
import torch
from mpmath import mpf
from torch import Tensor
from torch.testing import assert_close

import manifolds
from manifolds import (
    Lorentz,
    PoincareBall,
    gyration,
    lorentz_boost,
    lorentz_to_poincare,
    lorentz_translate,
    mobius_add,
    mobius_scalar,
    rotate,
    rotation,
    to_ambient,
)

CURVATURES = [0.1, 1.0, 10.0]


@pytest.fixture
def unchecked():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def points(r: float, c: float, dim: int, n: int = 20) -> Tensor:
    """Space components at geodesic radius r / sqrt(c)."""
    u = torch.randn(n, dim, dtype=torch.float64)
    return u / u.norm(dim=-1, keepdim=True) * (math.sinh(r) / math.sqrt(c))


def boosted(x: Tensor, by: Tensor, c: float) -> list[mpf]:
    """x moved by the Lorentz matrix of `by`, with 60 digits."""
    with mpmath.workdps(60):
        x, by, c = [mpf(v) for v in x.tolist()], [mpf(v) for v in by.tolist()], mpf(c)
        x_time, by_time = (mpmath.sqrt(1 / c + mpmath.fdot(p, p)) for p in (x, by))
        share = mpmath.sqrt(c) * (
            x_time + mpmath.fdot(x, by) * mpmath.sqrt(c) / (1 + mpmath.sqrt(c) * by_time)
        )
        return [a + share * b for a, b in zip(x, by, strict=True)]


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_translations_agree_with_the_matrix_in_60_digits(c, dtype):
    torch.manual_seed(0)
    eps = torch.finfo(dtype).eps
    for r, limit in ((1e-3, 8), (0.9, 8), (3.0, 8), (10.0, 8)):
        by = points(r, c, 4, 8)
        for other in (1e-2, 1.0, 8.0):
            x = points(other, c, 4, 8)
            for a, b in ((x, by), (-by * (1 + 1e-9), by), (-by + 1e-7 * x, by)):
                a, b = a.to(dtype), b.to(dtype)
                # A pair that nearly meets along a ray is conditioned like cosh(r)^2.
                meets = dtype == torch.float64 and a is not x and r > 1
                allowed = limit * eps * (math.cosh(r) ** 2 if meets else 1)
                for got, p, q in zip(lorentz_translate(a, b, c), a, b, strict=True):
                    if torch.equal(p, -q):
                        assert (got == 0).all()
                        continue
                    expected = boosted(p, q, c)
                    with mpmath.workdps(60):
                        difference = [
                            mpf(v) - w for v, w in zip(got.tolist(), expected, strict=True)
                        ]
                        error = mpmath.norm(difference) / mpmath.norm(expected)
                    assert error <= allowed, (r, other, float(error) / eps)


@pytest.mark.parametrize("c", CURVATURES)
def test_a_boost_takes_the_root_to_its_point_and_back_at_any_radius(c):
    torch.manual_seed(0)
    for r in (1e-6, 0.5, 1.5, 10.0, 40.0):
        by = points(r, c, 5)
        root = torch.zeros_like(by)
        assert_close(lorentz_translate(root, by, c), by, rtol=1e-14, atol=0)
        assert (lorentz_translate(by, -by, c) == 0).all()
        # Near its point the translation back is an isometry to the last digits.
        m = Lorentz(c=c).double()
        y = m.expmap(by, m.transp0(by, points(0.3, c, 5)))
        moved = lorentz_translate(y, -by, c)
        if r <= 10:
            assert_close(m.dist0(moved), m.dist(by, y), rtol=1e-11, atol=0)


@pytest.mark.parametrize("c", CURVATURES)
def test_translations_keep_distances_and_have_inverses(c):
    torch.manual_seed(0)
    m = Lorentz(c=c).double()
    x, y, by = points(1.0, c, 4), points(2.0, c, 4), points(2.5, c, 4)
    x2, y2 = lorentz_translate(x, by, c), lorentz_translate(y, by, c)
    assert_close(m.dist(x2, y2), m.dist(x, y), rtol=1e-12, atol=0)
    assert_close(lorentz_translate(x2, -by, c), x, rtol=1e-11, atol=1e-12)
    # The differential at the root is transport along the ray.
    u = 1e-6 * torch.randn_like(x)
    moved = m.logmap(by, lorentz_translate(m.expmap0(u), by, c))
    assert_close(moved, m.transp0(by, u), rtol=1e-9, atol=1e-14)
    # A translation along a ray adds radii.
    ray = m.expmap0(3 * m.logmap0(x))
    assert_close(lorentz_translate(x, m.expmap0(2 * m.logmap0(x)), c), ray, rtol=1e-12, atol=0)


@pytest.mark.parametrize("c", CURVATURES)
def test_the_boost_matrix_is_a_lorentz_matrix_and_does_the_same(c):
    torch.manual_seed(0)
    x, by = points(1.0, c, 3), points(1.5, c, 3)
    matrix = lorentz_boost(by, c)
    metric = torch.diag(torch.tensor([-1.0, 1, 1, 1], dtype=torch.float64))
    assert_close(matrix.mT @ metric @ matrix, metric.expand(20, 4, 4), rtol=1e-12, atol=1e-12)
    assert torch.equal(matrix, matrix.mT)
    assert_close(torch.linalg.det(matrix), torch.ones(20, dtype=torch.float64))
    got = (matrix @ to_ambient(x, c).unsqueeze(-1)).squeeze(-1)
    assert_close(got, to_ambient(lorentz_translate(x, by, c), c), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("c", CURVATURES)
def test_mobius_addition_is_the_boost_seen_in_the_ball(c):
    torch.manual_seed(0)
    for r in (1e-3, 1.0, 5.0):
        x, by = points(r, c, 4), points(1.5, c, 4)
        p, q = lorentz_to_poincare(x, c), lorentz_to_poincare(by, c)
        expected = lorentz_to_poincare(lorentz_translate(x, by, c), c)
        assert_close(mobius_add(q, p, c), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("c", CURVATURES)
def test_gyrogroup_laws(c):
    torch.manual_seed(0)
    m = PoincareBall(c=c).double()
    x, y, z, w = (lorentz_to_poincare(points(r, c, 4), c) for r in (1.0, 2.0, 1.5, 0.5))

    def add(a: Tensor, b: Tensor) -> Tensor:
        return mobius_add(a, b, c)

    close = {"rtol": 1e-11, "atol": 1e-13}
    zero = torch.zeros_like(x)
    assert_close(add(zero, x), x, rtol=1e-15, atol=0)
    assert_close(add(x, zero), x, rtol=1e-15, atol=0)
    assert (add(-x, x) == 0).all()
    assert_close(add(-x, add(x, y)), y, **close)  # left cancellation
    assert_close(add(x, y), gyration(x, y, add(y, x), c), **close)  # gyrocommutative
    assert_close(add(x, add(y, z)), add(add(x, y), gyration(x, y, z, c)), **close)
    assert_close(m.dist(add(w, x), add(w, y)), m.dist(x, y), rtol=1e-12, atol=0)
    # The gyration is a rotation, its inverse is gyr[y, x], and it leaves what is across alone.
    turned = gyration(x, y, z, c)
    assert_close(turned.norm(dim=-1), z.norm(dim=-1), rtol=1e-14, atol=0)
    assert_close(gyration(y, x, turned, c), z, **close)
    assert_close(gyration(x, 0.5 * x, z, c), z, rtol=1e-14, atol=1e-16)
    assert_close(m.dist(turned, gyration(x, y, w, c)), m.dist(z, w), rtol=1e-12, atol=0)
    # Composition of translations: a translation after a rotation.
    once = add(add(x, y), gyration(x, y, z, c))
    assert_close(add(x, add(y, z)), once, **close)
    gap = (1 - c * x.square().sum(-1, keepdim=True)) / 2
    assert_close(m.expmap(x, gap * y), add(x, m.expmap0(y / 2)), **close)


@pytest.mark.parametrize("c", CURVATURES)
def test_mobius_multiples(c):
    torch.manual_seed(0)
    m = PoincareBall(c=c).double()
    x = lorentz_to_poincare(points(1.5, c, 4), c)
    close = {"rtol": 1e-13, "atol": 1e-15}
    assert_close(mobius_scalar(1, x, c), x, **close)
    assert (mobius_scalar(0.0, x, c) == 0).all()
    assert_close(mobius_scalar(2, x, c), mobius_add(x, x, c), **close)
    assert_close(mobius_scalar(-0.5, mobius_scalar(-2.0, x, c), c), x, **close)
    t = torch.linspace(-2, 2, 20, dtype=torch.float64)
    assert_close(m.dist0(mobius_scalar(t, x, c)), t.abs() * m.dist0(x), rtol=1e-12, atol=0)
    assert mobius_scalar(t[:, None], x, c).shape == (20, 20, 4)


def test_sums_of_opposite_points_at_the_rim_keep_their_digits():
    """(-x) (+) y for neighbours at radius 15: the plain formula has nothing left of them."""
    torch.manual_seed(0)
    m = PoincareBall().double()
    x = lorentz_to_poincare(points(15.0, 1.0, 4), 1.0)
    y = m.expmap(x, (1 - x.square().sum(-1, keepdim=True)) / 2 * 0.1 * torch.randn_like(x))
    assert_close(m.dist0(mobius_add(-x, y, 1.0)), m.dist(x, y), rtol=1e-13, atol=0)
    turned = gyration(-x, y, torch.randn_like(x), 1.0)
    assert turned.isfinite().all()
    far = mobius_add(x, x, 1.0)
    assert_close(m.dist0(far), torch.full((20,), 30.0, dtype=torch.float64), rtol=1e-3, atol=0)
    beyond = mobius_add(far, far, 1.0)  # radius 60 comes out at 36, the last there is
    assert_close(m.dist0(beyond), torch.full((20,), 36.0, dtype=torch.float64), rtol=0.02, atol=0)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, math.pi / 2, 3.0, math.pi - 1e-9, math.pi])
def test_rotations_turn_one_direction_to_another(angle):
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    u, across = basis[0], basis[1]
    v = math.cos(angle) * u + math.sin(angle) * across if angle < math.pi else -u
    matrix = rotation(3 * u, 0.1 * v)
    eye = torch.eye(5, dtype=torch.float64)
    assert_close(matrix @ matrix.mT, eye, rtol=0, atol=2e-15)
    assert torch.linalg.det(matrix).item() == pytest.approx(1, abs=1e-14)
    assert_close(matrix @ u, v, rtol=0, atol=3e-15)
    if 0 < angle < math.pi:  # only the plane of u and v turns
        assert_close(matrix @ basis[2:].T, basis[2:].T, rtol=0, atol=1e-6 * angle + 3e-15)
        assert torch.trace(matrix).item() == pytest.approx(3 + 2 * math.cos(angle), abs=1e-14)
    if angle == 0:
        assert_close(matrix, eye, rtol=0, atol=2e-15)


def test_rotations_keep_distances_and_commute_with_the_maps():
    torch.manual_seed(0)
    c = 2.0
    lorentz, ball = Lorentz(c=c).double(), PoincareBall(c=c).double()
    x, y = points(1.0, c, 4), points(2.0, c, 4)
    matrix = rotation(x, y)
    assert matrix.shape == (20, 4, 4)
    assert_close(lorentz.dist(rotate(x, matrix), rotate(y, matrix)), lorentz.dist(x, y))
    assert_close(lorentz.exterior_angle(rotate(x, matrix), y), 0 * x[:, 0], rtol=0, atol=1e-7)
    p, q = lorentz_to_poincare(x, c), lorentz_to_poincare(y, c)
    assert_close(ball.dist(rotate(p, matrix), rotate(q, matrix)), ball.dist(p, q))
    assert_close(rotate(p, matrix), lorentz_to_poincare(rotate(x, matrix), c))
    by = points(1.5, c, 4)  # R L_b = L_Rb R
    assert_close(
        rotate(lorentz_translate(x, by, c), matrix),
        lorentz_translate(rotate(x, matrix), rotate(by, matrix), c),
    )


def test_derivatives_and_dtypes():
    torch.manual_seed(0)
    c = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    for r in (0.3, 2.0):
        x, y, z = (points(r, 2.0, 3, 2).requires_grad_() for _ in range(3))
        p, q = (lorentz_to_poincare(v.detach(), 2.0).requires_grad_() for v in (x, y))
        for f, inputs in (
            (lorentz_translate, (x, y, c)),
            (lorentz_boost, (x, c)),
            (mobius_add, (p, q, c)),
            (lambda p, c: mobius_scalar(1.5, p, c), (p, c)),
            (gyration, (p, q, z, c)),
            (rotation, (x, y)),
            (lambda x, y: rotate(x, rotation(x, y)), (x, y)),
        ):
            assert torch.autograd.gradcheck(f, inputs, fast_mode=True)
    root = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    for f in (lorentz_translate, mobius_add):  # d/db at b = 0: the velocity of the flow, not 0
        assert torch.autograd.gradcheck(f, (p if f is mobius_add else x, root, c))
        assert torch.autograd.gradcheck(f, (root, root, c))
    low = points(1.0, 1.0, 3).half()
    assert lorentz_translate(low, low, 1.0).dtype == torch.float32
    assert mobius_add(low / 9, low / 9, 1.0).dtype == torch.float32


def test_what_does_not_fit_is_named(unchecked):
    x = torch.randn(4, 3) / 4
    with pytest.raises(ValueError, match=r"Lorentz.translate: .*\(4, 3\).*\(4, 2\)"):
        lorentz_translate(x, x[:, :2], 1.0)
    with pytest.raises(ValueError, match=r"PoincareBall.mobius_add: c must be positive.*0"):
        mobius_add(x, x, 0.0)
    with pytest.raises(ValueError, match=r"rotation: needs d >= 2, got shape \(4, 1\)"):
        rotation(x[:, :1], x[:, :1])
    with pytest.raises(ValueError, match=r"rotation: .* not 0, got 1 of 4"):
        rotation(x, x * torch.tensor([1.0, 1, 1, 0])[:, None])
    with pytest.raises(ValueError, match=r"rotate: .*\(\.\.\., d, d\).* matrix \(3, 2\)"):
        rotate(x, torch.randn(3, 2))
    with pytest.raises(ValueError, match=r"rotate: .* x \(4, 3\), matrix \(2, 2\)"):
        rotate(x, torch.eye(2))
    assert mobius_add(torch.tensor([0.8, 0.8]), torch.zeros(2), 1.0).isnan().all()
    assert manifolds.rotate(x[:0], torch.eye(3)).shape == (0, 3)
