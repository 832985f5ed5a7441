"""What analyses share: samples that keep pairs together, neighbours that are not oneself."""

import pytest
import torch
from planted import two_clouds

from geomclip import build_geometry
from geomclip.analysis import ANALYSES, analyze
from geomclip.analysis.space import K, Space, first_pairs, leaf_labels
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError


def captions(n=200, each=5):
    """Pictures with `each` captions."""
    g = build_geometry("euclip", 3)
    pairs = torch.tensor([[i, each * i + k] for i in range(n) for k in range(each)])
    points = {"image": torch.randn(n, 3), "text": torch.randn(n * each, 3)}
    return Embeddings(points, g, pairs=pairs)


def test_a_sample_keeps_to_its_limit_and_pictures_to_their_captions():
    part = Space(captions(), limit=100).embeddings
    assert len(part["image"]) == 20 and len(part["text"]) == 100
    assert len(part.pairs) == 100
    assert torch.bincount(part.pairs[:, 0]).tolist() == [5] * 20
    assert torch.equal(Space(captions(), limit=100).embeddings.pairs, part.pairs)


def test_without_a_limit_the_space_is_all_of_it():
    e = captions(20)
    space = Space(e, limit=100)
    assert space.embeddings is e and space.sampled == ""


def test_first_pairs_use_no_row_twice():
    pairs = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 2], [2, 2], [2, 3]])
    found = first_pairs(pairs)
    assert found.tolist() == [[0, 0], [2, 2]]
    assert first_pairs(captions(3).pairing("image", "text")).tolist() == [[0, 0], [1, 5], [2, 10]]


def test_nobody_is_his_own_neighbour_not_even_among_equals():
    g = build_geometry("euclip", 2).double()
    x = torch.randn(60, 2, dtype=torch.float64)
    x[:30] = x[0]  # more equal points than neighbours: many are not in their own list
    found = Space(Embeddings({"image": x}, g)).neighbors("image", "image")
    assert found.index.shape == (60, K)
    assert not (found.index == torch.arange(60)[:, None]).any()
    assert (found.value[:30] == 0).all()
    brute = g.manifold.pairwise_dist(x, x).fill_diagonal_(torch.inf).sort(1).values[:, :K]
    torch.testing.assert_close(found.value, brute)


def test_neighbours_are_computed_once_and_results_can_be_shown(monkeypatch):
    import geomclip.analysis.space as module

    calls = []
    original = module.nearest
    monkeypatch.setattr(module, "nearest", lambda *a: calls.append(1) or original(*a))
    report = analyze(two_clouds(build_geometry("meru", 8).double(), 0.1, n=60))
    # These need labels, or another space.
    others = {"distortion", "collapse", "thresholds"}
    assert set(report.left_out) == others and len(calls) == 4
    assert set(report.results) == set(ANALYSES) - others - {"comparison"}
    drawn = {name for name, result in report.results.items() if result.charts()}
    assert drawn >= {"roots", "gap", "alignment", "retrieval", "cones", "spectrum", "hubs", "delta"}
    for name, result in report.results.items():
        if name in drawn:
            assert result.figure().data
            assert "var(--" not in str(result.figure().to_dict())
        html = result._repr_html_()
        assert html.count("<tr>") == len(result.rows()) > 2 * (name in drawn)


def test_labels_are_whole_paths_and_the_same_number_across_modalities():
    g = build_geometry("euclip", 2)
    paths = [("a", "x"), ("b", "x"), (), ("a", "x")]
    e = Embeddings({"image": torch.randn(4, 2), "text": torch.randn(4, 2)}, g, paths=paths)
    assert leaf_labels(e, "image").tolist() == leaf_labels(e, "text").tolist() == [0, 1, -1, 0]
    assert leaf_labels(Embeddings({"image": torch.randn(4, 2)}, g), "image") is None


def test_an_unknown_analysis_lists_those_there_are():
    with pytest.raises(RequestError, match='no analysis "roofs"'):
        analyze(captions(9), ["roofs"])
