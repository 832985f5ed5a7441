"""Checks of values: whether tensors hold points and tangent vectors, and why not.

Operations look at shapes, dtypes and devices only; these look at every number, where data enter.
"""

from typing import Any

import geoopt.manifolds.base
from torch import Tensor

from manifolds.arguments import check, verdict


def check_manifold(op: str, value: object) -> None:
    """Raises TypeError unless an argument is one of our manifolds."""
    if not isinstance(value, Checked):
        shown, kind = f"{value!r}"[:60], type(value).__name__
        hint = "manifolds.from_geoopt makes one of geoopt's"
        if not isinstance(value, geoopt.manifolds.base.Manifold):
            hint = "pass one such as manifolds.Lorentz(c=1.0)"
        raise TypeError(f"{op}: expects a manifold, got {shown} ({kind}); {hint}")


class Checked(geoopt.manifolds.base.Manifold):
    """What of `Manifold` checks values."""

    def check_point(self, x: Tensor, *, explain: bool = False) -> Any:
        """Whether x holds finite points of the manifold; explain: (bool, reason or None).

        The reason counts the points that fail, and names the first of them.
        """
        ok, reason = self._check_tensors("check_point", x)
        if ok:
            ok, reason = self._check_shape(x.shape, "x")
        if ok:
            ok, reason = self._check_point_on_manifold(x)
        return (ok, reason) if explain else ok

    def assert_check_point(self, x: Tensor) -> None:
        """Raises ValueError with the reason unless `check_point(x)`."""
        ok, reason = self.check_point(x, explain=True)
        if not ok:
            raise ValueError(f"{self.name}: not a point: {reason}")

    def check_vector(self, x: Tensor, u: Tensor, *, explain: bool = False) -> Any:
        """Whether u holds tangent vectors at the points x; explain as in `check_point`."""
        ok, reason = self._check_tensors("check_vector", x, u)
        if ok:
            ok, reason = self.check_point(x, explain=True)
        if ok:
            ok, reason = self._check_vector_on_tangent(x, u)
        return (ok, reason) if explain else ok

    def assert_check_vector(self, x: Tensor, u: Tensor) -> None:
        """Raises ValueError with the reason unless `check_vector(x, u)`."""
        ok, reason = self.check_vector(x, u, explain=True)
        if not ok:
            raise ValueError(f"{self.name}: not a tangent vector: {reason}")

    def _check_tensors(self, op: str, *tensors: Tensor) -> tuple[bool, str | None]:
        try:
            check(f"{self.name}.{op}", *tensors)
        except (TypeError, ValueError) as error:
            return False, str(error)
        return True, None

    def _check_point_on_manifold(
        self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        return verdict("points", "x", ~x.isfinite().all(-1), "have a NaN or infinite coordinate", x)

    def _check_vector_on_tangent(
        self, x: Tensor, u: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        ok, reason = self._check_tensors("check_vector", x, u)
        if not ok:
            return ok, reason
        return verdict(
            "vectors", "u", ~u.isfinite().all(-1), "have a NaN or infinite coordinate", u
        )
