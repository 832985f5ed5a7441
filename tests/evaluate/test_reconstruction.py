"""Mean rank and MAP of a hierarchy's closure, against their definitions."""

import numpy as np
import pytest
import torch

from geomclip.evaluate import ancestor_retrieval, reconstruct
from geomclip.hierarchy import Hierarchy
from manifolds import Euclidean, Lorentz


def tree(n: int = 60, seed: int = 0) -> Hierarchy:
    """Each node below an earlier one, some below two."""
    rng = np.random.default_rng(seed)
    parents = [[]] + [sorted({*rng.integers(0, i, 1 + i % 5 // 4)}) for i in range(1, n)]
    return Hierarchy.from_parents(
        [f"n{i}" for i in range(n)], [[int(p) for p in q] for q in parents]
    )


def by_definition(distances: np.ndarray, h: Hierarchy) -> tuple[float, float]:
    """(MR, MAP), one node and one ancestor at a time."""
    ranks, precisions = [], []
    for node in range(len(h)):
        above = set(h.ancestors(node).tolist())
        if not above:
            continue
        others = [j for j in range(len(h)) if j != node]
        wrong = [distances[node, j] for j in others if j not in above]
        right = sorted(distances[node, j] for j in above)
        before = [sum(w <= r for w in wrong) for r in right]
        ranks += [1 + b for b in before]
        precisions.append(np.mean([k / (k + b) for k, b in enumerate(before, 1)]))
    return float(np.mean(ranks)), float(np.mean(precisions))


def test_it_is_the_definition():
    h, m = tree(), Lorentz()
    points = m.random_normal(len(h), 3, std=1.0, dtype=torch.float64)
    points[7] = points[8] = points[9]  # ties count against the ancestor
    found = reconstruct(m, points, h.above)
    expected = by_definition(m.pairwise_dist(points, points).numpy(), h)
    assert (found.mean_rank, found.map) == pytest.approx(expected, rel=1e-12)
    assert found.to_dict()["pairs"] == h.above.nnz and found.to_dict()["nodes"] == len(h) - 1


def test_it_agrees_with_the_retrieval_of_ancestors_by_any_score():
    h, m = tree(seed=1), Euclidean()
    points = m.random_normal(len(h), 2, dtype=torch.float64)
    other = ancestor_retrieval(
        lambda labels, x: -m.pairwise_dist(labels, x), points, points, h.above,
        np.arange(len(h)), shuffles=0,
    )  # fmt: skip
    found = reconstruct(m, points, h.above)
    assert found.map == pytest.approx(other.average_precision.value, rel=1e-12)
    assert found.mean_rank == pytest.approx(other.rank.value, rel=1e-12)


def test_a_sample_of_nodes_is_ranked_among_all(monkeypatch):
    h, m = tree(), Lorentz()
    points = m.random_normal(len(h), 3, dtype=torch.float64)
    whole = reconstruct(m, points, h.above)
    done: list[int] = []
    monkeypatch.setattr("geomclip.evaluate.reconstruction.BLOCK", 3 * len(h))
    some = reconstruct(m, points, h.above, torch.tensor([0, 40, 3, 59, 7, 3]), tell=done.append)
    assert some.nodes.tolist() == [3, 7, 40, 59] and done == [3, 4]  # the root has no ancestor
    at = torch.searchsorted(whole.nodes, some.nodes)
    assert torch.equal(some.average_precision, whole.average_precision[at])
    assert torch.equal(some.rank, whole.rank[at])


def test_a_path_on_a_line_is_found_exactly():
    h = Hierarchy.from_parents(list("abcd"), [[], [0], [1], [2]])
    # The ancestors of each are all but its descendants, which lie farther away than the root.
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]], dtype=torch.float64)
    found = reconstruct(Euclidean(), points, h.above)
    assert found.map == 1 and found.mean_rank == 1
    # Turned round, the child of b stands before its parent; c sees d's place after both.
    found = reconstruct(Euclidean(), torch.tensor([[0.0], [4.0], [6.0], [7.0]]), h.above)
    # b: c, d before a (rank 3, AP 1/3); c: d before b and a (2, 2; AP (1/2 + 2/3)/2); d: none.
    assert found.rank.tolist() == [3, 2, 1]
    assert found.average_precision.tolist() == pytest.approx([1 / 3, 7 / 12, 1])


def test_what_can_not_be_asked_is_refused():
    h = tree(5)
    with pytest.raises(ValueError, match="2 of 5 points are not finite, point 1 the first"):
        points = torch.zeros(5, 2)
        points[1], points[4, 0] = torch.nan, torch.inf
        reconstruct(Euclidean(), points, h.above)
    with pytest.raises(ValueError, match="4 points, but above has shape"):
        reconstruct(Euclidean(), torch.zeros(4, 2), h.above)
    with pytest.raises(ValueError, match="none of the nodes has an ancestor"):
        reconstruct(Euclidean(), torch.zeros(5, 2), h.above, torch.tensor([0]))
