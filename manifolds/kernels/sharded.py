"""`kernels.contrastive` over several processes: local rows against the columns of all of them.

Every process holds n rows x and their n partners y. Columns come by an all-gather (one n_all x d
copy on every process) or around a ring (two n x d buffers). Column sums over all rows are combined
by one exchange of n_all numbers, so that every pair is computed once.

Gradients are those of the sum over the processes of what each makes of its sums: what
`DistributedDataParallel`, which averages over processes, expects of a loss that is a local mean.
They can be taken once, not twice.
"""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from manifolds.base import Manifold
from manifolds.kernels import contrastive
from manifolds.kernels.contrastive import PairSums

Group = dist.ProcessGroup | None
EXCHANGES = ("gather", "ring")
# The name from torch 2.13 on, and the one before.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def sharded_sums(
    manifold: Manifold,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    *,
    score: str = "-dist",
    scale: float | Tensor = 1.0,
    bias: float | Tensor | None = None,
    exchange: str = "gather",
    group: Group = None,
    memory: str = "auto",
    precision: str = "float32",
) -> PairSums:
    """Sums of the local rows over all columns, and of the local columns over all rows.

    `contrastive.logsumexp` without a bias, `contrastive.softplus_sum` with one (no columns then),
    equal to those of one process with all rows, for this process's pairs.

    Args:
        x, y: local rows and their partners, the same number on every process.
        exchange: "gather", or "ring" (memory="auto" keeps no products there).
        group: the processes; the default group if None.

    Raises:
        ValueError: no group, an unknown exchange, x and y of different length, or processes with
            different numbers of rows; and as `contrastive.logsumexp`.
    """
    if not dist.is_initialized():
        raise ValueError("sharded sums need torch.distributed.init_process_group first")
    if exchange not in EXCHANGES:
        raise ValueError(f"exchange must be one of {', '.join(EXCHANGES)}, got {exchange!r}")
    check_rows(x, y, group)
    rank, n = dist.get_rank(group), x.shape[0]
    lse = bias is None
    problem = contrastive.problem(
        manifold,
        x,
        y,
        score,
        scale,
        bias,
        offset=rank * n if exchange == "gather" else 0,
        memory="tiled" if exchange == "ring" and memory == "auto" else memory,
        precision=precision,
    )
    if exchange == "gather":
        row, column, pair = problem.sums(problem.x, gather_rows(problem.y, group))
    else:
        rows, column, pair = _Ring.apply(*problem.tensors(), problem, group)
        row = rows.logsumexp(0) if lse else rows.sum(0)
    if lse:
        column = _Combine.apply(column, group)
    return PairSums(row, column, problem.factor * pair + problem.bias)


def check_rows(x: Tensor, y: Tensor, group: Group = None) -> None:
    """Raises ValueError unless all processes hold the same number of pairs; on all of them."""
    most = torch.tensor([x.shape[0], -x.shape[0], abs(x.shape[0] - y.shape[0])], device=x.device)
    dist.all_reduce(most, dist.ReduceOp.MAX, group=group)
    high, low, apart = most.tolist()
    if apart or high != -low:
        raise ValueError(
            f"sharded sums need the same number of rows and partners on every process, got "
            f"{x.shape[0]} and {y.shape[0]} here, between {-low} and {high} rows; drop the last "
            "incomplete batch"
        )


class _Gather(torch.autograd.Function):
    """(n, d) of every process -> (n_all, d) on every process."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, group: Group) -> Tensor:
        ctx.group, ctx.n = group, y.shape[0]
        everything = y.new_empty(dist.get_world_size(group) * y.shape[0], *y.shape[1:])
        _all_gather(everything, y.contiguous(), group=group)
        return everything

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        start = dist.get_rank(ctx.group) * ctx.n
        return total[start : start + ctx.n].clone(), None


def gather_rows(y: Float[Tensor, "n d"], group: Group = None) -> Float[Tensor, "m d"]:
    """The rows of all processes, in their order; gradients from all of them come back, added up."""
    return _Gather.apply(y, group)


class _Combine(torch.autograd.Function):
    """Log sums of all columns over local rows (n_all,) -> of local columns over all rows (n,)."""

    @staticmethod
    def forward(ctx: Any, partial: Tensor, group: Group) -> Tensor:
        top = partial.clone()
        dist.all_reduce(top, dist.ReduceOp.MAX, group=group)
        base = top.masked_fill(top == -torch.inf, 0)
        total = (partial - base).exp()
        dist.all_reduce(total, group=group)
        total = base + total.log()
        ctx.save_for_backward(partial, total)
        ctx.group = group
        n = partial.shape[0] // dist.get_world_size(group)
        start = dist.get_rank(group) * n
        return total[start : start + n].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        partial, total = ctx.saved_tensors
        everything = torch.empty_like(total)
        _all_gather(everything, grads[0].contiguous(), group=ctx.group)
        base = total.masked_fill(total == -torch.inf, 0)
        return everything * (partial - base).exp(), None


def _pass_on(tensors: list[Tensor], group: Group) -> list[Tensor]:
    """Sends tensors to the process before this one, returns those of the process after it."""
    world, rank = dist.get_world_size(group), dist.get_rank(group)
    if world == 1:
        return tensors
    whole = group or dist.group.WORLD
    assert whole is not None
    before = dist.get_global_rank(whole, (rank - 1) % world)
    after = dist.get_global_rank(whole, (rank + 1) % world)
    received = [torch.empty_like(t) for t in tensors]
    sends = [dist.P2POp(dist.isend, t.contiguous(), before, group) for t in tensors]
    receives = [dist.P2POp(dist.irecv, t, after, group) for t in received]
    for work in dist.batch_isend_irecv(sends + receives):
        work.wait()
    return received


class _Ring(torch.autograd.Function):
    """Sums of local rows with one block of columns after the other, as they come around."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        *tensors, problem, group = inputs
        y, world, rank = tensors[1], dist.get_world_size(group), dist.get_rank(group)
        steps = []
        for step in range(world):
            steps.append(problem.forward(tensors[0], y, *tensors[2:], offset=_offset(step, y)))
            if step < world - 1:
                (y,) = _pass_on([y], group)
        saved = [t for step in steps for t in (step[0], step[1], step[3], step[4])]
        ctx.save_for_backward(*tensors, *saved)
        ctx.problem, ctx.group = problem, group
        columns = [steps[(owner - rank) % world][1] for owner in range(world)]
        return torch.stack([s[0] for s in steps]), torch.cat(columns), steps[0][2].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, *scalars = ctx.saved_tensors[:5]
        saved, problem, group = ctx.saved_tensors[5:], ctx.problem, ctx.group
        world, rank = dist.get_world_size(group), dist.get_rank(group)
        grad_rows, grad_columns, grad_pair = grads
        columns = grad_columns.reshape(world, grad_columns.numel() // world)
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        by_scalar = [torch.zeros_like(s) for s in scalars]
        for step in range(world):
            row, column, reach, kept = saved[4 * step : 4 * step + 4]
            pair = grad_pair if step == 0 else grad_pair[:0]
            wanted = grad_rows[step], columns[(rank + step) % world].contiguous(), pair
            sums = row, column, reach, kept
            part = problem.backward(wanted, sums, x, y, *scalars, offset=_offset(step, y))
            grad_x += part[0]
            grad_y += part[1]
            by_scalar = [a + b for a, b in zip(by_scalar, part[2:], strict=True)]
            # After the last step the gradients are one place from home, and the columns done.
            if step < world - 1:
                y, grad_y = _pass_on([y, grad_y], group)
            else:
                (grad_y,) = _pass_on([grad_y], group)
        return grad_x, grad_y, *by_scalar, None, None


def _offset(step: int, y: Tensor) -> int:
    """Partners are in the block that this process brought; elsewhere they are beyond its end."""
    return 0 if step == 0 else y.shape[0]
