"""A number with its standard error, and what shuffled labels would give in its place."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Tested:
    """A measured value.

    Args:
        value: the estimate.
        error: its standard error over the items (or as the function says that made it); None for
            fewer than two.
        n: the items behind it.
        null: the same with shuffled labels, the mean over the shuffles; None where not asked for.
        null_spread: standard deviation over the shuffles: one shuffle's own chance.
    """

    value: float
    error: float | None
    n: int
    null: float | None = None
    null_spread: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    @property
    def beyond_chance(self) -> float | None:
        """Distance from the null in its spreads; None without a null or a spread."""
        if self.null is None or not self.null_spread:
            return None
        return (self.value - self.null) / self.null_spread


def tested(value: float, error: float | None, n: int, null: list[float] | None = None) -> Tested:
    """With the values of shuffled labels, if any."""
    if not null:
        return Tested(value, error, n)
    spread = float(np.std(null, ddof=1)) if len(null) > 1 else None
    return Tested(value, error, n, float(np.mean(null)), spread)


def mean_of(values: Tensor | np.ndarray, null: list[float] | None = None) -> Tested:
    """The mean of one value an item, with error s / sqrt(n). At least one item."""
    x = torch.as_tensor(values).double()
    n = len(x)
    error = x.std().item() / math.sqrt(n) if n > 1 else None
    return tested(x.mean().item(), error, n, null)


def bootstrap_errors(
    statistics: Callable[[np.ndarray], Sequence[float]], items: int, draws: int = 100, seed: int = 0
) -> list[float | None]:
    """Standard deviation of several statistics over resamples of their items (Efron 1979).

    Args:
        statistics: takes how often each item was drawn, (items,), float64.
    """
    errors: list[float | None] = []
    for kept in _resampled(statistics, items, draws, seed):
        errors.append(float(np.std(kept, ddof=1)) if items > 1 and len(kept) > 1 else None)
    return errors


def bootstrap_intervals(
    statistics: Callable[[np.ndarray], Sequence[float]], items: int, draws: int = 500, seed: int = 0
) -> list[tuple[float, float] | None]:
    """The middle 95 % of several statistics over resamples of their items (percentile bootstrap);
    None for fewer than two items. Arguments as `bootstrap_errors`."""
    ends: list[tuple[float, float] | None] = []
    for kept in _resampled(statistics, items, draws, seed):
        low, high = np.quantile(kept, (0.025, 0.975)) if kept else (0, 0)
        ends.append((float(low), float(high)) if items > 1 and kept else None)
    return ends


def _resampled(
    statistics: Callable[[np.ndarray], Sequence[float]], items: int, draws: int, seed: int
) -> list[list[float]]:
    """The values of each statistic over resamples of the items."""
    generator = np.random.default_rng(seed)
    share = np.full(items, 1 / items)
    rows = [statistics(generator.multinomial(items, share).astype(float)) for _ in range(draws)]
    # A resample may leave a statistic undefined, as an area without positives.
    return [[v for v in values if math.isfinite(v)] for values in zip(*rows, strict=True)]


def bootstrap_error(
    statistic: Callable[[np.ndarray], float], items: int, draws: int = 100, seed: int = 0
) -> float | None:
    """`bootstrap_errors` of one statistic."""
    return bootstrap_errors(lambda weight: [statistic(weight)], items, draws, seed)[0]


def permutations(items: int, shuffles: int, seed: int = 0) -> list[np.ndarray]:
    """So many shuffles of 0 to items - 1."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(items) for _ in range(shuffles)]
