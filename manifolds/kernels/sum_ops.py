"""The sums of `kernels.reductions` as torch operators, one for each pass.

They work in eager mode, under `torch.compile(fullgraph=True)` and under autocast, which leaves them
alone. A second derivative is taken through the n x m formula in float64.
"""

from typing import Any

import torch
from torch import Tensor

from manifolds import functional as F
from manifolds.kernels import precision as precisions
from manifolds.kernels import reductions, tiles
from manifolds.kernels.reductions import Sums


def _tuple(
    results: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A plain tuple, as operators return it, of a named one."""
    a, b, c, d, e = results
    return a, b, c, d, e


@torch.library.custom_op("manifolds::pair_sums", mutates_args=())
def forward(
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


@forward.register_fake
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
def backward(
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


@backward.register_fake
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
    ctx.set_materialize_grads(False)  # zeros in the shape of the kept products would double them
    ctx.options = inputs[5:]


def _derivative(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    x, y, c, factor, bias, row, column, reach, kept = ctx.saved_tensors
    offset, space, function, reduction, _, precision = ctx.options
    rows = _partners(x, y, offset)
    shapes = (row, column, row[rows])
    wanted = tuple(
        g if g is not None else torch.zeros_like(s) for g, s in zip(grads, shapes, strict=False)
    )
    if torch.is_grad_enabled():  # create_graph=True
        # Aliases: the factor depends on c, and maybe x on y; each gradient is its own share only.
        x, y, c, factor, bias = (t.view_as(t) for t in (x, y, c, factor, bias))
        sums = _plain(x, y, c, factor, bias, offset, space, function, reduction)
        inputs = [t for t in (x, y, c, factor, bias) if t.requires_grad]
        known = [(s, g) for s, g in zip(sums, wanted, strict=True) if s.requires_grad]
        outputs, given = zip(*known, strict=True)
        found = torch.autograd.grad(outputs, inputs, given, create_graph=True, allow_unused=True)
        by_input = iter(found)
        result = [next(by_input) if t.requires_grad else None for t in (x, y, c, factor, bias)]
    else:
        scalars = (c, factor, bias, offset, space, function, reduction, precision)
        result = list(backward(*wanted, row, column, reach, kept, x, y, *scalars))
    return (*result, *[None] * 6)


forward.register_autograd(_derivative, setup_context=_setup_context)


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
