"""Zero-shot classification: is a picture nearest to the text of its own class?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomclip.evaluate.retrieval import Score, retrieve


@dataclass(frozen=True)
class ZeroShot:
    """Classification of pictures by class texts at one level of the hierarchy; shares from 0 to 1.

    Args:
        classes: candidates.
        pictures: how many were classified.
        accuracy: share of pictures whose own class scores strictly highest.
        class_mean: the same, first averaged within each class that has pictures.
        chance: 1 / classes.
        majority: share of the commonest class among the pictures, the best constant answer.
    """

    classes: int
    pictures: int
    accuracy: float
    class_mean: float
    chance: float
    majority: float

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def zero_shot(
    score: Score,
    images: Float[Tensor, "n d"],
    prototypes: Float[Tensor, "k d"],
    labels: Int[Tensor, "n"],
) -> ZeroShot:
    """Classify each picture by the class text that scores highest; a tie is a miss.

    Args:
        score: `geometry.score`.
        prototypes: one point per class; row number = label.
        labels: row of each picture's class. At least one picture.
    """
    classes = torch.arange(len(prototypes), device=labels.device)
    correct = retrieve(score, images, prototypes, labels, classes, k=1).rank == 1
    return ZeroShot(
        classes=len(prototypes),
        pictures=len(images),
        accuracy=correct.double().mean().item(),
        class_mean=class_mean(correct, labels),
        chance=1 / len(prototypes),
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
