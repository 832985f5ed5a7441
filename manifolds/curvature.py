"""Curvature magnitude c > 0: stored as log_c, learnable, bounded after the optimizer's step."""

import math

import torch
from torch import Tensor, nn

from manifolds.base import Manifold

C_MIN, C_MAX = 1e-3, 1e3


class CurvedManifold(Manifold):
    """A manifold with curvature magnitude c, a 0-dim tensor; `log_c` is its parameter.

    Args:
        c: initial value.
        learnable: whether log_c requires a gradient.
        c_min, c_max: what `apply_bounds_` keeps c within.

    Raises:
        ValueError: unless 0 < c_min <= c <= c_max < inf.
    """

    def __init__(
        self,
        c: float | int = 1.0,
        learnable: bool = False,
        c_min: float | int = C_MIN,
        c_max: float | int = C_MAX,
    ) -> None:
        super().__init__()
        if not (c > 0 and math.isfinite(c)):
            raise ValueError(
                f"{self.name}: c must be positive and finite (curvature magnitude), got c={c}"
            )
        if not 0 < c_min <= c <= c_max < math.inf:
            raise ValueError(
                f"{self.name}: need 0 < c_min <= c <= c_max, got c_min={c_min}, c={c}, "
                f"c_max={c_max}; pass c_min= and c_max= beside c"
            )
        self.log_c = nn.Parameter(torch.tensor(math.log(c)), requires_grad=learnable)
        self.c_min, self.c_max = float(c_min), float(c_max)
        # c = c_init exp(log_c - its initial value), so that c=0.1 stays 0.1 to the last digit after
        # .double() although log_c was rounded to float32.
        self.c_init = float(c)
        self._log_c_init = self.log_c.item()

    @property
    def c(self) -> Tensor:
        """Curvature magnitude, 0-dim, at least float32; gradients reach log_c."""
        log_c: Tensor = self.log_c
        if log_c.dtype not in (torch.float32, torch.float64):
            log_c = log_c.float()
        return self.c_init * torch.exp(log_c - self._log_c_init)

    @property
    def learnable(self) -> bool:
        """Whether log_c requires a gradient."""
        return self.log_c.requires_grad

    def _log_bounds(self) -> dict[str, float]:
        def log(bound: float) -> float:
            shifted = self._log_c_init + math.log(bound / self.c_init)
            return torch.tensor(shifted, dtype=self.log_c.dtype).item()

        return {"lower": log(self.c_min), "upper": log(self.c_max)}

    @torch.no_grad()
    def apply_bounds_(self) -> dict[str, str]:
        """Moves log_c back to its bound if it lies beyond; returns what it touched."""
        bounds = self._log_bounds()
        value = self.log_c.item()
        if value < bounds["lower"]:
            self.log_c.fill_(bounds["lower"])
            return {"c": "lower"}
        if value > bounds["upper"]:
            self.log_c.fill_(bounds["upper"])
            return {"c": "upper"}
        return {}

    def at_bound(self) -> dict[str, str]:
        """{"c": "lower"} or {"c": "upper"} if a learnable c lies at a bound or beyond, else {}."""
        bounds, value = self._log_bounds(), self.log_c.item()
        if not self.learnable:
            return {}
        if value <= bounds["lower"]:
            return {"c": "lower"}
        return {"c": "upper"} if value >= bounds["upper"] else {}

    def extra_repr(self) -> str:
        """For print(m)."""
        return f"c={self.c.item():.6g}" + (", learnable" if self.learnable else "")
