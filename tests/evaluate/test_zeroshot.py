"""Classification of constructed features, and prototypes in every geometry."""

import pytest
import torch

from geomclip.evaluate import zero_shot
from geomclip.evaluate.classification import class_mean, majority
from geomclip.geometry import build_geometry
from geomclip.names import CANONICAL


def test_constructed_features_give_the_written_accuracy():
    prototypes = torch.eye(3)
    images = torch.tensor([[1.0, 0, 0], [1, 0.5, 0], [0, 1, 0], [0.2, 0.1, 0], [0, 0, 1]])
    # Picture 3 is nearest to class 0 and belongs to class 1.
    found = zero_shot(lambda x, y: x @ y.T, images, prototypes, torch.tensor([0, 0, 1, 1, 2]))
    assert found.accuracy == pytest.approx(4 / 5)
    assert found.class_mean == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert found.chance == pytest.approx(1 / 3)
    assert found.majority == pytest.approx(2 / 5)
    assert found.to_dict()["pictures"] == 5
    assert found.top5 is None  # of three classes


def test_top5_counts_the_places_up_to_the_fifth():
    # Scores of seven classes fall with their number, so that class c stands at place c + 1.
    prototypes = -torch.arange(7.0)[:, None]
    labels = torch.tensor([0, 3, 4, 5, 6])
    found = zero_shot(lambda x, y: x @ y.T, torch.ones(5, 1), prototypes, labels)
    assert (found.accuracy, found.top5) == (1 / 5, 3 / 5)


def test_a_tie_between_classes_is_a_miss():
    found = zero_shot(
        lambda x, y: x @ y.T, torch.ones(4, 2), torch.ones(2, 2), torch.zeros(4).long()
    )
    assert found.accuracy == 0


def test_class_mean_leaves_out_classes_without_pictures():
    correct = torch.tensor([True, True, False, True])
    assert class_mean(correct, torch.tensor([0, 0, 0, 5])) == pytest.approx((2 / 3 + 1) / 2)


def test_majority_is_the_best_constant_answer():
    assert majority(["a", "b", "a", "c"]) == 0.5


@pytest.mark.parametrize("name", CANONICAL)
def test_pictures_at_their_class_prototype_are_classified_in_every_geometry(name):
    torch.manual_seed(0)
    geometry = build_geometry(name, 16)
    # Prompts of a class differ a little; inner products need equal lengths to prefer the own class.
    centre = 3 * torch.nn.functional.normalize(torch.randn(6, 16), dim=-1)
    with torch.no_grad():
        prototypes = geometry.prototype(centre[:, None] + 0.05 * torch.randn(6, 5, 16))
        label = torch.arange(60) % 6
        images = geometry.lift(centre[label] + 0.05 * torch.randn(60, 16), "image")
        assert zero_shot(geometry.score, images, prototypes, label).accuracy == 1
        wrong = zero_shot(geometry.score, images, prototypes, (label + 1) % 6)
    assert wrong.accuracy == 0
