"""What changes over a run: learning rate, entailment weight, cone constant."""

import math

from geomclip.losses import linear_schedule, warmup_weight
from geomclip.train.config import TrainConfig


def lr_factor(step: int, total: int, warmup: float) -> float:
    """Factor of the peak learning rate at a step, counted from 0.

        (step + 1) / w                                  while step < w = round(warmup * total)
        (1 + cos(pi (step - w) / (total - w))) / 2      afterwards (Loshchilov & Hutter 2017)

    Raises:
        ValueError: the step is outside [0, total), or warmup outside [0, 1].
    """
    if not 0 <= step < total:
        raise ValueError(f"lr_factor: step must be in [0, {total}), got {step}")
    if not 0 <= warmup <= 1:
        raise ValueError(f"lr_factor: warmup is a share of the steps in [0, 1], got {warmup}")
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / rise
    return (1 + math.cos(math.pi * (step - rise) / (total - rise))) / 2


def entailment_schedule(config: TrainConfig, step: int) -> tuple[float, float]:
    """(weight of the entailment loss, cone constant K) at a step, counted from 0."""
    weight = warmup_weight(
        step, config.steps, config.entailment, config.entailment_start, config.entailment_full
    )
    if config.final_min_radius is None:
        return weight, config.min_radius
    end = config.final_min_radius
    return weight, linear_schedule(step, config.steps, config.min_radius, end)
