"""Optimizers for points on manifolds, curvatures and ordinary parameters together.

    groups = manifolds.optim.param_groups(model, lr=1e-3, weight_decay=0.1)
    optimizer = manifolds.optim.RiemannianAdam(groups)

A point that is learned is a `geoopt.ManifoldParameter` on one of our manifolds; geoopt's own
optimizers step it too.
"""

from manifolds.optim.adam import RiemannianAdam, StepReport
from manifolds.optim.clip import clip_grad_norm_
from manifolds.optim.groups import param_groups
from manifolds.optim.linesearch import RiemannianLineSearch

__all__ = [
    "RiemannianAdam",
    "RiemannianLineSearch",
    "StepReport",
    "clip_grad_norm_",
    "param_groups",
]
