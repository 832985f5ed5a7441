"""What is no tensor, no geometry or no such option is named by the loss that it was given to."""

import re

import pytest
import torch

from geomclip import build_geometry, losses
from geomclip.losses import info_nce, sigmoid_loss
from manifolds import Lorentz

pytestmark = pytest.mark.usefixtures("unchecked")

G = build_geometry("meru", 4)
X = G.lift(torch.ones(5, 4), "image").detach()


@pytest.mark.parametrize("bad", [[0.1, 0.2], None])
@pytest.mark.parametrize(
    ("name", "argument", "arguments"),
    [
        ("info_nce", "x", lambda bad: (G, bad, X)),
        ("sigmoid_loss", "y", lambda bad: (G, X, bad, 0.0)),
        ("angle_loss", "x", lambda bad: (G, bad, X)),
        ("supcon_loss", "labels", lambda bad: (G, X, bad, X)),
        ("alignment_loss", "x", lambda bad: (G.manifold, bad, X)),
        ("cross_uniformity_loss", "y", lambda bad: (G.manifold, X, bad)),
        ("gram_loss", "number 1", lambda bad: (X, [bad, X], 0.1)),
        ("info_nce_from_logits", "logits", lambda bad: (bad,)),
        ("sigmoid_loss_from_logits", "logits", lambda bad: (bad,)),
    ],
)
def test_what_is_no_tensor_is_named(name, argument, arguments, bad):
    said = rf"^{name.removesuffix('_from_logits')}: {argument} must be a tensor \(n"
    with pytest.raises(TypeError, match=said):
        getattr(losses, name)(*arguments(bad))


def test_what_is_no_geometry_is_named():
    for bad in ("meru", Lorentz()):
        said = rf"^info_nce asks for a Geometry, got {type(bad).__name__}; geomclip\.build_geometry"
        with pytest.raises(TypeError, match=said):
            info_nce(bad, X, X)
    with pytest.raises(TypeError, match=r"called by its name, got None\. One of euclip"):
        build_geometry(None, 3)
    with pytest.raises(TypeError, match=re.escape("meru: dim must be a whole number, got dim='a'")):
        build_geometry("meru", "a")


@pytest.mark.parametrize("memory", ["auto", "plain", "tiled"])
def test_a_precision_that_is_not_there_is_refused_at_every_size(memory):
    for loss in (
        lambda **options: info_nce(G, X, X, memory=memory, **options),
        lambda **options: sigmoid_loss(G, X, X, 0.0, memory=memory, **options),
    ):
        with pytest.raises(ValueError, match="precision='tf32' exists on CUDA devices only"):
            loss(precision="tf32")
        with pytest.raises(ValueError, match="precision must be one of float32, bf16x3, tf32"):
            loss(precision="fp8")
