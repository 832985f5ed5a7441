"""The learning rate over a run: linear warm-up, then a cosine to 0."""

import math


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
