"""All losses by name: what a user calls, what it asks for, and how the trainer calls it.

A new loss is a file, a row here, and a page docs/losses/NAME.md (tested). What the trainer offers,
`LossConfig` in train/loss_config.py, names the rows that have a `term`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.angle import angle_loss
from geomclip.losses.bias import SigmoidBias
from geomclip.losses.chains import chain_entailment_loss
from geomclip.losses.entailment import entailment_loss
from geomclip.losses.gram import gram_loss
from geomclip.losses.hycoclip import hycoclip_losses
from geomclip.losses.individual import IndividualTemperatures
from geomclip.losses.info_nce import info_nce
from geomclip.losses.pmrl import pmrl_losses
from geomclip.losses.sigmoid import initial_bias, sigmoid_loss
from geomclip.losses.state import LossState
from geomclip.losses.supcon import supcon_loss
from geomclip.losses.uniformity import alignment_loss, cross_uniformity_loss, uniformity_loss
from geomclip.train.loss_config import LossConfig


@dataclass(frozen=True)
class Sample:
    """What a loss sees of a batch of n pairs: points, and what is known of the pictures."""

    image: Float[Tensor, "n d"]
    text: Float[Tensor, "n d"]
    ids: Int[Tensor, "n"] | None = None
    """Which item of the data each pair is."""
    labels: Int[Tensor, "n l"] | None = None
    """Label of each picture at each level of its path, the most general first; -1 after its end."""
    nodes: Float[Tensor, "m d"] | None = None
    """Points of the texts of the labels in the batch."""
    chains: Int[Tensor, "n l"] | None = None
    """Rows of `nodes` that the paths go through; -1 after their end."""


@dataclass(frozen=True)
class Call:
    """One evaluation of a loss by the trainer."""

    geometry: Geometry
    sample: Sample
    options: LossConfig
    min_radius: float
    """K of the cones at this step."""
    state: LossState | None
    """What the row's `state` made."""


@dataclass(frozen=True)
class Loss:
    """One loss."""

    function: Callable[..., Any]
    """What users call: a function, or the module that learns something of its own."""
    page: str
    """docs/losses/PAGE.md."""
    needs: tuple[str, ...] = ()
    """What it asks for beyond pairs: fields of `Sample`, "boxes", "third modality"."""
    cones: bool = False
    """Whether the geometry must have cones."""
    contrastive: bool = False
    """Whether a run may minimise it alone; the others are added to one that it may."""
    term: Callable[[Call], Tensor] | None = None
    """Its value in the trainer; None where the trainer has not what it needs."""
    state: Callable[[LossConfig, Geometry, int, int], LossState] | None = None
    """What it learns of its own: of options, geometry, pairs a batch and items of the data."""
    chance: Callable[[int, LossState | None], float] = lambda pairs, state: math.log(pairs)
    """Of contrastive rows: the loss of a model that tells nothing from anything."""


def _sigmoid(call: Call) -> Tensor:
    assert isinstance(call.state, SigmoidBias)
    bias = call.state(call.geometry)
    return sigmoid_loss(call.geometry, call.sample.image, call.sample.text, bias)


def _bias(options: LossConfig, geometry: Geometry, pairs: int, items: int) -> LossState:
    start = initial_bias(pairs) if options.bias_init is None else options.bias_init
    return SigmoidBias(start, geometry, form=options.bias_form)


def _sigmoid_chance(pairs: int, state: LossState | None) -> float:
    """Every pair answered with its share of yes, 1/n."""
    n = pairs
    return math.log(n) + (n - 1) * math.log(n / (n - 1)) if n > 1 else 0.0


def _supcon(call: Call) -> Tensor:
    sample, weights = call.sample, call.options.levels
    assert sample.labels is not None
    labels = sample.labels[:, : len(weights)]
    return supcon_loss(call.geometry, sample.image, labels, sample.text, weights=weights)


def _individual(call: Call) -> Tensor:
    assert call.state is not None
    return call.state(call.geometry, call.sample.image, call.sample.text, call.sample.ids)


def _temperatures(options: LossConfig, geometry: Geometry, pairs: int, items: int) -> LossState:
    return IndividualTemperatures(
        items,
        tau=options.tau_init,
        tau_min=options.tau_min,
        tau_max=options.tau_max,
        rho=options.tau_rho,
        rate=options.tau_rate,
        momentum=options.tau_momentum,
        decay=options.tau_decay,
    )


def _individual_chance(pairs: int, state: LossState | None) -> float:
    """All scores equal: rho times the temperatures of both sides."""
    assert isinstance(state, IndividualTemperatures)
    return state.rho * state.temperature.mean(1).sum().item()


def _alignment(call: Call) -> Tensor:
    sample, metric = call.sample, call.options.metric
    return alignment_loss(call.geometry.manifold, sample.image, sample.text, metric=metric)


def _uniformity(call: Call) -> Tensor:
    options: dict[str, Any] = {"spread": call.options.spread, "metric": call.options.metric}
    image = uniformity_loss(call.geometry.manifold, call.sample.image, **options)
    return (image + uniformity_loss(call.geometry.manifold, call.sample.text, **options)) / 2


def _cross_uniformity(call: Call) -> Tensor:
    return cross_uniformity_loss(
        call.geometry.manifold,
        call.sample.image,
        call.sample.text,
        spread=call.options.spread,
        metric=call.options.metric,
    )


def _chains(call: Call) -> Tensor:
    sample = call.sample
    assert sample.nodes is not None and sample.chains is not None
    return chain_entailment_loss(
        call.geometry.manifold,
        sample.nodes,
        sample.chains,
        sample.image,
        min_radius=call.min_radius,
        links=call.options.links,
    )


LOSSES: Mapping[str, Loss] = {
    "info_nce": Loss(
        info_nce,
        "info_nce",
        contrastive=True,
        term=lambda call: info_nce(call.geometry, call.sample.image, call.sample.text),
    ),
    "sigmoid": Loss(
        sigmoid_loss,
        "sigmoid",
        contrastive=True,
        term=_sigmoid,
        state=_bias,
        chance=_sigmoid_chance,
    ),
    "supcon": Loss(supcon_loss, "supcon", ("labels",), contrastive=True, term=_supcon),
    "individual": Loss(
        IndividualTemperatures,
        "individual",
        ("ids",),
        contrastive=True,
        term=_individual,
        state=_temperatures,
        chance=_individual_chance,
    ),
    "angle": Loss(
        angle_loss,
        "angle",
        cones=True,
        contrastive=True,
        term=lambda call: angle_loss(call.geometry, call.sample.text, call.sample.image),
    ),
    "alignment": Loss(alignment_loss, "uniformity", term=_alignment),
    "uniformity": Loss(uniformity_loss, "uniformity", term=_uniformity),
    "cross_uniformity": Loss(cross_uniformity_loss, "uniformity", term=_cross_uniformity),
    "entailment": Loss(
        entailment_loss,
        "entailment",
        cones=True,
        term=lambda call: entailment_loss(
            call.geometry.manifold, call.sample.text, call.sample.image, call.min_radius
        ),
    ),
    "chains": Loss(chain_entailment_loss, "chains", ("nodes", "chains"), cones=True, term=_chains),
    "hycoclip": Loss(hycoclip_losses, "hycoclip", ("boxes",), cones=True),
    "gram": Loss(gram_loss, "gram", ("third modality",)),
    "pmrl": Loss(pmrl_losses, "pmrl", ("third modality",)),
}
