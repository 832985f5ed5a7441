"""All losses by name: what a user calls, what it asks for, and how the trainer calls it.

A new loss is a file, a row here, and a page docs/losses/NAME.md (docs/new_loss.md says the rest).
What the trainer offers, `LossConfig` in train/loss_config.py, names the rows that have a `term`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.angle import angle_loss
from geomclip.losses.bias import SigmoidBias
from geomclip.losses.chains import chain_entailment_loss
from geomclip.losses.edges import edge_loss
from geomclip.losses.entailment import entailment_loss
from geomclip.losses.gram import gram_loss
from geomclip.losses.hycoclip import box_contrastive, hycoclip_losses
from geomclip.losses.individual import IndividualTemperatures
from geomclip.losses.info_nce import info_nce
from geomclip.losses.order import order_energy
from geomclip.losses.pmrl import pmrl_losses
from geomclip.losses.ranking import ranking_loss
from geomclip.losses.sigmoid import initial_bias, sigmoid_loss
from geomclip.losses.state import LossState
from geomclip.losses.supcon import supcon_loss
from geomclip.losses.uniformity import alignment_loss, cross_uniformity_loss, uniformity_loss
from geomclip.precision import widen
from geomclip.train.loss_config import LossConfig
from geomclip.train.modality_config import Pair, Roles


@dataclass(frozen=True)
class Sample:
    """What a loss sees of a batch of n records, and what is known of them."""

    points: Mapping[str, Float[Tensor, "n d"]]
    """By modality."""
    features: Mapping[str, Float[Tensor, "n d"]] = field(default_factory=dict)
    """Raw, by modality: for losses that are defined on directions; of a table its points."""
    ids: Int[Tensor, "n"] | None = None
    """Which item of the data each record is."""
    labels: Int[Tensor, "n l"] | None = None
    """Label of each record at each level of its path, the most general first; -1 after its end."""
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
    roles: Roles
    min_radius: float
    """K of the cones at this step."""
    state: LossState | None
    """What the row's `state` made."""

    def over(self, pairs: Sequence[Pair], loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The mean over pairs of modalities of a loss of their points."""
        return mean([loss(self.sample.points[a], self.sample.points[b]) for a, b in pairs])

    def over_pairs(self, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The mean over the contrasted pairs."""
        return self.over(self.roles.pairs, loss)


def mean(terms: Sequence[Tensor]) -> Tensor:
    """Of 0-dim tensors, at least one."""
    return terms[0] if len(terms) == 1 else torch.stack(list(terms)).mean()


@dataclass(frozen=True)
class Loss:
    """One loss."""

    function: Callable[..., Any]
    """What users call: a function, or the module that learns something of its own."""
    page: str
    """docs/losses/PAGE.md."""
    needs: tuple[str, ...] = ()
    """What it asks for beyond points: fields of `Sample`, "boxes", "third modality"."""
    cones: bool = False
    """Whether the geometry must have cones."""
    contrastive: bool = False
    """Whether a run may minimise it alone; the others are added to one that it may."""
    term: Callable[[Call], Tensor] | None = None
    """Its value in the trainer; None where the trainer does not offer it."""
    state: Callable[[LossConfig, Geometry, int, int], LossState] | None = None
    """What it learns of its own: of options, geometry, pairs a batch and items of the data."""
    chance: Callable[[LossConfig, Roles, int, LossState | None], float] = (
        lambda options, roles, pairs, state: math.log(pairs)
    )
    """Of contrastive rows: the loss of a model that tells nothing from anything, of options, roles,
    pairs a batch and the state."""
    words: str = ""
    """Of contrastive rows: how a model card calls it, "{option}" being what the run's is."""
    unit: str = "nats"


def _sigmoid(call: Call) -> Tensor:
    assert isinstance(call.state, SigmoidBias)
    bias = call.state(call.geometry)
    return call.over_pairs(lambda x, y: sigmoid_loss(call.geometry, x, y, bias))


def _bias(options: LossConfig, geometry: Geometry, pairs: int, items: int) -> LossState:
    start = initial_bias(pairs) if options.bias_init is None else options.bias_init
    return SigmoidBias(start, geometry, form=options.bias_form)


def _sigmoid_chance(
    options: LossConfig, roles: Roles, pairs: int, state: LossState | None
) -> float:
    """Every pair answered with its share of yes, 1/n."""
    n = pairs
    return math.log(n) + (n - 1) * math.log(n / (n - 1)) if n > 1 else 0.0


def _supcon(call: Call) -> Tensor:
    sample, weights = call.sample, call.options.levels
    assert sample.labels is not None
    labels = sample.labels[:, : len(weights)]
    return call.over_pairs(lambda x, y: supcon_loss(call.geometry, x, labels, y, weights=weights))


def _individual(call: Call) -> Tensor:
    state, ids = call.state, call.sample.ids
    assert state is not None
    return call.over_pairs(lambda x, y: state(call.geometry, x, y, ids))


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


def _individual_chance(
    options: LossConfig, roles: Roles, pairs: int, state: LossState | None
) -> float:
    """All scores equal: rho times the temperatures of both sides."""
    assert isinstance(state, IndividualTemperatures)
    return state.rho * state.temperature.mean(1).sum().item()


def _alignment(call: Call) -> Tensor:
    manifold, metric = call.geometry.manifold, call.options.metric
    return call.over_pairs(lambda x, y: alignment_loss(manifold, x, y, metric=metric))


def _uniformity(call: Call) -> Tensor:
    manifold, options = call.geometry.manifold, call.options
    spread, metric = options.spread, options.metric
    return mean(
        [
            uniformity_loss(manifold, call.sample.points[name], spread=spread, metric=metric)
            for name in call.roles.contrasted
        ]
    )


def _cross_uniformity(call: Call) -> Tensor:
    manifold, options = call.geometry.manifold, call.options
    spread, metric = options.spread, options.metric
    return call.over_pairs(
        lambda x, y: cross_uniformity_loss(manifold, x, y, spread=spread, metric=metric)
    )


def _chains(call: Call) -> Tensor:
    sample = call.sample
    assert sample.nodes is not None and sample.chains is not None
    return chain_entailment_loss(
        call.geometry.manifold,
        sample.nodes,
        sample.chains,
        sample.points[call.roles.image],
        min_radius=call.min_radius,
        links=call.options.links,
    )


def _gram(call: Call) -> Tensor:
    features, names = call.sample.features, call.roles.contrasted
    anchor = call.options.anchor or call.roles.text or names[0]
    others = [features[name] for name in names if name != anchor]
    temperature = (-widen(call.geometry.logit_scale, "logit_scale")).exp()
    return gram_loss(features[anchor], others, temperature)


def _pmrl(call: Call) -> Tensor:
    features = [call.sample.features[name] for name in call.roles.contrasted]
    temperature = (-widen(call.geometry.logit_scale, "logit_scale")).exp()
    found = pmrl_losses(
        features, tau_alignment=call.options.tau_alignment, tau_separation=temperature
    )
    return found.alignment + found.separation


def _pmrl_chance(options: LossConfig, roles: Roles, pairs: int, state: LossState | None) -> float:
    """All directions equal: the leading value sqrt(k) beside k - 1 of 0, and n equal rows."""
    k = len(roles.contrasted)
    alignment = math.log1p((k - 1) * math.exp(-math.sqrt(k) / options.tau_alignment))
    return alignment + math.log(pairs)


def _hycoclip(call: Call) -> Tensor:
    points, roles = call.sample.points, call.roles
    names = (roles.image, roles.text, roles.box, roles.phrase)
    return box_contrastive(call.geometry, *(points[name] for name in names))


LOSSES: Mapping[str, Loss] = {
    "info_nce": Loss(
        info_nce,
        "info_nce",
        contrastive=True,
        words="symmetric InfoNCE",
        term=lambda call: call.over_pairs(lambda x, y: info_nce(call.geometry, x, y)),
    ),
    "sigmoid": Loss(
        sigmoid_loss,
        "sigmoid",
        contrastive=True,
        words="the sigmoid loss ({bias_form} bias)",
        term=_sigmoid,
        state=_bias,
        chance=_sigmoid_chance,
    ),
    "supcon": Loss(
        supcon_loss,
        "supcon",
        ("labels",),
        contrastive=True,
        words="the supervised contrastive loss over label paths",
        term=_supcon,
    ),
    "individual": Loss(
        IndividualTemperatures,
        "individual",
        ("ids",),
        contrastive=True,
        words="InfoNCE with individual temperatures",
        unit="score units",
        term=_individual,
        state=_temperatures,
        chance=_individual_chance,
    ),
    "angle": Loss(
        angle_loss,
        "angle",
        cones=True,
        contrastive=True,
        words="InfoNCE over exterior angles",
        term=lambda call: call.over(
            call.roles.links, lambda parent, child: angle_loss(call.geometry, parent, child)
        ),
    ),
    "alignment": Loss(alignment_loss, "uniformity", term=_alignment),
    "uniformity": Loss(uniformity_loss, "uniformity", term=_uniformity),
    "cross_uniformity": Loss(cross_uniformity_loss, "uniformity", term=_cross_uniformity),
    "entailment": Loss(
        entailment_loss,
        "entailment",
        cones=True,
        term=lambda call: call.over(
            call.roles.links,
            lambda parent, child: entailment_loss(
                call.geometry.manifold, parent, child, call.min_radius
            ),
        ),
    ),
    "edges": Loss(edge_loss, "edges"),
    "order": Loss(order_energy, "order"),
    "ranking": Loss(ranking_loss, "ranking"),
    "chains": Loss(chain_entailment_loss, "chains", ("nodes", "chains"), cones=True, term=_chains),
    "hycoclip": Loss(
        hycoclip_losses,
        "hycoclip",
        ("boxes",),
        cones=True,
        contrastive=True,
        words="HyCoCLIP's contrast of pictures, boxes and their words",
        term=_hycoclip,
    ),
    "gram": Loss(
        gram_loss,
        "gram",
        ("features", "third modality"),
        contrastive=True,
        words="InfoNCE over volumes (GRAM)",
        term=_gram,
    ),
    "pmrl": Loss(
        pmrl_losses,
        "pmrl",
        ("features", "third modality"),
        contrastive=True,
        words="leading singular values (PMRL)",
        term=_pmrl,
        chance=_pmrl_chance,
    ),
}
