"""Maps between the hyperbolic models: 80-digit references, isometry, derivatives, errors."""

import itertools
import math

import jaxtyping
import mpmath
import pytest
import torch
from mpmath import mpf
from torch import Tensor
from torch.testing import assert_close

import manifolds
from manifolds import Lorentz, PoincareBall, UpperHalfSpace, convert, push, radius_limit
from manifolds.maps import CHARTS

EPS = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
CURVATURES = [1e-3, 0.1, 1.0, 10.0, 1e3]
PAIRS = list(itertools.permutations(CHARTS, 2))


@pytest.fixture(autouse=True)
def digits():
    with mpmath.workdps(80):
        yield


@pytest.fixture
def unchecked():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def points(r: float, c: float, dim: int, n: int = 6, dtype: torch.dtype = torch.float64) -> Tensor:
    """Space components at geodesic radius r / sqrt(c); two of them along the half-space's axis."""
    u = torch.randn(n, dim, dtype=torch.float64)
    u[0, :-1], u[1, :-1] = 1e-5, 1e-5
    u[0, -1], u[1, -1] = 1, -1
    return (u / u.norm(dim=-1, keepdim=True) * (math.sinh(r) / math.sqrt(c))).to(dtype)


def reference(source: str, x: list[mpf], c: mpf) -> dict[str, list[mpf]]:
    """One point in every chart, by projection of the unit hyperboloid in R^(1+d).

    Ball: from (-1, 0) onto the plane t = 0. Klein: from 0 onto t = 1. Half-space: horospherical
    coordinates, the height is the inverse of the product with the light ray (1, 0, ..., 0, 1).
    """
    s = mpmath.sqrt(c)
    x = [s * v for v in x]
    if source == "ambient":
        space = x[1:]
    elif source == "poincare":
        space = [2 * v / (1 - mpmath.fdot(x, x)) for v in x]
    elif source == "klein":
        space = [v / mpmath.sqrt(1 - mpmath.fdot(x, x)) for v in x]
    elif source == "halfspace":
        up = (mpmath.fdot(x, x) - 1) / (2 * x[-1])
        space = [*(v / x[-1] for v in x[:-1]), up]
    else:
        space = x
    time = mpmath.sqrt(1 + mpmath.fdot(space, space))
    height = 1 / (time - space[-1])
    charts = {
        "lorentz": space,
        "ambient": [time, *space],
        "poincare": [v / (1 + time) for v in space],
        "klein": [v / time for v in space],
        "halfspace": [*(v * height for v in space[:-1]), height],
    }
    return {name: [v / s for v in chart] for name, chart in charts.items()}


def error(got: Tensor, expected: list[mpf]) -> float:
    """Norm of the difference by the norm."""
    difference = [mpf(a) - b for a, b in zip(got.tolist(), expected, strict=True)]
    return float(mpmath.norm(difference) / mpmath.norm(expected))


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("source", CHARTS)
def test_every_map_is_exact_to_rounding(source, dtype):
    torch.manual_seed(0)
    limit = 1 if dtype == torch.float32 else 8  # float32 is computed in float64 and rounded once
    for c, r, dim in itertools.product(CURVATURES, (1e-6, 0.3, 3.0, 7.5), (2, 5)):
        c = torch.tensor(c).item()  # a float32 value: the half-space's root is rounded from it
        x = convert(points(r, c, dim, 4, dtype), c, "lorentz", source)
        for target in CHARTS:
            results = convert(x, c, source, target)
            assert results.dtype == dtype
            for point, got in zip(x, results, strict=True):
                expected = reference(source, [mpf(v) for v in point.tolist()], mpf(c))[target]
                allowed = limit * EPS[dtype] * 1.01
                if "halfspace" in (source, target):
                    # The root 1/sqrt(c) rounded to dtype, a shift by at most EPS / sqrt(c) along
                    # the vertical: as large as the rounding of a height near it.
                    root = mpf(torch.tensor(c, dtype=torch.float64).rsqrt().to(dtype).item())
                    scale = root * mpmath.sqrt(mpf(c))
                    if source == "halfspace":
                        moved = [mpf(v) / scale for v in point.tolist()]
                        expected = reference(source, moved, mpf(c))[target]
                    if target == "halfspace":
                        expected = [v * scale for v in expected]
                where = f"{source} -> {target}, c={c:g} r={r:g} d={dim}"
                # A difference of lengths of order 1 decides about a point near the root.
                lengths = 1 + (1 / math.tanh(r) if source == "halfspace" != target else 0)
                assert error(got, expected) <= allowed * lengths, where
                if target == "halfspace":  # the height alone too: it is the distance
                    assert abs(mpf(got[-1].item()) / expected[-1] - 1) <= allowed * 2, where


@pytest.mark.parametrize("c", CURVATURES)
def test_there_and_back_is_the_same_point(c):
    torch.manual_seed(0)
    for r in (1e-3, 1.0, 6.0):
        x = points(r, c, 4, 20)
        for source, target in PAIRS:
            start = convert(x, c, "lorentz", source)
            back = convert(convert(start, c, source, target), c, target, source)
            a, b = (convert(p, c, source, "lorentz") for p in (start, back))
            # A coordinate of size 1 in the ball, rounded, moves by cosh^2(r/2); in Klein by cosh^2.
            moved = manifolds.functional.lorentz_dist(a, b, c) * math.sqrt(c)
            worst = math.cosh(r) ** (2 if "klein" in (source, target) else 1)
            assert (moved <= 20 * EPS[torch.float64] * worst).all(), (source, target, r)


def test_named_maps_are_the_conversions():
    torch.manual_seed(0)
    x = points(1.5, 2.0, 3)
    for source, target in PAIRS:
        if "ambient" not in (source, target):
            named = getattr(manifolds, f"{source}_to_{target}")
            p = convert(x, 2.0, "lorentz", source)
            assert torch.equal(named(p, 2.0), convert(p, 2.0, source, target))
    assert torch.equal(manifolds.to_ambient(x, 2.0), convert(x, 2.0, "lorentz", "ambient"))
    assert torch.equal(manifolds.from_ambient(manifolds.to_ambient(x, 2.0)), x)
    for chart in CHARTS:
        assert torch.equal(convert(x[:, :3], 2.0, chart, chart)[:, -2:], x[:, -2:]) or (
            chart == "ambient"
        )


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_distances_and_cones_are_the_same_in_every_model(c):
    torch.manual_seed(0)
    models = {
        "lorentz": Lorentz(c=c).double(),
        "poincare": PoincareBall(c=c).double(),
        "halfspace": UpperHalfSpace(c=c).double(),
    }
    x, y = points(2.0, c, 4, 30), points(2.5, c, 4, 30)
    first = models["lorentz"]
    for name, m in models.items():
        p, q = convert(x, c, "lorentz", name), convert(y, c, "lorentz", name)
        assert_close(m.dist(p, q), first.dist(x, y), rtol=1e-13, atol=0)
        assert_close(m.dist0(p), first.dist0(x), rtol=1e-13, atol=0)
        assert_close(m.pairwise_dist(p, q), first.pairwise_dist(x, y), rtol=1e-12, atol=0)
        assert_close(m.half_aperture(p), first.half_aperture(x), rtol=1e-12, atol=0)
        for op in ("exterior_angle", "pairwise_exterior_angle"):
            assert_close(getattr(m, op)(p, q), getattr(first, op)(x, y), rtol=1e-12, atol=1e-14)
        # The tangent spaces at the root are the same, halved on the ball.
        half = 0.5 if name == "poincare" else 1.0
        assert_close(m.logmap0(p), half * first.logmap0(x), rtol=1e-12, atol=1e-13)
    k, m = convert(x, c, "lorentz", "klein"), convert(y, c, "lorentz", "klein")
    gaps = (1 - c * k.square().sum(-1)) * (1 - c * m.square().sum(-1))
    cosh = (1 - c * (k * m).sum(-1)) / gaps.sqrt()  # the cross ratio of Klein's model
    assert_close(torch.acosh(cosh) / math.sqrt(c), first.dist(x, y), rtol=1e-11, atol=0)


@pytest.mark.parametrize("c", [0.1, 10.0])
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_push_is_the_differential(source, target, c):
    torch.manual_seed(0)
    for x in (points(1.2, c, 3, 2), torch.zeros(1, 3, dtype=torch.float64)):
        p = convert(x, c, "lorentz", source)
        v = push(x, torch.randn_like(x), c, "lorentz", source)
        for point, vector in zip(p, v, strict=True):
            jacobian = torch.autograd.functional.jacobian(
                lambda z: convert(z, c, source, target), point
            )
            expected = jacobian @ vector
            scale = expected.norm()
            assert (push(point, vector, c, source, target) - expected).norm() <= 1e-12 * scale
        assert_close(push(p, v, c, source, source), v, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_pushed_vectors_keep_lengths_and_angles_far_out(c):
    torch.manual_seed(0)
    models = {"poincare": PoincareBall, "lorentz": Lorentz, "halfspace": UpperHalfSpace}
    models = {name: m(c=c).double() for name, m in models.items()}
    for r in (1e-4, 1.0, 15.0):
        p = convert(points(r, c, 5, 20), c, "lorentz", "poincare")
        u, v = (torch.randn_like(p) / models["poincare"].norm(p, p)[:, None] for _ in range(2))
        product = models["poincare"].inner(p, u, v)
        size = models["poincare"].norm(p, u) * models["poincare"].norm(p, v)
        for name, m in models.items():
            q = convert(p, c, "poincare", name)
            a, b = push(p, u, c, "poincare", name), push(p, v, c, "poincare", name)
            # A vector of the hyperboloid's chart is cosh(r) long where the metric says 1.
            limit = 1e-14 * (math.cosh(r) if name == "lorentz" else 1)
            assert ((m.inner(q, a, b) - product).abs() <= limit * size).all(), (name, r)


def test_exp_commutes_with_the_maps():
    torch.manual_seed(0)
    c = 2.0
    ball, half, lorentz = (m(c=c).double() for m in (PoincareBall, UpperHalfSpace, Lorentz))
    x = points(2.0, c, 4, 20)
    u = lorentz.transp0(x, torch.randn_like(x))
    end = lorentz.expmap(x, u)
    for name, m in (("poincare", ball), ("halfspace", half)):
        got = m.expmap(convert(x, c, "lorentz", name), push(x, u, c, "lorentz", name))
        assert (m.dist(got, convert(end, c, "lorentz", name)) < 1e-11).all()


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("chart", ["poincare", "klein"])
def test_points_beyond_the_rim_come_out_at_the_limit_and_can_be_counted(chart, dtype):
    torch.manual_seed(0)
    c, limit = 10.0, radius_limit(chart, dtype)
    m = Lorentz(c=c).double()
    inside, beyond = 0.9 * limit, 1.1 * limit
    x = torch.cat([points(inside, c, 6, 5), points(beyond, c, 6, 7)]).to(dtype)
    radius = m.dist0(x.double()) * math.sqrt(c)
    assert (radius > limit).sum() == 7
    back = convert(convert(x, c, "lorentz", chart), c, chart, "lorentz")
    moved = m.dist0(back.double()) * math.sqrt(c)
    assert_close(moved[:5], radius[:5], rtol=0.01, atol=0)
    # Rounding at the rim is a quarter of what is left of the radius there.
    assert_close(moved[5:], torch.full((7,), limit, dtype=torch.float64), rtol=0.06, atol=0)
    direction = torch.nn.functional.cosine_similarity(back[5:].double(), x[5:].double())
    assert (1 - direction < 1e-6).all()


def test_radius_limits():
    assert radius_limit("poincare", torch.float32) == 16
    assert radius_limit("klein", torch.float64) == 18
    assert radius_limit("klein", torch.bfloat16) == 8
    assert radius_limit("lorentz", torch.float32) == math.inf
    with pytest.raises(ValueError, match=r"charts are lorentz, .*'beltrami'"):
        radius_limit("beltrami", torch.float32)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_gradients_reach_points_vectors_and_curvature(source, target):
    torch.manual_seed(0)
    x = convert(points(1.0, 2.0, 3, 2), 2.0, "lorentz", source)
    v = torch.randn_like(x)
    c = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    inputs = (x.requires_grad_(), v.requires_grad_(), c)
    assert torch.autograd.gradcheck(
        lambda x, v, c: convert(x, c, source, target), inputs, fast_mode=True
    )
    assert torch.autograd.gradcheck(
        lambda x, v, c: push(x, v, c, source, target), inputs, fast_mode=True
    )
    root = convert(torch.zeros(1, 3, dtype=torch.float64), 2.0, "lorentz", source)
    for value in (
        convert(root.requires_grad_(), c, source, target),
        push(root, v[:1], c, source, target),
    ):
        for grad in torch.autograd.grad(value.sum(), (root, c), allow_unused=True):
            assert grad is None or grad.isfinite().all()


def test_the_root_is_the_root_in_every_dtype_at_every_curvature():
    for dtype, c in itertools.product(EPS, CURVATURES):
        root = UpperHalfSpace(c=c).to(dtype).origin(2, 3, dtype=dtype)
        c = UpperHalfSpace(c=c).to(dtype).c
        for target in ("lorentz", "poincare", "klein"):
            assert (convert(root, c, "halfspace", target) == 0).all()
            assert torch.equal(convert(torch.zeros_like(root), c, target, "halfspace"), root)


def test_what_does_not_fit_is_named(unchecked):
    x = torch.randn(4, 3) / 4
    with pytest.raises(ValueError, match=r"lorentz_to_klein: c must be positive.*-1"):
        manifolds.lorentz_to_klein(x, -1.0)
    with pytest.raises(ValueError, match=r"convert: charts are lorentz.*'upper'"):
        convert(x, 1.0, "lorentz", "upper")
    with pytest.raises(ValueError, match=r"lorentz_to_halfspace: .*d >= 2.*\(4, 1\)"):
        manifolds.lorentz_to_halfspace(x[:, :1], 1.0)
    with pytest.raises(ValueError, match=r"convert: .*d >= 2.*\(4, 2\)"):
        convert(x[:, :2], 1.0, "ambient", "halfspace")
    with pytest.raises(ValueError, match=r"from_ambient: .*1 \+ d.*\(4, 1\)"):
        manifolds.from_ambient(x[:, :1])
    with pytest.raises(ValueError, match=r"push: .*x \(4, 3\), v \(4, 2\)"):
        push(x, x[:, :2], 1.0, "lorentz", "klein")
    with pytest.raises(ValueError, match=r"poincare_to_klein: .*floating"):
        manifolds.poincare_to_klein(torch.ones(3, dtype=torch.long), 1.0)


def test_points_off_the_source_give_nan_and_empty_batches_are_empty():
    off = torch.tensor([[0.8, 0.8], [0.1, -0.5]])
    assert convert(off, 1.0, "poincare", "lorentz").isnan().any(-1).tolist() == [True, False]
    assert convert(off, 1.0, "klein", "halfspace").isnan().any(-1).tolist() == [True, False]
    assert convert(off, 1.0, "halfspace", "klein").isnan().any(-1).tolist() == [False, True]
    assert push(off, off, 1.0, "halfspace", "klein").isnan().any(-1).tolist() == [False, True]
    for source, target in PAIRS:
        shape = (0, 3 + (source == "ambient"))
        assert convert(torch.ones(shape), 1.0, source, target).shape == (
            0,
            3 + (target == "ambient"),
        )
