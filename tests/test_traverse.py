"""Ways and what is met on them: laws of the paths, a plane worked by hand, a plain loop."""

import math

import pytest
import torch

import geomclip
from geomclip.envelope import reaches
from geomclip.errors import GeomclipError, RequestError
from geomclip.traverse import (
    ROOT,
    Met,
    Traversal,
    traversal_statistics,
    traverse,
    way,
)

NAMES = [
    "clip", "elliptic", "euclidean", "euclidean-squared", "euclidean-inner", "hyperbolic",
    "hyperbolic-squared", "hyperbolic-inner", "poincare", "lorentz3xsphere2",
]  # fmt: skip


def space(name: str, n: int = 12):
    """A geometry and points on it, with a root where it needs one."""
    g = geomclip.build_geometry(name, 5).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        x = g.lift(2 * torch.randn(n, 5, generator=generator).double(), "image")
        g.set_root_(x, x)
    return g, x


@pytest.mark.parametrize("path", ["published", "geodesic"])
@pytest.mark.parametrize("name", NAMES)
def test_a_way_lies_on_the_manifold_and_ends_where_it_should(name, path):
    g, x = space(name)
    with torch.no_grad():
        ways = way(g, x[:6], x[6:], 9, path)
        assert ways.shape == (6, 9, 5)
        assert torch.allclose(ways[:, 0], x[:6], atol=1e-9)
        assert torch.allclose(ways[:, -1], x[6:], atol=1e-9)
        assert g.manifold.check_point(ways)
        if path == "geodesic":
            steps = g.manifold.dist(ways[:, 1:], ways[:, :-1])
            total = g.manifold.dist(x[:6], x[6:])
            assert torch.allclose(steps, total[:, None] / 8)


@pytest.mark.parametrize("name", NAMES)
def test_to_the_root_the_published_way_is_the_geodesic(name):
    g, x = space(name)
    with torch.no_grad():
        root = g.root.expand_as(x)
        a, b = way(g, x, root, 12), way(g, x, root, 12, "geodesic")
        if g.spec.root == "origin":
            assert torch.allclose(a, b, atol=1e-9)
        else:
            # The same arc at other times: no detour.
            detour = g.manifold.dist(x[:, None], a) + g.manifold.dist(a, root[:, None])
            assert torch.allclose(detour, g.manifold.dist(x, root)[:, None], atol=1e-7)


def test_a_plane_worked_by_hand():
    g = geomclip.build_geometry("euclidean", 2).double()
    texts = ["near the picture", "half the way", "off the way"]
    points = torch.tensor([[3.0, 0], [2.0, 0.1], [0.0, 9.0]]).double()
    (found,) = traverse(g, torch.tensor([[4.0, 0]]).double(), texts, points, steps=5)
    assert found.names == ("near the picture", "half the way", ROOT)
    assert found.captions == found.names[:2]
    # At 4 and 3 the first is nearest, at 2 the second, at 1 the root (distance 1 against 1.005).
    assert [m.at for m in found.met] == [0, 0.5, 0.75]
    assert found.met[0].score == -1 and found.met[2].row == -1
    twice = traverse(
        g, torch.tensor([[4.0, 0]]).double(), [*texts, texts[0]], points[[0, 1, 2, 1]], steps=5
    )
    assert len(twice[0].met) == len(set(twice[0].names))


@pytest.mark.parametrize(
    ("name", "min_radius"), [("euclidean", 0.3), ("hyperbolic", 0.0), ("hyperbolic", 0.3)]
)
def test_ways_are_those_of_a_plain_loop(name, min_radius):
    g, x = space(name, 14)
    images, points = x[:4], 0.4 * x[4:]
    texts = [f"text {i}" for i in range(len(points))]
    found = traverse(g, images, texts, points, steps=6, min_radius=min_radius)
    m = g.manifold
    with torch.no_grad():
        for image, got in zip(images, found, strict=True):
            expected = []
            for p in way(g, image[None], g.root[None], 6)[0]:
                scores = g.score(p[None], points)[0]
                if min_radius:
                    outside = m.exterior_angle(points, p) > m.half_aperture(points, min_radius)
                    scores[outside] = -torch.inf
                root = g.score(p[None], g.root[None]).item()
                name_of = ROOT if root > scores.max() else texts[int(scores.argmax())]
                if name_of not in expected:
                    expected.append(name_of)
            assert list(got.names) == expected


@pytest.mark.parametrize("path", ["published", "geodesic"])
@pytest.mark.parametrize("to", ["root", "picture"])
@pytest.mark.parametrize("name", NAMES)
def test_the_envelope_has_the_texts_of_all_scores(name, to, path, monkeypatch):
    g, x = space(name, 70)
    # Shrunk toward the root, so that many are met; two texts share a point.
    m = g.manifold
    with torch.no_grad():
        pool = m.geodesic(torch.linspace(0.1, 0.9, 40).double(), g.root.expand(40, 5), x[30:])
    pool[7] = pool[3]
    texts = [f"text {i}" for i in range(40)]
    end = x[20:30] if to == "picture" else None
    found = [traverse(g, x[:10], texts, pool, end=end, path=path)]
    monkeypatch.setattr("geomclip.traverse.reaches", lambda *_, **__: False)
    found.append(traverse(g, x[:10], texts, pool, end=end, path=path))
    # Inner products with points of a line through 0 are in one order all along it.
    alone = name == "euclidean-inner" and to == "root"
    assert max(len(t.met) for t in found[0]) > (1 if alone else 3)
    assert not alone or all(len(t.captions) == 1 and t.names[-1] == ROOT for t in found[0])
    for a, b in zip(*found, strict=True):
        assert [(one.row, one.at) for one in a.met] == [(one.row, one.at) for one in b.met]
        assert [one.score for one in a.met] == pytest.approx([one.score for one in b.met], abs=1e-9)


def test_far_out_and_off_lines_all_scores_are_asked():
    g = geomclip.build_geometry("hyperbolic", 2).double()
    near, far = torch.tensor([[1.0, 0.5]]).double(), torch.tensor([[math.sinh(11.0), 0.0]]).double()
    origin = g.root[None].detach()
    assert reaches(g, near, origin, near, published=True)
    assert not reaches(g, far, origin, near, published=True)
    assert not reaches(g, near, origin, far, published=True)
    assert not reaches(g, near, near, near, published=True)
    assert reaches(g, near, near, near, published=False)
    assert not reaches(
        geomclip.build_geometry("lorentz3xsphere2", 5), *[torch.ones(1, 5)] * 3, published=True
    )


def test_from_picture_to_picture_and_from_another_root():
    g, x = space("clip")
    texts = [str(i) for i in range(12)]
    found = traverse(g, x[:2], texts, x, end=x[2:4], steps=30)
    assert [t.met[0].text for t in found] == ["0", "1"]
    assert [t.met[-1].text for t in found] == ["2", "3"]
    to_text = traverse(g, x[:2], texts, x, root=x[5], steps=30)
    # The root is a candidate beside the text that lies there: a tie goes to the text.
    assert all(t.met[-1].text == "5" for t in to_text)


def test_what_can_not_be_walked_is_refused():
    g = geomclip.build_geometry("clip", 4)
    x = torch.eye(4)
    with pytest.raises(GeomclipError, match="has not been set"):
        traverse(g, x, ["a"], x[:1])
    with pytest.raises(RequestError, match="no cones to filter by"):
        traverse(g, x, ["a"], x[:1], min_radius=0.1)
    with pytest.raises(ValueError, match="1 points are opposite"):
        way(g, x[:1], -x[:1])
    with pytest.raises(RequestError, match="no texts"):
        traverse(g, x, [], x[:0], root=x[0])
    with pytest.raises(RequestError, match="a way of 1 points"):
        way(g, x, x[:1], 1)


def test_statistics_count_captions_and_ways_that_meet_the_root_alone():
    def walk(*texts: str) -> Traversal:
        return Traversal(tuple(Met(t, 0.0, 0.0, -1 if t == ROOT else 1) for t in texts))

    ways = [walk(ROOT), walk("a", "b", ROOT), walk("a", ROOT), walk("b")]
    found = traversal_statistics(ways, 7)
    assert found.counts == (0, 2, 1, 1) and found.distribution == [1, 2, 1]
    assert found.captions.value == 1 and found.only_root.value == 0.25
    assert found.distinct == 2 and found.pool == 7
    assert found.captions.error == pytest.approx((2 / 3) ** 0.5 / 2)
    assert found.to_dict()["distribution"] == [1, 2, 1]
    bar = found.figure().data[0]
    assert list(bar.y) == [25, 50, 25]
