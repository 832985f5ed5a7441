"""Angle logits: exact values in the plane, the order root - text - image, bands, gradients."""

import math

import geometry_points
import pytest
import torch

from geomclip import build_geometry
from geomclip.losses import angle_loss, bands


def test_two_pairs_in_the_plane_by_hand() -> None:
    g = build_geometry("euclip", 2).double()
    with torch.no_grad():
        g.logit_scale.fill_(0.0)
    text = torch.tensor([[1.0, 0], [0, 1]], dtype=torch.float64)
    image = 2 * text
    # At text 0: image 0 is straight ahead (0), image 1 at (0, 2) - (1, 0), angle pi - atan 2.
    # At image 0: text 0 is straight behind (pi), text 1 at (0, 1) - (2, 0), angle pi - atan(1/2).
    ahead = math.log(1 + math.exp(-(math.pi - math.atan(2))))
    behind = math.log(1 + math.exp(-math.atan(0.5)))
    assert angle_loss(g, text, image).item() == pytest.approx((ahead + behind) / 2, rel=1e-12)
    # The other order costs what the right one saves.
    assert angle_loss(g, image, text) > angle_loss(g, text, image)


@pytest.mark.parametrize("name", geometry_points.CONES)
def test_angles_do_not_see_how_far_along_a_ray_the_image_lies(name: str) -> None:
    """Seen from the texts; the other direction turns to equal logits as images go out."""
    torch.manual_seed(0)
    g = geometry_points.make(name, 3)
    text = geometry_points.points(g, 6, "text")
    m = g.manifold
    near, far = (m.expmap0(s * m.logmap0(text)) for s in (1.5, 3.0))
    own = m.exterior_angle(text, far)
    torch.testing.assert_close(own, torch.zeros_like(own), rtol=0, atol=1e-6)
    perfect = angle_loss(g, text, near)
    shuffled = angle_loss(g, text, near.roll(1, 0))
    assert perfect < math.log(6) < shuffled


@pytest.mark.parametrize("name", geometry_points.CONES)
def test_the_loss_is_its_definition(name: str) -> None:
    torch.manual_seed(0)
    g = geometry_points.make(name, 3)
    text, image = geometry_points.points(g, 5, "text"), geometry_points.points(g, 5)
    beta = g.logit_scale.exp()
    at_text = torch.stack([g.manifold.exterior_angle(t.expand(5, 3), image) for t in text])
    at_image = torch.stack([g.manifold.exterior_angle(i.expand(5, 3), text) for i in image])
    target = torch.arange(5)
    ce = torch.nn.functional.cross_entropy
    expected = (ce(-beta * at_text, target) + ce(beta * at_image, target)) / 2
    torch.testing.assert_close(angle_loss(g, text, image), expected)


def test_all_points_at_the_root_give_log_n() -> None:
    g = build_geometry("meru", 3).double()
    x = torch.zeros(7, 3, dtype=torch.float64)
    assert angle_loss(g, x, x).item() == pytest.approx(math.log(7), rel=1e-14)


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    g = geometry_points.make("hyperbolic", 3)
    drawn = torch.randn(2, 7, 3, dtype=torch.float64)
    results = []
    for band in (bands.BAND, 14):
        monkeypatch.setattr(bands, "BAND", band)
        f = drawn.clone().requires_grad_()
        loss = angle_loss(g, g.lift(f[0], "text"), g.lift(f[1], "image"))
        results.append((loss, *torch.autograd.grad(loss, (f, g.logit_scale))))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["euclidean", "hyperbolic", "poincare"])
def test_gradients(name: str) -> None:
    torch.manual_seed(0)
    g = geometry_points.make(name)
    loss = lambda text, image: angle_loss(g, text, image)  # noqa: E731
    geometry_points.check_gradients(g, loss, (3, "text"), (3, "image"))


def test_the_sphere_has_no_exterior_angles() -> None:
    g = build_geometry("clip", 3)
    x = torch.nn.functional.normalize(torch.randn(4, 3), dim=1)
    with pytest.raises(NotImplementedError, match="Sphere"):
        angle_loss(g, x, x)
