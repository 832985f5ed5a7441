"""Which parameter is decayed, which lies on a manifold, which is a curvature or a scalar."""

from typing import Any

from geoopt import ManifoldParameter
from torch import nn

from manifolds.base import Manifold
from manifolds.curvature import CurvedManifold

# Their weights may have any number of dimensions and are never decayed.
_NORMS = (nn.LayerNorm, nn.RMSNorm)


def param_groups(
    module: nn.Module,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    point_lr: float | None = None,
    point_decay: float = 0.0,
    scalar_lr: float | None = None,
    curvature_lr: float | None = None,
) -> list[dict[str, Any]]:
    """The parameters of a module that require a gradient, as groups of an optimizer.

    name        holds                                           lr            weight_decay
    decay       matrices, kernels, embeddings (ndim >= 2)       lr            weight_decay
    no_decay    biases, norms, vectors (ndim 1)                 lr            0
    scalars     0-dim parameters: logit_scale, log_alpha        scalar_lr     0
    points      geoopt.ManifoldParameter                        point_lr      point_decay
    curvature   log_c of the manifolds                          curvature_lr  0

    Empty groups are left out; a learning rate that is None is `lr`. Temperature, scales and
    curvature are exempt from decay, which would pull them toward 1. Everything beside "params" is
    plain data, so any torch optimizer takes the groups and its state dict stays loadable with
    `weights_only`.

    Raises:
        TypeError: no module.
        ValueError: nothing requires a gradient, or a point lies on a manifold whose learnable c is
            no parameter of the module.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"param_groups: expects a module, got {module!r} ({type(module).__name__}); tensors "
            "and groups go to the optimizer as they are"
        )
    curvatures = {id(m.log_c) for m in module.modules() if isinstance(m, CurvedManifold)}
    exempt = {
        id(p)
        for m in module.modules()
        for name, p in m.named_parameters(recurse=False)
        if name == "bias" or isinstance(m, _NORMS)
    }
    sorted_: dict[str, list[nn.Parameter]] = {
        name: [] for name in ("decay", "no_decay", "scalars", "points", "curvature")
    }
    for name, p in module.named_parameters():
        if isinstance(p, ManifoldParameter):
            _check_manifold(name, p.manifold, curvatures)
        if p.requires_grad:
            sorted_[_kind(p, curvatures, exempt)].append(p)
    if not any(sorted_.values()):
        raise ValueError(
            f"param_groups: no parameter of {type(module).__name__} requires a gradient; "
            "call .requires_grad_() on those to learn"
        )
    rates = {"scalars": scalar_lr, "points": point_lr, "curvature": curvature_lr}
    decays = {"decay": weight_decay, "points": point_decay}
    groups = []
    for kind, params in sorted_.items():
        rate = rates.get(kind)
        group = {"name": kind, "params": params, "lr": lr if rate is None else rate}
        groups.append({**group, "weight_decay": decays.get(kind, 0.0)})
    return [group for group in groups if group["params"]]


def _kind(p: nn.Parameter, curvatures: set[int], exempt: set[int]) -> str:
    if isinstance(p, ManifoldParameter):
        return "points"
    if id(p) in curvatures:
        return "curvature"
    if p.ndim == 0:
        return "scalars"
    return "no_decay" if p.ndim == 1 or id(p) in exempt else "decay"


def _check_manifold(name: str, manifold: Manifold, known: set[int]) -> None:
    # A manifold that is no submodule stays behind at .to(), .double() and in state dicts, and its c
    # would never learn.
    for m in manifold.modules():
        if isinstance(m, CurvedManifold) and m.learnable and id(m.log_c) not in known:
            raise ValueError(
                f"param_groups: {name} lies on {m}, whose learnable c is no parameter of the "
                "module; register the manifold: module.manifold = manifold"
            )
