"""Ancestor retrieval and entailment: exact answers, a plain loop, planted trees."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import geomclip
from geomclip.evaluate.ancestry import (
    ancestor_retrieval,
    entailment_auc,
    ranked,
    scores_of,
)
from geomclip.hierarchy import Hierarchy


def test_a_ranking_by_hand():
    # Order: wrong, right, wrong, right; the tie at 2 is settled against the right one.
    ap, rank = ranked(np.array([4.0, 3.0, 2.0, 2.0]), np.array([1, 3]))
    assert ap == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert rank.tolist() == [2, 3]
    assert ranked(np.array([1.0, 5.0, 4.0]), np.array([1, 2])) == (1.0, pytest.approx([1, 1]))


def test_average_precision_is_that_of_a_plain_loop():
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores = generator.integers(0, 6, 30).astype(float)
        right = generator.choice(30, 7, replace=False)
        is_right = np.isin(np.arange(30), right)
        order = sorted(range(30), key=lambda i: (-scores[i], is_right[i]))
        hits, total = 0, 0.0
        for place, i in enumerate(order, 1):
            if is_right[i]:
                hits += 1
                total += hits / place
        assert ranked(scores, right)[0] == pytest.approx(total / 7)


def table(values: torch.Tensor):
    """A score of row numbers: labels and queries are (n, 1) points that hold their row."""
    return lambda labels, x: values[labels[:, 0].long()][:, x[:, 0].long()]


def test_retrieval_leaves_the_query_itself_out():
    tree = Hierarchy.from_edges([("b", "a"), ("c", "b")], nodes="abc")
    points = torch.arange(3.0)[:, None]
    # b scores best with itself, then with a; c with b, then c, then a.
    values = torch.tensor([[0.0, 2, 1], [0, 3, 3], [0, 1, 2]])
    found = ancestor_retrieval(table(values), points, points, tree.above, np.arange(3), shuffles=0)
    assert found.average_precision.value == 1 and found.rank.value == 1
    assert found.average_precision.n == 2 and found.rank.n == 3
    with_itself = ancestor_retrieval(table(values), points, points, tree.above, shuffles=0)
    assert with_itself.rank.value == pytest.approx((2 + 1 + 2) / 3)


def test_auc_and_average_precision_against_a_count():
    generator = np.random.default_rng(1)
    k, q = 12, 9
    above = csr_array(generator.random((q, k)) < 0.3)
    values = torch.from_numpy(generator.integers(0, 4, (k, q)).astype(float))
    labels, queries = torch.arange(float(k))[:, None], torch.arange(float(q))[:, None]
    found = entailment_auc(table(values), labels, queries, above, negatives=40, seed=3, shuffles=0)
    # All negatives are drawn many times over: the count over all pairs is close, not equal.
    truth = above.toarray().T
    good, bad = values[truth], values[~truth]
    exact = ((good[:, None] > bad).double() + (good[:, None] == bad).double() / 2).mean().item()
    assert found.auc.value == pytest.approx(exact, abs=0.05)
    assert found.positive == truth.sum() and found.auc.error > 0
    perfect = entailment_auc(
        table(torch.from_numpy(truth.astype(float))), labels, queries, above, shuffles=0
    )
    assert perfect.auc.value == 1 and perfect.average_precision.value == 1
    flat = entailment_auc(table(torch.zeros(k, q)), labels, queries, above, shuffles=0)
    assert flat.auc.value == 0.5
    share = flat.positive / (flat.positive + flat.negative)
    assert flat.average_precision.value == pytest.approx(share)


@pytest.fixture(scope="module")
def planted():
    """A binary tree on the hyperboloid, each child a step further out in its parent's direction."""
    g = geomclip.build_geometry("hyperbolic", 5).double()
    generator = torch.Generator().manual_seed(0)
    paths = [(a, a + b, a + b + c) for a in "xyz" for b in "12" for c in "pq"]
    tree = Hierarchy.from_paths(paths)
    tangent = torch.zeros(len(tree), 5, dtype=torch.float64)
    for i in tree.order.tolist():
        if tree.depth[i] == 0:
            continue
        (parent,) = tree.parents(i).tolist()
        out = torch.randn(5, generator=generator, dtype=torch.float64)
        spread = 1.0 if tree.depth[i] == 1 else 0.25
        step = tangent[parent] / tangent[parent].norm().clamp_min(1e-9) + spread * out
        tangent[i] = tangent[parent] + 0.8 * step / step.norm()
    return g, tree, g.manifold.expmap0(tangent)


def test_cones_find_the_ancestors_of_a_planted_tree(planted):
    g, tree, points = planted
    scores = scores_of(g)
    assert set(scores) == {"score", "angle", "cone"}
    itself = np.arange(len(tree))
    forest = tree.without(["[ROOT]"])
    keep = torch.tensor([tree.node(name) for name in forest.names])
    x, itself = points[keep], itself[: len(forest)]
    found = {
        name: entailment_auc(score, x, x, forest.above, itself) for name, score in scores.items()
    }
    assert found["angle"].auc.value > 0.97
    assert found["angle"].auc.value > found["score"].auc.value
    assert found["angle"].auc.null == pytest.approx(0.5, abs=0.15)
    assert found["angle"].auc.beyond_chance > 3
    retrieved = ancestor_retrieval(scores["angle"], x, x, forest.above, itself)
    assert retrieved.average_precision.value > 0.9
    assert retrieved.average_precision.null < 0.6


def test_clip_is_asked_from_its_mean_or_the_empty_text():
    g = geomclip.build_geometry("clip", 6).double()
    x = g.lift(torch.randn(10, 6, generator=torch.Generator().manual_seed(0)).double(), "text")
    root = g.manifold.weighted_midpoint(x)
    angle = scores_of(g, root)["angle"](x[:3], x[3:])
    for i in range(3):
        for j in range(7):
            a, b = x[i] - root, x[3 + j] - x[i]
            cosine = a @ b / a.norm() / b.norm()
            assert angle[i, j].item() == pytest.approx(-cosine.arccos().item(), abs=1e-9)
    with pytest.raises(geomclip.GeomclipError, match="has not been set"):
        scores_of(g)["angle"](x, x)
