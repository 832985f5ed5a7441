"""Products: parts, curvatures of the factors, nesting, errors, geoopt's optimizers."""

import copy
import math

import geoopt
import pytest
import torch
from torch.testing import assert_close

from manifolds import Euclidean, Lorentz, Manifold, PoincareBall, Product, Sphere


def product(**options: object) -> Product:
    return Product([Lorentz(c=2.0, **options), Sphere(c=0.5), Euclidean()], dims=[3, 2, 1])


def test_points_are_concatenated_and_squared_distances_add():
    m = product().double()
    x, y = m.random_normal(2, 5, 6, std=0.4, dtype=torch.float64)
    total = sum(
        f.dist(a, b).square() for f, a, b in zip(m.factors, m.split(x), m.split(y), strict=True)
    )
    assert_close(m.dist(x, y), total.sqrt())
    assert_close(m.dist2(x, y), total)
    assert m.dim == 6 and [p.shape[-1] for p in m.split(x)] == [3, 2, 1]
    assert m.origin(6).tolist() == [0, 0, 0, pytest.approx(math.sqrt(2)), 0, 0]
    assert repr(m).startswith("Product(3: Lorentz(c=2)")


def test_one_factor_at_the_same_place_does_not_spoil_the_gradient():
    m = product().double()
    x, y = m.random_normal(2, 6, dtype=torch.float64)
    y[:3] = x[:3]
    x.requires_grad_()
    (grad,) = torch.autograd.grad(m.dist(x, y), x)
    assert grad.isfinite().all() and (grad[:3] == 0).all() and grad[3:].abs().max() > 0


def test_it_has_no_curvature_of_its_own_but_every_factor_learns():
    m = product(learnable=True)
    with pytest.raises(AttributeError, match="Product: no c of its own"):
        _ = m.c
    with pytest.raises(AttributeError, match="nonsense"):
        _ = m.nonsense
    assert m.learnable and not product().learnable
    assert [n for n, p in m.named_parameters() if p.requires_grad] == ["factors.0.log_c"]
    x, y = m.random_normal(2, 4, 6)
    m.dist(x, y).sum().backward()
    assert m.factors[0].log_c.grad.abs() > 0
    assert m.at_bound() == {} and m.apply_bounds_() == {}
    with torch.no_grad():
        m.factors[0].log_c.fill_(50.0)
    assert m.apply_bounds_() == {"factors.0.c": "upper"} and m.apply_bounds_() == {}
    assert m.at_bound() == {"factors.0.c": "upper"}
    twin = product(learnable=True)
    twin.load_state_dict(m.state_dict())
    assert_close(twin.dist(x, y), m.dist(x, y))
    assert_close(copy.deepcopy(m).dist(x, y), m.dist(x, y))


def test_products_nest():
    inner = Product([PoincareBall(c=0.5), Euclidean()], dims=[2, 2])
    nested = Product([Lorentz(learnable=True), inner], dims=[3, 4]).double()
    flat = Product([Lorentz(), PoincareBall(c=0.5), Euclidean()], dims=[3, 2, 2]).double()
    x, y = flat.random_normal(2, 4, 7, dtype=torch.float64)
    assert_close(nested.dist(x, y), flat.dist(x, y), rtol=1e-14, atol=0)
    assert_close(nested.logmap(x, y), flat.logmap(x, y), rtol=1e-13, atol=1e-14)
    assert_close(nested.frechet_mean(x), flat.frechet_mean(x), rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        nested.factors[0].log_c.fill_(-50.0)
    assert nested.apply_bounds_() == {"factors.0.c": "lower"}
    outer = Product([nested], dims=[7])
    with torch.no_grad():
        nested.factors[0].log_c.fill_(-50.0)
    assert outer.apply_bounds_() == {"factors.0.factors.0.c": "lower"}


def test_check_point_names_the_factor():
    m = product()
    x = m.random_normal(4, 6)
    assert m.check_point(x) and m.check_vector(x, m.proju(x, torch.randn(4, 6)))
    bad = x.clone()
    bad[1:3, 3:5] *= 1.1
    ok, reason = m.check_point(bad, explain=True)
    assert not ok and reason.startswith("factor 1 (Sphere, coordinates 3:5): 2 of 4 points")
    with pytest.raises(ValueError, match=r"Product: not a point: factor 1 \(Sphere"):
        m.assert_check_point(bad)
    ok, reason = m.check_point(x[:, :5], explain=True)
    assert not ok and "the last dimension must be 6" in reason
    ok, reason = m.check_vector(x, x, explain=True)
    assert not ok and "factor 1 (Sphere" in reason


def test_wrong_construction_and_dimensions_are_named(unchecked):
    with pytest.raises(ValueError, match=r"Product: needs factors and as many dims, got 0"):
        Product([], dims=[])
    with pytest.raises(ValueError, match=r"got 1 factors and dims=\[1, 2\]"):
        Product([Euclidean()], dims=[1, 2])
    with pytest.raises(ValueError, match=r"dims\[1\] must be at least 2 on factor 1 \(Sphere\)"):
        Product([Euclidean(), Sphere()], dims=[1, 1])
    with pytest.raises(ValueError, match=r"dims\[0\] must be at least 1 on factor 0"):
        Product([Euclidean()], dims=[0])
    with pytest.raises(ValueError, match=r"factor 0 must be a manifold, got 3"):
        Product([3], dims=[1])
    with pytest.raises(ValueError, match=r"dims\[0\] must be 3 on factor 0 \(Product\), got 4"):
        Product([Product([Euclidean()], dims=[3])], dims=[4])
    m = product()
    for size in ((4, 5), (), (7,)):
        rule = r"d >= 1" if not size else r"end in 6 = sum of dims"
        with pytest.raises(ValueError, match=rf"Product.random_normal: size must .*{rule}"):
            m.random_normal(*size)
        with pytest.raises(ValueError, match=rf"Product.origin: size must .*{rule}"):
            m.origin(*size)
    x = torch.zeros(4, 5)
    with pytest.raises(ValueError, match=r"Product\.dist: the last dimension must be 6 = sum of"):
        m.dist(x, x)


def test_riemannian_adam_scales_every_factor_by_itself():
    """geoopt's optimizer sees each factor's own second moment: component_inner."""
    torch.manual_seed(0)
    m: Manifold = product()
    x, u = m.random_normal(2, 6), torch.randn(2, 6)
    u = m.proju(x, u)
    parts = m.component_inner(x, u)
    assert parts.shape == (2, 6)
    for f, p, v, inner in zip(m.factors, m.split(x), m.split(u), m.split(parts), strict=True):
        assert_close(inner, f.inner(p, v, keepdim=True).expand_as(inner))
    target = m.random_normal(3, 6, std=0.5)
    point = geoopt.ManifoldParameter(m.random_normal(3, 6, std=0.5), manifold=m)
    steps = geoopt.optim.RiemannianAdam([point], lr=0.1, stabilize=5)
    before = m.dist2(point, target).sum().item()
    for _ in range(30):
        steps.zero_grad()
        m.dist2(point, target).sum().backward()
        steps.step()
    assert m.dist2(point, target).sum().item() < 0.2 * before
    assert m.check_point(point.detach())
