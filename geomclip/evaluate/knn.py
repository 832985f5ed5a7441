"""Nearest-neighbour classification: the k training pictures at the smallest geodesic distance vote.

Image is compared with image, for which no geometry's logit was trained, so all are asked by their
distance (of a product with the logit -mean_dist, by the mean of its factors' distances). A vote
weighs 1/d (Shepard 1968): scaling a space by a factor changes nothing, and no temperature has to be
chosen for each geometry. Where neighbours lie at distance 0, they alone vote.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.evaluate.classification import Classification, classified
from geomclip.evaluate.retrieval import BLOCK, rank_of_best
from geomclip.geometry import Geometry
from manifolds import Neighbors, topk

NEIGHBOURS = (1, 5, 20, 100)


@dataclass(frozen=True)
class NearestNeighbours:
    """Classification by so many neighbours.

    None of them is chosen by the pictures asked about: quote the one that you fixed before.

    Args:
        by_k: number of neighbours and what they give.
        training: pictures that could vote.
    """

    by_k: dict[int, Classification]
    training: int

    def to_dict(self) -> dict[str, Any]:
        """Numbers of neighbours as texts."""
        values: dict[str, Any] = {str(k): found.to_dict() for k, found in self.by_k.items()}
        return {"training": self.training, "neighbours": values}


def knn(
    geometry: Geometry,
    images: Float[Tensor, "n d"],
    labels: Int[Tensor, "n"],
    training: Float[Tensor, "m d"],
    training_labels: Int[Tensor, "m"],
    classes: int,
    neighbours: Sequence[int] = NEIGHBOURS,
) -> NearestNeighbours:
    """Classify each picture by the votes of its nearest training pictures.

    A class without a vote has 0, and a tie is a miss. Of a class that no training picture has, all
    pictures are misses.

    Args:
        labels, training_labels: numbers below `classes`.
        neighbours: how many vote; those above m are left out, unless all are (then m vote).

    Raises:
        ValueError: points that are not finite, no pictures, or no training pictures.
    """
    if not len(images) or not len(training):
        raise ValueError(
            f"knn: needs pictures and training pictures, got {len(images)} and {len(training)}"
        )
    counts = sorted({k for k in neighbours if k <= len(training)} or {len(training)})
    found = nearest_pictures_of(geometry, images, training, counts[-1])
    near = training_labels.to(found.index.device)[found.index]
    by_k = {}
    for k in counts:
        rank = votes_rank(found.value[:, :k], near[:, :k], labels.to(near.device), classes)
        one = classified(rank, labels.to(rank.device), classes)
        # Fewer than five voters name no five classes.
        by_k[k] = one if k >= 5 else replace(one, top5=None)
    return NearestNeighbours(by_k, len(training))


def nearest_pictures_of(
    geometry: Geometry, images: Float[Tensor, "n d"], training: Float[Tensor, "m d"], k: int
) -> Neighbors:
    """The k training points at the smallest distance, nearest first."""
    if geometry.spec.logit == "-mean_dist":
        # geomclip.analysis imports this package.
        from geomclip.analysis.neighbors import nearest

        return nearest(geometry, images, training, k)
    return topk(geometry.manifold, images, training, k)


def votes_rank(
    distance: Float[Tensor, "n k"],
    near: Int[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    classes: int,
) -> Int[Tensor, "n"]:
    """Rank of each picture's own class by the votes of its neighbours.

    Args:
        distance: to the neighbours.
        near: their classes.
    """
    d = distance.double()
    exact = d == 0
    weight = torch.where(exact.any(-1, keepdim=True), exact.double(), 1 / d)
    ranks = []
    step = max(1, BLOCK // classes)
    for i in range(0, len(near), step):
        rows = slice(i, i + step)
        votes = weight.new_zeros(len(near[rows]), classes)
        votes.scatter_add_(1, near[rows], weight[rows])
        own = torch.arange(classes, device=near.device) == labels[rows, None]
        ranks.append(rank_of_best(votes, own))
    return torch.cat(ranks)
