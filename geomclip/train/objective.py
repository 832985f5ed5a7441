"""What is minimised: from the raw features of a process's pairs to the loss of the whole batch.

Gradients are those of the sum over the processes of what each returns, as in
`geomclip.losses.sharded`: averaged over the processes they are those of the whole batch.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses import entailment_loss, info_nce, sharded_info_nce
from geomclip.losses.sharded import whole_mean
from geomclip.train.config import TrainConfig
from geomclip.train.schedule import entailment_schedule
from geomclip.train.world import World


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


class Objective:
    """The loss of a configuration over the processes of a run."""

    def __init__(self, geometry: Geometry, config: TrainConfig, world: World) -> None:
        self.geometry = geometry
        self.config = config
        self.world = world

    def __call__(
        self, image_features: Float[Tensor, "n d"], text_features: Float[Tensor, "n d"], step: int
    ) -> Terms:
        """The terms at a step, counted from 0, of the raw features of this process's pairs.

        Raises ValueError where the geometry refuses them (a zero feature on the sphere).
        """
        geometry, manifold = self.geometry, self.geometry.manifold
        image = geometry.lift(image_features, "image")
        text = geometry.lift(text_features, "text")
        if self.world.size > 1:
            contrastive = sharded_info_nce(geometry, image, text, exchange=self.config.exchange)
        else:
            contrastive = info_nce(geometry, image, text)
        loss = contrastive
        weight, min_radius = entailment_schedule(self.config, step)
        if weight > 0:
            entailment = entailment_loss(manifold, text, image, min_radius)
            if self.world.size > 1:  # pairs are as many on every process
                entailment = whole_mean(entailment)
            loss = contrastive + weight * entailment
        return Terms(loss, contrastive, image, text)
