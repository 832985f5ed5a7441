"""The learned bias of the sigmoid loss, in SigLIP's form or relative to the scores."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomclip.geometry import Geometry
from geomclip.losses.state import LossState
from geomclip.precision import widen

Form = Literal["absolute", "relative"]


class SigmoidBias(LossState):
    """b of logits beta s + b, learned as it is or as the score where a pair is a coin toss.

        absolute   b               (SigLIP, arXiv 2303.15343, algorithm 1)
        relative   -beta b_rel     (Bangachev et al., arXiv 2509.18552): logits beta (s - b_rel)

    Both give the same loss at the same b; relative, the border between pairs and others stays where
    it is while the temperature moves.

    Args:
        bias: b at the start; `initial_bias(n)` for batches of n pairs.
        geometry: gives beta, which the relative form needs to start at the same b.
        form: which of the two is the parameter.

    Raises:
        ValueError: a bias that is not finite, or an unknown form.
    """

    def __init__(self, bias: float, geometry: Geometry, *, form: Form = "absolute") -> None:
        super().__init__()
        if form not in ("absolute", "relative"):
            raise ValueError(f"form of the bias is absolute or relative, got {form!r}")
        if not math.isfinite(bias):
            raise ValueError(f"the bias must be finite, got {bias}")
        self.form = form
        start = bias if form == "absolute" else -bias / geometry.logit_scale.exp().item()
        self.value = nn.Parameter(torch.tensor(float(start)))

    def forward(self, geometry: Geometry) -> Float[Tensor, ""]:
        """b, for `sigmoid_loss(geometry, x, y, bias(geometry))`."""
        value = widen(self.value, "bias")
        if self.form == "absolute":
            return value
        return -widen(geometry.logit_scale, "logit_scale").exp() * value

    def scalars(self) -> dict[str, float]:
        """The parameter, in its own form."""
        return {"sigmoid_bias": self.value.item()}
