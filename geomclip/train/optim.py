"""AdamW with the exemptions from weight decay that contrastive models need."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from geomclip.geometry import Geometry
from geomclip.train.config import TrainConfig


def parameter_groups(
    model: nn.Module, geometry: Geometry, config: TrainConfig, criterion: nn.Module | None = None
) -> list[dict[str, Any]]:
    """Three groups, each with its `peak_lr`: decayed, not decayed, and the scalars of the geometry
    and of the criterion (the sigmoid loss's bias).

    Matrices and kernels (ndim >= 2) are decayed; norms, biases and class embeddings (ndim < 2) are
    not, as in open_clip. `logit_scale`, `log_c` and `log_alpha` have a learning rate of their own
    and no decay: it would pull temperature and curvature towards 1. Parameters without gradient
    are left out.
    """
    scalars = [p for p in geometry.scalar_parameters() if p.requires_grad]
    scalars += [] if criterion is None else list(criterion.parameters())
    taken = {id(p) for p in geometry.scalar_parameters()}
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad and id(p) not in taken]
    groups: list[tuple[str, list[nn.Parameter], float, float]] = [
        ("decay", [p for _, p in named if p.ndim >= 2], config.lr, config.weight_decay),
        ("no_decay", [p for _, p in named if p.ndim < 2], config.lr, 0.0),
        ("scalars", scalars, config.scalar_lr, 0.0),
    ]
    return [
        {"name": name, "params": params, "lr": lr, "peak_lr": lr, "weight_decay": decay}
        for name, params, lr, decay in groups
        if params
    ]


def build_optimizer(
    model: nn.Module, geometry: Geometry, config: TrainConfig, criterion: nn.Module | None = None
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) over `parameter_groups`; fused where the device has it."""
    groups = parameter_groups(model, geometry, config, criterion)
    try:
        return torch.optim.AdamW(groups, betas=config.betas, eps=config.eps, fused=True)
    except RuntimeError:  # torch names the devices that have it, in words
        return torch.optim.AdamW(groups, betas=config.betas, eps=config.eps)


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group to `factor` times its peak learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """The norm of all gradients together, which are scaled down to `max_norm` where it is larger.

    As `torch.nn.utils.clip_grad_norm_`, bit for bit, but gradients that stay as they are are not
    multiplied by 1. A `max_norm` of 0 clips nothing.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(grads)
    if max_norm and max_norm / (norm + 1e-6) < 1:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm.item()
