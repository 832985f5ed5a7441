"""BatchNorm where a batch is more than what one forward pass sees, or passes twice.

`sync_batch_norm` takes the statistics over all processes, `keep_statistics` lets a forward pass run
a second time without counting it twice, which is what `recomputed` does in the backward pass.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class _Sum(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are those of all processes' pictures, on any device.

    (torch's own SyncBatchNorm needs a GPU.) Equal to BatchNorm2d of one process that has them all,
    gradients included, where the parameters' gradients are averaged or added up afterwards.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or dist.get_world_size() == 1:
            return super().forward(input)
        x = input.double() if input.dtype == torch.float64 else input.float()
        count = x.numel() // x.shape[1] * dist.get_world_size()
        shape, dims = (1, -1, 1, 1), (0, 2, 3)
        mean = _Sum.apply(x.sum(dims)) / count
        centred = x - mean.view(shape)
        # From differences: the mean square minus the squared mean would cancel.
        variance = _Sum.apply(centred.square().sum(dims)) / count
        if self.track_running_stats:
            self._track(mean.detach(), variance.detach() * count / max(count - 1, 1))
        y = centred * (variance + self.eps).rsqrt().view(shape)
        y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var), self.momentum)


def has_batch_norm(module: nn.Module) -> bool:
    """Whether what a picture is mapped to depends on the others of its batch."""
    return any(isinstance(m, _BatchNorm) for m in module.modules())


def sync_batch_norm(module: nn.Module) -> None:
    """Let every BatchNorm2d inside `module` normalise over all processes; parameters, buffers and
    names stay. Raises ValueError for a BatchNorm of another kind.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                synced = SyncedBatchNorm2d(child.num_features, child.eps, child.momentum)
                synced.train(child.training)
                synced._parameters, synced._buffers = child._parameters, child._buffers
                setattr(parent, name, synced)
            elif isinstance(child, _BatchNorm) and not isinstance(
                child, SyncedBatchNorm2d | nn.SyncBatchNorm
            ):
                raise ValueError(
                    f"{name} is a {type(child).__name__}; only BatchNorm2d can take its statistics "
                    "over several processes"
                )


@contextlib.contextmanager
def keep_statistics(module: nn.Module) -> Iterator[None]:
    """A block whose forward passes leave running means, variances and counters as they are."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    kept = [dict(norm._buffers) for norm in norms]
    for norm in norms:  # with none at all torch would save other tensors for the backward pass
        for name, buffer in norm._buffers.items():
            norm._buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)


def recomputed(block: nn.Module, *inputs: Tensor | None) -> Tensor:
    """`block(*inputs)` that keeps its inputs alone for the backward pass and runs again there."""
    if not has_batch_norm(block):
        return checkpoint(block, *inputs, use_reentrant=False)
    again = contextlib.nullcontext(), keep_statistics(block)
    return checkpoint(block, *inputs, use_reentrant=False, context_fn=lambda: again)
