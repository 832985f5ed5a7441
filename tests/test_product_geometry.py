"""Geometries on products, by name and built by hand: every part agrees with the factors'."""

import pytest
import torch
from torch.testing import assert_close

import geomclip
import manifolds
from geomclip.geometry import PRODUCT, Geometry
from geomclip.losses import info_nce
from geomclip.names import factors
from geomclip.results import Variant
from geomclip.viz import style

NAME = "lorentz3xsphere3xeuclidean2xpoincare2xhalfspace2"


def features(n: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    f, h = 2 * torch.randn(2, n, 12, dtype=torch.float64)
    return f, h


def test_a_name_lists_factors_and_dimensions():
    assert factors("lorentz3xsphere12") == [("lorentz", 3), ("sphere", 12)]
    assert factors("meru") == factors("lorentz3") == factors("clipxmeru") == []
    g = geomclip.build_geometry(NAME, 12, c_init=2.0, learn_c=False)
    assert [m.name for m in g.manifold.factors] == [
        "Lorentz", "Sphere", "Euclidean", "PoincareBall", "UpperHalfSpace",
    ]  # fmt: skip
    assert g.manifold.dims == (3, 3, 2, 2, 2) and g.scalars()["factors.1.c"] == 2
    assert [p for p in g.scalar_parameters() if p.requires_grad] == [
        g.logit_scale, *g.log_alpha.values(),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no entailment cones"):
        geomclip.build_geometry(NAME, 12, entailment=True)
    assert style.label(Variant("lorentz3xsphere12", 0.0)) == "Lorentz 3 × Sphere 12"
    assert style.colour(Variant(NAME, 0.0)) == "var(--g-product)"


def test_the_lift_keeps_lengths_and_the_logits_are_distances_of_the_product():
    g = geomclip.build_geometry(NAME, 12, c_init=0.5).double()
    f, h = features()
    x, y = g.lift(f, "image"), g.lift(h, "text")
    assert g.manifold.check_point(x)
    u = (g.alpha("image") * f).detach().clone()
    u[:, 3] = 0  # the sphere's coordinate along the root
    assert_close(g.root_distance(x).detach(), u.norm(dim=-1), rtol=1e-12, atol=0)
    squares = sum(
        m.pairwise_dist(a, b).square()
        for m, a, b in zip(
            g.manifold.factors, g.manifold.split(x), g.manifold.split(y), strict=True
        )
    )
    assert_close(g.logits(x, y), -g.logit_scale.exp() * squares.sqrt(), rtol=1e-12, atol=1e-13)
    prototype = g.prototype(torch.stack([f, f], 1), "image")
    assert_close(prototype, x, rtol=1e-14, atol=1e-15)
    assert_close(g.root_distance(g.root), torch.zeros((), dtype=torch.float64), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["hyperbolic", "poincare"])
def test_a_product_of_one_is_the_geometry_of_that_manifold(name):
    alone = geomclip.build_geometry(name, 12).double()
    product = manifolds.Product([alone.manifold], dims=[12])
    g = Geometry(PRODUCT, product, 12).double()
    f, h = features()
    x, y = g.lift(f, "image"), g.lift(h, "text")
    assert_close(x, alone.lift(f, "image"), rtol=1e-15, atol=1e-16)
    assert_close(g.logits(x, y), alone.logits(x, y), rtol=1e-13, atol=1e-13)
    assert g.scalars()["factors.0.c"] == alone.scalars()["c"]


def test_the_linear_memory_loss_is_that_of_the_logits_with_every_gradient():
    g = geomclip.build_geometry(NAME, 12).double()
    f, h = features(30)
    results = []
    for memory in ("plain", "tiled"):
        loss = info_nce(g, g.lift(f, "image"), g.lift(h, "text"), memory=memory)
        results.append((loss, *torch.autograd.grad(loss, g.scalar_parameters())))
    assert_close(results[0], results[1], rtol=1e-11, atol=1e-13)
    assert all(t.abs() > 1e-6 for t in results[0]) and len(results[0]) == 1 + len(g.scalars())


def test_a_product_built_by_hand_needs_its_dimension():
    product = manifolds.Product([manifolds.Lorentz(), manifolds.Sphere()], dims=[4, 4])
    assert Geometry(PRODUCT, product, 8).lift(torch.ones(2, 8), "text").shape == (2, 8)
    with pytest.raises(ValueError, match=r"mine: its factors have 4 \+ 4 = 8 .* features have 9"):
        Geometry(PRODUCT, product, 9, name="mine")
    g = Geometry(PRODUCT, manifolds.UpperHalfSpace(), 3)  # and any other manifold with a root
    assert_close(g.root_distance(g.lift(torch.eye(3), "image")), torch.full((3,), 3**-0.5))


def test_nearest_neighbours_in_a_product():
    from geomclip.analysis.neighbors import nearest

    g = geomclip.build_geometry(NAME, 12).double()
    f, h = features()
    x, y = g.lift(f, "image").detach(), g.lift(h, "text").detach()
    found = nearest(g, x, y, 3)
    expected = g.manifold.pairwise_dist(x, y).topk(3, largest=False)
    assert torch.equal(found.index, expected.indices)
