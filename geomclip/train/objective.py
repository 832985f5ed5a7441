"""What is minimised: from the raw features of a process's pairs to the loss of the whole batch.

Gradients are those of the sum over the processes of what each returns, as in
`geomclip.losses.sharded`: averaged over the processes they are those of the whole batch.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.geometry import Geometry
from geomclip.losses import (
    chain_links,
    entailment_loss,
    lonely_anchors,
    sharded_info_nce,
    sharded_sigmoid_loss,
)
from geomclip.losses.sharded import whole_mean
from geomclip.losses.table import Sample
from geomclip.train.config import TrainConfig
from geomclip.train.criterion import Criterion
from geomclip.train.samples import NOTHING, Known
from geomclip.train.schedule import entailment_schedule
from geomclip.train.world import World
from manifolds.kernels.contrastive import supports
from manifolds.kernels.sharded import gather_rows


@dataclass(frozen=True)
class Terms:
    """The loss of a batch and what it is made of; points are those of this process's pairs."""

    loss: Float[Tensor, ""]
    """What is minimised, over the whole batch."""
    contrastive: Float[Tensor, ""]
    """Its contrastive part, nats."""
    image: Float[Tensor, "n d"]
    """Points of the pictures."""
    text: Float[Tensor, "n d"]
    """Points of the texts."""
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
        self.criterion = criterion or Criterion(config, geometry)
        self.linear = supports(geometry.manifold, geometry.spec.logit)
        if world.size > 1 and config.exchange == "ring" and not self.linear:
            raise RequestError(
                f"exchange ring: there is no linear-memory loss on {geometry.manifold.name}",
                "Use --exchange gather.",
            )

    def __call__(
        self,
        image_features: Float[Tensor, "n d"],
        text_features: Float[Tensor, "k d"],
        step: int,
        known: Known = NOTHING,
    ) -> Terms:
        """The terms at a step, counted from 0, of the raw features of this process's pairs.

        Args:
            text_features: of the n texts, and after them of the `known` labels' texts.

        Raises ValueError where the geometry refuses them (a zero feature on the sphere).
        """
        geometry, n = self.geometry, len(image_features)
        image = geometry.lift(image_features, "image")
        text = geometry.lift(text_features[:n], "text")
        sample = Sample(image, text, ids=known.ids, labels=known.labels)
        if known.chains is not None:
            nodes = geometry.lift(text_features[n:], "text")
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
            entailment = entailment_loss(geometry.manifold, text, image, min_radius)
            if self.world.size > 1:  # pairs are as many on every process
                entailment = whole_mean(entailment)
            loss = loss + weight * entailment
        if self.criterion.contrastive == "supcon" and whole.labels is not None:
            lonely = lonely_anchors(whole.labels[:, : len(self.config.loss.levels)])
            for level, share in enumerate(lonely.double().mean(0).tolist(), 1):
                parts[f"lonely_level_{level}"] = share
        norms = {"image": mean_length(image_features), "text": mean_length(text_features[:n])}
        return Terms(loss, contrastive, image, text, norms, parts)

    def _contrastive(self, sample: Sample, whole: Sample, min_radius: float) -> Tensor:
        criterion, geometry, exchange = self.criterion, self.geometry, self.config.exchange
        sharded = self.world.size > 1 and self.linear
        if sharded and criterion.contrastive == "info_nce":
            return sharded_info_nce(geometry, sample.image, sample.text, exchange=exchange)
        if sharded and criterion.contrastive == "sigmoid":
            bias = criterion.states["sigmoid"](geometry)
            return sharded_sigmoid_loss(
                geometry, sample.image, sample.text, bias, exchange=exchange
            )
        return criterion.value(criterion.contrastive, geometry, whole, min_radius)

    def _whole(self, sample: Sample) -> Sample:
        """The pairs of all processes, where a loss asks for them; label texts stay apart."""
        names = {self.criterion.contrastive, *self.criterion.weights}
        shared = {"info_nce", "sigmoid", "chains"} if self.linear else {"chains"}
        if self.world.size == 1 or names <= shared:
            return sample
        return Sample(
            gather_rows(sample.image),
            gather_rows(sample.text),
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
