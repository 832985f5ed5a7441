"""The losses, one a file: contrastive ones in nats, entailment in radians, means over the batch."""

from geomclip.losses.entailment import (
    ConeStatistics,
    cone_statistics,
    entailment_loss,
    linear_schedule,
    warmup_weight,
)
from geomclip.losses.info_nce import info_nce, info_nce_from_logits
from geomclip.losses.sharded import sharded_info_nce, sharded_sigmoid_loss
from geomclip.losses.sigmoid import initial_bias, sigmoid_loss, sigmoid_loss_from_logits

__all__ = [
    "ConeStatistics",
    "cone_statistics",
    "entailment_loss",
    "info_nce",
    "info_nce_from_logits",
    "initial_bias",
    "linear_schedule",
    "sharded_info_nce",
    "sharded_sigmoid_loss",
    "sigmoid_loss",
    "sigmoid_loss_from_logits",
    "warmup_weight",
]
