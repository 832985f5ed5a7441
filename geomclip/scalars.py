"""Scalars that are learned within bounds: brought back after the optimizer's step, never before."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from manifolds import Manifold
from manifolds.curvature import CurvedManifold
from manifolds.numerics import rounded

MAX_LOGIT_SCALE = math.log(100)


@dataclass(frozen=True)
class BoundedScalar:
    """A 0-dim parameter that stays in [lower, upper] by `apply_bounds_`; either may be infinite."""

    name: str
    parameter: nn.Parameter
    lower: float
    upper: float

    def beyond(self) -> str:
        """Which bound the parameter stands at or beyond: "lower", "upper", or ""; NaN at none."""
        value, lower, upper = self._values()
        if value <= lower:
            return "lower"
        return "upper" if value >= upper else ""

    @torch.no_grad()
    def apply_bound_(self) -> str:
        """Bring the parameter back to a bound that it is outside of; which one, or ""."""
        value, lower, upper = self._values()
        if value < lower:
            self.parameter.fill_(lower)
            return "lower"
        if value > upper:
            self.parameter.fill_(upper)
            return "upper"
        return ""

    def _values(self) -> tuple[float, float, float]:
        """The parameter and its bounds."""
        # In the parameter's dtype: log 100 is no float32, and a parameter put on its rounded
        # value would count as outside for ever.
        dtype = self.parameter.dtype
        return self.parameter.item(), rounded(self.lower, dtype), rounded(self.upper, dtype)


def apply_bounds_(scalars: Iterable[BoundedScalar]) -> dict[str, str]:
    """Bring all back within their bounds; those that were outside, by name: "lower" or "upper"."""
    return {s.name: side for s in scalars if (side := s.apply_bound_())}


def at_bound(scalars: Iterable[BoundedScalar]) -> dict[str, str]:
    """Those that stand at a bound now (or beyond it), by name: "lower" or "upper"."""
    return {s.name: side for s in scalars if (side := s.beyond())}


def curvatures(manifold: Manifold) -> dict[str, float]:
    """c by its name: "c", or "factors.0.c" and so on for the curved factors of a product."""
    curved = (m for m in manifold.named_modules() if isinstance(m[1], CurvedManifold))
    return {f"{path}.c" if path else "c": m.c.item() for path, m in curved}


def curvature_parameters(manifold: Manifold) -> dict[str, nn.Parameter]:
    """The log c that are learned, by the names of `curvatures`."""
    learned = (p for p in manifold.named_parameters() if p[1].requires_grad)
    return {path.removesuffix("log_c") + "c": parameter for path, parameter in learned}


def check_logit_scale(name: str, start: float, lower: float) -> None:
    """Whether log beta may start there. Raises ValueError that names the geometry."""
    if not (lower <= start <= MAX_LOGIT_SCALE and math.isfinite(start)):
        raise ValueError(
            f"{name}: init_logit_scale must lie in [{lower:g}, log 100 = {MAX_LOGIT_SCALE:.4f}]"
            f", got {start:g}; it is the log of the logits' factor, change it or its bound"
        )


def check_alpha_max(name: str, alpha_max: float | None, dim: int) -> None:
    """Whether alpha starts below its bound. Raises ValueError that names the geometry."""
    if alpha_max is not None and not alpha_max >= dim**-0.5:
        raise ValueError(
            f"{name}: alpha_max must be at least alpha's initial value, d^-1/2 = "
            f"{dim**-0.5:.4g}, got {alpha_max:g}"
        )
