"""Tree-likeness and distortion: metrics of trees, squares and stars, whose numbers are known."""

import math
from itertools import combinations

import pytest
import torch
from planted import DIM

from geomclip import build_geometry
from geomclip.analysis import delta_hyperbolicity, tree_distortion
from geomclip.analysis.treelike import at_base, of_fours
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.hierarchy import Hierarchy


def along(g, lengths):
    """Points on a geodesic through the root."""
    m, root = g.manifold, g.manifold.origin(g.dim, dtype=torch.float64)
    u = torch.zeros(g.dim, dtype=torch.float64)
    u[-1] = 1
    at = torch.tensor(lengths, dtype=torch.float64)
    return m.geodesic_unit(at, root, u).detach()


def sides(distance, fours):
    pairs = ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))
    return torch.stack([distance[fours[:, i], fours[:, j]] for i, j in pairs], 1)


# --- delta-hyperbolicity ---


def test_a_tree_metric_has_no_delta_and_any_other_the_same_by_both_ways():
    torch.manual_seed(0)
    n = 14
    parent = [0] + [int(torch.randint(i, ())) for i in range(1, n)]
    length = torch.rand(n, dtype=torch.float64)
    tree = torch.zeros(n, n, dtype=torch.float64)
    for i in range(1, n):
        tree[i, :i] = tree[:i, i] = tree[parent[i], :i] + length[i]
    fours = torch.tensor(list(combinations(range(n), 4)))
    assert of_fours(sides(tree, fours)).max() < 1e-12
    assert at_base(tree) < 1e-12
    x = torch.randn(n, 3, dtype=torch.float64)
    distance = torch.cdist(x, x)
    delta = of_fours(sides(distance, fours))
    for base in range(n):
        assert at_base(distance, base) == pytest.approx(delta[(fours == base).any(1)].max().item())


def test_the_square_of_a_graph_is_as_far_from_a_tree_as_can_be():
    ring = torch.tensor([[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0.0]])
    assert 2 * at_base(ring) / ring.max() == 1


def test_squares_have_their_delta_flat_and_in_the_plane_of_curvature_minus_one():
    """Far out, a hyperbolic square's delta reaches log 2, which none exceeds."""
    corners = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    flat = delta_hyperbolicity(Embeddings({"image": corners}, build_geometry("euclip", 2)))
    assert flat.relative["image"].value == pytest.approx(math.sqrt(2) * (math.sqrt(2) - 1))
    g = build_geometry("meru", 2).double()
    far = g.manifold.expmap0(12 * corners).detach()
    curved = delta_hyperbolicity(Embeddings({"image": far}, g)).relative["image"]
    assert curved.value == pytest.approx(2 * math.log(2) / 24, rel=1e-6) and curved.error is None


@pytest.mark.parametrize(("name", "n"), [("clip", 40), ("clip", 130), ("meru", 130)])
def test_points_of_a_line_are_a_tree(name, n, monkeypatch):
    import geomclip.analysis.treelike as module

    monkeypatch.setattr(module, "FOURS", 2000)
    g = build_geometry(name, 3).double()
    x = along(g, (torch.rand(n, generator=torch.Generator().manual_seed(0)) * 2).tolist())
    found = delta_hyperbolicity(Embeddings({"image": x}, g))
    assert found.relative["image"].value == pytest.approx(0, abs=1e-6)
    assert found.largest["image"].value == pytest.approx(0, abs=1e-6)
    assert (found.relative["image"].error is None) == (n == 40)
    assert sum(found.charts()[0].spec["data"][0]["y"]) == pytest.approx(100)


def test_drawn_fours_are_distinct_and_their_mean_is_that_of_all(monkeypatch):
    import geomclip.analysis.treelike as module

    g = build_geometry("euclip", 4).double()
    torch.manual_seed(0)
    x = torch.randn(30, 4, dtype=torch.float64)
    exact = delta_hyperbolicity(Embeddings({"image": x}, g))
    monkeypatch.setattr(module, "ALL", 10)
    monkeypatch.setattr(module, "FOURS", 20_000)
    drawn = delta_hyperbolicity(Embeddings({"image": x}, g))
    # The same points: they differ by the draw alone, which is less than what points would change.
    assert drawn.mean["image"].value == pytest.approx(exact.mean["image"].value, rel=0.01)
    assert drawn.largest["image"].value <= exact.largest["image"].value
    # From a base point at least half of delta is seen.
    assert 0.5 <= drawn.relative["image"].value / exact.relative["image"].value <= 1 + 1e-6
    few = module._distinct(torch.stack([torch.randint(6 - k, (500,)) for k in range(4)], 1))
    assert (few.sort(1).values.diff(dim=1) > 0).all() and few.max() < 6


# --- distortion ---


def labelled(g, points, paths):
    x = torch.cat([points, points[:1]])
    return Embeddings({"image": x, "label": points}, g, paths={"label": paths})


@pytest.mark.parametrize("name", ["clip", "euclip", "meru", "poincare"])
def test_a_path_on_a_geodesic_is_embedded_exactly(name):
    """Two arms of a root: edges of 0.1 in every geometry."""
    g = build_geometry(name, DIM).double()
    arms = [
        [("r",)],
        *([("r", *(f"{arm}{i}" for i in range(k)))] for arm in "ab" for k in (1, 2, 3)),
    ]
    paths = [path for some in arms for path in some]
    x = along(g, [0, 0.1, 0.2, 0.3, -0.1, -0.2, -0.3])
    found = tree_distortion(labelled(g, x, paths))
    assert found.worst.value == pytest.approx(1, abs=1e-9)
    assert found.average.value == pytest.approx(0, abs=1e-9)
    assert found.edge.value == pytest.approx(0.1)
    assert found.precision.value == 1 and found.exact
    assert found.precision_shuffled.value < 1
    assert found.by_distance[6] == pytest.approx(6)


def test_a_star_has_the_distortion_of_its_angles():
    g = build_geometry("meru", 2).double()
    turn = torch.tensor([0, 2 * math.pi / 3, 4 * math.pi / 3], dtype=torch.float64)
    leaves = g.manifold.expmap0(2 * torch.stack([turn.cos(), turn.sin()], 1))
    x = torch.cat([torch.zeros(1, 2, dtype=torch.float64), leaves]).detach()
    found = tree_distortion(labelled(g, x, [("r",), ("r", "a"), ("r", "b"), ("r", "c")]))
    leg, across = 2.0, math.acosh(math.cosh(2) ** 2 + math.sinh(2) ** 2 / 2)
    assert found.worst.value == pytest.approx(leg / (across / 2))
    # Three of six pairs are legs: any scale between the two is best, and half of what they differ.
    low, high = sorted((leg, across / 2))
    assert found.average.value == pytest.approx((1 - low / high) / 2)
    assert found.precision.value == 1


def test_two_nodes_at_one_point_have_an_infinite_worst_case_that_the_table_can_show():
    g = build_geometry("euclidean", dim=2)
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    found = tree_distortion(labelled(g, x, [("r",), ("r", "a"), ("r", "b")]))
    assert next(row.text for row in found.rows() if row.key == "worst") == "∞"
    assert "two nodes of the tree lie at the same point" in found.notes()[-1]
    assert "∞" in found._repr_html_()


def test_queries_in_part_say_so_and_agree_with_all(monkeypatch):
    import geomclip.analysis.distortion as module

    g = build_geometry("euclip", 6).double()
    torch.manual_seed(0)
    paths = [tuple(f"{i >> k}" for k in range(7, -1, -1)) for i in range(256)]
    unique = sorted({path[:k] for path in paths for k in range(3, 9)})
    e = labelled(g, torch.randn(len(unique), 6, dtype=torch.float64), unique)
    whole = tree_distortion(e)
    monkeypatch.setattr(module, "QUERIES", 60)
    monkeypatch.setattr(module, "OTHERS", 200)
    part = tree_distortion(e)
    assert whole.exact and not part.exact and "random nodes" in " ".join(part.notes())
    assert part.average.n == 60 and part.average.error > whole.average.error
    for name in ("average", "precision"):
        a, b = getattr(whole, name), getattr(part, name)
        assert abs(a.value - b.value) < 4 * b.error
    assert part.worst.value <= whole.worst.value


def test_a_given_tree_finds_its_nodes_by_id_or_label_and_says_which_it_lacks():
    g = build_geometry("euclip", 1).double()
    tree = Hierarchy.from_edges([("b", "a"), ("c", "b"), ("d", "c")])
    x = torch.tensor([[3.0], [2], [1], [0], [9]], dtype=torch.float64)
    by_id = tree_distortion(Embeddings({"image": x}, g, ids=["d", "c", "b", "a", "z"]), tree=tree)
    assert by_id.worst.value == pytest.approx(1) and by_id.unplaced == 1
    paths = [("x", name) for name in "dcba"] + [()]
    by_class = tree_distortion(Embeddings({"image": x}, g, paths=paths), tree=tree)
    assert by_class.worst.value == pytest.approx(1) and "midpoint" in by_class.points
    with pytest.raises(RequestError, match='its names are like "d"'):
        tree_distortion(Embeddings({"image": x}, g, ids=list("vwxyz")), tree=tree)
    forest = Hierarchy.from_edges([("b", "a"), ("d", "c")])
    with pytest.raises(RequestError, match="needs one root"):
        tree_distortion(Embeddings({"image": x}, g, ids=list("abcde")), tree=forest)
    flat = Embeddings({"image": x}, g, paths=[(name,) for name in "abcde"])
    with pytest.raises(RequestError, match="equally far"):
        tree_distortion(flat)
