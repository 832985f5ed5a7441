"""Votes that can be counted by hand, on the line and on the hyperboloid."""

import pytest
import torch

from geomclip.evaluate import knn
from geomclip.geometry import build_geometry


def asked(training, labels, query, own, classes=2, k=(1, 3)):
    """Accuracies by k of one query on the Euclidean line."""
    points = [torch.tensor(x)[:, None] for x in (query, training)]
    found = knn(
        build_geometry("euclidean", 1), points[0], torch.tensor(own), points[1],
        torch.tensor(labels, dtype=torch.long), classes, k,
    )  # fmt: skip
    return {k: one.accuracy for k, one in found.by_k.items()}


def test_votes_weigh_the_inverse_distance():
    # At 0: class 0 votes 1/1, class 1 votes 1/2 + 1/3 = 5/6, and with a third one 1/4 more.
    training, labels = [1.0, -2.0, 3.0, -4.0], [0, 1, 1, 1]
    assert asked(training, labels, [0.0], [0], k=(1, 3, 4)) == {1: 1, 3: 1, 4: 0}
    assert asked(training, labels, [0.0], [1], k=(1, 3, 4)) == {1: 0, 3: 0, 4: 1}


def test_a_tie_of_votes_is_a_miss_for_either_class():
    for own in (0, 1):
        assert asked([1.0, -1.0], [0, 1], [0.0], [own], k=(2,)) == {2: 0}


def test_a_neighbour_at_distance_0_votes_alone():
    assert asked([0.0, 0.5, 0.5], [1, 0, 0], [0.0], [1]) == {1: 1, 3: 1}


def test_a_class_without_training_pictures_is_never_found():
    assert asked([1.0, 2.0, 3.0], [0, 0, 1], [0.0], [2], classes=3) == {1: 0, 3: 0}


def test_more_neighbours_than_there_are_pictures():
    assert asked([1.0, 2.0], [0, 1], [0.0], [0], k=(1, 5)) == {1: 1}
    assert asked([1.0, 2.0], [0, 1], [0.0], [0], k=(5,)) == {2: 1}
    with pytest.raises(ValueError, match="training pictures, got 1 and 0"):
        asked([], [], [0.0], [0])


@pytest.mark.parametrize("name", ["clip", "meru", "euclidean-inner", "lorentz4xsphere4"])
def test_distances_are_those_of_the_manifold(name):
    torch.manual_seed(0)
    g = build_geometry(name, 8)
    label = torch.arange(60) % 3
    with torch.no_grad():
        x = g.lift(torch.randn(3, 8)[label] + torch.randn(60, 8), "image").double()
        d = g.manifold.pairwise_dist(x[:20], x[20:])
    found = knn(g, x[:20], label[:20], x[20:], label[20:], 3, (1, 7)).by_k
    votes = torch.zeros(20, 3, dtype=torch.float64)
    value, index = d.sort(-1)
    votes.scatter_add_(1, label[20:][index[:, :7]], 1 / value[:, :7])
    assert found[7].accuracy == (votes.argmax(-1) == label[:20]).double().mean().item()
    assert found[1].accuracy == (label[20:][d.argmin(-1)] == label[:20]).double().mean().item()
    assert found[7].class_mean != found[1].class_mean


def test_fewer_than_five_voters_give_no_top5():
    g, label = build_geometry("euclidean", 1), torch.arange(6)
    x = torch.arange(6.0)[:, None]
    by_k = knn(g, x, label, x, label, 6, (1, 5)).by_k
    assert by_k[1].top5 is None and by_k[5].top5 == 1
