"""Zero-shot classification: is a picture nearest to the text of its own class?"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.evaluate.classification import Classification, classified
from geomclip.evaluate.retrieval import Score, retrieve


def zero_shot(
    score: Score,
    images: Float[Tensor, "n d"],
    prototypes: Float[Tensor, "k d"],
    labels: Int[Tensor, "n"],
) -> Classification:
    """Classify each picture by the class text that scores highest; a tie is a miss.

    Args:
        score: `geometry.score`.
        prototypes: one point per class; row number = label.
        labels: row of each picture's class. At least one picture.
    """
    classes = torch.arange(len(prototypes), device=labels.device)
    rank = retrieve(score, images, prototypes, labels, classes, k=1).rank
    return classified(rank, labels, len(prototypes))
