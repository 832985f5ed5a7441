"""Nearest neighbours under a geometry: the database rows of largest logit."""

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

    Logits that fall with the distance (all but "dot") rank by it. Values are geodesic distances, or
    inner products where the logit is "dot". No gradient.

    Raises:
        ValueError: as `manifolds.topk`.
    """
    score = "dot" if geometry.spec.logit == "dot" else "-dist"
    return topk(geometry.manifold, query, database, k, score=score)
