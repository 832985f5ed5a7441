"""The sums over all pairs that contrastive losses are made of, for any geometry.

Known manifolds go to the kernels (`manifolds.kernels.contrastive`), in memory linear in the batch.
For others (products, upper half-space) bands of the logit matrix are made, and made again in the
backward pass.
"""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from geomclip.geometry import Geometry
from geomclip.losses.lines import join_bands, line_sums, softplus, without_partners
from geomclip.precision import no_autocast, widen
from manifolds.arguments import check_tensor, work_dtype
from manifolds.kernels import contrastive
from manifolds.kernels.contrastive import PairSums
from manifolds.kernels.precision import check_precision

MEMORY = ("auto", "plain", *contrastive.MEMORY[1:])
# Logits of a batch up to which the plain n x n formula is at least as fast (measured, one core).
PLAIN = 256 * 256
BAND = 1 << 22


def check_pairs(geometry: Geometry, x: Tensor, y: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """x and y in float32 or float64; their dtypes and devices are compared where they meet.

    Raises:
        TypeError: no geometry, or no tensors.
        ValueError: they are not the same number of points (n, d) of the geometry's dimension, at
            least one.
    """
    if not isinstance(geometry, Geometry):
        kind = type(geometry).__name__
        raise TypeError(
            f"{what} asks for a Geometry, got {kind}; geomclip.build_geometry makes one"
        )
    for name, points in (("x", x), ("y", y)):
        check_tensor(what, name, points, "(n, d)")
    if x.ndim != 2 or y.ndim != 2 or x.shape != y.shape or x.shape[0] == 0:
        raise ValueError(
            f"{what} needs as many points x (n, d) as y (n, d), one row and one row a pair, and at "
            f"least one pair, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if x.shape[1] != geometry.dim:
        raise ValueError(
            f"{geometry.name}: the last dimension of x must be {geometry.dim}, got shape "
            f"{tuple(x.shape)}"
        )
    return widen(x, "x"), widen(y, "y")


def matrix_size(logits: Tensor, what: str) -> tuple[int, int]:
    """Rows and columns of a matrix of logits.

    Raises:
        TypeError: no tensor.
        ValueError: no matrix.
    """
    check_tensor(what, "logits", logits, "(n, n)")
    if logits.ndim != 2:
        raise ValueError(f"{what} needs logits (n, n), got shape {tuple(logits.shape)}")
    return logits.shape[0], logits.shape[1]


def use_plain(x: Tensor, y: Tensor, memory: str, precision: str = "float32") -> bool:
    """Whether the n x m formula computes this batch.

    Raises ValueError for an unknown memory or precision, whatever the size.
    """
    check_precision(precision, x.device)
    if memory not in MEMORY:
        raise ValueError(f"memory must be one of {', '.join(MEMORY)}, got {memory!r}")
    return memory == "plain" or (memory == "auto" and x.shape[0] * y.shape[0] <= PLAIN)


def pair_sums(
    geometry: Geometry,
    x: Tensor,
    y: Tensor,
    *,
    bias: Tensor | float | None = None,
    offset: int = 0,
    memory: str = "auto",
    precision: str = "float32",
) -> PairSums:
    """Sums over all pairs but partners (i, i + offset): log-sum-exp of rows and columns, or, with a
    bias, of log(1 + exp(logit + bias)) over rows.
    """
    manifold, score = geometry.manifold, geometry.spec.logit
    if not contrastive.supports(manifold, score):
        return _banded(geometry, x, y, bias, offset)
    scale = widen(geometry.logit_scale, "logit_scale").exp()
    if bias is None:
        return contrastive.logsumexp(
            manifold,
            x,
            y,
            score=score,
            scale=scale,
            offset=offset,
            memory=memory,
            precision=precision,
        )
    return contrastive.softplus_sum(
        manifold,
        x,
        y,
        score=score,
        scale=scale,
        bias=bias,
        offset=offset,
        memory=memory,
        precision=precision,
    )


def _banded(
    geometry: Geometry, x: Tensor, y: Tensor, bias: Tensor | float | None, offset: int
) -> PairSums:
    step = max(1, BAND // max(1, y.shape[0]))
    bands = [
        checkpoint(_band, geometry, part, y, bias, offset + index * step, use_reentrant=False)
        for index, part in enumerate(x.split(step))
    ]
    if bias is None:
        return join_bands(bands)
    rows, columns, pairs = zip(*bands, strict=True)
    return PairSums(torch.cat(rows), columns[0], torch.cat(pairs))


def _band(
    geometry: Geometry, x: Tensor, y: Tensor, bias: Tensor | float | None, offset: int
) -> tuple[Tensor, Tensor, Tensor]:
    with no_autocast(x):
        logits = geometry.logits(x, y).to(work_dtype(x.device))
        if bias is None:
            sums = line_sums(logits, offset)
            return sums.row, sums.column, sums.pair
        logits = logits + bias
        others = softplus(without_partners(logits, offset)).sum(1)
        return others, others.new_zeros(0), logits.diagonal(offset).clone()
