"""Pairwise operations as torch operators: opaque to torch.compile, batched by vmap, once
differentiable through a second operator.

    manifolds::pairwise(x, y, c, kind) -> (..., n, m)

Inside, float32 matrices go to the compiled library where it is live, everything else to torch
(`plain`). Second derivatives (create_graph=True) go through `plain` as well.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from manifolds.kernels import fused, library
from manifolds.kernels.plain import PLAIN, out_dtype
from manifolds.kernels.precision import exact_products

NAMES = "manifolds::pairwise", "manifolds::pairwise_backward"


def compiled(x: Tensor, y: Tensor) -> library.Library | None:
    """The library that computes on these points, None where torch does."""
    return None if x.dtype == torch.float64 else library.of(x)


def _batches(x: Tensor, y: Tensor) -> tuple[torch.Size, list[tuple[Tensor, Tensor]]]:
    """Leading dimensions, and the float32 matrices of each of their entries."""
    batch = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = (t.detach().float().expand(*batch, *t.shape[-2:]) for t in (x, y))
    if not batch:
        return batch, [(x, y)]
    index = torch.cartesian_prod(*(torch.arange(s) for s in batch)).reshape(-1, len(batch))
    return batch, [(x[tuple(i)], y[tuple(i)]) for i in index.tolist()]


def _products(found: library.Library) -> contextlib.AbstractContextManager[None]:
    """IEEE products on a GPU whatever the global settings say; the CPU has no other ones."""
    cuda = found.device.type == "cuda"
    return exact_products(found.device) if cuda else contextlib.nullcontext()


@torch.library.custom_op(NAMES[0], mutates_args=())
def pairwise(x: Tensor, y: Tensor, c: Tensor, kind: str) -> Tensor:
    """The operation `kind` of `PLAIN` on all pairs of x (..., n, d) and y (..., m, d)."""
    found = compiled(x, y)
    if found is None:
        return PLAIN[kind](x.detach(), y.detach(), c.detach())
    batch, pairs = _batches(x, y)
    out = fused.empty(found, len(pairs), x.shape[-2], y.shape[-2])
    with _products(found):
        for part, (a, b) in zip(out, pairs, strict=True):
            fused.forward(found, kind, a, b, c.item(), part)
    return out.reshape(*batch, *out.shape[-2:])


@pairwise.register_fake
def _(x: Tensor, y: Tensor, c: Tensor, kind: str) -> Tensor:
    batch = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return x.new_empty(*batch, x.shape[-2], y.shape[-2], dtype=out_dtype(x))


@torch.library.custom_op(NAMES[1], mutates_args=())
def pairwise_backward(
    x: Tensor, y: Tensor, c: Tensor, out: Tensor, grad: Tensor, kind: str, need: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to x, y and c; those that are not needed are empty."""
    found = compiled(x, y) if kind in fused.DIFFERENTIABLE else None
    if found is None:
        return _plain_backward(x, y, c, grad, kind, need)
    batch, pairs = _batches(x, y)
    grads, outs = (t.detach().expand(*batch, *t.shape[-2:]) for t in (grad.float(), out))
    grads, outs = (t.reshape(len(pairs), *t.shape[-2:]) for t in (grads, outs))
    x_parts, y_parts, c_total = [], [], 0.0
    wanted = (need[0], need[1], need[2])
    with _products(found):
        for (a, b), value, g in zip(pairs, outs, grads, strict=True):
            at_x, at_y, at_c = fused.backward(found, kind, a, b, c.item(), value, g, wanted)
            x_parts.append(at_x)
            y_parts.append(at_y)
            c_total += at_c
    return (
        _gather(x_parts, batch, x) if need[0] else x.new_empty(0),
        _gather(y_parts, batch, y) if need[1] else y.new_empty(0),
        torch.full_like(c, c_total) if need[2] else c.new_empty(0),
    )


def _gather(parts: list[Tensor], batch: torch.Size, like: Tensor) -> Tensor:
    if not parts:
        return torch.zeros_like(like)
    if len(parts) == 1:
        return parts[0].reshape(like.shape).to(like.dtype)
    total = torch.stack(parts).reshape(*batch, *like.shape[-2:])
    # The sum over a broadcast dimension runs in float64: it may be as long as the batch.
    shape = (1,) * (total.ndim - like.ndim) + tuple(like.shape)
    axes = [i for i, s in enumerate(shape) if s == 1 and total.shape[i] > 1]
    if axes:
        total = total.sum(axes, keepdim=True, dtype=torch.float64)
    return total.reshape(like.shape).to(like.dtype)


@contextlib.contextmanager
def _autograd_inside() -> Iterator[None]:
    """Lets autograd record inside an operator, where the dispatcher has switched it off."""
    excluded = torch._C._dispatch_tls_local_exclude_set()
    for key in (torch._C.DispatchKey.AutogradFunctionality, torch._C.DispatchKey.AutogradOther):
        excluded = excluded.remove(key)
    included = torch._C._dispatch_tls_local_include_set()
    with torch._C._ForceDispatchKeyGuard(included, excluded), torch.enable_grad():
        yield


def _plain_backward(
    x: Tensor, y: Tensor, c: Tensor, grad: Tensor, kind: str, need: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    given = (x, y, c)
    with _autograd_inside():
        inputs = [t.detach().requires_grad_(n) for t, n in zip(given, need, strict=True)]
        value = PLAIN[kind](*inputs)
        wanted = [t for t in inputs if t.requires_grad]
        found = iter(torch.autograd.grad(value, wanted, grad, materialize_grads=True))
    at_x, at_y, at_c = (
        next(found).clone() if n else t.new_empty(0) for t, n in zip(given, need, strict=True)
    )
    return at_x, at_y, at_c


@pairwise_backward.register_fake
def _(
    x: Tensor, y: Tensor, c: Tensor, out: Tensor, grad: Tensor, kind: str, need: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    x, y, c = (t.contiguous() for t in (x, y, c))
    at_x, at_y, at_c = (
        torch.empty_like(t) if n else t.new_empty(0) for t, n in zip((x, y, c), need, strict=True)
    )
    return at_x, at_y, at_c


def _setup(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, str], output: Tensor) -> None:
    x, y, c, ctx.kind = inputs
    ctx.save_for_backward(x, y, c, output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, y, c, out = ctx.saved_tensors
    need = list(ctx.needs_input_grad[:3])
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph=True
        # Aliases: where x, y and c depend on one another, each gradient is its own share only.
        inputs = [t.view_as(t) for t in (x, y, c)]
        value = PLAIN[ctx.kind](*inputs)
        wanted = [t for t, n in zip(inputs, need, strict=True) if n]
        found = iter(
            torch.autograd.grad(
                value, wanted, grad.to(value.dtype), create_graph=True, materialize_grads=True
            )
        )
        return (*(next(found) if n else None for n in need), None)
    grads = pairwise_backward(x, y, c, out, grad, ctx.kind, need)
    return (*(g if n else None for g, n in zip(grads, need, strict=True)), None)


pairwise.register_autograd(_backward, setup_context=_setup)
for _device in ("cpu", "cuda"):
    pairwise.register_autocast(_device, torch.float32)


def _front(t: Tensor, dim: int | None, size: int, ndim: int) -> Tensor:
    """The batched dimension first, as a leading dimension that broadcasts with `ndim` others."""
    if dim is None:
        return t
    t = t.movedim(dim, 0)
    return t.reshape(size, *(1,) * (ndim - (t.ndim - 1)), *t.shape[1:])


def _entries(info: Any, in_dims: tuple, arguments: tuple) -> list[tuple]:
    """The arguments of each entry of a batch."""
    return [
        tuple(
            a if d is None else a.select(d, i)
            for a, d in zip(arguments, in_dims[: len(arguments)], strict=True)
        )
        for i in range(info.batch_size)
    ]


@pairwise.register_vmap
def _(info: Any, in_dims: tuple, x: Tensor, y: Tensor, c: Tensor, kind: str) -> tuple[Tensor, int]:
    if in_dims[2] is not None:
        parts = [pairwise(*some, kind) for some in _entries(info, in_dims, (x, y, c))]
        return torch.stack(parts), 0
    ndim = max(t.ndim - (d is not None) for t, d in zip((x, y), in_dims[:2], strict=True))
    x, y = (_front(t, d, info.batch_size, ndim) for t, d in zip((x, y), in_dims[:2], strict=True))
    return pairwise(x, y, c, kind), 0


@pairwise_backward.register_vmap
def _(
    info: Any,
    in_dims: tuple,
    x: Tensor,
    y: Tensor,
    c: Tensor,
    out: Tensor,
    grad: Tensor,
    kind: str,
    need: list[bool],
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, int]]:
    entries = _entries(info, in_dims, (x, y, c, out, grad))
    parts = zip(*(pairwise_backward(*some, kind, need) for some in entries), strict=True)
    at_x, at_y, at_c = (torch.stack(p) for p in parts)
    return (at_x, at_y, at_c), (0, 0, 0)


class Transformed(torch.autograd.Function):
    """The operator for torch.func transforms, which a custom operator's own gradient does not
    know; first derivatives.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, c: Tensor, kind: str) -> Tensor:
        return pairwise(x, y, c, kind)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, str], output: Tensor) -> None:
        _setup(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, c, out = ctx.saved_tensors
        at_x, at_y, at_c = TransformedBackward.apply(x, y, c, out, grads[0], ctx.kind)
        return at_x, at_y, at_c, None


class TransformedBackward(torch.autograd.Function):
    """The gradients of `Transformed`; not differentiable again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, y: Tensor, c: Tensor, out: Tensor, grad: Tensor, kind: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        return pairwise_backward(x, y, c, out, grad, kind, [True, True, True])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise NotImplementedError(
            "pairwise operations: torch.func gives first derivatives only; for second ones use "
            "torch.autograd.grad(..., create_graph=True)"
        )
