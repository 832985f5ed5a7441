"""The contract of a manifold.

A point is a tensor (..., d); x, y are points, u, v tangent vectors in chart coordinates, and every
operation broadcasts over leading dimensions, empty ones too. Lengths are geodesic, angles radians.
float64 in, float64 out; everything else comes out float32, also under autocast. Shapes, dtypes or
devices that do not fit raise ValueError; values are looked at by `check_point` and `check_vector`
only. Points on the manifold never give NaN or inf, NaN gives NaN.

Names, and the order of arguments, are geoopt's where geoopt has them (its optimizers and
ManifoldParameter work); points live in the last dimension only. A new manifold writes the abstract
methods; all else follows by laws that need a constant curvature and a metric that is a multiple of
the identity at the root, and is overridden where a closed form is faster or keeps more digits.
"""

import abc
from typing import Any

import geoopt.manifolds.base
import torch
from geoopt.manifolds.base import ScalingInfo
from jaxtyping import Float
from torch import Tensor

from manifolds import means, random
from manifolds.arguments import SMALLEST, check, check_min_radius, sized, time
from manifolds.models import root_scale
from manifolds.numerics import safe_divide, safe_sqrt
from manifolds.values import Checked

Point = Float[Tensor, "*#b d"]


class Manifold(Checked, metaclass=abc.ABCMeta):
    """A Riemannian manifold with a root: distances, maps, transport, means and, on some, cones."""

    name: str = "Manifold"
    ndim = 1
    reversible = False
    has_cones: bool = False
    """Whether entailment cones exist here."""
    curvature_sign: int = 0
    """The sectional curvature is curvature_sign * c everywhere: -1, 0 or 1."""
    codim: int = 0
    """d minus the dimension of the manifold: 1 on the sphere."""
    min_dim: int = 1
    """Smallest d; every operation refuses points with fewer coordinates."""

    # How results and arguments grow with lengths, for geoopt.Scaled.
    __scaling__ = geoopt.manifolds.base.Manifold.__scaling__.copy()
    __scaling__ |= {
        "dist0": ScalingInfo(1),
        "pairwise_dist": ScalingInfo(1),
        "pairwise_dist2": ScalingInfo(2),
        "expmap0": ScalingInfo(u=-1),
        "logmap0": ScalingInfo(1),
        "geodesic_unit": ScalingInfo(t=-1),
        "random_normal": ScalingInfo(std=-1),
        "log_normal_density": ScalingInfo.NotCompatible,
    }

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        SMALLEST[cls.name] = cls.min_dim

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

    def dist0(self, x: Point, *, keepdim: bool = False) -> Tensor:
        """Geodesic distance to the root (...)."""
        self._check("dist0", x)
        return self.dist(self._root(x), x, keepdim=keepdim)

    def dist2(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        """Squared geodesic distance (...), smooth at x = y: gradient 0, second derivative 2 g."""
        self._check("dist2", x, y)
        return self.inner(x, self.logmap(x, y), keepdim=keepdim)

    @abc.abstractmethod
    def pairwise_dist(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        """Geodesic distances of all pairs (..., n, m), equal to `dist`, in memory O(n m)."""

    def pairwise_dist2(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        """Squared geodesic distances of all pairs (..., n, m)."""
        self._check("pairwise_dist2", x, y, pairwise=True)
        return self.pairwise_dist(x, y).square()

    # --- tangent vectors ---

    @abc.abstractmethod
    def inner(self, x: Point, u: Point, v: Point | None = None, *, keepdim: bool = False) -> Tensor:
        """Metric product of tangent vectors at x (...); v = u if not given."""

    def norm(self, x: Point, u: Point, *, keepdim: bool = False) -> Tensor:
        """Metric length of a tangent vector at x (...); gradient 0 at u = 0."""
        self._check("norm", x, u)
        return safe_sqrt(self.inner(x, u, keepdim=keepdim))

    def proju(self, x: Point, u: Point) -> Tensor:
        """Nearest tangent vector at x to u; here u itself, in the shape of x + u."""
        out = self._check("proju", x, u)
        return torch.broadcast_tensors(x, u)[1].to(out)

    @abc.abstractmethod
    def egrad2rgrad(self, x: Point, u: Point) -> Tensor:
        """Riemannian gradient r of a Euclidean one u: inner(x, r, v) = <u, v> for tangent v.

        u itself is left as it is.
        """

    # --- maps ---

    @abc.abstractmethod
    def expmap(self, x: Point, u: Point) -> Tensor:
        """End of the geodesic that leaves x with velocity u, after unit time."""

    def expmap0(self, u: Point) -> Tensor:
        """`expmap` at the root."""
        self._check("expmap0", u)
        return self.expmap(self._root(u), u)

    @abc.abstractmethod
    def logmap(self, x: Point, y: Point) -> Tensor:
        """Velocity at x of the geodesic that reaches y after unit time."""

    def logmap0(self, x: Point) -> Tensor:
        """`logmap` at the root; its metric length there is dist0(x)."""
        self._check("logmap0", x)
        return self.logmap(self._root(x), x)

    @abc.abstractmethod
    def transp(self, x: Point, y: Point, v: Point) -> Tensor:
        """Parallel transport of v from x to y along the geodesic between them."""

    def transp0(self, y: Point, v: Point) -> Tensor:
        """Parallel transport of v from the root to y."""
        self._check("transp0", y, v)
        return self.transp(self._root(y), y, v)

    def to_frame(self, x: Point, v: Point) -> Tensor:
        """Orthonormal coordinates (..., d) of v at x, |z| = norm(x, v): transported to the root.

        On the sphere the first one is 0.
        """
        self._check("to_frame", x, v)
        root, scale = root_scale(self, v)
        return scale * self.transp(x, root, v)

    def from_frame(self, x: Point, z: Point) -> Tensor:
        """The tangent vector at x with coordinates z in the frame of `to_frame`."""
        self._check("from_frame", x, z)
        return self.transp0(x, z / root_scale(self, z)[1])

    def retr(self, x: Point, u: Point) -> Tensor:
        """Retraction, first-order equal to `expmap`; here `expmap` itself."""
        self._check("retr", x, u)
        return self.expmap(x, u)

    def retr_transp(self, x: Point, u: Point, v: Point) -> tuple[Tensor, Tensor]:
        """(y, v transported to y) with y = retr(x, u); what optimizers call."""
        self._check("retr_transp", x, u, v)
        y = self.retr(x, u)
        return y, self.transp(x, y, v)

    def geodesic(self, t: float | int | Tensor, x: Point, y: Point) -> Tensor:
        """Point at time t of the geodesic with x at 0 and y at 1; constant speed.

        Args:
            t: a number, or a tensor (...) that broadcasts with the leading dimensions of x and y.
            x, y: points (..., d).
        """
        return self.expmap(x, time(f"{self.name}.geodesic", t, x, y) * self.logmap(x, y))

    def geodesic_unit(self, t: float | int | Tensor, x: Point, u: Point) -> Tensor:
        """Point at distance t along the geodesic that leaves x in the direction of u.

        x itself where u = 0.

        Args:
            t: geodesic length, a number or a tensor as in `geodesic`.
            x, u: point and tangent vector (..., d); the length of u has no effect.
        """
        self._check("geodesic_unit", x, u)
        t = time(f"{self.name}.geodesic_unit", t, x, u)
        return self.expmap(x, t * safe_divide(u, self.norm(x, u, keepdim=True)))

    # --- means ---

    def midpoint(self, x: Point, y: Point) -> Tensor:
        """Point halfway between x and y."""
        self._check("midpoint", x, y)
        return self.geodesic(0.5, x, y)

    def weighted_midpoint(
        self, x: Float[Tensor, "*b d"], w: Tensor | None = None, dim: int = -2
    ) -> Tensor:
        """Minimum of sum w_i phi(d(., x_i)), in closed form; phi'' (0) = 1 as in `frechet_mean`.

        With s = sqrt(c): phi = (cosh(s d) - 1)/c where space curves as -c (the centroid of the
        hyperboloid, equal to the Einstein and gyro midpoints: Law et al. 2019; Ungar 2008),
        (1 - cos(s d))/c where it curves as c (the normalised sum), d^2/2 where it is flat.

        Args:
            x: points (..., n, ..., d).
            w: weights >= 0, (n,) or a shape that broadcasts with x.shape[:-1]; equal if not given.
            dim: the dimension of x that is averaged away.

        Raises:
            ValueError: no points, weights that do not fit, are negative or sum to 0, or (positive
                curvature) points whose sum is 0.
        """
        return means.weighted_midpoint(self, x, w, dim)

    def frechet_mean(
        self,
        x: Float[Tensor, "*b d"],
        w: Tensor | None = None,
        dim: int = -2,
        *,
        tol: float | None = None,
        max_iter: int = 100,
    ) -> Tensor:
        """Minimum of sum w_i d(., x_i)^2, with the implicit gradient for x, w and c (once).

        Unique where the curvature is not positive; else the local minimum next to
        `weighted_midpoint`. x, w, dim and errors as there; NaN in a set makes its mean NaN.

        Args:
            tol: largest |sum w_i log_m(x_i)| / sum w_i, a geodesic length; by default what the
                coordinates can tell apart. It is the test in float64, whatever comes out.
            max_iter: largest number of Newton steps.

        Raises:
            RuntimeError: no convergence; it says how many means, after how many steps, how far off.
        """
        return means.frechet_mean(self, x, w, dim, tol, max_iter)

    # --- points ---

    def projx(self, x: Point) -> Tensor:
        """Nearest point of the manifold; x itself if it lies on it, as here everywhere."""
        out = self._check("projx", x)
        return x.to(out)

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

    def random_normal(
        self,
        *size: int | tuple[int, ...],
        mean: Tensor | None = None,
        std: float | Tensor = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Wrapped normal (Nagano et al., arXiv 1902.02992): exp_mean of a normal tangent vector.

        The vector is drawn at the root and transported to the mean. Gradients reach mean, std and c
        where mean or std requires them; else the sample has none.

        Args:
            size: shape (..., d) of the sample.
            mean: points (..., d) that broadcast to `size`; the root if not given.
            std: of each coordinate in an orthonormal frame, a geodesic length; a number, or a
                tensor (...) that broadcasts with the leading dimensions.
        """
        shape = sized(f"{self.name}.random_normal", size, dtype)
        return random.normal(self, shape, mean, std, dtype, device, generator)

    def log_normal_density(
        self, x: Point, mean: Tensor | None = None, std: float | Tensor = 1.0
    ) -> Tensor:
        """Log density (...) of `random_normal` at x, in nats, for the Riemannian volume.

        See `manifolds.random.log_density`; mean and std as in `random_normal`.
        """
        return random.log_density(self, x, mean, std)

    def random(self, *size: int | tuple[int, ...], **options: Any) -> Tensor:
        """`random_normal` (geoopt's name); on the sphere uniform."""
        return self.random_normal(
            sized(f"{self.name}.random", size, options.get("dtype")), **options
        )

    # --- cones ---

    def half_aperture(self, x: Point, min_radius: float = 0.1) -> Tensor:
        """Half aperture (...) of the entailment cone at x, in radians.

        pi/2 with gradient 0 so near to the root that the formula's ratio reaches 1.

        Args:
            min_radius: K, a length on Euclidean, without dimension on the hyperbolic ones.
        """
        raise self._no_cones("half_aperture")

    def exterior_angle(self, x: Point, y: Point) -> Tensor:
        """Angle (...) at x between the ray from the root and the geodesic to y, in radians.

        0 with gradient 0 at x = root and x = y; gradient 0 on the axis.
        """
        raise self._no_cones("exterior_angle")

    def pairwise_exterior_angle(
        self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]
    ) -> Tensor:
        """exterior_angle(x_i, y_j) of all pairs (..., n, m)."""
        raise self._no_cones("pairwise_exterior_angle")

    def entailment_energy(self, x: Point, y: Point, min_radius: float = 0.1) -> Tensor:
        """max(0, exterior_angle(x, y) - half_aperture(x)) (...), radians; 0 inside the cone."""
        self._check_cone("entailment_energy", x, y, min_radius)
        return (self.exterior_angle(x, y) - self.half_aperture(x, min_radius)).clamp_min(0)

    def pairwise_entailment_energy(
        self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], min_radius: float = 0.1
    ) -> Tensor:
        """`entailment_energy(x_i, y_j)` of all pairs (..., n, m)."""
        self._check_cone("pairwise_entailment_energy", x, y, min_radius)
        aperture = self.half_aperture(x, min_radius).unsqueeze(-1)
        return (self.pairwise_exterior_angle(x, y) - aperture).clamp_min(0)

    def _check(self, op: str, *tensors: Tensor, pairwise: bool = False) -> torch.dtype:
        """`arguments.check` of an operation's tensors."""
        return check(f"{self.name}.{op}", *tensors, pairwise=pairwise)

    def _no_cones(self, op: str) -> NotImplementedError:
        return NotImplementedError(
            f"{self.name}.{op}: entailment cones do not exist on {self.name} (has_cones is False); "
            "take Euclidean or a hyperbolic manifold"
        )

    def _check_cone(self, op: str, x: Tensor, y: Tensor, min_radius: float) -> None:
        if not self.has_cones:
            raise self._no_cones(op)
        check_min_radius(f"{self.name}.{op}", min_radius)
        self._check(op, x, y, pairwise=op.startswith("pairwise"))

    def _root(self, like: Tensor) -> Tensor:
        # float16 would round the root of the sphere.
        dtype = like.dtype if like.dtype == torch.float64 else torch.float32
        return self.origin(like.shape[-1:], dtype=dtype, device=like.device)


def kept(value: Tensor, keepdim: bool) -> Tensor:
    """The scalar (...) as (..., 1) if keepdim."""
    return value.unsqueeze(-1) if keepdim else value
