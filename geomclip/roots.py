"""The root of clip and elliptic: the direction of the sum of all points of the training set."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


class PointSum:
    """The sum of points (n, d) that come in parts, and their number, in float64.

    Args:
        dim: d.
        device: where the sum is held.
    """

    def __init__(self, dim: int, device: torch.device | str = "cpu") -> None:
        # float64: the sum runs over a training set.
        self._sums = torch.zeros(dim + 1, dtype=torch.float64, device=device)

    @torch.no_grad()
    def add(self, points: Float[Tensor, "n d"]) -> None:
        """Count `points` in."""
        self._sums[:-1] += points.to(self._sums.device).double().sum(0)
        self._sums[-1] += len(points)

    def over(self, add_up: Callable[[Tensor], Tensor]) -> "PointSum":
        """The sum over several processes; `add_up` adds a tensor over them, and all call this."""
        whole = PointSum(len(self._sums) - 1, self._sums.device)
        whole._sums = add_up(self._sums.clone())
        return whole

    @staticmethod
    def mixed(sums: "Sequence[PointSum]", weights: Sequence[float] = ()) -> "PointSum":
        """All sums together; with weights, as many points in all, of which each gives its share.

        Raises ValueError where a sum with a weight has no points.
        """
        whole = PointSum(len(sums[0]._sums) - 1, sums[0]._sums.device)
        count = sum(s.count for s in sums)
        for number, part in enumerate(sums):
            factor = 1.0
            if weights:
                if not part.count:
                    raise ValueError(f"source {number} gives no point, so there is no mean of it")
                factor = weights[number] / sum(weights) * count / part.count
            whole._sums += factor * part._sums
        return whole

    @property
    def count(self) -> int:
        """Number of points."""
        return round(self._sums[-1].item())

    def direction(self, name: str) -> Float[Tensor, "d"]:
        """The sum over its length, on the unit sphere.

        Raises:
            ValueError: the sum is 0 (also of no points) or not finite; `name` is what is rooted.
        """
        length = torch.linalg.vector_norm(self._sums[:-1]).item()
        # Points that cancel leave rounding, which has a length but no direction.
        if not (math.isfinite(length) and length > 1e-7 * self.count):
            raise ValueError(
                f"{name}: the sum of {self.count} points has length {length:g} and gives no root; "
                "pass finite points that do not cancel, at least one"
            )
        return self._sums[:-1] / length
