"""What every classifier here is judged by: top-1, top-5, the mean over classes.

A class that scores as high as the right one stands before it, so a tie is a miss, and a classifier
that gives every class one score is right about nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from geomclip.statistics import share


@dataclass(frozen=True)
class Classification:
    """Shares from 0 to 1 of the pictures that were classified.

    Args:
        classes: candidates.
        pictures: how many were classified.
        accuracy: top-1: share of pictures whose own class scores strictly highest.
        error: its standard error over pictures (binomial, Agresti and Coull).
        top5: share of pictures whose own class is among the first five; None below five classes.
        class_mean: top-1 averaged within each class that has pictures first (balanced accuracy).
        chance: 1 / classes.
        majority: share of the commonest class among the pictures, the best constant answer.
    """

    classes: int
    pictures: int
    accuracy: float
    error: float | None
    top5: float | None
    class_mean: float
    chance: float
    majority: float

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def classified(rank: Int[Tensor, "n"], labels: Int[Tensor, "n"], classes: int) -> Classification:
    """From the rank of each picture's own class, from 1. At least one picture.

    Args:
        rank: 1 + the number of other classes that score at least as high: `rank_of_best`.
        labels: each picture's class.
        classes: candidates.
    """
    correct = rank == 1
    top1 = share(int(correct.sum()), len(rank))
    return Classification(
        classes=classes,
        pictures=len(rank),
        accuracy=top1.value,
        error=top1.error,
        top5=(rank <= 5).double().mean().item() if classes >= 5 else None,
        class_mean=class_mean(correct, labels),
        chance=1 / classes,
        majority=majority(labels.tolist()),
    )


def class_mean(correct: Bool[Tensor, "n"], labels: Int[Tensor, "n"]) -> float:
    """Mean over the classes that occur of the share of correct pictures in each."""
    count = torch.bincount(labels)
    hits = torch.bincount(labels, weights=correct.double())
    return (hits[count > 0] / count[count > 0]).mean().item()


def majority(labels: Sequence[int | str]) -> float:
    """Share of the commonest label."""
    return Counter(labels).most_common(1)[0][1] / len(labels)
