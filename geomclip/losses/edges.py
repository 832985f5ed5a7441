"""Edges of a hierarchy told from other pairs of nodes: what link prediction trains."""

from jaxtyping import Float
from torch import Tensor

from geomclip.losses.lines import softplus
from geomclip.precision import no_autocast, widen


def edge_loss(
    edges: Float[Tensor, "p"],
    others: Float[Tensor, "*q"],
    weights: Float[Tensor, "*#q"],
    *,
    sharpness: float = 1.0,
) -> Float[Tensor, ""]:
    """Logistic loss of scores that are positive for edges and negative for other pairs, in nats.

        loss = (1/p) [sum_i log(1 + exp(-beta s_i)) + sum_j w_j log(1 + exp(beta s_j))]

    A score is how far within the parent's cone a child lies: half aperture minus exterior angle,
    or a signed distance. Where many edges share a child (or a parent) one pair with the weight of
    all of them stands for the others.

    Args:
        edges: scores of p edges.
        others: scores of pairs that are no edges, or not known to be.
        weights: of the other pairs, 0 for one that is left out.
        sharpness: beta > 0, one over the unit of the scores.

    Raises:
        ValueError: no edge, or a sharpness that is not positive.
    """
    if not len(edges):
        raise ValueError("edge_loss needs at least one edge, got none")
    if not sharpness > 0:
        raise ValueError(f"edge_loss: sharpness must be positive, got {sharpness}")
    edges, others = widen(edges, "edges"), widen(others, "others")
    with no_autocast(edges):
        wrong = (weights * softplus(sharpness * others)).sum()
        return (softplus(-sharpness * edges).sum() + wrong) / len(edges)
