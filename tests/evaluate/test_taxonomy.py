"""Errors in a tree of classes: the published variant's oddity, exact answers, a plain loop."""

import numpy as np
import pytest

from geomclip.errors import RequestError
from geomclip.evaluate.taxonomy import item_errors, taxonomic_errors
from geomclip.hierarchy import Hierarchy

#   root -> animal -> dog, cat;  animal -> bird -> owl;  root -> car
TREE = Hierarchy.from_edges(
    [("animal", "root"), ("car", "root"), ("dog", "animal"), ("cat", "animal"),
     ("bird", "animal"), ("owl", "bird")]
)  # fmt: skip


def errors(predicted: str, true: str, include_self: bool) -> dict[str, float]:
    found = item_errors(
        TREE, TREE.nodes([predicted]), TREE.nodes([true]), include_self=include_self
    )
    return {name: float(v[0]) for name, v in found.items()}


def test_as_published_a_sibling_scores_like_the_right_class():
    right = {"tie": 0, "lca": 1, "jaccard": 1, "precision": 1, "recall": 1}
    assert errors("dog", "dog", False) == right
    assert errors("dog", "cat", False) == right | {"tie": 2}
    # Ancestors of owl: bird, animal, root; of dog: animal, root.
    assert errors("owl", "dog", False) == {
        "tie": 3, "lca": 2, "jaccard": 2 / 3, "precision": 2 / 3, "recall": 1,
    }  # fmt: skip


def test_with_the_class_itself_only_the_right_class_is_right():
    assert errors("dog", "dog", True) == {
        "tie": 0, "lca": 0, "jaccard": 1, "precision": 1, "recall": 1,
    }  # fmt: skip
    assert errors("dog", "cat", True) == {
        "tie": 2, "lca": 1, "jaccard": 1 / 2, "precision": 2 / 3, "recall": 2 / 3,
    }  # fmt: skip
    # A class above the right one: all of its ancestors are right.
    assert errors("bird", "owl", True)["precision"] == 1 and errors("bird", "owl", True)["lca"] == 0


@pytest.mark.parametrize("include_self", [False, True])
def test_all_pairs_are_what_sets_of_ancestors_say(include_self):
    h = Hierarchy.read("bird.n.01")
    generator = np.random.default_rng(0)
    below = np.setdiff1d(np.arange(len(h)), h.roots)
    p, t = generator.choice(below, 300), generator.choice(below, 300)
    found = item_errors(h, p, t, include_self=include_self)
    for i in range(300):
        a, b = (
            {*h.ancestors(x).tolist()} | ({int(x)} if include_self else set()) for x in (p[i], t[i])
        )
        both = a & b
        assert found["jaccard"][i] == len(both) / len(a | b)
        assert found["precision"][i] == len(both) / len(a)
        assert found["recall"][i] == len(both) / len(b)
        assert found["lca"][i] == len(a) - len(both) + (not include_self)
        up = ({*h.ancestors(x).tolist(), int(x)} for x in (p[i], t[i]))
        assert found["tie"][i] == len(set.symmetric_difference(*up))


def test_means_errors_and_what_chance_gives():
    nodes = TREE.nodes(["dog", "cat", "owl", "car"])
    true = np.repeat(nodes, 50)
    predicted = true.copy()
    predicted[:25] = nodes[1]
    found = taxonomic_errors(TREE, predicted, true)
    assert found.accuracy.value == 175 / 200 and found.accuracy.n == 200
    assert found.tie.value == 25 * 2 / 200
    x = np.repeat([2.0, 0.0], [25, 175])
    assert found.tie.error == pytest.approx(x.std(ddof=1) / np.sqrt(200))
    # Predictions at random: 25 cats, 50 + 25 ... by their own shares.
    assert found.accuracy.null == pytest.approx(0.25, abs=0.05)
    assert found.tie.beyond_chance < -10


def test_what_is_no_tree_or_a_class_without_ancestors_is_refused():
    two = Hierarchy.from_edges([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    with pytest.raises(RequestError, match="needs a tree; 1 nodes have several parents"):
        item_errors(two, np.array([0]), np.array([1]), include_self=True)
    root = TREE.roots
    with pytest.raises(RequestError, match='a class is the root "root"'):
        item_errors(TREE, root, TREE.nodes(["dog"]), include_self=False)
