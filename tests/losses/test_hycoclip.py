"""HyCoCLIP's scheme: its eight terms one by one, by hand and through the geometries with cones."""

import math

import geometry_points
import pytest
import torch
from torch import Tensor

from geomclip import build_geometry
from geomclip.losses import (
    entailment_loss,
    hycoclip_losses,
    info_nce_from_logits,
    one_way_info_nce,
)
from manifolds import Euclidean


def test_one_way_is_one_half_of_info_nce() -> None:
    torch.manual_seed(0)
    g = geometry_points.make("hyperbolic", 3)
    x, y = geometry_points.points(g, 6), geometry_points.points(g, 6, "text")
    there, back = one_way_info_nce(g, x, y), one_way_info_nce(g, y, x)
    rows = torch.nn.functional.cross_entropy(g.logits(x, y), torch.arange(6))
    torch.testing.assert_close(there, rows)
    torch.testing.assert_close((there + back) / 2, info_nce_from_logits(g.logits(x, y)))
    zero = torch.zeros(5, 3, dtype=torch.float64)
    assert one_way_info_nce(g, zero, zero).item() == pytest.approx(math.log(5), rel=1e-12)


def test_the_aperture_scale_by_hand() -> None:
    # |x| = 1, K = 1/2: half aperture 30 degrees; the child is seen under 90.
    parent = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    child = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    for scale in (0.7, 1.0, 1.2):
        loss = entailment_loss(Euclidean(), parent, child, 0.5, aperture_scale=scale)
        assert loss.item() == pytest.approx(math.pi / 2 - scale * math.pi / 6, abs=1e-12)
    assert entailment_loss(Euclidean(), parent, child, 0.5, aperture_scale=3.0).item() == 0
    for scale in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"aperture_scale .* must be positive"):
            entailment_loss(Euclidean(), parent, child, 0.5, aperture_scale=scale)


def test_the_terms_by_hand() -> None:
    """One sample in the plane: no contrast to lose, and four angles that can be read off."""
    g = build_geometry("euclip", 2).double()
    box_text, text, box_image, image = torch.tensor(
        [[[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 1.0]], [[0.0, 3.0]]], dtype=torch.float64
    )
    losses = hycoclip_losses(g, image, text, box_image, box_text, min_radius=0.5)
    assert losses.contrastive.item() == pytest.approx(0, abs=1e-14)
    narrow = math.asin(0.5 / math.sqrt(2))  # half aperture of the text
    # text (1, 1) => image (0, 3): direction (-1, 2) against (1, 1).
    to_image = math.acos(1 / math.sqrt(10))
    expected = (
        (to_image - 0.7 * narrow)
        + (3 * math.pi / 4 - 0.7 * math.pi / 6)  # box text (1, 0) => box image (0, 1)
        + 0  # box image (0, 1) => image (0, 3), straight ahead
        + (math.pi / 2 - 1.2 * math.pi / 6)  # box text (1, 0) => text (1, 1)
    ) / 2
    assert losses.entailment.item() == pytest.approx(expected, abs=1e-12)


def test_equal_points_leave_the_contrast_at_log_n() -> None:
    g = build_geometry("meru", 3).double()
    same = torch.ones(6, 3, dtype=torch.float64)
    losses = hycoclip_losses(g, same, same, same, same)
    assert losses.contrastive.item() == pytest.approx(math.log(6), rel=1e-12)
    assert losses.entailment.item() == 0


def test_boxes_are_contrasted_with_wholes() -> None:
    torch.manual_seed(0)
    g = geometry_points.make("hyperbolic", 3)
    image, text, box_image, box_text = (
        geometry_points.points(g, 5, m) for m in ("image", "text", "image", "text")
    )
    found = hycoclip_losses(g, image, text, box_image, box_text).contrastive
    pairs = [(image, text), (text, image), (box_image, text), (box_text, image)]
    target = torch.arange(5)
    terms = [torch.nn.functional.cross_entropy(g.logits(a, b), target) for a, b in pairs]
    torch.testing.assert_close(found, torch.stack(terms).mean())


@pytest.mark.parametrize("name", ["euclidean", "hyperbolic-squared"])
def test_gradients(name: str) -> None:
    torch.manual_seed(0)
    g = geometry_points.make(name)

    def loss(*points: Tensor) -> Tensor:
        losses = hycoclip_losses(g, *points)
        return losses.contrastive + 0.2 * losses.entailment

    modalities = ("image", "text", "image", "text")
    geometry_points.check_gradients(g, loss, *((3, m) for m in modalities), fast=True)


def test_what_can_t_be_asked() -> None:
    g, x = build_geometry("clip", 3), torch.nn.functional.normalize(torch.randn(4, 3), dim=1)
    with pytest.raises(NotImplementedError, match="Sphere"):
        hycoclip_losses(g, x, x, x, x)
