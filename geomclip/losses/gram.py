"""GRAM (Cicchetti et al., arXiv 2412.11959): three or more modalities at once, by the volume that
their vectors span.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.losses.bands import by_bands
from geomclip.losses.info_nce import info_nce_from_sums
from geomclip.losses.lines import join_bands, line_sums
from geomclip.losses.vectors import unit_vectors
from geomclip.precision import no_autocast
from manifolds.numerics import safe_sqrt

# Determinants of unit vectors are sums of products of cosines in float64: below this they are
# rounding.
FLAT = 1e-15


def gram_loss(
    anchor: Float[Tensor, "n d"],
    others: Sequence[Float[Tensor, "n d"]],
    temperature: float | Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """InfoNCE in nats over volumes, of the anchor modality with all others together.

        loss = -(1/2n) sum_i [log softmax_j(-V_ij / tau)_i + log softmax_j(-V_ji / tau)_i]

    V_ij is the volume (`gram_volumes`) of anchor i with the other modalities of sample j, 0 where
    all point the same way. The published code smooths the labels by 0.1; this is the paper's loss.
    Memory O(n).

    Args:
        anchor: features of the modality that is contrasted with the others (text in the paper).
        others: features of the other modalities, row i belonging to anchor i; two or more.
        temperature: tau > 0, a number or a learned 0-dim tensor.

    Raises:
        ValueError: fewer than two others, shapes that differ, a zero vector, or no rows.
    """
    vectors = unit_vectors([anchor, *others], "gram_loss", least=3)
    out = anchor.dtype if anchor.dtype == torch.float64 else torch.float32
    with no_autocast(anchor):
        minors = _minors(torch.stack(vectors[1:], 1))
        bands = by_bands(_band, vectors[0], len(anchor), vectors[1:], *minors, temperature)
    return info_nce_from_sums(join_bands(bands)).to(out)


def gram_volumes(
    anchor: Float[Tensor, "n d"], others: Sequence[Float[Tensor, "m d"]]
) -> Float[Tensor, "n m"]:
    """Volume of the parallelotope of anchor i and the other modalities of sample j, all as unit
    vectors: sqrt(det G), G the matrix of their cosines; between 0 and 1. Gradient 0 where it is 0.

    Raises:
        ValueError: as `gram_loss`; one other is allowed.
    """
    (first,) = unit_vectors([anchor], "gram_volumes", least=1)
    rest = unit_vectors(others, "gram_volumes", least=1)
    return _volumes(first, rest, *_minors(torch.stack(rest, 1))).to(anchor.dtype)


def _band(
    start: int,
    anchor: Tensor,
    others: list[Tensor],
    determinant: Tensor,
    adjugate: Tensor,
    temperature: float | Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    sums = line_sums(-_volumes(anchor, others, determinant, adjugate) / temperature, start)
    return sums.row, sums.column, sums.pair


def _volumes(anchor: Tensor, others: list[Tensor], determinant: Tensor, adjugate: Tensor) -> Tensor:
    """sqrt(det B - c' adj(B) c), B the Gram matrix of the others of a sample, c their cosines with
    the anchor: the determinant of the whole as a polynomial, whose gradient exists everywhere.
    """
    cosines = [anchor @ other.mT for other in others]
    square = determinant.expand(len(anchor), -1)
    for a, left in enumerate(cosines):
        for b, right in enumerate(cosines):
            square = square - adjugate[:, a, b] * left * right
    return safe_sqrt(torch.where(square > FLAT, square, torch.zeros_like(square)))


def _minors(others: Tensor) -> tuple[Tensor, Tensor]:
    """det B (n,) and adj(B) (n, k, k) of the Gram matrices of vectors (n, k, d)."""
    gram = others @ others.mT
    k = gram.shape[1]
    ones = gram.new_ones(len(gram))
    rows = []
    for a in range(k):
        row = []
        for b in range(k):
            keep_a = [i for i in range(k) if i != a]
            keep_b = [i for i in range(k) if i != b]
            minor = _determinant(gram[:, keep_b][:, :, keep_a]) if k > 1 else ones
            row.append((-1) ** (a + b) * minor)
        rows.append(torch.stack(row, 1))
    return _determinant(gram), torch.stack(rows, 1)


def _determinant(matrices: Tensor) -> Tensor:
    """Laplace's expansion of (n, k, k) for the few modalities there are; torch's has no gradient
    where a matrix is singular, which aligned modalities make it.
    """
    k = matrices.shape[1]
    if k == 1:
        return matrices[:, 0, 0]
    total = torch.zeros_like(matrices[:, 0, 0])
    for b in range(k):
        rest = [i for i in range(k) if i != b]
        total = total + (-1) ** b * matrices[:, 0, b] * _determinant(matrices[:, 1:][:, :, rest])
    return total
