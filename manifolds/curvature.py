"""Curvature magnitude c > 0: stored as log_c, learnable, bounded after the optimizer's step."""

import math

import torch
from torch import Tensor, nn

from manifolds.arguments import check_number, curvature
from manifolds.base import Manifold
from manifolds.numerics import rounded

C_MIN, C_MAX = 1e-3, 1e3


class CurvedManifold(Manifold):
    """A manifold with curvature magnitude c, a 0-dim tensor; `log_c` is its parameter.

    Args:
        c: initial value. A 0-dim tensor that requires a gradient is c itself, as it is: gradients
            reach it, log_c is None, and its bounds are its owner's business.
        learnable: whether log_c requires a gradient.
        c_min, c_max: what `apply_bounds_` keeps c within.

    Raises:
        TypeError: c, c_min or c_max is no real number.
        ValueError: unless 0 < c_min <= c <= c_max < inf, or c is a tensor that is not 0-dim.
    """

    log_c: nn.Parameter
    _given: Tensor | None = None

    def __init__(
        self,
        c: float | int | Tensor = 1.0,
        learnable: bool = False,
        c_min: float | int = C_MIN,
        c_max: float | int = C_MAX,
    ) -> None:
        super().__init__()
        if isinstance(c, Tensor):
            curvature(self.name, c, c)
            if c.requires_grad:
                if learnable:
                    raise ValueError(
                        f"{self.name}: c is a tensor that requires a gradient and learns where it "
                        "comes from; leave learnable=False, or pass c as a number"
                    )
                # Not as an attribute: nn.Module would take an nn.Parameter for one of its own.
                self.__dict__["_given"] = c
                self.register_parameter("log_c", None)
                return
            c = c.item()
        for name, value in (("c", c), ("c_min", c_min), ("c_max", c_max)):
            check_number(self.name, name, value)
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

    @classmethod
    def at(cls, c: Tensor) -> "CurvedManifold":
        """A manifold whose c is this 0-dim tensor, for one call: it has operations and no state."""
        m = cls.__new__(cls)
        # Without nn.Module.__init__, which torch.compile can't trace.
        m.__dict__["_given"] = c
        return m

    @property
    def c(self) -> Tensor:
        """Curvature magnitude, 0-dim, at least float32; gradients reach log_c."""
        if self._given is not None:
            return self._given
        log_c: Tensor = self.log_c
        if log_c.dtype not in (torch.float32, torch.float64):
            log_c = log_c.float()
        return self.c_init * torch.exp(log_c - self._log_c_init)

    @property
    def learnable(self) -> bool:
        """Whether log_c requires a gradient."""
        return self._given is None and self.log_c.requires_grad

    def _log_bounds(self) -> dict[str, float]:
        def log(bound: float) -> float:
            shifted = self._log_c_init + math.log(bound / self.c_init)
            return rounded(shifted, self.log_c.dtype)

        return {"lower": log(self.c_min), "upper": log(self.c_max)}

    @torch.no_grad()
    def apply_bounds_(self) -> dict[str, str]:
        """Moves log_c back to its bound if it lies beyond; returns what it touched."""
        if self._given is not None:
            return {}
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
        if not self.learnable:
            return {}
        bounds, value = self._log_bounds(), self.log_c.item()
        if value <= bounds["lower"]:
            return {"c": "lower"}
        return {"c": "upper"} if value >= bounds["upper"] else {}

    def extra_repr(self) -> str:
        """For print(m)."""
        return f"c={self.c.item():.6g}" + (", learnable" if self.learnable else "")
