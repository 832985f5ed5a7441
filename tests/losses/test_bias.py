"""The sigmoid loss's bias: both forms agree at the start, and part as the temperature moves."""

import math

import geometry_points
import pytest
import torch

from geomclip import build_geometry
from geomclip.losses import SigmoidBias, initial_bias, sigmoid_loss


@pytest.mark.parametrize("name", ["clip", "euclip", "meru"])
def test_both_forms_start_at_the_same_loss(name: str) -> None:
    torch.manual_seed(0)
    g = geometry_points.make(name, 3)
    x, y = geometry_points.points(g, 6), geometry_points.points(g, 6, "text")
    start = initial_bias(6)
    losses = [
        sigmoid_loss(g, x, y, SigmoidBias(start, g, form=form).double()(g))
        for form in ("absolute", "relative")
    ]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(losses[0], sigmoid_loss(g, x, y, start), rtol=1e-6, atol=0)


def test_relative_logits_are_beta_times_score_minus_b_rel() -> None:
    g = build_geometry("clip", 2).double()
    with torch.no_grad():
        g.logit_scale.fill_(math.log(4.0))
    bias = SigmoidBias(-2.0, g, form="relative").double()
    assert bias.value.item() == pytest.approx(0.5, rel=1e-6)
    with torch.no_grad():
        g.logit_scale.fill_(math.log(8.0))
        bias.value.fill_(0.5)
    # Partners score 1, others 0: logits 8 (1 - 1/2) = 4 and 8 (0 - 1/2) = -4, all the same cost.
    x = torch.eye(2, dtype=torch.float64)
    loss = sigmoid_loss(g, x, x, bias(g))
    assert loss.item() == pytest.approx(2 * math.log1p(math.exp(-4)), rel=1e-12)


@pytest.mark.parametrize("form", ["absolute", "relative"])
def test_gradients(form: str) -> None:
    torch.manual_seed(0)
    g = geometry_points.make("hyperbolic")
    bias = SigmoidBias(-1.0, g, form=form).double()  # type: ignore[arg-type]
    x, y = geometry_points.points(g, 4), geometry_points.points(g, 4, "text")
    inputs = (bias.value, g.logit_scale, g.manifold.log_c)
    assert torch.autograd.gradcheck(lambda *_: sigmoid_loss(g, x, y, bias(g)), inputs)


def test_what_can_t_be_asked(unchecked: None) -> None:
    g = build_geometry("clip", 2)
    with pytest.raises(ValueError, match="absolute or relative, got 'both'"):
        SigmoidBias(-1.0, g, form="both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be finite, got nan"):
        SigmoidBias(math.nan, g)
