"""The contrastive losses over several processes, each with its own pairs of one large batch.

The value is that of the whole batch on every process. Gradients are those of the sum over the
processes of their local means: `DistributedDataParallel` averages parameters' gradients, which
gives those of the whole batch; whoever adds them up divides by the number of processes.
"""

import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.info_nce import info_nce_from_sums
from geomclip.losses.sigmoid import sigmoid_loss_from_sums
from geomclip.losses.sums import check_pairs
from geomclip.precision import widen
from manifolds.kernels.sharded import Group, sharded_sums


def sharded_info_nce(
    geometry: Geometry,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    *,
    exchange: str = "gather",
    group: Group = None,
    memory: str = "auto",
    precision: str = "float32",
) -> Float[Tensor, ""]:
    """`info_nce` of the pairs of all processes, n on each.

    Args:
        exchange: "gather" holds the points y of all processes, "ring" two blocks of them.
        group: the processes; the default group if None.

    Raises:
        ValueError: no process group, or as `info_nce` and `manifolds.kernels.sharded`.
    """
    x, y = check_pairs(geometry, x, y, "sharded_info_nce")
    sums = sharded_sums(
        geometry.manifold,
        x,
        y,
        score=geometry.spec.logit,
        scale=widen(geometry.logit_scale, "logit_scale").exp(),
        exchange=exchange,
        group=group,
        memory=memory,
        precision=precision,
    )
    return whole_mean(info_nce_from_sums(sums), group).to(x.dtype)


def sharded_sigmoid_loss(
    geometry: Geometry,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    bias: float | Float[Tensor, ""],
    *,
    exchange: str = "gather",
    group: Group = None,
    memory: str = "auto",
    precision: str = "float32",
) -> Float[Tensor, ""]:
    """`sigmoid_loss` of the pairs of all processes; arguments as `sharded_info_nce`."""
    x, y = check_pairs(geometry, x, y, "sharded_sigmoid_loss")
    sums = sharded_sums(
        geometry.manifold,
        x,
        y,
        score=geometry.spec.logit,
        scale=widen(geometry.logit_scale, "logit_scale").exp(),
        bias=bias,
        exchange=exchange,
        group=group,
        memory=memory,
        precision=precision,
    )
    return whole_mean(sigmoid_loss_from_sums(sums), group).to(x.dtype)


def whole_mean(local: Float[Tensor, ""], group: Group = None) -> Float[Tensor, ""]:
    """The mean of a local value over the processes, with the gradient of the local value."""
    total = local.detach().clone()
    dist.all_reduce(total, group=group)
    return local + (total / dist.get_world_size(group) - local.detach())
