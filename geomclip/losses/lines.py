"""Cross-entropies of partners in a matrix of logits, with their digits near 0.

A log-sum-exp of all logits minus the partner's own loses them there: of a loss of 1e-6 float32
leaves none, and its gradient, a probability minus 1, goes with it. Here the sum leaves the partner
out:

    -log softmax_j(l_j)_i = log(1 + exp(log sum_{j != i} exp(l_j) - l_i))
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import work_dtype
from manifolds.kernels.contrastive import PairSums


def softplus(x: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """log(1 + exp(x)), x itself from where that is all of it."""
    # torch's own threshold, 20, would leave float64 10 digits.
    return F.softplus(x, threshold=40 if x.dtype == torch.float64 else 20)


def cross_entropy(others: Float[Tensor, "*b"], own: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """log(1 + exp(others - own)): the cross-entropy, in nats, of an own logit, given the
    log-sum-exp of all others. inf for an own logit of -inf, with a finite gradient.
    """
    return softplus(others - own)


def log_sum(logits: Float[Tensor, "n m"], dim: int) -> Float[Tensor, "_"]:
    """log sum exp over a dimension, in float64, of lines that hold a logit above -inf.

    Exponentials are relative to the line's largest logit and are added up in the dtype of the
    logits; what is one number a line is widened, so that large logits cost no digits.
    """
    top = logits.detach().amax(dim, keepdim=True)
    total = (logits - top).exp().sum(dim)
    wide = work_dtype(logits.device)
    return top.squeeze(dim).to(wide) + total.to(wide).log()


def without_partners(logits: Float[Tensor, "n m"], offset: int = 0) -> Float[Tensor, "n m"]:
    """The logits, with the lowest number there is for partners (i, i + offset).

    With -inf a line without others would be empty, and its gradient NaN.
    """
    partners = logits.diagonal(offset)
    lowest = torch.full_like(partners, torch.finfo(logits.dtype).min)
    return torch.diagonal_scatter(logits, lowest, offset)


def line_sums(logits: Float[Tensor, "n m"], offset: int = 0) -> PairSums:
    """Log-sum-exp of rows and columns, partners (i, i + offset) left out, and the partners' logits,
    in float64. Of a line without others it is so low that the partner's cross-entropy is 0.
    """
    others = without_partners(logits, offset)
    pair = logits.diagonal(offset).to(work_dtype(logits.device))
    return PairSums(log_sum(others, 1), log_sum(others, 0), pair)


def join_bands(bands: Sequence[tuple[Tensor, ...]]) -> PairSums:
    """`line_sums` of a matrix from the row, column and pair of its bands of rows."""
    rows, columns, pairs = zip(*bands, strict=True)
    return PairSums(torch.cat(rows), log_sum(torch.stack(columns), 0), torch.cat(pairs))


def row_cross_entropy(logits: Float[Tensor, "n m"], offset: int) -> Float[Tensor, "n"]:
    """Cross-entropy, in nats, of the partner (i, i + offset) of every row; float64."""
    others = log_sum(without_partners(logits, offset), 1)
    return cross_entropy(others, logits.diagonal(offset).to(others.dtype))
