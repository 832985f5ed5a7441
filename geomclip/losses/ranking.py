"""Ranking: of every candidate, those that belong to a query lie nearer to it than those that don't.

The softmax loss of Nickel & Kiela (arXiv 1705.08039, equation 5; arXiv 1806.03417, equation 7) over
the logits of any geometry. There every positive pair draws negatives of its own; here all queries
of a batch share one set of candidates, so that their logits are one matrix.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.lines import cross_entropy
from geomclip.precision import no_autocast, widen


def ranking_loss(
    geometry: Geometry,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    positive: Bool[Tensor, "n m"],
    negative: Bool[Tensor, "n m"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over positive pairs of a query's positive against all of its negatives, in nats.

        L = mean_{(i,p) positive} -log( exp(l_ip) / (exp(l_ip) + sum_{(i,j) negative} exp(l_ij)) )

    Other positives of a query are no negatives of this one. A query without positives adds nothing;
    one whose negatives are all far away adds 0.

    Args:
        x: queries.
        y: candidates, shared by all queries.
        positive: which candidates belong to which query.
        negative: which do not: all that are not positive by default. What is neither is left out,
            as a query that is its own candidate should be.

    Raises:
        ValueError: shapes do not fit, no pair is positive, a pair is both, or a query with
            positives has no negative; as `Geometry.score`.
    """
    x, y = widen(x, "x"), widen(y, "y")
    negative = ~positive if negative is None else negative
    _check(positive, negative, len(x), len(y))
    with no_autocast(x):
        logits = geometry.logits(x, y)
        lowest = torch.finfo(logits.dtype).min
        # Not -inf: the gradient of a query without any negative would be NaN.
        wrong = logits.masked_fill(~negative, lowest).logsumexp(1, keepdim=True)
        row, column = positive.nonzero(as_tuple=True)
        return cross_entropy(wrong[row, 0], logits[row, column]).mean()


def _check(positive: Tensor, negative: Tensor, n: int, m: int) -> None:
    for name, mask in (("positive", positive), ("negative", negative)):
        if mask.shape != (n, m):
            raise ValueError(
                f"ranking_loss: {name} has one entry a pair, {n} x {m}, got {tuple(mask.shape)}"
            )
    if not positive.any():
        raise ValueError(f"ranking_loss: none of {n} x {m} pairs is positive; give one that is")
    if both := int((positive & negative).sum()):
        raise ValueError(f"ranking_loss: {both} pairs are positive and negative; make them one")
    bare = positive.any(1) & ~negative.any(1)
    if bare.any():
        raise ValueError(
            f"ranking_loss: query {int(bare.nonzero()[0])} has positives and no negative; give "
            "more candidates"
        )
