"""The contract of a manifold.

A point is a tensor (..., d); x, y are points, u, v tangent vectors in chart coordinates, and every
operation broadcasts over leading dimensions. Lengths are geodesic, angles radians. float64 in,
float64 out; everything else comes out float32, also under autocast. Shapes, dtypes or devices that
do not fit raise ValueError; values are looked at by `check_point` and `check_vector` only. Points
on the manifold never give NaN or inf, NaN gives NaN.

Names, and the order of arguments, are geoopt's where geoopt has them (its optimizers and
ManifoldParameter work); points live in the last dimension only.
"""

import abc
import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import prepare

with warnings.catch_warnings():
    # geoopt 0.5.1 decorates 73 functions with torch.jit.script, deprecated since torch 2.13; under
    # `-W error` it could not be imported. Nothing else is silenced, here or later.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    import geoopt.manifolds.base

Point = Float[Tensor, "*#b d"]
Value = Float[Tensor, "*#b"]


class Manifold(geoopt.manifolds.base.Manifold, metaclass=abc.ABCMeta):
    """A Riemannian manifold with a root: distances, maps, transport and, on some, cones."""

    name: str = "Manifold"
    ndim = 1
    reversible = False
    has_cones: bool = False
    """Whether entailment cones exist here."""

    # --- curvature ---

    @property
    @abc.abstractmethod
    def c(self) -> Tensor:
        """Magnitude of the curvature, a 0-dim tensor."""

    @property
    def learnable(self) -> bool:
        """Whether c is a parameter that learns."""
        return False

    def apply_bounds_(self) -> dict[str, str]:
        """Brings parameters back within their bounds, after the optimizer's step.

        Returns what it touched: {"c": "lower"} or {"c": "upper"}, or nothing.
        """
        return {}

    def at_bound(self) -> dict[str, str]:
        """Learnable parameters that lie at a bound, by name: "lower" or "upper"."""
        return {}

    # --- distances ---

    @abc.abstractmethod
    def dist(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        """Geodesic distance (...); exactly 0 with gradient 0 at x = y. keepdim: (..., 1)."""

    @abc.abstractmethod
    def dist0(self, x: Point, *, keepdim: bool = False) -> Tensor:
        """Geodesic distance to the root (...)."""

    def dist2(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        """Squared geodesic distance (...)."""
        return self.dist(x, y, keepdim=keepdim).square()

    @abc.abstractmethod
    def pairwise_dist(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        """Geodesic distances of all pairs (..., n, m), equal to `dist`, in memory O(n m)."""

    def pairwise_dist2(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        """Squared geodesic distances of all pairs (..., n, m)."""
        return self.pairwise_dist(x, y).square()

    # --- tangent vectors ---

    @abc.abstractmethod
    def inner(self, x: Point, u: Point, v: Point | None = None, *, keepdim: bool = False) -> Tensor:
        """Metric product of tangent vectors at x (...); v = u if not given."""

    @abc.abstractmethod
    def norm(self, x: Point, u: Point, *, keepdim: bool = False) -> Tensor:
        """Metric length of a tangent vector at x (...); gradient 0 at u = 0."""

    @abc.abstractmethod
    def proju(self, x: Point, u: Point) -> Tensor:
        """Nearest tangent vector at x to u."""

    @abc.abstractmethod
    def egrad2rgrad(self, x: Point, u: Point) -> Tensor:
        """Riemannian gradient r of a Euclidean one u: inner(x, r, v) = <u, v> for tangent v.

        u itself is left as it is.
        """

    # --- maps ---

    @abc.abstractmethod
    def expmap(self, x: Point, u: Point) -> Tensor:
        """End of the geodesic that leaves x with velocity u, after unit time."""

    @abc.abstractmethod
    def expmap0(self, u: Point) -> Tensor:
        """`expmap` at the root."""

    @abc.abstractmethod
    def logmap(self, x: Point, y: Point) -> Tensor:
        """Velocity at x of the geodesic that reaches y after unit time."""

    @abc.abstractmethod
    def logmap0(self, x: Point) -> Tensor:
        """`logmap` at the root; its metric length there is dist0(x)."""

    @abc.abstractmethod
    def transp(self, x: Point, y: Point, v: Point) -> Tensor:
        """Parallel transport of v from x to y along the geodesic between them."""

    def retr(self, x: Point, u: Point) -> Tensor:
        """Retraction, first-order equal to `expmap`; here `expmap` itself."""
        return self.expmap(x, u)

    def geodesic(self, t: float | int | Tensor, x: Point, y: Point) -> Tensor:
        """Point at time t of the geodesic with x at 0 and y at 1; constant speed.

        Args:
            t: a number, or a tensor (...) that broadcasts with the leading dimensions of x and y.
            x, y: points (..., d).
        """
        if isinstance(t, Tensor):
            t = t.to(device=x.device, dtype=x.dtype).unsqueeze(-1)
        return self.expmap(x, t * self.logmap(x, y))

    # --- points ---

    @abc.abstractmethod
    def projx(self, x: Point) -> Tensor:
        """Nearest point of the manifold; x itself if it lies on it."""

    @abc.abstractmethod
    def origin(
        self,
        *size: int | tuple[int, ...],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = 42,
    ) -> Tensor:
        """The root, of shape `size`, whose last entry is d.

        seed is in geoopt's signature and has no effect: the root is unique.
        """

    @abc.abstractmethod
    def random_normal(
        self,
        *size: int | tuple[int, ...],
        std: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """expmap0 of a normal tangent vector; std, a geodesic length, is that of each coordinate.

        Coordinates are those of an orthonormal frame. No gradient reaches c.
        """

    def random(self, *size: int | tuple[int, ...], **options: Any) -> Tensor:
        """`random_normal` (geoopt's name)."""
        return self.random_normal(*size, **options)

    # --- cones ---

    def half_aperture(self, x: Point, min_radius: float = 0.1) -> Tensor:
        """Half aperture (...) of the entailment cone at x, in radians.

        pi/2 with gradient 0 so near to the root that the formula's ratio reaches 1.

        Args:
            min_radius: K, a length on Euclidean, without dimension on the hyperbolic ones.
        """
        raise NotImplementedError(f"{self.name}: entailment cones do not exist on this manifold")

    def exterior_angle(self, x: Point, y: Point) -> Tensor:
        """Angle (...) at x between the ray from the root and the geodesic to y, in radians.

        0 with gradient 0 at x = root and x = y; gradient 0 on the axis.
        """
        raise NotImplementedError(f"{self.name}: entailment cones do not exist on this manifold")

    def pairwise_exterior_angle(
        self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]
    ) -> Tensor:
        """exterior_angle(x_i, y_j) of all pairs (..., n, m)."""
        raise NotImplementedError(f"{self.name}: entailment cones do not exist on this manifold")

    def entailment_energy(self, x: Point, y: Point, min_radius: float = 0.1) -> Tensor:
        """max(0, exterior_angle(x, y) - half_aperture(x)) (...), radians; 0 inside the cone."""
        return (self.exterior_angle(x, y) - self.half_aperture(x, min_radius)).clamp_min(0)

    def pairwise_entailment_energy(
        self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], min_radius: float = 0.1
    ) -> Tensor:
        """`entailment_energy(x_i, y_j)` of all pairs (..., n, m)."""
        aperture = self.half_aperture(x, min_radius).unsqueeze(-1)
        return (self.pairwise_exterior_angle(x, y) - aperture).clamp_min(0)

    # --- checks of values ---

    def check_point(self, x: Tensor, *, explain: bool = False) -> Any:
        """Whether x holds points: shape, finite values, on the manifold.

        explain: returns (bool, reason or None).
        """
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
        """Whether u holds tangent vectors at the points x.

        explain: returns (bool, reason or None).
        """
        ok, reason = self.check_point(x, explain=True)
        if ok:
            ok, reason = self._check_vector_on_tangent(x, u)
        return (ok, reason) if explain else ok

    def assert_check_vector(self, x: Tensor, u: Tensor) -> None:
        """Raises ValueError with the reason unless `check_vector(x, u)`."""
        ok, reason = self.check_vector(x, u, explain=True)
        if not ok:
            raise ValueError(f"{self.name}: not a tangent vector: {reason}")

    def _check_point_on_manifold(
        self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        bad = int((~x.isfinite()).any(-1).sum())
        if bad:
            return (
                False,
                f"{bad} of {x.shape[:-1].numel()} points have a NaN or infinite coordinate",
            )
        return True, None

    def _check_vector_on_tangent(
        self, x: Tensor, u: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        prepare(f"{self.name}.check_vector", x, u)
        bad = int((~u.isfinite()).any(-1).sum())
        if bad:
            return (
                False,
                f"{bad} of {u.shape[:-1].numel()} vectors have a NaN or infinite coordinate",
            )
        return True, None


def flat_size(size: tuple[int | tuple[int, ...], ...]) -> tuple[int, ...]:
    """origin(3, 4) and origin((3, 4)) mean the same."""
    first = size[0] if size else ()
    return first if isinstance(first, tuple) else tuple(s for s in size if isinstance(s, int))


def kept(value: Tensor, keepdim: bool) -> Tensor:
    """The scalar (...) as (..., 1) if keepdim."""
    return value.unsqueeze(-1) if keepdim else value
