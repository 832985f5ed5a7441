"""AdamW with the exemptions from weight decay that contrastive models need."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from geoopt import ManifoldParameter
from torch import Tensor, nn

from geomclip.errors import RequestError
from geomclip.geometry import Geometry
from geomclip.model import ContrastiveModel
from geomclip.train.config import TrainConfig
from geomclip.train.criterion import Criterion
from manifolds.optim import RiemannianAdam, clip_grad_norm_


def parameter_groups(
    model: nn.Module, geometry: Geometry, config: TrainConfig, criterion: Criterion | None = None
) -> list[dict[str, Any]]:
    """Groups, each with its `peak_lr`: decayed, not decayed, points on manifolds, and the scalars
    of the geometry and of the criterion (the sigmoid loss's bias); scalars that `config.scalar_lrs`
    names have a group of their own each, "scalars/NAME".

    Matrices and kernels (ndim >= 2) are decayed; norms, biases and class embeddings (ndim < 2) are
    not, as in open_clip. `logit_scale`, `log_c` and `log_alpha` have a learning rate of their own
    and no decay: it would pull temperature and curvature towards 1. Parameters without gradient
    are left out.

    Raises:
        RequestError: `config.scalar_lrs` names what is no learned scalar of this run.
    """
    scalars = named_scalars(geometry, criterion)
    taken = {id(p) for p in scalars.values()}
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad and id(p) not in taken]
    single = scalar_rates(config, scalars)
    rest = [p for name, p in scalars.items() if name not in single]
    points = [p for _, p in named if isinstance(p, ManifoldParameter)]
    named = [(n, p) for n, p in named if not isinstance(p, ManifoldParameter)]
    groups: list[tuple[str, list[nn.Parameter], float, float]] = [
        ("decay", [p for _, p in named if p.ndim >= 2], config.lr, config.weight_decay),
        ("no_decay", [p for _, p in named if p.ndim < 2], config.lr, 0.0),
        ("points", points, config.lr, 0.0),
        ("scalars", rest, config.scalar_lr, 0.0),
        *((f"scalars/{name}", [scalars[name]], lr, 0.0) for name, lr in single.items()),
    ]
    return [
        {"name": name, "params": params, "lr": lr, "peak_lr": lr, "weight_decay": decay}
        for name, params, lr, decay in groups
        if params
    ]


def named_scalars(geometry: Geometry, criterion: Criterion | None) -> dict[str, nn.Parameter]:
    """The learned scalars of a run by their names in metrics.jsonl."""
    own = {} if criterion is None else criterion.named_scalars()
    scalars = geometry.named_scalar_parameters() | own
    return {name: p for name, p in scalars.items() if p.requires_grad}


def scalar_rates(config: TrainConfig, scalars: Mapping[str, nn.Parameter]) -> dict[str, float]:
    """Peak learning rate of each scalar that `config.scalar_lrs` speaks of: by its own name, or by
    that of its kind (`alpha` of every alpha_*, `c` of every factor).

    Raises:
        RequestError: a name is that of no scalar.
    """
    rates: dict[str, float] = {}
    for asked, lr in config.scalar_lrs.items():
        of_kind = [name for name in scalars if _kind(name) == asked]
        if asked not in scalars and not of_kind:
            raise RequestError(
                f'scalar_lrs: {config.geometry} learns no "{asked}"',
                f"It learns {', '.join(scalars)}; take the entry out.",
            )
        if asked in scalars:
            rates[asked] = lr
        for name in of_kind:
            if name not in config.scalar_lrs:
                rates[name] = lr
    return rates


def _kind(name: str) -> str:
    """alpha_image is an alpha, factors.0.c a c."""
    return "alpha" if name.startswith("alpha_") else name.rsplit(".", 1)[-1]


def build_optimizer(
    model: nn.Module, geometry: Geometry, config: TrainConfig, criterion: Criterion | None = None
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) over `parameter_groups`; fused where the device has it. With
    points among them `manifolds.optim.RiemannianAdam`, which is AdamW for all others.
    """
    groups = parameter_groups(model, geometry, config, criterion)
    if any(group["name"] == "points" for group in groups):
        return RiemannianAdam(groups, betas=config.betas, eps=config.eps)
    try:
        return torch.optim.AdamW(groups, betas=config.betas, eps=config.eps, fused=True)
    except RuntimeError:  # torch names the devices that have it, in words
        return torch.optim.AdamW(groups, betas=config.betas, eps=config.eps)


def step_within_bounds(optimizer: torch.optim.Optimizer, geometry: Geometry) -> dict[str, str]:
    """Step, and bring the geometry's scalars back within their bounds; those that were outside."""
    optimizer.step()
    # It keeps the bounds of curvatures itself, because points follow c.
    kept = optimizer.last_report.bounds if isinstance(optimizer, RiemannianAdam) else {}
    return kept | geometry.apply_bounds_()


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group to `factor` times its peak learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


@torch.no_grad()
def gradient_norms(model: ContrastiveModel, criterion: Criterion) -> dict[str, float]:
    """Norm of the gradient of each encoder by its name, and, under "scalars/NAME", the gradient's
    absolute value of each learned scalar (of logit_scale, log alpha_m and log c); as they stand
    after the backward pass, before clipping.
    """
    norms = {}
    for name, encoder in model.encoders.items():
        grads = [p.grad for p in encoder.parameters() if p.grad is not None]
        norms[name] = total_norm(grads).item()
    for name, parameter in named_scalars(model.geometry, criterion).items():
        if parameter.grad is not None:
            norms[f"scalars/{name}"] = parameter.grad.abs().item()
    return norms


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """The norm of all gradients together, which are scaled down to `max_norm` where it is larger.

    As `torch.nn.utils.clip_grad_norm_`, bit for bit, but gradients that stay as they are are not
    multiplied by 1. A `max_norm` of 0 clips nothing. Points on manifolds count by the Riemannian
    norm (`manifolds.optim.clip_grad_norm_`).
    """
    if any(isinstance(p, ManifoldParameter) for p in parameters):
        return clip_grad_norm_(parameters, max_norm or math.inf).item()
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = total_norm(grads)
    if max_norm and (factor := max_norm / (norm + 1e-6)) < 1:
        torch._foreach_mul_(grads, factor)
    return norm.item()


def total_norm(tensors: list[Tensor]) -> Tensor:
    """The norm () of all numbers in tensors of one device and dtype, 0 of none:
    `torch.nn.utils.get_total_norm` bit for bit. That first sorts them by device and dtype, which
    takes as long as the norms do.
    """
    if not tensors:
        return torch.zeros(())
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
