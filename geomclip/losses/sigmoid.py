"""The sigmoid loss (SigLIP, arXiv 2303.15343, algorithm 1) over the logits of any geometry."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.sums import check_pairs, matrix_size, pair_sums, use_plain
from geomclip.precision import no_autocast, widen
from manifolds.kernels.contrastive import PairSums


def sigmoid_loss(
    geometry: Geometry,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    bias: float | Float[Tensor, ""],
    *,
    memory: str = "auto",
    precision: str = "float32",
) -> Float[Tensor, ""]:
    """Every pair a yes-no question, in nats: `sigmoid_loss_from_logits(g.logits(x, y), bias)`.

    Args:
        geometry: gives the logits; its `logit_scale`, `alpha` and `c` receive gradients.
        x: points of one modality; `y[i]` belongs to `x[i]`.
        y: points of the other modality.
        bias: added to every logit, a number or a learned 0-dim tensor; `initial_bias(n)` is where
            training may start.
        memory, precision: as `info_nce`.

    Raises:
        ValueError: x and y are not the same number of points of the geometry's dimension, or none;
            an unknown memory or precision.
    """
    x, y = check_pairs(geometry, x, y, "sigmoid_loss")
    if use_plain(x, y, memory, precision):
        return sigmoid_loss_from_logits(geometry.logits(x, y), bias)
    sums = pair_sums(geometry, x, y, bias=bias, memory=memory, precision=precision)
    return sigmoid_loss_from_sums(sums).to(x.dtype)


def sigmoid_loss_from_sums(sums: PairSums) -> Float[Tensor, ""]:
    """(1 / n) sum_i [row_i + log(1 + exp(-pair_i))], the sums over all others given."""
    return (sums.row + torch.logaddexp(-sums.pair, torch.zeros_like(sums.pair))).mean()


def sigmoid_loss_from_logits(
    logits: Float[Tensor, "n m"], bias: float | Float[Tensor, ""] = 0.0
) -> Float[Tensor, ""]:
    """The sigmoid loss of a square matrix of logits, row i and column i being a pair, in nats.

        loss = -(1 / n) sum_ij log sigmoid(z_ij (l_ij + bias)),  z_ij = 1 for i = j, else -1

    Computed in float32, or float64 for float64 logits.

    Raises:
        ValueError: the matrix is not square, or is empty.
    """
    n, m = matrix_size(logits, "sigmoid_loss")
    if n != m or n == 0:
        raise ValueError(
            f"sigmoid_loss needs square logits, one row and one column a pair, got {n} x {m}; "
            "pass as many points of one modality as of the other, at least one"
        )
    with no_autocast(logits):
        logits = widen(logits, "logits") + bias
        signed = logits - 2 * torch.diag(logits.diagonal())
        return torch.logaddexp(signed, torch.zeros_like(signed)).sum() / n


def initial_bias(n: int) -> float:
    """-log(n - 1): with equal logits of 0 a row's n - 1 other pairs weigh as much as its own.

    Raises:
        ValueError: n < 2.
    """
    if n < 2:
        raise ValueError(f"initial_bias needs a batch of at least 2 pairs, got {n}")
    return -math.log(n - 1)
