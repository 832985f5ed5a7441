"""A row-wise operation as one autograd function: passes over the data, numbers between them.

The first derivative is written by hand (`Operation.gradient`); higher ones go through the
operation's composable formula. vmap folds its dimension into the rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from manifolds.arguments import Scalar, check, curvature, work_dtype
from manifolds.numerics import quick_to_apply
from manifolds.rowwise.passes import PASSES, Passes

Formula = Callable[..., Tensor]
"""(points (n, d) ..., c) -> (n, 1) or (n, d), differentiable, in the dtype of its arguments."""
Gradients = tuple[Tensor | None, ...]


@runtime_checkable
class Operation(Protocol):
    """The fused form of a formula, on points (n, d) and a 0-dim float64 c."""

    @property
    def vector(self) -> bool:
        """Whether the result is (n, d), not (n,)."""

    def value(self, passes: Passes, c: Tensor, points: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The float64 (n,) or float32 (n, d) result, and float64 numbers (k, n) that `gradient`
        needs.
        """

    def gradient(
        self,
        passes: Passes,
        c: Tensor,
        rows: Tensor,
        points: list[Tensor],
        grad: Tensor,
        needs: tuple[bool, ...],
    ) -> Gradients:
        """Of c and of each point, as far as needed; what is not needed is None."""


@dataclass(frozen=True)
class _Call:
    """An operation and the formula it computes."""

    operation: Operation
    formula: Formula

    def composed(self, c: Tensor, *points: Tensor) -> Tensor:
        """The formula on points of any dtype, as `_Value` returns it."""
        value = self.formula(*(p.to(c.dtype) for p in points), c).float()
        return value if self.operation.vector else value.squeeze(-1)


def rowwise(
    name: str, operation: Operation, formula: Formula, *points: Tensor, c: Scalar | None = None
) -> Tensor:
    """The operation on points (..., d) that broadcast: (...) or (..., d), float64 or float32.

    Fused for what is not float64, eagerly and on the devices in `PASSES`. Otherwise, and inside
    torch.compile, which fuses by itself, the formula.

    Args:
        name: what errors call it, "Manifold.operation".
        operation, formula: two forms of the same thing.
        points: one or two tensors.
        c: curvature magnitude; None where the space is flat.

    Raises:
        ValueError: points or c that do not fit, as in `manifolds.arguments`.
    """
    out = check(name, *points)
    device = points[0].device
    work = work_dtype(device)
    like = points[0].new_empty((), dtype=work)
    c = torch.ones_like(like) if c is None else curvature(name, c, like)
    if out == torch.float64 or device.type not in PASSES or torch.compiler.is_compiling():
        value = formula(*(p.to(work) for p in points), c).to(out)
        return value if operation.vector else value.squeeze(-1)
    shape = points[0].shape
    if len(points) > 1 and points[1].shape != shape:
        points = tuple(torch.broadcast_tensors(*points))
        shape = points[0].shape
    if len(shape) != 2:
        points = tuple(p.reshape(-1, shape[-1]) for p in points)
    value, _ = _Value.apply(_Call(operation, formula), c, *points)
    if len(shape) == 2:
        return value
    return value.reshape(shape if operation.vector else shape[:-1])


@quick_to_apply
class _Value(torch.autograd.Function):
    """(call, c, *points) -> value, rows."""

    @staticmethod
    def forward(call: _Call, c: Tensor, *points: Tensor) -> tuple[Tensor, Tensor]:
        passes = PASSES[points[0].device.type]
        value, rows = call.operation.value(passes, c.detach(), list(points))
        return value.float(), rows

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.call = inputs[0]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], *inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, c, *points = ctx.saved_tensors
        needs = ctx.needs_input_grad[1:]
        results = iter(_Gradient.apply(ctx.call, needs, c, rows, grads[0], *points))
        return None, *(next(results) if need else None for need in needs)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], call: _Call, c: Tensor, *points: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        batch = info.batch_size
        stacked = [_first(p, d, batch) for p, d in zip(points, in_dims[2:], strict=True)]
        if in_dims[1] is None:
            value, rows = _Value.apply(call, c, *(p.flatten(0, 1) for p in stacked))
            return (value.unflatten(0, (batch, -1)), rows.unflatten(1, (batch, -1))), (0, 1)
        each = [_Value.apply(call, *inputs) for inputs in zip(c, *stacked, strict=True)]
        values, rows_of = zip(*each, strict=True)
        return (torch.stack(values), torch.stack(rows_of, dim=1)), (0, 1)


@quick_to_apply
class _Gradient(torch.autograd.Function):
    """(call, needs, c, rows, grad, *points) -> the needed ones of the gradients of c, *points."""

    @staticmethod
    def forward(
        call: _Call, needs: tuple[bool, ...], c: Tensor, rows: Tensor, grad: Tensor, *points: Tensor
    ) -> tuple[Tensor, ...]:
        passes = PASSES[points[0].device.type]
        results = call.operation.gradient(passes, c.detach(), rows, list(points), grad, needs)
        return tuple(r for r in results if r is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.call, ctx.needs = inputs[:2]
        ctx.save_for_backward(inputs[2], *inputs[4:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        c, grad, *points = ctx.saved_tensors

        def first(grad: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
            pull = torch.func.vjp(ctx.call.composed, *inputs)[1]
            results = zip(pull(grad), ctx.needs, strict=True)
            return tuple(r for r, need in results if need)

        pull = torch.func.vjp(first, grad, c, *points)[1]
        grad_grad, grad_c, *grad_points = pull(grads)
        return None, None, grad_c, None, grad_grad, *grad_points

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        call: _Call,
        needs: tuple[bool, ...],
        c: Tensor,
        rows: Tensor,
        grad: Tensor,
        *points: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        batch = info.batch_size
        dims = in_dims[2:]
        rows = _first(rows, dims[1], batch)
        stacked = [_first(t, d, batch) for t, d in zip((grad, *points), dims[2:], strict=True)]
        if dims[0] is None and not needs[0]:
            flat = [t.flatten(0, 1) for t in stacked]
            results = _Gradient.apply(call, needs, c, rows.movedim(0, 1).flatten(1, 2), *flat)
            results = tuple(r.unflatten(0, (batch, -1)) for r in results)
        else:  # one gradient of c for each element of the batch
            all_c = _first(c, dims[0], batch)
            each = zip(all_c, rows, *stacked, strict=True)
            parts = [_Gradient.apply(call, needs, *inputs) for inputs in each]
            results = tuple(torch.stack(r) for r in zip(*parts, strict=True))
        return results, (0,) * len(results)


def _first(t: Tensor, dim: int | None, size: int) -> Tensor:
    """The batch dimension first, made if there is none."""
    return t.expand(size, *t.shape) if dim is None else t.movedim(dim, 0)
