"""What has stood still, and for how many steps: the loss at chance, scalars at a bound, cones that
are half-spaces."""

from collections.abc import Mapping
from typing import Any

from geomclip.geometry import Geometry

# Steps after which standing still is worth a warning.
WARN_AFTER = 200
# A loss that sits at chance is within half a percent of it, or above.
NEAR_CHANCE = 0.995
# Cones have collapsed where this share of parents have half-spaces.
COLLAPSED = 0.5


class Streaks:
    """Lengths of unbroken runs of steps by name; checkpointed, so that a resume changes no line."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.counts: dict[str, int] = dict(counts or {})

    def step(self, geometry: Geometry, contrastive: float, chance: float) -> None:
        """Count a step: the contrastive loss against its chance line, the scalars' bounds."""
        self._mark("contrastive", contrastive >= NEAR_CHANCE * chance)
        at_bound = geometry.at_bound()
        for name in geometry.scalars():
            self._mark(name, name in at_bound)

    def line(self, record: Mapping[str, Any], step: int) -> None:
        """Count the steps since the line before, by what a line says of the cones."""
        since = step - self.counts.get("line", 0)
        self.counts["line"] = step
        collapsed = record.get("saturated", 0.0) >= COLLAPSED and record["entailment_weight"] > 0
        self._mark("cones", collapsed, since)

    def record(self) -> dict[str, Any]:
        """For metrics.jsonl: the runs of 200 steps or more, and whether the loss is one of them."""
        stuck = {n: k for n, k in sorted(self.counts.items()) if n != "line" and k >= WARN_AFTER}
        return {"stuck": stuck, "flat": "contrastive" in stuck}

    def _mark(self, name: str, holds: bool, steps: int = 1) -> None:
        if holds:
            self.counts[name] = self.counts.get(name, 0) + steps
        else:
            self.counts.pop(name, None)
