"""Pairwise distances in torch: one matrix product, then a direct repair of the few close pairs.

Every distance here is a radial function of a bilinear form Q_ij = <X_i, Y_j> of features of single
rows, with Q = 0 at distance 0:

    Q_ij = <u_i, v_j> + (first_i, second_i) . (first_j, second_j)

The last two columns are positive and large, the first part takes most of it away again for close
pairs. So Q is trusted where it keeps enough digits of that sum, and the other pairs (the diagonal
of a self-distance, near duplicates) are gathered and computed from differences. For float32 input
the product runs in float64, and a pair counts as close only below a relative separation of about
1e-4.

Memory is O(n m); no (n, m, d) tensor is made. Twice differentiable, except where so many pairs are
close that the repair runs in pieces (first order only).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Elements of an (n, m) block and of a gathered (k, d) piece: temporaries of 16 MB in float64.
MAX_BLOCK = 1 << 21

Direct = Callable[..., Tensor]


@dataclass(frozen=True)
class Rows:
    """Features of single rows: vector part (..., n, d), two positive columns (..., n, 1)."""

    vector: Tensor
    first: Tensor
    second: Tensor

    def matrix(self) -> Tensor:
        """(..., n, d + 2), the positive columns last."""
        return torch.cat([self.vector, self.first, self.second], dim=-1)


def _value(kind: str, q: Tensor, out: torch.dtype) -> Tensor:
    if kind == "square":
        return q.clone()
    if kind == "root":
        return q.sqrt()
    if kind == "arc":  # q = |unit difference|^2
        return torch.atan2(q.sqrt().to(out), (4 - q).sqrt().to(out)) * 2
    # arcosh(1 + q); two roots, since q (q + 2) overflows in float32 at distance 45.
    return (q.sqrt() * (q + 2).sqrt() + q).log1p()


def _slope(kind: str, q: Tensor) -> Tensor:
    if kind == "square":
        return torch.ones_like(q)
    if kind == "root":
        return q.rsqrt() / 2
    if kind == "arc":
        return q.rsqrt() * (4 - q).rsqrt()
    return q.rsqrt() * (q + 2).rsqrt()


def closeness(work: torch.dtype, out: torch.dtype) -> float:
    """Share of the positive part of Q below which a pair is computed directly.

    The product is off by about 8 eps(work) of that part; half of its relative error reaches the
    distance, which may be off by 0.1 eps(out) where the work dtype is the wider one, by 32 eps
    where both are the same.
    """
    allowed = (32 if work == out else 0.1) * torch.finfo(out).eps
    return 8 * torch.finfo(work).eps / (2 * allowed)


def _blocks(x: Tensor, y: Tensor) -> Iterator[slice]:
    batch = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2]).numel()
    step = max(1, MAX_BLOCK // max(1, batch * y.shape[-2]))
    for start in range(0, x.shape[-2], step):
        yield slice(start, min(start + step, x.shape[-2]))


def _close(kind: str, q: Tensor, x: Tensor, y: Tensor, share: float) -> tuple[Tensor | None, float]:
    """Mask of the pairs that need repair, or None; and the largest q."""
    low, high = (v.item() for v in torch.aminmax(q))
    x_plus, y_plus = x[..., -2:], y[..., -2:]
    bound = x_plus.reshape(-1, 2).amax(0) @ y_plus.reshape(-1, 2).amax(0)
    far = 4 * (1 - share)  # antipodes of the sphere lose their digits like coincident points do
    # Strictly: at the root both sides are 0, and the pair is close.
    if low > share * bound.item() and (kind != "arc" or high <= far):
        return None, high
    mask = q <= share * (x_plus @ y_plus.mT)
    if kind == "arc":
        mask |= q > far
    return mask, high


class _Radial(torch.autograd.Function):
    """scale * f(Q) for the pairs that Q resolves, and the indices (k, ndim) of the others."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, scale: Tensor, kind: str, out: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        share = closeness(x.dtype, out)
        values, forms, close = [], [], []
        for rows in _blocks(x, y):
            block = x[..., rows, :]
            q = block @ y.mT
            mask, high = _close(kind, q, block, y, share)
            if mask is not None:
                index = mask.nonzero()
                index[:, -2] += rows.start
                close.append(index)
                q[mask] = 1.0  # any value with a finite slope: these entries are replaced
            # 4 - q needs the wide digits near antipodes, and q itself beyond float32's range
            # (distance 88).
            if kind != "arc" and high < 1e37:
                q = q.to(out)
            value = _value(kind, q, out)
            values.append(value.mul_(scale.to(value.dtype)).to(out))
            forms.append(q)
        value = values[0] if len(values) == 1 else torch.cat(values, dim=-2)
        index = (
            torch.cat(close)
            if close
            else torch.empty(0, value.ndim, dtype=torch.long, device=x.device)
        )
        ctx.save_for_backward(x, y, scale, index, value, *forms)
        ctx.kind = kind
        ctx.mark_non_differentiable(index)
        return value, index

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, index, value, *forms = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the same in differentiable steps
            q = (x @ y.mT).index_put(tuple(index.T), torch.ones((), dtype=x.dtype, device=x.device))
            grad = grads[0].to(x.dtype)
            weight = grad * scale * _slope(ctx.kind, q)
            grad_x, grad_y = weight @ y, weight.mT @ x
            grad_scale = (grad * _value(ctx.kind, q, q.dtype)).sum()
            return _fit(grad_x, x), _fit(grad_y, y), grad_scale, None, None
        need_x, need_y, need_scale = ctx.needs_input_grad[:3]
        x_parts = []
        y_sum = torch.zeros((), dtype=x.dtype, device=x.device)
        for rows, q in zip(_blocks(x, y), forms, strict=True):
            weight = _slope(ctx.kind, q).mul_(grads[0][..., rows, :]).to(x.dtype).mul_(scale)
            if need_x:
                x_parts.append(weight @ y)
            if need_y:
                y_sum = y_sum + weight.mT @ x[..., rows, :]
        return (
            _fit(torch.cat(x_parts, dim=-2), x) if need_x else None,
            _fit(y_sum, y) if need_y else None,
            # value = scale f(Q), and the entries that were replaced have gradient 0 here.
            (grads[0] * value).sum(dtype=scale.dtype) / scale if need_scale else None,
            None,
            None,
        )


def _fit(grad: Tensor, like: Tensor) -> Tensor:
    return grad if grad.shape == like.shape else grad.sum_to_size(like.shape)


class _Pieces(torch.autograd.Function):
    """direct(x[i], y[j], *parameters) in pieces that are recomputed in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, i: Tensor, j: Tensor, direct: Direct, *parameters: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, y, i, j, *parameters)
        ctx.direct = direct
        step = max(1, MAX_BLOCK // x.shape[-1])
        pieces = zip(i.split(step), j.split(step), strict=True)
        return torch.cat([direct(x[a], y[b], *parameters).squeeze(-1) for a, b in pieces])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, i, j, *parameters = ctx.saved_tensors
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        totals = [torch.zeros_like(p) for p in parameters]
        step = max(1, MAX_BLOCK // x.shape[-1])
        for a, b, grad in zip(i.split(step), j.split(step), grads[0].split(step), strict=True):
            inputs = [t.detach().requires_grad_() for t in (x[a], y[b], *parameters)]
            with torch.enable_grad():
                value = ctx.direct(*inputs).squeeze(-1)
            parts = torch.autograd.grad(value, inputs, grad, materialize_grads=True)
            grad_x.index_add_(0, a, parts[0])
            grad_y.index_add_(0, b, parts[1])
            totals = [t + part for t, part in zip(totals, parts[2:], strict=True)]
        return grad_x, grad_y, None, None, None, *totals


def gathered(
    direct: Direct,
    points: tuple[Tensor, Tensor],
    index: Tensor,
    parameters: tuple[Tensor, ...] = (),
) -> Tensor:
    """direct(x_i, y_j, *parameters) (k,) for the pairs in index (k, batch dimensions + 2)."""
    batch = torch.broadcast_shapes(*(p.shape[:-2] for p in points))
    flat = torch.zeros_like(index[:, 0])
    for axis, size in enumerate(batch):
        flat = flat * size + index[:, axis]
    x, y = (p.expand(*batch, *p.shape[-2:]).reshape(-1, p.shape[-1]) for p in points)
    i = flat * points[0].shape[-2] + index[:, -2]
    j = flat * points[1].shape[-2] + index[:, -1]
    if i.numel() * x.shape[-1] <= MAX_BLOCK:
        return direct(x[i], y[j], *parameters).squeeze(-1)
    return _Pieces.apply(x, y, i, j, direct, *parameters)


def traced() -> bool:
    """Whether torch.compile or a torch.func transform looks on: no pair can be told close then, and
    all are computed directly, in memory O(n m d).
    """
    # dynamo sees a stack where there is none, so it is asked first.
    if torch.compiler.is_compiling():
        return True
    return torch._C._functorch.peek_interpreter_stack() is not None


def pairwise(
    kind: str,
    x_rows: Rows,
    y_rows: Rows,
    points: tuple[Tensor, Tensor],
    direct: Direct,
    out: torch.dtype,
    *,
    scale: Tensor | None = None,
    parameters: tuple[Tensor, ...] = (),
) -> Tensor:
    """scale * f(Q_ij) (..., n, m) for all pairs.

    Args:
        kind: f: "square" q, "root" sqrt(q), "cosh" arcosh(1 + q), "arc" 2 asin(sqrt(q)/2).
        x_rows, y_rows: features whose products make Q.
        points: x (..., n, d), y (..., m, d), what `direct` takes row by row for close pairs.
        direct: (k, d), (k, d), *parameters -> (k, 1), the distance itself (with its scale).
        out: dtype of the result.
        scale: 0-dim factor, 1 if None.
        parameters: tensors beside the points that `direct` depends on (c).
    """
    x, y = x_rows.matrix(), y_rows.matrix()
    if x.shape[-2] == 0 or y.shape[-2] == 0 or 0 in x.shape[:-2] or 0 in y.shape[:-2]:
        return (x @ y.mT).to(out)
    scale = torch.ones((), dtype=x.dtype, device=x.device) if scale is None else scale
    value, index = _Radial.apply(x, y, scale, kind, out)
    if index.shape[0] == 0:
        return value
    return value.index_put(tuple(index.T), gathered(direct, points, index, parameters).to(out))
