"""What is minimised: from the raw features of a process's records to the loss of the whole batch.

Gradients are those of the sum over the processes of what each returns, as in
`geomclip.losses.sharded`: averaged over the processes they are those of the whole batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.geometry import Geometry
from geomclip.losses import (
    box_entailment,
    chain_links,
    entailment_loss,
    lonely_anchors,
    sharded_info_nce,
    sharded_sigmoid_loss,
)
from geomclip.losses.sharded import whole_mean
from geomclip.losses.table import Sample, mean
from geomclip.train.config import TrainConfig
from geomclip.train.criterion import Criterion
from geomclip.train.samples import NOTHING, Known
from geomclip.train.schedule import entailment_schedule
from geomclip.train.world import World
from manifolds.kernels.contrastive import supports
from manifolds.kernels.sharded import gather_rows


@dataclass(frozen=True)
class Terms:
    """The loss of a batch and what it is made of; points are those of this process's records."""

    loss: Float[Tensor, ""]
    """What is minimised, over the whole batch."""
    contrastive: Float[Tensor, ""]
    """Its contrastive part, nats."""
    points: Mapping[str, Float[Tensor, "n d"]]
    """By modality."""
    norms: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    """Mean length of this process's raw projected features, by modality."""
    parts: dict[str, float] = field(default_factory=dict)
    """Other parts of the loss without their weights, and counts, over the whole batch."""


class Objective:
    """The loss of a configuration over the processes of a run.

    Raises:
        RequestError: a ring of processes, on a manifold without a linear-memory loss.
    """

    def __init__(
        self,
        geometry: Geometry,
        config: TrainConfig,
        world: World,
        criterion: Criterion | None = None,
    ) -> None:
        self.geometry = geometry
        self.config = config
        self.world = world
        self.roles = config.roles
        self.criterion = criterion or Criterion(config, geometry)
        self.linear = supports(geometry.manifold, geometry.spec.logit)
        if world.size > 1 and config.exchange == "ring" and not self.linear:
            raise RequestError(
                f"exchange ring: there is no linear-memory loss on {geometry.manifold.name}",
                "Use --exchange gather.",
            )

    def __call__(
        self,
        features: Mapping[str, Float[Tensor, "n d"]],
        step: int,
        known: Known = NOTHING,
        label_features: Float[Tensor, "m d"] | None = None,
    ) -> Terms:
        """The terms at a step, counted from 0, of the raw features of this process's records.

        Args:
            features: by modality.
            label_features: of the texts of the `known` labels.

        Raises ValueError where the geometry refuses them (a zero feature on the sphere).
        """
        geometry, encoders = self.geometry, self.roles.encoders
        points = {name: geometry.lift(f, encoders[name]) for name, f in features.items()}
        sample = Sample(points, features, ids=known.ids, labels=known.labels)
        if label_features is not None:
            nodes = geometry.lift(label_features, encoders[self.roles.text])
            sample = replace(sample, nodes=nodes, chains=known.chains)
        weight, min_radius = entailment_schedule(self.config, step)
        whole = self._whole(sample)
        contrastive = self._contrastive(sample, whole, min_radius)
        loss = contrastive
        parts: dict[str, float] = {}
        for name, factor in self.criterion.weights.items():
            if name == "chains":
                term = self._chains(sample, min_radius)
            else:
                term = self.criterion.value(name, geometry, whole, min_radius)
            parts[name] = term.item()
            loss = loss + factor * term
        if weight > 0:
            loss = loss + weight * self._entailment(points, min_radius)
        if self.criterion.contrastive == "supcon" and whole.labels is not None:
            lonely = lonely_anchors(whole.labels[:, : len(self.config.loss.levels)])
            for level, share in enumerate(lonely.double().mean(0).tolist(), 1):
                parts[f"lonely_level_{level}"] = share
        norms = {
            name: mean_length(f)
            for name, f in features.items()
            if encoders[name] not in geometry.given
        }
        return Terms(loss, contrastive, points, norms, parts)

    def _contrastive(self, sample: Sample, whole: Sample, min_radius: float) -> Tensor:
        criterion, geometry, exchange = self.criterion, self.geometry, self.config.exchange
        sharded = self.world.size > 1 and self.linear
        pairs = [(sample.points[a], sample.points[b]) for a, b in self.roles.pairs]
        if sharded and criterion.contrastive == "info_nce":
            return mean([sharded_info_nce(geometry, x, y, exchange=exchange) for x, y in pairs])
        if sharded and criterion.contrastive == "sigmoid":
            bias = criterion.states["sigmoid"](geometry)
            return mean(
                [sharded_sigmoid_loss(geometry, x, y, bias, exchange=exchange) for x, y in pairs]
            )
        return criterion.value(criterion.contrastive, geometry, whole, min_radius)

    def _entailment(self, points: Mapping[str, Tensor], min_radius: float) -> Tensor:
        """The mean over the links of MERU's loss; of HyCoCLIP's scheme its own half."""
        geometry, roles = self.geometry, self.roles
        if self.criterion.contrastive == "hycoclip":
            names = (roles.image, roles.text, roles.box, roles.phrase)
            value = box_entailment(geometry, *(points[n] for n in names), min_radius=min_radius)
        else:
            value = mean(
                [
                    entailment_loss(geometry.manifold, points[parent], points[child], min_radius)
                    for parent, child in roles.links
                ]
            )
        # Records are as many on every process.
        return whole_mean(value) if self.world.size > 1 else value

    def _whole(self, sample: Sample) -> Sample:
        """The records of all processes, where a loss asks for them; label texts stay apart."""
        names = {self.criterion.contrastive, *self.criterion.weights}
        shared = {"info_nce", "sigmoid", "chains"} if self.linear else {"chains"}
        if self.world.size == 1 or names <= shared:
            return sample
        features = sample.features if "features" in self.criterion.needs else {}
        return Sample(
            {name: gather_rows(x) for name, x in sample.points.items()},
            {name: gather_rows(f) for name, f in features.items()},
            ids=self._gather(sample.ids),
            labels=self._gather(sample.labels),
        )

    def _chains(self, sample: Sample, min_radius: float) -> Tensor:
        """The mean over the links of all processes, of which each has its own number."""
        if self.world.size == 1:
            return self.criterion.value("chains", self.geometry, sample, min_radius)
        assert sample.nodes is not None and sample.chains is not None
        links = self.config.loss.links
        count = len(chain_links(sample.chains, len(sample.nodes), leaves=True, links=links)[0])
        (total,) = self.world.total(count)
        if not count:
            return whole_mean(0 * sample.nodes.sum())
        mean = self.criterion.value("chains", self.geometry, sample, min_radius)
        return whole_mean(mean * (count * self.world.size / total))

    def _gather(self, rows: Tensor | None) -> Tensor | None:
        """Numbers of the pairs of all processes, in their order."""
        if rows is None:
            return None
        n, world = len(rows), self.world
        whole = rows.new_zeros(world.size * n, *rows.shape[1:])
        whole[world.rank * n : (world.rank + 1) * n] = rows
        return world.sum_(whole)


def mean_length(features: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean norm of raw features, for the log: no gradient, no wait for the device."""
    return torch.linalg.vector_norm(features.detach().float(), dim=-1).mean()
