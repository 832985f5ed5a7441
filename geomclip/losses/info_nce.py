"""Symmetric InfoNCE (CLIP, arXiv 2103.00020, figure 3) over the logits of any geometry."""

from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.lines import cross_entropy, line_sums
from geomclip.losses.sums import check_pairs, matrix_size, pair_sums, use_plain
from geomclip.precision import no_autocast, widen
from manifolds.kernels.contrastive import PairSums


def info_nce(
    geometry: Geometry,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    *,
    memory: str = "auto",
    precision: str = "float32",
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of n pairs of points, in nats: `info_nce_from_logits(g.logits(x, y))`.

    Args:
        geometry: gives the logits; its `logit_scale`, `alpha` and `c` receive gradients.
        x: points of one modality, as `geometry.lift` returns them; `y[i]` belongs to `x[i]`.
        y: points of the other modality.
        memory: "plain" is the n x n formula; "tiled" needs O(n d); "buffer" keeps one n x n
            matrix, which saves a quarter of the products; "auto" is plain up to n = 256, then
            keeps up to 64 MiB (on CUDA an eighth of the memory) of that matrix.
        precision: "float32"; on CUDA also "bf16x3" and "tf32" (`manifolds.kernels.precision`).

    Raises:
        ValueError: x and y are not the same number of points of the geometry's dimension, or none;
            an unknown memory or precision.
    """
    x, y = check_pairs(geometry, x, y, "info_nce")
    if use_plain(x, y, memory, precision):
        return info_nce_from_logits(geometry.logits(x, y))
    sums = pair_sums(geometry, x, y, memory=memory, precision=precision)
    return info_nce_from_sums(sums).to(x.dtype)


def info_nce_from_sums(sums: PairSums) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of the rows with a partner, given the sums over all others.

        loss = (1 / 2n) sum_i [log(1 + exp(row_i - pair_i)) + log(1 + exp(column_i - pair_i))]

    Keeps its digits near 0, where a log-sum-exp minus the pair's own logit would lose them.
    """
    rows, columns = (cross_entropy(line, sums.pair) for line in (sums.row, sums.column))
    return (rows + columns).mean() / 2


def info_nce_from_logits(logits: Float[Tensor, "n m"]) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of a square matrix of logits, row i and column i being a pair, in nats.

        loss = -(1 / 2n) sum_i [log softmax_j(l_ij)_i + log softmax_j(l_ji)_i]

    Equal logits give log n, the chance line. In float32, or float64 for float64 logits, with all
    digits also near 0, value and gradient.

    Raises:
        ValueError: the matrix is not square, or is empty.
    """
    n, m = matrix_size(logits, "info_nce")
    if n != m:
        raise ValueError(
            f"info_nce needs square logits, one row and one column a pair, got {n} x {m}; "
            "pass as many points of one modality as of the other"
        )
    if n == 0:
        raise ValueError("info_nce needs at least one pair, got 0 x 0 logits")
    with no_autocast(logits):
        logits = widen(logits, "logits")
        return info_nce_from_sums(line_sums(logits)).to(logits.dtype)
