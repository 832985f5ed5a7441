"""To geoopt and back: the same curvature, distances and maps, and errors where there is no way."""

import math

import geoopt
import pytest
import torch
from torch.testing import assert_close

from manifolds import (
    Euclidean,
    Lorentz,
    PoincareBall,
    Product,
    Sphere,
    UpperHalfSpace,
    from_geoopt,
    points_from_geoopt,
    points_to_geoopt,
    to_geoopt,
    vectors_from_geoopt,
    vectors_to_geoopt,
)


def product() -> Product:
    return Product([Lorentz(c=2.0), Sphere(), PoincareBall(c=0.5), Euclidean()], [3, 4, 2, 3])


OURS = {
    "euclidean": Euclidean,
    "sphere": Sphere,
    **{f"lorentz-{c:g}": (lambda c=c: Lorentz(c=c)) for c in (0.1, 1.0, 10.0)},
    **{f"poincare-{c:g}": (lambda c=c: PoincareBall(c=c)) for c in (0.1, 1.0, 10.0)},
    "product": product,
    "nested": lambda: Product([product(), Lorentz(c=3.0)], [12, 2]),
}


@pytest.mark.parametrize("make", OURS.values(), ids=OURS)
def test_the_counterpart_measures_the_same(make):
    torch.manual_seed(0)
    m = make().double()
    theirs = to_geoopt(m)
    d = getattr(m, "dim", 4)
    x, y = m.random_normal(2, 20, d, std=0.3, dtype=torch.float64)
    p, q = points_to_geoopt(m, x), points_to_geoopt(m, y)
    theirs.assert_check_point(p)
    assert_close(theirs.dist(p, q), m.dist(x, y), rtol=1e-9, atol=1e-9)
    assert_close(points_from_geoopt(theirs, p), x, rtol=0, atol=0)
    u = m.logmap(x, y)
    v = vectors_to_geoopt(m, x, u)
    assert_close(v, theirs.logmap(p, q), rtol=1e-7, atol=1e-8)
    assert_close(theirs.expmap(p, v), q, rtol=1e-8, atol=1e-8)
    assert_close(vectors_from_geoopt(theirs, v), u, rtol=1e-14, atol=1e-15)
    product = theirs.inner(p, v, keepdim=True)[:, 0]  # without keepdim their ball broadcasts it
    assert_close(product, m.inner(x, u), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("make", OURS.values(), ids=OURS)
def test_there_and_back_is_the_same_manifold(make):
    for m in (make(), make().double()):
        back = from_geoopt(to_geoopt(m))
        assert type(back) is type(m)
        assert [type(a) for a in back.modules()] == [type(a) for a in m.modules()]
        for a, b in zip(m.parameters(), back.parameters(), strict=True):
            assert not b.requires_grad
            assert a.dtype == b.dtype or isinstance(m, Sphere)
            rtol = 1e-6 if a.dtype == torch.float32 else 1e-14
            assert_close(a.double(), b.double(), rtol=rtol, atol=1e-7)
        assert from_geoopt(m) is m
        if isinstance(m, Product):
            assert back.dims == m.dims


def test_curvature_is_theirs_and_goes_on_learning():
    ours = from_geoopt(geoopt.Lorentz(k=torch.tensor(4.0), learnable=True))
    assert isinstance(ours, Lorentz) and ours.c.item() == 0.25 and ours.learnable
    ours = from_geoopt(geoopt.PoincareBall(c=3.0, learnable=True))
    assert ours.c.item() == pytest.approx(3, rel=1e-6) and ours.learnable
    ours = from_geoopt(geoopt.Stereographic(k=torch.tensor(-0.5, dtype=torch.float64)))
    assert isinstance(ours, PoincareBall) and ours.c.item() == 0.5 and not ours.learnable
    assert ours.log_c.dtype == torch.float64
    for theirs in (geoopt.PoincareBallExact(c=2.0), geoopt.StereographicExact(k=-2.0)):
        assert from_geoopt(theirs).c.item() == pytest.approx(2, rel=1e-6)
    assert isinstance(from_geoopt(geoopt.SphereExact()), Sphere)
    # Beyond our default bounds, and where geoopt's own constructor overflows.
    assert from_geoopt(geoopt.Lorentz(k=1e-5)).c.item() == pytest.approx(1e5, rel=1e-6)
    m = PoincareBall(c=500.0, learnable=True)
    theirs = to_geoopt(m)
    assert theirs.c.item() == 500 and theirs.isp_c.requires_grad
    assert m.c.item() == pytest.approx(500)
    assert to_geoopt(Lorentz(c=4.0, learnable=True)).k.requires_grad


def test_half_precision_becomes_float32():
    x = torch.randn(3, 4).half() / 9
    assert points_to_geoopt(PoincareBall(), x).dtype == torch.float32
    assert points_to_geoopt(Lorentz(), x).shape == (3, 5)
    assert points_from_geoopt(geoopt.Lorentz(), torch.ones(0, 5)).shape == (0, 4)


def test_what_has_no_counterpart_is_named():
    with pytest.raises(ValueError, match=r"to_geoopt: geoopt's Sphere has c = 1.*c=4"):
        to_geoopt(Sphere(c=4.0))
    with pytest.raises(ValueError, match=r"to_geoopt: geoopt's Sphere has c = 1.*learnable"):
        to_geoopt(Sphere(c=1.0, learnable=True))
    with pytest.raises(ValueError, match=r"to_geoopt: UpperHalfSpace has no counterpart.*convert"):
        points_to_geoopt(UpperHalfSpace(), torch.ones(2, 3))
    for theirs, reason in (
        (geoopt.Euclidean(), r"Euclidean\(ndim=0\).*ndim=1"),
        (geoopt.Stereographic(k=0.0), r"Stereographic with k=0 has no counterpart.*k < 0"),
        (geoopt.SphereProjection(k=2.0), r"SphereProjection with k=2 has no counterpart"),
        (geoopt.Sphere(intersection=torch.eye(4)[:, :2]), "subspace"),
        (geoopt.Stiefel(), "Stiefel has no counterpart; known are"),
        (geoopt.Scaled(geoopt.Lorentz(), 2.0), "Scaled has no counterpart"),
        (geoopt.ProductManifold((geoopt.Sphere(), (2, 3))), r"vectors \(d,\).*\(2, 3\)"),
        (geoopt.ProductManifold((geoopt.Stiefel(), (3, 2))), r"vectors \(d,\)"),
    ):
        with pytest.raises(ValueError, match=rf"from_geoopt: .*{reason}"):
            from_geoopt(theirs)
    with pytest.raises(ValueError, match=r"3 \+ 4 \+ 2 \+ 3 = 12 coordinates, got shape \(2, 13\)"):
        points_to_geoopt(product(), torch.ones(2, 13))
    with pytest.raises(ValueError, match=r"4 \+ 4 \+ 2 \+ 3 = 13 coordinates, got shape \(2, 12\)"):
        points_from_geoopt(to_geoopt(product()), torch.ones(2, 12))


def test_a_geoopt_parameter_moves_over():
    """Training goes on with our manifold from a point that geoopt found."""
    torch.manual_seed(0)
    theirs = geoopt.Lorentz(k=torch.tensor(0.5, dtype=torch.float64))
    target = theirs.expmap0(torch.tensor([[0.0, 0.4, -0.3]], dtype=torch.float64))
    point = geoopt.ManifoldParameter(theirs.origin(1, 3, dtype=torch.float64), manifold=theirs)
    point.data = theirs.expmap0(torch.tensor([[0.0, -0.2, 0.9]], dtype=torch.float64))
    ours = from_geoopt(theirs)
    moved = geoopt.ManifoldParameter(points_from_geoopt(theirs, point.detach()), manifold=ours)
    aim = points_from_geoopt(theirs, target)
    steps = geoopt.optim.RiemannianSGD([moved], lr=0.2)
    for _ in range(40):
        steps.zero_grad()
        ours.dist2(moved, aim).sum().backward()
        steps.step()
    assert ours.dist(moved, aim).item() < 1e-6
    assert math.isclose(ours.c.item(), 2.0, rel_tol=1e-12)
