"""Hierarchies: answers on a graph drawn by hand, laws over random graphs, errors that say where."""

import numpy as np
import pytest

from geomclip.errors import RequestError
from geomclip.hierarchy import ROOT, Hierarchy

#        thing
#       /     \
#   animal   vehicle
#    / \     /    \
#  dog  cat car   boat       amphibian (a car and a boat)
#   |          \  /
#  puppy     amphibian
EDGES = [
    ("animal", "thing"),
    ("vehicle", "thing"),
    ("dog", "animal"),
    ("cat", "animal"),
    ("car", "vehicle"),
    ("boat", "vehicle"),
    ("puppy", "dog"),
    ("amphibian", "car"),
    ("amphibian", "boat"),
]


@pytest.fixture
def graph():
    return Hierarchy.from_edges(EDGES)


def random_graph(seed: int, nodes: int = 40) -> Hierarchy:
    """Parents among the earlier nodes, so that there is no cycle; then numbered at random."""
    generator = np.random.default_rng(seed)
    place = generator.permutation(nodes)
    edges = []
    for i in range(1, nodes):
        for p in generator.choice(i, size=min(i, generator.integers(0, 4)), replace=False):
            edges.append((str(place[i]), str(place[p])))
    return Hierarchy.from_edges(edges, nodes=[str(i) for i in range(nodes)])


def names(h: Hierarchy, nodes) -> set[str]:
    return {h.names[i] for i in nodes}


def test_what_the_drawing_says(graph):
    assert len(graph) == 9 and len(graph.edges) == 9 and not graph.is_tree
    assert names(graph, graph.roots) == {"thing"}
    assert names(graph, graph.leaves) == {"cat", "puppy", "amphibian"}
    node = graph.node("amphibian")
    assert names(graph, graph.parents(node)) == {"car", "boat"}
    assert names(graph, graph.ancestors(node)) == {"car", "boat", "vehicle", "thing"}
    assert names(graph, graph.children(graph.node("animal"))) == {"dog", "cat"}
    assert names(graph, graph.descendants(graph.node("animal"))) == {"dog", "cat", "puppy"}
    assert graph.depth[graph.node("puppy")] == 3 and graph.depth[graph.roots] == 0
    pairs = [("puppy", "cat"), ("puppy", "dog"), ("amphibian", "boat"), ("cat", "car")]
    found = graph.lca(graph.nodes(a for a, _ in pairs), graph.nodes(b for _, b in pairs))
    assert [graph.names[i] for i in found] == ["animal", "dog", "boat", "thing"]


def test_depth_is_that_of_the_shortest_way_and_lca_goes_by_the_longest():
    h = Hierarchy.from_edges([("b", "a"), ("c", "b"), ("d", "c"), ("d", "a"), ("e", "c")])
    assert h.depth[h.node("d")] == 1 and h.longest_depth[h.node("d")] == 3
    assert h.names[h.lca(h.nodes("d"), h.nodes("e"))[0]] == "c"
    two = Hierarchy.from_edges([("b", "a"), ("d", "c")])
    assert two.lca(two.nodes("b"), two.nodes("d")).tolist() == [-1]


@pytest.mark.parametrize("seed", range(6))
def test_closure_order_and_depth_follow_from_the_edges(seed):
    h = random_graph(seed)
    direct = np.zeros((len(h), len(h)), bool)
    direct[h.edges[:, 0], h.edges[:, 1]] = True
    reach, power = direct.copy(), direct.copy()
    shortest = np.where(direct.any(1), 99, 0)
    for step in range(len(h)):
        shortest = np.where((shortest == 99) & (power[:, h.roots].any(1)), step + 1, shortest)
        power = power @ direct
        reach |= power
    assert (h.above.toarray() == reach).all()
    assert (h.above_or_self.toarray() == reach | np.eye(len(h), dtype=bool)).all()
    assert set(map(tuple, h.closure.tolist())) == set(zip(*np.nonzero(reach), strict=True))
    assert (h.depth == shortest).all()
    place = np.argsort(h.order)
    assert (place[h.edges[:, 1]] < place[h.edges[:, 0]]).all()
    for i in range(len(h)):
        assert (h.ancestors(i) == np.flatnonzero(reach[i])).all()
        assert (h.descendants(i) == np.flatnonzero(reach[:, i])).all()
    # The reduction has the same closure, and none of its edges can go.
    r = h.reduced()
    assert (r.above.toarray() == reach).all()
    for child, parent in r.edges.tolist():
        assert not any(reach[other, parent] for other in r.parents(child) if other != parent)


@pytest.mark.parametrize("seed", range(4))
def test_leaving_nodes_out_leaves_the_closure_of_the_rest(seed):
    h = random_graph(seed)
    gone = np.random.default_rng(seed).choice(len(h), 9, replace=False)
    rest = h.without([h.names[i] for i in gone])
    keep = [h.node(name) for name in rest.names]
    assert (rest.above.toarray() == h.above.toarray()[np.ix_(keep, keep)]).all()


def test_parts(graph):
    assert set(graph.subtree("vehicle").names) == {"vehicle", "car", "boat", "amphibian"}
    assert set(graph.span(["puppy", "boat"]).names) == {
        "puppy", "dog", "animal", "thing", "boat", "vehicle",
    }  # fmt: skip
    tree = graph.tree()
    assert tree.is_tree and names(tree, tree.parents(tree.node("amphibian"))) == {"car"}
    assert graph.rooted() is graph
    forest = graph.without(["thing"])
    assert len(forest.roots) == 2
    joined = forest.rooted()
    assert names(joined, joined.roots) == {ROOT} and joined.label(joined.node(ROOT)) == ""


def test_label_paths_make_a_tree_of_places():
    paths = [("food", "other", "ice"), ("food", "bread"), ("tools", "other", "ice"), ("food",), ()]
    h = Hierarchy.from_paths(paths)
    assert h.is_tree and h.names[h.roots[0]] == ROOT and h.label(h.roots[0]) == ""
    assert len(h) == 8
    node = h.node("tools > other > ice")
    assert h.label(node) == "ice" and h.depth[node] == 3
    single = Hierarchy.from_paths(paths[:2])
    assert single.names[single.roots[0]] == "food"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Hierarchy.from_edges([("a", "b"), ("b", "c"), ("c", "b")]), '"b" -> "c" -> "b"'),
        (lambda: Hierarchy.from_edges([("a", "a")]), '"a" is its own parent'),
        (lambda: Hierarchy.from_edges([("a", "b"), ("a", "b")]), 'twice as parent of "a"'),
        (lambda: Hierarchy.from_parents(["a", "a"], [[], [0]]), 'two nodes are called "a"'),
        (lambda: Hierarchy.from_paths([]), "no label path"),
        (lambda: Hierarchy.from_paths([("a", "")]), "empty label"),
        (lambda: Hierarchy.from_edges(EDGES).node("animals"), 'no node "animals"'),
        (lambda: Hierarchy.from_edges(EDGES).require_tree("it"), '"amphibian" has "car" and'),
        (lambda: Hierarchy.from_edges([("a", "b"), ("c", "d")]).tree(), '"b" and "d"'),
        (lambda: Hierarchy.read("elephants"), '"elephants" is no hierarchy'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(make, what):
    with pytest.raises(RequestError) as error:
        make()
    assert what in str(error.value)


def test_an_unknown_node_is_answered_with_those_like_it(graph):
    with pytest.raises(RequestError, match="Did you mean animal"):
        graph.node("animals")
