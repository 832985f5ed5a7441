"""The probe's objective, its search for lambda, and coordinates in which it can be right."""

import numpy as np
import pytest
import torch

from geomclip.errors import RequestError
from geomclip.evaluate.probe import (
    HIGHEST,
    LOWEST,
    Labelled,
    _Fitted,
    coordinates_of,
    held_out_fifth,
    linear_probe,
    search,
)
from geomclip.geometry import build_geometry


@pytest.mark.parametrize("place", [-8, 9])
def test_the_fit_is_a_stationary_point_of_the_written_objective(place):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 4)), rng.integers(3, size=80)
    model = _Fitted(x, y, place, 3).model
    logits = x @ model.coef_.T + model.intercept_
    residual = np.exp(logits - np.logaddexp.reduce(logits, 1, keepdims=True)) - np.eye(3)[y]
    gradient = residual.T @ x + 10 ** (place / 8) * model.coef_
    assert abs(gradient).max() < 1e-2 * abs(residual).sum(0).max()
    assert abs(residual.sum(0)).max() < 1e-2 * abs(residual).sum(0).max()


@pytest.mark.parametrize("peak", [LOWEST, -17, 0, 5, HIGHEST])
def test_the_search_finds_a_single_peak_with_16_fits_at_most(peak):
    calls = []
    assert search(lambda place: calls.append(place) or -abs(place - peak)) == peak
    assert len(set(calls)) <= 16


def test_of_equal_values_the_strongest_regularisation():
    assert search(lambda place: 0.0) == HIGHEST


def test_a_fifth_of_each_class_is_held_out():
    labels = torch.tensor([0] * 10 + [1] * 4 + [3])
    points = torch.arange(15.0)[:, None]
    rest, out = held_out_fifth(Labelled(points, labels))
    assert torch.bincount(out.labels, minlength=4).tolist() == [2, 1, 0, 0]
    assert sorted((*rest.points[:, 0].tolist(), *out.points[:, 0].tolist())) == list(range(15))
    assert torch.equal(labels[out.points[:, 0].long()], out.labels)
    with pytest.raises(RequestError, match="no class has two training pictures"):
        held_out_fifth(Labelled(points[:3], torch.arange(3)))


@pytest.mark.parametrize("name", ["clip", "meru", "lorentz4xsphere4"])
def test_separate_classes_are_told_apart_in_every_geometry(name):
    torch.manual_seed(0)
    g = build_geometry(name, 8)
    label = torch.arange(90) % 3
    with torch.no_grad():
        x = g.lift(4 * torch.eye(8)[:3][label] + 0.3 * torch.randn(90, 8), "image")
    asked, training = Labelled(x[:30], label[:30]), Labelled(x[30:], label[30:])
    found = linear_probe(g, asked, training, classes=4)
    assert found.found.accuracy == found.validation == 1 and found.converged
    assert (found.training, found.validating, found.unseen) == (48, 12, 0)
    # The fourth class is a candidate that nobody was trained on.
    wrong = linear_probe(g, Labelled(x[:3], torch.tensor([3, 3, 0])), training, classes=4)
    assert wrong.unseen == 2 and wrong.found.accuracy <= 1 / 3
    assert wrong.to_dict()["regularisation"] == wrong.regularisation


def test_lengths_of_tangent_coordinates_are_distances_to_the_origin():
    g = build_geometry("poincare", 5)
    with torch.no_grad():
        x = g.lift(torch.randn(20, 5), "image")
        z, named = coordinates_of(g, x)
        torch.testing.assert_close(torch.from_numpy(z).norm(dim=-1), g.manifold.dist0(x.double()))
    assert named == "tangent at the origin"


def test_one_class_and_a_missing_library(monkeypatch):
    g, points = build_geometry("euclip", 2), Labelled(torch.randn(6, 2), torch.zeros(6).long())
    with pytest.raises(RequestError, match="two classes, got 5 of 1"):
        linear_probe(g, points, points, classes=2)
    monkeypatch.setitem(__import__("sys").modules, "sklearn.exceptions", None)
    two = Labelled(torch.randn(6, 2), torch.arange(6) % 2)
    with pytest.raises(RequestError, match=r"scikit-learn.*\n.*extra probe"):
        linear_probe(g, two, two, classes=2)
