"""Symmetric InfoNCE (CLIP, arXiv 2103.00020, figure 3) over the logits of any geometry."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.precision import no_autocast, widen


def info_nce(
    geometry: Geometry, x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of n pairs of points, in nats: `info_nce_from_logits(g.logits(x, y))`.

    Args:
        geometry: gives the logits; its `logit_scale`, `alpha` and `c` receive gradients.
        x: points of one modality, as `geometry.lift` returns them; `y[i]` belongs to `x[i]`.
        y: points of the other modality.

    Raises:
        ValueError: x and y are not the same number of points of the geometry's dimension, or none.
    """
    return info_nce_from_logits(geometry.logits(x, y))


def info_nce_from_logits(logits: Float[Tensor, "n m"]) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of a square matrix of logits, row i and column i being a pair, in nats.

        loss = -(1 / 2n) sum_i [log softmax_j(l_ij)_i + log softmax_j(l_ji)_i]

    Equal logits give log n, the chance line. Computed in float32, or float64 for float64 logits.

    Raises:
        ValueError: the matrix is not square, or is empty.
    """
    n, m = logits.shape
    if n != m:
        raise ValueError(
            f"info_nce needs square logits, one row and one column a pair, got {n} x {m}; "
            "pass as many points of one modality as of the other"
        )
    if n == 0:
        raise ValueError("info_nce needs at least one pair, got 0 x 0 logits")
    with no_autocast(logits):
        logits = widen(logits, "logits")
        pairs = torch.arange(n, device=logits.device)
        return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.mT, pairs)) / 2
