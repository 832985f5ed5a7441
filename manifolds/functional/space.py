"""A model and its c as one value, for the distributions in `manifolds.random`."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from manifolds.arguments import Scalar, curvature
from manifolds.functional import (
    euclidean,
    geodesics,
    lorentz,
    poincare,
    projections,
    sphere,
)


@dataclass(frozen=True)
class Operations:
    """The `manifolds.models.Space` of a model at one c."""

    name: str
    curvature_sign: int
    codim: int
    c: Tensor
    origin: Callable[..., Tensor]
    dist2: Callable[..., Tensor]
    norm: Callable[..., Tensor]
    proju: Callable[..., Tensor]
    expmap: Callable[..., Tensor]
    expmap0: Callable[..., Tensor]
    logmap0: Callable[..., Tensor]
    to_frame: Callable[..., Tensor]
    from_frame: Callable[..., Tensor]


_MAPS = [f.name for f in fields(Operations)][5:]
"""Those of its fields that are functions of the model's name, in `functional`."""


def _bound(model: str, **fixed: Any) -> dict[str, Callable[..., Tensor]]:
    found: dict[str, Callable[..., Tensor]] = {}
    for module in (euclidean, lorentz, poincare, sphere, geodesics, projections):
        for name in _MAPS:
            function = getattr(module, f"{model}_{name}", None)
            if function is not None:
                found[name] = partial(function, **fixed)
    return found


def euclidean_space() -> Operations:
    """Flat space."""
    return Operations("Euclidean", 0, 0, torch.zeros(()), torch.zeros, **_bound("euclidean"))


def lorentz_space(op: str, c: Scalar, like: Tensor) -> Operations:
    """The hyperboloid; ValueError, naming the operation, if c <= 0."""
    c = curvature(f"Lorentz.{op}", c, like)
    return Operations("Lorentz", -1, 0, c, torch.zeros, **_bound("lorentz", c=c))


def poincare_space(op: str, c: Scalar, like: Tensor) -> Operations:
    """The ball; ValueError, naming the operation, if c <= 0."""
    c = curvature(f"PoincareBall.{op}", c, like)
    return Operations("PoincareBall", -1, 0, c, torch.zeros, **_bound("poincare", c=c))


def sphere_space(op: str, c: Scalar, like: Tensor) -> Operations:
    """The sphere; ValueError, naming the operation, if c <= 0."""
    c = curvature(f"Sphere.{op}", c, like)

    def origin(*size: Any, **options: Any) -> Tensor:
        return sphere.sphere_root(torch.zeros(*size, **options), c.to(options["dtype"]))

    return Operations("Sphere", 1, 1, c, origin, **_bound("sphere", c=c))
