"""What the subjects give the runner: competitors ready to run on the same inputs."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geomclip.bench.timing import Step

ALREADY = "the points are float64, so this is the textbook formula"  # why "float64" is left out


@dataclass(frozen=True)
class Error:
    """Largest relative errors against float64; infinite where a result is not finite."""

    value: float
    gradient: float | None = None


@dataclass
class Workload:
    """The competitors of one case on one set of inputs; `notes` says who is left out, and why."""

    steps: dict[str, Step] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    forward: dict[str, Step] = field(default_factory=dict)
    """Forward passes alone, where they are measured too; `steps` are forward and backward."""
    errors: Callable[[str], Error | None] = lambda name: None
    """Runs a competitor and compares it with float64; None, without a run, if that says nothing."""
    repaired: float | None = None
    """Share of pairs that the kernels computed from differences; None where that isn't counted."""


@contextlib.contextmanager
def path(name: str) -> Iterator[None]:
    """MANIFOLDS_KERNELS = name in here: which of our kernels computes."""
    before = os.environ.get("MANIFOLDS_KERNELS")
    os.environ["MANIFOLDS_KERNELS"] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ["MANIFOLDS_KERNELS"]
        else:
            os.environ["MANIFOLDS_KERNELS"] = before


def worst(found: Tensor, exact: Tensor) -> float:
    """Largest relative error of an element."""
    error = (found.double() - exact).abs() / exact.abs()
    return _finite(error[exact != 0].max()) if (exact != 0).any() else 0.0


def in_norm(found: Tensor, exact: Tensor) -> float:
    """Norm of the error over the norm of the exact tensor."""
    return _finite((found.double() - exact).norm() / exact.norm())


def tangential(gradient: Tensor, x: Tensor) -> Tensor:
    """A gradient at points of the sphere without its part along x, which formulas are free in."""
    wide, unit = gradient.double(), torch.nn.functional.normalize(x.double(), dim=-1)
    return wide - (wide * unit).sum(-1, keepdim=True) * unit


def _finite(error: Tensor) -> float:
    value = error.item()
    return value if value == value else torch.inf
