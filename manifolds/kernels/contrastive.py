"""Row and column log-sum-exp, and softplus sums, of pairwise scores in memory linear in the rows.

    logits l_ij = scale * score(x_i, y_j) [+ bias]

Row i and column i + offset are partners; the sums leave them out and their logits come from
differences, so that a contrastive loss log(1 + exp(row_i - pair_i)) keeps its digits near 0. One
custom operator for each pass: it works in eager mode, under `torch.compile(fullgraph=True)` and
under autocast. A second derivative is taken through the n x m formula.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import functional as F
from manifolds.arguments import prepare, work_dtype
from manifolds.base import Manifold
from manifolds.kernels import precision as precisions
from manifolds.kernels import reductions, tiles
from manifolds.kernels.reductions import Sums

__all__ = ["MEMORY", "SCORES", "PairSums", "logsumexp", "softplus_sum"]

SCORES = ("dot", "minkowski", "-dist", "-dist2")
MEMORY = ("auto", "tiled", "buffer")
# Bytes of products that "auto" keeps for the backward pass; on a GPU an eighth of its memory. A
# function of sizes and the device alone, so that a run repeats bit by bit.
CPU_BUFFER = 64 << 20

_NAMES = {"Euclidean": "euclidean", "Sphere": "sphere", "Lorentz": "lorentz"}
_NAMES["PoincareBall"] = "poincare"
_FUNCTIONS = {
    "euclidean": {"-dist": "root", "-dist2": "identity"},
    "sphere": {"-dist": "arc", "-dist2": "arc2"},
    "lorentz": {"-dist": "arcosh", "-dist2": "arcosh2", "minkowski": "shifted"},
    "poincare": {"-dist": "arcosh", "-dist2": "arcosh2"},
}


@dataclass(frozen=True)
class PairSums:
    """Sums of the logits of rows and columns, partners left out, and the partners' own logits."""

    row: Float[Tensor, "n"]
    column: Float[Tensor, "m"]
    pair: Float[Tensor, "k"]


def supports(manifold: Manifold, score: str) -> bool:
    """Whether `logsumexp` and `softplus_sum` know this manifold's score."""
    name = _NAMES.get(type(manifold).__name__)
    return name is not None and (score == "dot" or score in _FUNCTIONS[name])


def logsumexp(
    manifold: Manifold,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    score: str = "-dist",
    scale: float | Tensor = 1.0,
    offset: int = 0,
    memory: str = "auto",
    precision: str = "float32",
) -> PairSums:
    """row_i = log sum_j exp(l_ij) and column_j = log sum_i exp(l_ij), partners left out; float64.

    Args:
        manifold: Euclidean, Sphere, Lorentz or PoincareBall; its c receives a gradient.
        score: "dot" <x, y>, "minkowski" <x, y>_L, "-dist", "-dist2".
        scale: a number or a 0-dim tensor (gradients reach it).
        offset: the partner of row i is column i + offset; rows whose partner would lie outside
            0..m-1 have none. Local rows against gathered columns use it.
        memory: "tiled" computes every tile twice, in O((n + m) d) memory; "buffer" keeps n x m
            products, which saves one of four; "auto" keeps those of the first rows, up to 64 MiB
            (on CUDA an eighth of the device's memory).
        precision: "float32"; on CUDA also "bf16x3" and "tf32" (`kernels.precision`).

    Returns:
        `PairSums`; a line without a logit sums to -inf. First derivatives run in linear memory,
        second ones through the n x m formula.

    Raises:
        ValueError: an unknown score, memory or precision, or shapes, dtypes or devices that do
            not fit.
    """
    return _reduce(manifold, x, y, score, scale, None, offset, "lse", memory, precision)


def softplus_sum(
    manifold: Manifold,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    score: str = "-dist",
    scale: float | Tensor = 1.0,
    bias: float | Tensor = 0.0,
    offset: int = 0,
    memory: str = "auto",
    precision: str = "float32",
) -> PairSums:
    """row_i = sum_j log(1 + exp(l_ij)) with l_ij = scale * score + bias, partners left out.

    Arguments as `logsumexp`; the bias is a number or a 0-dim tensor. `column` is empty.
    """
    return _reduce(manifold, x, y, score, scale, bias, offset, "softplus", memory, precision)


def _reduce(
    manifold: Manifold,
    x: Tensor,
    y: Tensor,
    score: str,
    scale: float | Tensor,
    bias: float | Tensor | None,
    offset: int,
    reduction: str,
    memory: str,
    precision: str,
) -> PairSums:
    if score not in SCORES or not supports(manifold, score):
        known = [s for s in SCORES if supports(manifold, s)]
        raise ValueError(
            f"{reduction}: no score {score!r} on {manifold.name}; "
            + (f"one of {', '.join(known)}" if known else "take the logits of all pairs instead")
        )
    if memory not in MEMORY:
        raise ValueError(f"memory must be one of {', '.join(MEMORY)}, got {memory!r}")
    precisions.check_precision(precision, x.device)
    if x.ndim != 2 or y.ndim != 2:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"{reduction}: expects (n, d) and (m, d), got {shapes}")
    x, y = (t if t.dtype in (torch.float32, torch.float64) else t.float() for t in (x, y))
    prepare(reduction, x[:0], y[:0], pairwise=True)
    wide = work_dtype(x.device)
    c = manifold.c.to(device=x.device, dtype=wide)
    space = "dot" if score == "dot" else _NAMES[type(manifold).__name__]
    function = "identity" if score == "dot" else _FUNCTIONS[space][score]
    factor, bias = _scalar(scale, x), _scalar(0.0 if bias is None else bias, x)
    # Scores are functions of u without c: d = arcosh(1 + u) / sqrt(c), <x, y>_L = -(1 + u) / c.
    if score == "-dist" and space != "euclidean":
        factor_of_f = -factor * c.rsqrt()
    elif score != "dot" and space != "euclidean":
        factor_of_f = -factor / c
    else:
        factor_of_f = factor if score == "dot" else -factor
    keep = _kept_rows(x, y, memory)
    row, column, pair, _, _ = _forward(
        x, y, c.clone(), factor_of_f, bias, offset, space, function, reduction, keep, precision
    )
    return PairSums(row, column, factor_of_f * pair + bias)


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    wide = work_dtype(like.device)
    if isinstance(value, Tensor):
        return value.to(device=like.device, dtype=wide)
    return torch.full((), value, dtype=wide, device=like.device)


def _kept_rows(x: Tensor, y: Tensor, memory: str) -> int:
    """Rows whose products are kept for the backward pass: all, none, or whole tiles of them."""
    n = x.shape[0]
    if memory != "auto":
        return n if memory == "buffer" else 0
    limit = CPU_BUFFER
    if x.device.type == "cuda":
        limit = torch.cuda.get_device_properties(x.device).total_memory // 8
    rows = limit // max(1, y.shape[0] * x.element_size())
    height, _ = tiles.tile_size(x.device)
    return n if rows >= n else rows // height * height


def _tuple(
    results: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A plain tuple, as operators return it, of a named one."""
    a, b, c, d, e = results
    return a, b, c, d, e


@torch.library.custom_op("manifolds::pair_sums", mutates_args=())
def _forward(
    x: Tensor,
    y: Tensor,
    c: Tensor,
    factor: Tensor,
    bias: Tensor,
    offset: int,
    space: str,
    function: str,
    reduction: str,
    keep: int,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    with precisions.exact_products(x.device, precision):
        pairs = tiles.build(space, function, x, y, c, offset, precision)
        return _tuple(reductions.forward(pairs, factor.item(), bias.item(), reduction, keep))


@_forward.register_fake
def _(
    x: Tensor,
    y: Tensor,
    c: Tensor,
    factor: Tensor,
    bias: Tensor,
    offset: int,
    space: str,
    function: str,
    reduction: str,
    keep: int,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    n, m = x.shape[0], y.shape[0]
    height, width = tiles.tile_size(x.device)
    start = min(n, max(0, -offset))
    partners = max(start, min(n, m - offset)) - start
    return (
        c.new_empty(n),
        c.new_empty(m if reduction == "lse" else 0),
        c.new_empty(partners),
        c.new_empty(-(-n // height), -(-m // width)),
        x.new_empty(keep, m),
    )


@torch.library.custom_op("manifolds::pair_sums_backward", mutates_args=())
def _backward(
    grad_row: Tensor,
    grad_column: Tensor,
    grad_pair: Tensor,
    row: Tensor,
    column: Tensor,
    reach: Tensor,
    kept: Tensor,
    x: Tensor,
    y: Tensor,
    c: Tensor,
    factor: Tensor,
    bias: Tensor,
    offset: int,
    space: str,
    function: str,
    reduction: str,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    with precisions.exact_products(x.device, precision):
        pairs = tiles.build(space, function, x, y, c, offset, precision)
        sums = Sums(row, column, grad_pair, reach, kept)
        grads = (grad_row, grad_column, grad_pair)
        lse = reduction == "lse"
        return _tuple(reductions.backward(pairs, sums, grads, factor.item(), bias.item(), lse))


@_backward.register_fake
def _(
    grad_row: Tensor,
    grad_column: Tensor,
    grad_pair: Tensor,
    row: Tensor,
    column: Tensor,
    reach: Tensor,
    kept: Tensor,
    x: Tensor,
    y: Tensor,
    c: Tensor,
    factor: Tensor,
    bias: Tensor,
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    like = torch.empty_like
    return x.new_empty(x.shape), y.new_empty(y.shape), like(c), like(factor), like(bias)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    row, column, _, reach, kept = output
    ctx.save_for_backward(*inputs[:5], row, column, reach, kept)
    ctx.mark_non_differentiable(reach, kept)
    ctx.options = inputs[5:]


def _derivative(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    x, y, c, factor, bias, row, column, reach, kept = ctx.saved_tensors
    offset, space, function, reduction, _, precision = ctx.options
    rows = _partners(x, y, offset)
    shapes = (row, column, row[rows])
    wanted = [
        g if g is not None else torch.zeros_like(s) for g, s in zip(grads, shapes, strict=False)
    ]
    if torch.is_grad_enabled():  # create_graph=True
        sums = _plain(x, y, c, factor, bias, offset, space, function, reduction)
        inputs = [t for t in (x, y, c, factor, bias) if t.requires_grad]
        found = torch.autograd.grad(sums, inputs, wanted, create_graph=True, allow_unused=True)
        by_input = iter(found)
        result = [next(by_input) if t.requires_grad else None for t in (x, y, c, factor, bias)]
    else:
        scalars = (c, factor, bias, offset, space, function, reduction, precision)
        result = list(_backward(*wanted, row, column, reach, kept, x, y, *scalars))
    return (*result, *[None] * 6)


_forward.register_autograd(_derivative, setup_context=_setup_context)


def _partners(x: Tensor, y: Tensor, offset: int) -> slice:
    start = min(x.shape[0], max(0, -offset))
    return slice(start, max(start, min(x.shape[0], y.shape[0] - offset)))


def _plain(
    x: Tensor,
    y: Tensor,
    c: Tensor,
    factor: Tensor,
    bias: Tensor,
    offset: int,
    space: str,
    function: str,
    reduction: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same sums from the n x m matrix in float64, differentiable as often as one likes."""
    x, y = x.to(c.dtype), y.to(c.dtype)
    if space == "dot":
        score = x @ y.mT
    elif function == "shifted":
        score = -c * F.lorentz_pairwise_inner(x, y, c)
    elif space == "euclidean":
        score = (
            F.euclidean_pairwise_dist2 if function == "identity" else F.euclidean_pairwise_dist
        )(x, y)
    else:
        dist = {
            "sphere": F.sphere_pairwise_dist,
            "lorentz": F.lorentz_pairwise_dist,
            "poincare": F.poincare_pairwise_dist,
        }[space]
        score = dist(x, y, c) * c.sqrt()
        score = score.square() if function.endswith("2") else score
    rows = _partners(x, y, offset)
    i = torch.arange(rows.start, rows.stop, device=x.device)
    logits = factor * score + bias
    others = logits.index_put((i, i + offset), logits.new_tensor(-torch.inf))
    if reduction == "lse":
        sums = others.logsumexp(1), others.logsumexp(0)
    else:
        sums = torch.nn.functional.softplus(others).sum(1), others.new_zeros(0)
    return *sums, score[i, i + offset]
