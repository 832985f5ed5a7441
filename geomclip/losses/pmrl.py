"""PMRL (Liu et al., arXiv 2507.17343): aligns three or more modalities without an anchor, by the
leading singular value of a sample's vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.losses.bands import by_bands
from geomclip.losses.lines import cross_entropy, log_sum, row_cross_entropy
from geomclip.losses.vectors import unit_vectors
from geomclip.precision import no_autocast

# Smallest gap, relative to the leading eigenvalue, at which the leading direction is one.
GAP = 1e-12


@dataclass(frozen=True)
class PrincipalLosses:
    """The two losses of PMRL, nats; the paper's sum is `alignment + separation`."""

    alignment: Float[Tensor, ""]
    """Cross-entropy of the leading singular value among all of a sample's."""
    separation: Float[Tensor, ""]
    """Cross-entropy of a sample's leading direction among those of the batch."""
    rank_one: Float[Tensor, ""]
    """Mean sigma_1^2 / k: 1 where the modalities of every sample agree, 1/k at least."""


def pmrl_losses(
    features: Sequence[Float[Tensor, "n d"]],
    *,
    tau_alignment: float | Float[Tensor, ""],
    tau_separation: float | Float[Tensor, ""],
) -> PrincipalLosses:
    """PMRL's alignment of the modalities of a sample and separation of samples.

        alignment  = -(1/n) sum_i log softmax_j(sigma_ij / tau_1)_1
        separation = -(1/n) sum_i log softmax_j(<u_i, u_j> / tau_2)_i

    sigma_i1 >= sigma_i2 >= ... are the singular values of the unit vectors [m_i1 ... m_ik] of the
    modalities of sample i, u_i is the leading left singular vector, a weighted mean of them. Its
    sign, which a decomposition leaves open, is that of the sum of the vectors. Where the leading
    value is not alone the direction is arbitrary and gets no gradient of its own. First derivatives
    only. Memory O(n).

    Args:
        features: of each modality, row i belonging to sample i; three or more.
        tau_alignment, tau_separation: tau_1 and tau_2, numbers or learned 0-dim tensors.

    Raises:
        ValueError: fewer than three modalities, shapes that differ, a zero vector, or no rows.
    """
    vectors = unit_vectors(features, "pmrl_losses", least=3)
    out = features[0].dtype if features[0].dtype == torch.float64 else torch.float32
    with no_autocast(features[0]):
        stack = torch.stack(vectors, 2)
        # Its gradient is u v', finite however many values agree.
        values = torch.linalg.svdvals(stack)
        logits = values / tau_alignment
        alignment = cross_entropy(log_sum(logits[:, 1:], 1), logits[:, 0])
        leading = _leading(stack)
        bands = by_bands(_band, leading, len(leading), leading, tau_separation)
        separation = torch.cat([part for (part,) in bands])
        rank_one = values[:, 0].detach().square().mean() / len(vectors)
    return PrincipalLosses(alignment.mean().to(out), separation.mean().to(out), rank_one.to(out))


def _band(start: int, rows: Tensor, everything: Tensor, tau: float | Tensor) -> tuple[Tensor]:
    return (row_cross_entropy(rows @ everything.mT / tau, start),)


def _leading(stack: Tensor) -> Tensor:
    """Leading left singular vectors (n, d) of (n, d, k), pointing along the sum of the columns.

    By the k x k Gram matrix G: with its leading eigenvector v, u = Z v / |Z v|, and to first order
    v(G + dG) = v + (lambda_1 - G)^+ dG v. torch's own derivative is 0/0 where two of the other
    eigenvalues agree, as those of aligned modalities do.
    """
    gram = stack.mT @ stack
    with torch.no_grad():
        values, basis = torch.linalg.eigh(gram)
        v = basis[:, :, -1]
        v = torch.where(v.sum(1, keepdim=True) < 0, -v, v)
        gap = values[:, -1:] - values
        alone = gap > GAP * values[:, -1:]
        inverse = torch.where(alone, 1 / torch.where(alone, gap, torch.ones_like(gap)), 0)
        response = basis * inverse[:, None] @ basis.mT
    change = (response @ (gram - gram.detach()) @ v[:, :, None]).squeeze(2)
    u = (stack @ (v + change)[:, :, None]).squeeze(2)
    return u / torch.linalg.vector_norm(u, dim=1, keepdim=True)
