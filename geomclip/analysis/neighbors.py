"""Nearest neighbours under a geometry: the database rows of largest logit."""

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from manifolds.kernels.neighbors import Neighbors, topk


def nearest(
    geometry: Geometry,
    query: Float[Tensor, "n d"],
    database: Float[Tensor, "m d"],
    k: int,
) -> Neighbors:
    """The k database points of largest logit for every query, best first; exact, in linear memory.

    Logits that fall with the distance (all but "dot") rank by it. Values are geodesic distances,
    inner products where the logit is "dot", means of the factors' distances where it is
    "-mean_dist". No gradient.

    Raises:
        ValueError: as `manifolds.topk`.
    """
    if geometry.spec.logit == "-mean_dist":
        return _by_score(geometry, query, database, k)
    score = "dot" if geometry.spec.logit == "dot" else "-dist"
    return topk(geometry.manifold, query, database, k, score=score)


@torch.no_grad()
def _by_score(geometry: Geometry, query: Tensor, database: Tensor, k: int) -> Neighbors:
    """By the logits themselves, of so many queries at a time that they take 16 MB."""
    rows = max(1, 2**22 // max(1, len(database)))
    found = [geometry.score(part, database).topk(k, dim=-1) for part in query.split(rows)]
    return Neighbors(-torch.cat([f.values for f in found]), torch.cat([f.indices for f in found]))
