"""Reductions to two dimensions against what is known: planes hidden in spaces, kept quantities."""

import math

import pytest
import torch

import geomclip
from geomclip.errors import RequestError
from geomclip.viz.reduce import METHODS, reduce
from geomclip.viz.reduce.cosne import similarities
from geomclip.viz.reduce.horopca import project
from geomclip.viz.reduce.plane import problem

GEOMETRIES = ["elliptic", "euclip", "meru", "poincare"]


def planar(name, n=150, dim=6, noise=0.0, seed=0):
    """A geometry, points in a random plane through its root, and their places in that plane."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    g = geomclip.build_geometry(name, dim).double()
    angle = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
    r = 0.1 + 1.2 * torch.rand(n, generator=generator, dtype=torch.float64)
    uv = r[:, None] * torch.stack([1.5 * angle.cos(), angle.sin()], -1)
    skip = 1 if name == "elliptic" else 0
    axes = torch.linalg.qr(normal(dim - skip, 2)).Q
    tangent = torch.nn.functional.pad(uv @ axes.mT + noise * normal(n, dim - skip), (skip, 0))
    if name == "elliptic":
        g.set_root_(g.manifold.origin(dim, dtype=torch.float64)[None].expand(2, -1),
                    torch.zeros(0, dim, dtype=torch.float64))  # fmt: skip
    length = 0.5 if name == "poincare" else 1.0  # a coordinate of the ball is half a length
    return g, g.manifold.expmap0(length * tangent), uv


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_plane_hidden_in_a_space_is_found(name):
    g, x, uv = planar(name)
    found = reduce(g, x)
    assert found.kept.distance > 1 - 1e-9 and found.kept.neighbours > 0.99
    assert found.plane == {"elliptic": "sphere", "euclip": "euclidean"}.get(name, "hyperbolic")
    xy = torch.from_numpy(found.xy)  # up to a rotation or a reflection
    torch.testing.assert_close(xy @ xy.mT, uv @ uv.mT, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["elliptic", "meru"])
def test_scaling_finds_the_distances(name):
    g, x, _ = planar(name, n=60)
    given = problem(g, x)
    found = METHODS["mds"](given, 0, steps=120)
    i, j = torch.triu_indices(60, 60, offset=1)
    error = given.plane.dist(found[i], found[j]) - given.dist(i, j)
    assert error.square().mean().sqrt() < 0.02 * given.dist(i, j).mean()


@pytest.mark.parametrize("method", ["tangent-pca", "horopca"])
def test_radial_pictures_have_the_true_root_distances(method):
    g, x, _ = planar("meru", n=60, noise=0.3)
    found = reduce(g, x, method)
    distance = g.root_distance(x)
    torch.testing.assert_close(torch.from_numpy(found.xy).norm(dim=-1), distance)
    assert found.kept.root_order > 1 - 1e-12 and found.radial


def test_curvature_scales_the_picture_and_no_more():
    g, x, _ = planar("meru", noise=0.2)
    with torch.no_grad():
        g.manifold.log_c.fill_(math.log(4.0))
    found = reduce(g, x)
    assert found.scale == pytest.approx(2.0)
    torch.testing.assert_close(
        torch.from_numpy(found.xy).norm(dim=-1) / found.scale, g.root_distance(x).detach()
    )


def test_horospherical_projection_keeps_both_busemann_functions():
    g, x, _ = planar("meru", noise=0.5)
    tangent = problem(g, x).tangent
    directions = torch.randn(2, 6, generator=torch.Generator().manual_seed(1)).double()
    unit = torch.nn.functional.normalize(directions, dim=-1)
    y = project(tangent, directions)
    first = unit[0]
    second = unit[1] - (unit[1] @ first) * first
    axes = torch.stack([first, second / second.norm()])
    plane = unit @ axes.mT

    def busemann(v, p):
        r = v.norm(dim=-1, keepdim=True)
        return (r.cosh() - (v / r * r.sinh()) @ p.mT).log()

    torch.testing.assert_close(busemann(y, plane), busemann(tangent, unit))
    # Nearer to the root than the other point that has these values: the root's side of p_1 p_2.
    assert (y.norm(dim=-1) <= tangent.norm(dim=-1) + 1e-9).all()


def test_horopca_spreads_points_more_than_the_axes_it_starts_from():
    g, x, _ = planar("meru", n=200, noise=0.5)
    given = problem(g, x)
    axes = METHODS["tangent-pca"](given, 0)
    start = project(given.tangent, torch.linalg.lstsq(given.tangent, axes).solution.mT)
    end = METHODS["horopca"](given, 0)

    def spread(xy):
        points = given.plane.points(xy)
        return given.plane.manifold.pairwise_dist(points, points).square().mean()

    assert spread(end) > 1.01 * spread(start)


def test_perplexity_is_what_was_asked_for():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
    p = similarities(torch.cdist(x, x).square(), 10.0)
    torch.testing.assert_close(p.sum(), torch.tensor(1.0).double())
    torch.testing.assert_close(p, p.mT)
    log = (-torch.cdist(x, x).square()[0, 1:] * 3).log_softmax(-1)  # some other width of one row
    other = -(log.exp() * log).sum().exp()
    assert p.diagonal().abs().max() == 0 and not torch.isclose(other, torch.tensor(10.0).double())


def test_cosne_keeps_clusters_apart():
    generator = torch.Generator().manual_seed(0)
    g = geomclip.build_geometry("meru", 8).double()
    centres = 2 * torch.nn.functional.normalize(torch.randn(3, 8, generator=generator).double())
    label = torch.arange(45) % 3
    tangent = centres[label] + 0.1 * torch.randn(45, 8, generator=generator).double()
    given = problem(g, g.manifold.expmap0(tangent))
    found = METHODS["co-sne"](given, 0, steps=60)
    error = found.norm(dim=-1) - given.radius
    assert error.abs().mean() < 0.2 * given.radius.mean()
    nearest = (torch.cdist(found, found) + 1e9 * torch.eye(45)).argmin(1)
    assert (label[nearest] == label).all()


def test_requests_that_make_no_picture_say_why():
    g, x, _ = planar("euclip", n=10)
    for ask, words in [
        (lambda: reduce(g, x, "tsne"), "no method"),
        (lambda: reduce(g, x[:2]), "needs three"),
        (lambda: reduce(g, x, "horopca"), "hyperbolic"),
        (lambda: reduce(g, x, "none"), "6 dimensions"),
    ]:
        with pytest.raises(RequestError, match=words):
            ask()


def test_points_of_two_dimensions_are_drawn_as_they_are():
    g = geomclip.build_geometry("euclip", 2).double()
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).double()
    found = reduce(g, x, "none")
    torch.testing.assert_close(torch.from_numpy(found.xy), x)
    assert found.kept.distance == pytest.approx(1) and "nothing was reduced" in found.sentence()


@pytest.mark.slow  # the library compiles itself at first use
def test_umap_keeps_clusters_apart_where_its_extra_is_installed():
    pytest.importorskip("umap")
    g = geomclip.build_geometry("meru", 6).double()
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.eye(6, dtype=torch.float64)[:3]
    spread = 0.1 * torch.randn(3, 40, 6, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        x = g.manifold.expmap0((centres[:, None] + spread).flatten(0, 1))
    found, again = (reduce(g, x, "umap", radial=False, seed=1).xy for _ in range(2))
    assert (found == again).all()
    # The ten nearest of a point are of its own cluster, and most of them its own nearest.
    distance = torch.cdist(torch.tensor(found), torch.tensor(found)).fill_diagonal_(torch.inf)
    nearest = distance.topk(10, largest=False).indices
    assert (nearest // 40 == torch.arange(120)[:, None] // 40).all()
