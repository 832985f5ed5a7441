"""Ranks and recalls with answers that can be read off the scores."""

import itertools

import pytest
import torch

from geomclip.evaluate import rank_of_best, retrieve
from geomclip.evaluate import retrieval as module
from geomclip.evaluate.retrieval import chance_recall


def dot(x, y):
    return x @ y.T


def test_ranks_of_a_written_out_matrix():
    scores = torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 1]])
    right = torch.eye(3, dtype=torch.bool)
    assert rank_of_best(scores, right).tolist() == [1, 2, 3]


def test_ties_count_against_the_model():
    scores = torch.tensor([[1.0, 1, 0], [1, 1, 1]])
    right = torch.tensor([[True, False, False], [False, True, False]])
    assert rank_of_best(scores, right).tolist() == [2, 3]


def test_any_right_answer_counts_and_right_ones_do_not_push_each_other_down():
    scores = torch.tensor([[5.0, 4, 3, 2]])
    assert rank_of_best(scores, torch.tensor([[True, True, False, True]])).item() == 1
    assert rank_of_best(scores, torch.tensor([[False, False, True, True]])).item() == 3
    # Two right ones tie with each other, which is no tie with a wrong one.
    assert rank_of_best(torch.ones(1, 2), torch.tensor([[True, True]])).item() == 1


def test_no_right_answer_is_never_found():
    assert rank_of_best(torch.rand(1, 4), torch.zeros(1, 4, dtype=torch.bool)).item() == 5


@pytest.mark.parametrize("where", ["right", "wrong"])
def test_nan_never_helps(where):
    scores = torch.tensor([[1.0, 0.0, -1.0]])
    scores[0, 0 if where == "right" else 2] = torch.nan
    rank = rank_of_best(scores, torch.tensor([[True, False, False]])).item()
    assert rank == (3 if where == "right" else 2)


def test_identical_features_find_themselves():
    points = torch.nn.functional.normalize(torch.randn(50, 8), dim=-1)
    label = torch.arange(50)
    found = retrieve(dot, points, points, label, label)
    assert found.recall(1) == 1
    assert torch.equal(found.top[:, 0], label)


def test_constant_features_find_nothing():
    points, label = torch.ones(50, 8), torch.arange(50)
    assert retrieve(dot, points, points, label, label).recall(10) == 0


def test_recall_is_the_share_of_ranks():
    queries = torch.eye(4)
    candidates = torch.tensor([[4.0, 3, 2, 1], [3, 4, 3, 2], [2, 2, 4, 3], [1, 1, 1, 4]])
    found = retrieve(dot, queries, candidates, torch.tensor([0, 0, 2, 0]), torch.arange(4), k=2)
    assert found.rank.tolist() == [1, 2, 1, 4]
    assert [found.recall(k) for k in (1, 2, 3, 4)] == [0.5, 0.75, 0.75, 1.0]
    assert found.top[1].tolist()[0] == 1 and found.score[1].tolist() == [4.0, 3.0]


def test_blocks_do_not_change_anything(monkeypatch):
    queries, candidates = torch.randn(37, 5), torch.randn(11, 5)
    arguments = (queries, candidates, torch.arange(37) % 11, torch.arange(11))
    whole = retrieve(dot, *arguments)
    monkeypatch.setattr(module, "BLOCK", 23)
    parts = retrieve(dot, *arguments)
    assert torch.equal(whole.rank, parts.rank) and torch.equal(whole.top, parts.top)


def test_fewer_candidates_than_asked_for_and_no_queries():
    found = retrieve(
        dot, torch.randn(3, 2), torch.randn(2, 2), torch.zeros(3).long(), torch.arange(2)
    )
    assert found.top.shape == (3, 2)
    none = retrieve(
        dot, torch.empty(0, 2), torch.randn(2, 2), torch.empty(0).long(), torch.arange(2)
    )
    assert none.rank.shape == (0,) and none.top.shape == (0, 2)


@pytest.mark.parametrize(
    ("right", "n", "k"), [(1, 6, 1), (1, 6, 5), (2, 6, 3), (4, 6, 3), (6, 6, 1)]
)
def test_chance_is_the_share_of_orders_that_hit(right, n, k):
    orders = list(itertools.permutations(range(n), min(k, n)))
    hits = sum(any(i < right for i in order) for order in orders)
    assert chance_recall([right], n, k) == pytest.approx(hits / len(orders), rel=1e-12)


def test_chance_over_more_than_all_candidates():
    assert chance_recall([1], 3, 10) == 1
    assert chance_recall([1, 2], 4, 1) == pytest.approx((1 / 4 + 2 / 4) / 2)
