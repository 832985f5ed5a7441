"""The losses, one a file: contrastive ones in nats, entailment in radians, means over the batch."""

from geomclip.losses.angle import angle_loss
from geomclip.losses.bias import SigmoidBias
from geomclip.losses.chains import chain_entailment_loss, chain_links
from geomclip.losses.edges import edge_loss
from geomclip.losses.entailment import (
    ConeStatistics,
    cone_statistics,
    entailment_loss,
    linear_schedule,
    warmup_weight,
)
from geomclip.losses.gram import gram_loss, gram_volumes
from geomclip.losses.hycoclip import (
    BoxLosses,
    box_contrastive,
    box_entailment,
    hycoclip_losses,
)
from geomclip.losses.individual import IndividualTemperatures
from geomclip.losses.info_nce import info_nce, info_nce_from_logits
from geomclip.losses.one_way import one_way_info_nce
from geomclip.losses.order import order_energy, pairwise_order_energy
from geomclip.losses.pmrl import PrincipalLosses, pmrl_losses
from geomclip.losses.ranking import ranking_loss
from geomclip.losses.sharded import sharded_info_nce, sharded_sigmoid_loss
from geomclip.losses.sigmoid import initial_bias, sigmoid_loss, sigmoid_loss_from_logits
from geomclip.losses.supcon import lonely_anchors, positive_counts, supcon_loss
from geomclip.losses.uniformity import alignment_loss, cross_uniformity_loss, uniformity_loss

__all__ = [
    "BoxLosses",
    "ConeStatistics",
    "IndividualTemperatures",
    "PrincipalLosses",
    "SigmoidBias",
    "alignment_loss",
    "angle_loss",
    "box_contrastive",
    "box_entailment",
    "chain_entailment_loss",
    "chain_links",
    "cone_statistics",
    "cross_uniformity_loss",
    "edge_loss",
    "entailment_loss",
    "gram_loss",
    "gram_volumes",
    "hycoclip_losses",
    "info_nce",
    "info_nce_from_logits",
    "initial_bias",
    "linear_schedule",
    "lonely_anchors",
    "one_way_info_nce",
    "order_energy",
    "pairwise_order_energy",
    "pmrl_losses",
    "positive_counts",
    "ranking_loss",
    "sharded_info_nce",
    "sharded_sigmoid_loss",
    "sigmoid_loss",
    "sigmoid_loss_from_logits",
    "supcon_loss",
    "uniformity_loss",
    "warmup_weight",
]
