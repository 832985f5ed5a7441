"""Distances to hyperplanes and the regressions made of them: definition, formula, limits."""

import math

import jaxtyping
import mpmath
import pytest
import torch
from mpmath import mpf
from spaces import make
from torch import Tensor
from torch.testing import assert_close

import manifolds
from manifolds import (
    MANIFOLDS,
    Euclidean,
    HyperplaneRegression,
    Manifold,
    PoincareBall,
    Product,
    PrototypeRegression,
    Sphere,
    convert,
    dist2plane,
    pairwise_dist2plane,
)

CASES = [(n, c) for n in MANIFOLDS for c in ((None,) if n == "euclidean" else (0.1, 1.0, 10.0))]
HYPERBOLIC = [name for name, kind in MANIFOLDS.items() if kind.curvature_sign < 0]
F64 = {"dtype": torch.float64}


@pytest.fixture(params=CASES, ids=lambda case: "-".join(str(v) for v in case if v))
def manifold(request: pytest.FixtureRequest) -> Manifold:
    """Every manifold on which there are hyperplanes: products have none."""
    name, c = request.param
    torch.manual_seed(0)
    return make(name, c=c).double()


@pytest.fixture
def unchecked():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def size(m: Manifold) -> float:
    """A length in proportion to the radius of curvature."""
    return 1.0 if m.curvature_sign == 0 else m.c.rsqrt().item()


def planes(m: Manifold, n: int = 6, d: int = 3, spread: float = 0.4) -> tuple[Tensor, ...]:
    """Points x and hyperplanes (p, a), a few tenths of the radius of curvature about the root."""
    x, p = m.random_normal(2, n, d, std=spread * size(m), **F64)
    a = m.from_frame(p, m.proju(m.origin(d, **F64), torch.randn(n, d, **F64)))
    return x, p, a.detach()  # which follows a learnable c


def within(m: Manifold, p: Tensor, a: Tensor, w: Tensor) -> Tensor:
    """The tangent vector at p with frame coordinates w, less its part along a."""
    w, unit = m.proju(m.origin(p.shape[-1], **F64), w), m.to_frame(p, a)
    unit = unit / unit.norm(dim=-1, keepdim=True)
    return m.from_frame(p, w - (w * unit).sum(-1, keepdim=True) * unit)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_the_distance_is_the_least_to_any_point_of_the_hyperplane(name):
    manifold = make(name, c=0.3).double()
    torch.manual_seed(0)
    x, p, a = planes(manifold)
    w = torch.zeros(6, 3, **F64, requires_grad=True)
    search = torch.optim.LBFGS(
        [w], max_iter=50, tolerance_grad=1e-9, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def squares() -> Tensor:
        on_it = manifold.expmap(p, within(manifold, p, a, w * size(manifold)))
        return manifold.dist2(x, on_it) / size(manifold) ** 2

    def closure() -> Tensor:
        search.zero_grad()
        total = squares().sum()
        total.backward()
        return total

    search.step(closure)
    least = squares().detach().sqrt() * size(manifold)
    assert_close(dist2plane(manifold, x, p, a), least, rtol=1e-7, atol=1e-9)


def test_along_the_normal_the_signed_distance_is_the_length_walked(manifold):
    _, p, a = planes(manifold)
    for t in (-1.2, -1e-3, 0.0, 1e-6, 0.7):
        t = t * size(manifold)
        x = manifold.geodesic_unit(t, p, a)
        signed = dist2plane(manifold, x, p, a, signed=True)
        assert_close(signed, torch.full_like(signed, t), rtol=1e-9, atol=1e-13 * size(manifold))
        assert_close(dist2plane(manifold, x, p, a), signed.abs(), rtol=0, atol=0)
        assert_close(dist2plane(manifold, x, p, -3 * a, signed=True), -signed)


def test_points_of_the_hyperplane_are_at_0(manifold):
    _, p, a = planes(manifold)
    x = manifold.expmap(p, within(manifold, p, a, torch.randn(6, 3, **F64) * size(manifold)))
    assert dist2plane(manifold, x, p, a).max() < 1e-14 * size(manifold) * 10


def ganea(x: list, p: list, a: list, c: mpf) -> mpf:
    """Signed distance of the ball in 50 digits, through -p (+) x (arXiv 1805.09112, eq. 24)."""
    px = -mpmath.fdot(p, x)
    pp, xx = mpmath.fdot(p, p), mpmath.fdot(x, x)
    bottom = 1 + 2 * c * px + c**2 * pp * xx
    z = [
        (-(1 + 2 * c * px + c * xx) * i + (1 - c * pp) * j) / bottom
        for i, j in zip(p, x, strict=True)
    ]
    s, length = mpmath.sqrt(c), mpmath.sqrt(mpmath.fdot(a, a))
    ratio = 2 * s * mpmath.fdot(z, a) / ((1 - c * mpmath.fdot(z, z)) * length)
    return mpmath.asinh(ratio) / s


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("spread", [1e-6, 0.5, 3.0])
def test_the_ball_agrees_with_ganea_in_50_digits(c, spread):
    m = PoincareBall(c=c).double()
    torch.manual_seed(0)
    x, p, a = planes(m, spread=spread)
    got = dist2plane(m, x, p, a, signed=True)
    size_of_both = m.dist0(x) + m.dist0(p)
    for i in range(len(x)):
        with mpmath.workdps(50):
            lists = [[mpf(v) for v in t[i].tolist()] for t in (x, p, a)]
            expected = float(ganea(*lists, mpf(c)))
        # A point that far out is itself known to eps sinh(s r) only.
        reach = math.sinh(math.sqrt(c) * size_of_both[i].item()) / math.sqrt(c)
        assert got[i].item() == pytest.approx(expected, abs=32 * 2.2e-16 * reach, rel=1e-13)


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_the_logits_are_equation_25(c):
    m = PoincareBall(c=c).double()
    model = HyperplaneRegression(m, 3, 5, **F64)
    x, p, _ = planes(m, n=5)
    model.points.data.copy_(p)
    logits = model(x)
    for i in range(5):
        for k in range(5):
            with mpmath.workdps(50):
                point, plane = ([mpf(v) for v in t.tolist()] for t in (x[i], p[k]))
                # a' at the root: coordinates are half of metric lengths there, lambda(0) = 2.
                at_root = [mpf(v) / 2 for v in model.normals[k].tolist()]
                factor = 2 / (1 - mpf(c) * mpmath.fdot(plane, plane))
                a = [2 / factor * v for v in at_root]
                expected = factor * mpmath.sqrt(mpmath.fdot(a, a)) * ganea(point, plane, a, mpf(c))
            assert logits[i, k].item() == pytest.approx(float(expected), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_the_logits_are_the_same_on_every_hyperbolic_model(c):
    x, p, _ = planes(MANIFOLDS["lorentz"](c=c).double(), n=7)
    normals = torch.randn(7, 3, **F64)
    seen = []
    for name in HYPERBOLIC:
        m = MANIFOLDS[name](c=c).double()
        model = HyperplaneRegression(m, 3, 7, **F64)
        model.points.data.copy_(convert(p, c, "lorentz", name))
        model.normals.data.copy_(normals)
        seen.append(model(convert(x, c, "lorentz", name)))
    for logits in seen[1:]:
        assert_close(logits, seen[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*HYPERBOLIC, "sphere"])
def test_as_c_goes_to_0_the_logits_become_linear(name):
    torch.manual_seed(0)
    u, at, normals = torch.randn(3, 4, 3, **F64)
    if name == "sphere":  # tangent vectors at the root
        u[:, 0] = at[:, 0] = normals[:, 0] = 0
    linear = u @ normals.mT - (at * normals).sum(-1)
    errors = []
    for c in (1e-4, 1e-6):
        m = MANIFOLDS[name](c=c, c_min=1e-9).double()
        root = m.origin(3, **F64)
        model = HyperplaneRegression(m, 3, 4, **F64)
        model.points.data.copy_(m.expmap0(m.from_frame(root, at)))
        model.normals.data.copy_(normals)
        errors.append((model(m.expmap0(m.from_frame(root, u))) - linear).abs().max().item())
    assert errors[0] < 1e-2
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.05)  # of order c


def test_euclidean_hyperplanes_are_ordinary_logistic_regression():
    model = HyperplaneRegression(Euclidean(), 3, 4)
    x = torch.randn(5, 3)
    a, p = model.normals, model.points
    assert_close(model(x), torch.nn.functional.linear(x, a, -(a * p).sum(-1)))


def test_pairs_equal_rows(manifold):
    x, p, a = planes(manifold, n=12, d=4, spread=0.6)
    for signed in (False, True):
        pairs = pairwise_dist2plane(manifold, x[:5], p, a, signed=signed)
        rows = dist2plane(manifold, x[:5, None], p, a, signed=signed)
        assert_close(pairs, rows, rtol=1e-11, atol=1e-13 * size(manifold))
    batched = pairwise_dist2plane(manifold, x.reshape(3, 4, 4), p[:2], a[:2])
    assert batched.shape == (3, 4, 2)
    assert pairwise_dist2plane(manifold, x[:0], p, a).shape == (0, 12)
    assert pairwise_dist2plane(manifold, x.float(), p.float(), a.float()).dtype == torch.float32


@pytest.mark.parametrize("name", HYPERBOLIC)
@pytest.mark.parametrize("radius", [6.0, 12.0])
def test_pairs_of_far_float32_points_are_as_exact_as_their_product_says(name, radius):
    m = MANIFOLDS[name]()
    torch.manual_seed(0)
    x, p = m.expmap0(
        torch.nn.functional.normalize(torch.randn(2, 30, 3), dim=-1)
        * radius
        / m.norm(m.origin(3), torch.tensor([0.0, 0.0, 1.0]))
    )
    a = m.from_frame(p, torch.randn(30, 3))
    m = m.double()
    x, p, a = x.double(), p.double(), a.double()
    pairs = pairwise_dist2plane(m, x, p, a, signed=True)
    rows = dist2plane(m, x[:, None], p, a, signed=True)
    # Both round their results, and the product what it cancels.
    allowed = math.cosh(radius) ** 2 / torch.cosh(rows) + radius
    assert ((pairs - rows).abs() <= 16 * 2.2e-16 * allowed).all()


def hard_places(m: Manifold) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    x, p, a = planes(m)
    root = m.origin(6, 3, **F64)
    normal = m.proju(root, torch.ones(6, 3, **F64))
    far = m.expmap0(m.logmap0(x) * (12 * size(m) / m.dist0(x)).unsqueeze(-1))
    places = {
        "x = p": (p, p, a),
        "x = p = root": (root, root, normal),
        "x on the plane": (
            m.expmap(p, within(m, p, a, torch.randn(6, 3, **F64) * size(m))),
            p,
            a,
        ),
    }
    if m.curvature_sign > 0:
        places["pole"] = (m.geodesic_unit(math.pi / 2 * size(m), p, a), p, a)
        places["antipode"] = (-p, p, a)
    else:
        places["far x"] = (far, p, a)
        places["far p"] = (x, far, m.from_frame(far, normal))
        places["far x = p"] = (far, far, m.from_frame(far, normal))
    return places


def test_gradients_are_finite_at_the_hard_places_and_of_length_1_at_x(manifold):
    for place, tensors in hard_places(manifold).items():
        for function, index in ((dist2plane, 0), (pairwise_dist2plane, 1)):
            x, p, a = (t.clone().requires_grad_() for t in tensors)
            value = function(manifold, x, p, a, signed=True)
            value = value if index == 0 else torch.diagonal(value)
            gradients = torch.autograd.grad(value.sum(), (x, p, a))
            assert value.isfinite().all(), place
            assert all(g.isfinite().all() for g in gradients), place
            if place in ("pole", "antipode") or "far" in place:
                continue
            length = manifold.norm(x, manifold.egrad2rgrad(x.detach(), gradients[0]))
            assert_close(length, torch.ones_like(length), rtol=1e-7, atol=0, msg=place)


def test_a_normal_of_length_0_is_at_0_with_gradient_0(manifold):
    x, p, a = planes(manifold)
    a = torch.zeros_like(a, requires_grad=True)
    value = dist2plane(manifold, x, p, a, signed=True)
    assert (value == 0).all()
    assert (torch.autograd.grad(value.sum(), a)[0] == 0).all()
    model = HyperplaneRegression(manifold, 3, 6, **F64)
    with torch.no_grad():
        model.normals.zero_()
    logits = model(x)
    assert (logits == 0).all()
    logits.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", ["lorentz", "poincare", "halfspace", "sphere"])
def test_derivatives_agree_with_differences_to_second_order(name):
    m = MANIFOLDS[name](c=0.7, learnable=True).double()
    x, p, a = (t[:2] for t in planes(m))

    def pairs(x: Tensor, p: Tensor, a: Tensor) -> Tensor:
        return pairwise_dist2plane(m, m.projx(x), m.projx(p), m.proju(m.projx(p), a), signed=True)

    tensors = tuple(t.clone().requires_grad_() for t in (x, p, a))
    assert torch.autograd.gradcheck(pairs, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(pairs, tensors, fast_mode=True)
    (slope,) = torch.autograd.grad(pairs(x, p, a).sum(), m.log_c)
    values = []
    for step in (-1e-6, 1e-6):
        with torch.no_grad():
            m.log_c += step
            values.append(pairs(x, p, a).sum().item())
            m.log_c -= step
    assert slope.item() == pytest.approx((values[1] - values[0]) / 2e-6, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("power", [1, 2])
def test_prototypes_score_by_distance(manifold, power):
    model = PrototypeRegression(manifold, 3, 4, power=power, **F64)
    with torch.no_grad():
        model.logit_scale.fill_(0.5)
    x, _, _ = planes(manifold)
    expected = -math.exp(0.5) * manifold.dist(x[:, None], model.points) ** power
    assert_close(model(x), expected)
    assert model(x[0]).shape == (4,)
    assert model(x[:0]).shape == (0, 4)
    assert model(x.reshape(2, 3, 3)).shape == (2, 3, 4)


@pytest.mark.parametrize("name", MANIFOLDS)
@pytest.mark.parametrize("kind", [HyperplaneRegression, PrototypeRegression])
def test_modules_learn_under_the_riemannian_optimizer(name, kind):
    torch.manual_seed(0)
    m = make(name, c=0.5, learnable=True)
    model = kind(m, 3, 2)
    u = m.logmap0(m.random_normal(60, 3, std=0.5)).detach()
    label = (m.dist(m.expmap0(u), m.expmap0(u[0])) > m.dist0(m.expmap0(u[0]))).long()
    optimizer = manifolds.optim.RiemannianAdam(model, lr=0.1)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(m.expmap0(u))
        assert logits.dtype == torch.float32
        losses.append(torch.nn.functional.cross_entropy(logits, label))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.85 * losses[0]
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    m.assert_check_point(model.points)
    twin = kind(make(name, c=0.5, learnable=True), 3, 2)
    twin.load_state_dict(model.state_dict())
    x = m.expmap0(u)
    assert_close(twin(x), model(x), rtol=0, atol=0)


def test_initial_values_are_those_of_the_generator():
    def model(kind: type, seed: int) -> torch.nn.Module:
        return kind(Sphere(), 4, 3, generator=torch.Generator().manual_seed(seed))

    for kind in (HyperplaneRegression, PrototypeRegression):
        first, same, other = (dict(model(kind, s).named_parameters()) for s in (0, 0, 1))
        assert all(torch.equal(first[name], same[name]) for name in first)
        assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_product_has_prototypes_and_no_hyperplanes():
    m = Product([PoincareBall(), Sphere()], dims=[2, 3])
    x = m.random_normal(4, 5)
    model = PrototypeRegression(m, 5, 3)
    assert_close(model(x), -m.dist(x[:, None], model.points).square())
    with pytest.raises(NotImplementedError, match=r"Product.*constant curvature"):
        HyperplaneRegression(m, 5, 3)
    with pytest.raises(NotImplementedError, match=r"Product\.dist2plane"):
        dist2plane(m, x, x, x)
    with pytest.raises(ValueError, match="dim must be 5 on Product, got dim=4"):
        PrototypeRegression(m, 4, 3)


def test_errors_name_the_argument_the_rule_and_the_value(unchecked):
    m = PoincareBall()
    x = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"dist2plane.*one last dimension.*x \(4, 3\), p \(4, 2\)"):
        dist2plane(m, x, torch.zeros(4, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"pairwise_dist2plane: expects float64 throughout"):
        pairwise_dist2plane(m, x.double(), x, x)
    with pytest.raises(ValueError, match="at least 2 classes, got classes=1"):
        HyperplaneRegression(m, 3, 1)
    with pytest.raises(ValueError, match="at least 2 on Sphere, got dim=1"):
        HyperplaneRegression(Sphere(), 1, 3)
    with pytest.raises(ValueError, match="power must be 1 or 2, got power=3"):
        PrototypeRegression(m, 3, 3, power=3)
    with pytest.raises(ValueError, match="std must be finite and not negative, got std=-1"):
        PrototypeRegression(m, 3, 3, std=-1)
    for kind in (HyperplaneRegression, PrototypeRegression):
        model = kind(m, 3, 2)
        with pytest.raises(ValueError, match=r"PoincareBall.*one last dimension.*x \(5, 2\)"):
            model(torch.zeros(5, 2))
        with pytest.raises(ValueError, match="float64 throughout"):
            model(x.double())
