"""Multinomial logistic regression on a manifold: by hyperplanes, and by prototypes.

A hyperplane is a point p on it and a tangent vector a normal to it there: all geodesics that leave
p at a right angle to a (on the hyperboloid and the ball a copy of hyperbolic space, on the sphere a
great sphere). s = sqrt(c), v = log_p(x), theta the angle between v and a. The law of sines of a
right triangle gives the signed distance t of x:

    curvature -c     sinh(s t) = sinh(s |v|) cos(theta)
    flat             t = |v| cos(theta)
    curvature c      sin(s t) = sin(s |v|) cos(theta)

Sources: Ganea et al. 2018 (arXiv 1805.09112) for the ball; Lebanon & Lafferty 2004 for margins on
any manifold.
"""

import math

import torch
from geoopt import ManifoldParameter
from jaxtyping import Float
from torch import Tensor, nn

from manifolds.arguments import check_number, prepare, whole
from manifolds.base import Manifold, Point
from manifolds.isometries import lorentz_translate
from manifolds.models import root_scale
from manifolds.numerics import dot, safe_atan2, safe_divide, safe_norm, safe_sqrt, sinhc
from manifolds.product import Product
from manifolds.values import check_manifold

__all__ = ["HyperplaneRegression", "PrototypeRegression", "dist2plane", "pairwise_dist2plane"]


def dist2plane(
    manifold: Manifold, x: Point, p: Point, a: Point, *, signed: bool = False
) -> Float[Tensor, "*#b"]:
    """Geodesic distance (...) from x to the hyperplane through p normal to a.

    On the ball this is equation 24 of arXiv 1805.09112. 0 where a = 0; the length of a has no
    effect. Signed, it has gradient of metric length 1 at x.

    Args:
        manifold: any but a product.
        x, p: points (..., d).
        a: tangent vector at p (..., d).
        signed: positive on the side of a, negative on the other; else >= 0.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
        NotImplementedError: a product, on which such sets have no closed distance.
    """
    op = _name(manifold, "dist2plane")
    out, (x, p, a) = prepare(op, x, p, a)
    unit = _unit(manifold.to_frame(p, a))
    if manifold.curvature_sign == 0:
        distance = dot(x - p, unit)
    else:
        s = manifold.c.to(x).sqrt()
        if manifold.curvature_sign < 0:
            # p is moved to the root, and takes the hyperplane along.
            (_, x), (_, p) = _hyperboloid(manifold, x), _hyperboloid(manifold, p)
            distance = torch.asinh(dot(lorentz_translate(x, -p, 1.0), unit)) / s
        else:
            unit = manifold.from_frame(p, unit)
            # Not asin, whose slope is infinite at the two points farthest from the hyperplane.
            rest = x - dot(x, unit) * unit
            distance = safe_atan2(dot(x - p, unit), safe_norm(rest)) / s
    distance = distance.squeeze(-1).to(out)
    return distance if signed else distance.abs()


def pairwise_dist2plane(
    manifold: Manifold,
    x: Float[Tensor, "*#b n d"],
    p: Float[Tensor, "*#b k d"],
    a: Float[Tensor, "*#b k d"],
    *,
    signed: bool = False,
) -> Float[Tensor, "*#b n k"]:
    """dist2plane(x_i, p_j, a_j) of all pairs (..., n, k), as one matrix product.

    In the linear model (ambient coordinates) a hyperplane is {y: <y, n> = 0}. Memory is O(n k).
    Where space curves as -c, sinh(s t) is off by some eps cosh(r_x) cosh(r_p) with r = s dist0 and
    eps = 2e-16: for float32 points within r_p = 16 that is no more than the rounding of x itself;
    float64 points next to a far p lose digits that `dist2plane` keeps. On the sphere t is off by
    1e-8 / s at the two points farthest from the hyperplane.

    Args and errors as `dist2plane`.
    """
    op = _name(manifold, "pairwise_dist2plane")
    out, (x, p, a) = prepare(op, x, p, a, pairwise=True)
    distance = _pairwise(manifold, x, p, manifold.to_frame(p, a)).to(out)
    return distance if signed else distance.abs()


def _pairwise(manifold: Manifold, x: Tensor, p: Tensor, normal: Tensor) -> Tensor:
    """Signed distances (..., n, k) for normals in the frame of `Manifold.to_frame`."""
    unit = _unit(normal)
    if manifold.curvature_sign == 0:
        return x @ unit.mT - dot(p, unit).mT
    s = manifold.c.to(x).sqrt()
    if manifold.curvature_sign > 0:
        sine = s * x @ manifold.from_frame(p, unit).mT
        # Rounding can take the sine beyond 1.
        return torch.atan2(sine, safe_sqrt(((1 - sine) * (1 + sine)).clamp_min(0))) / s
    (x_time, x_space), (p_time, p_space) = _hyperboloid(manifold, x), _hyperboloid(manifold, p)
    # The normal at the root, boosted to p.
    time = dot(p_space, unit)
    space = unit + time * p_space / (1 + p_time)
    return torch.asinh(x_space @ space.mT - x_time * time.mT) / s


def _hyperboloid(manifold: Manifold, x: Tensor) -> tuple[Tensor, Tensor]:
    """s times the ambient coordinates, (..., 1) and (..., d), of points of any hyperbolic model."""
    u = manifold.c.to(x).sqrt() * root_scale(manifold, x)[1] * manifold.logmap0(x)
    z = safe_norm(u)
    return torch.cosh(z), u * sinhc(z)


def _unit(z: Tensor) -> Tensor:
    return safe_divide(z, safe_norm(z))


def _name(manifold: Manifold, op: str) -> str:
    check_manifold(op, manifold)
    if isinstance(manifold, Product):
        raise NotImplementedError(
            f"{manifold.name}.{op}: hyperplanes need a constant curvature; regress by prototypes"
        )
    return f"{manifold.name}.{op}"


class _Regression(nn.Module):
    """A learned point of a manifold for each class."""

    def __init__(
        self,
        manifold: Manifold,
        dim: int,
        classes: int,
        std: float,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        check_manifold(kind, manifold)
        dim, classes = whole(kind, "dim", dim, dim), whole(kind, "classes", classes, classes)
        check_number(kind, "std", std)
        if classes < 2:
            raise ValueError(f"{kind}: needs at least 2 classes, got classes={classes}")
        if dim < manifold.min_dim or (isinstance(manifold, Product) and dim != manifold.dim):
            exact = "" if isinstance(manifold, Product) else "at least "
            raise ValueError(
                f"{kind}: dim must be {exact}{manifold.min_dim} on {manifold.name}, got dim={dim}"
            )
        if not 0 <= std < math.inf:
            raise ValueError(f"{kind}: std must be finite and not negative, got std={std}")
        self.manifold = manifold
        dtype = dtype or torch.get_default_dtype()
        points = manifold.random_normal(
            classes, dim, std=std, dtype=dtype, device=device, generator=generator
        )
        self.points = ManifoldParameter(points.detach(), manifold=manifold)

    def extra_repr(self) -> str:
        """For print(m)."""
        classes, dim = self.points.shape
        return f"dim={dim}, classes={classes}"


class HyperplaneRegression(_Regression):
    """Logits |a_k| t_k(x): the signed distance to a hyperplane, scaled by its normal's length.

    Equation 25 of Ganea et al. (arXiv 1805.09112) on the ball, the same function on the other
    hyperbolic models; as c -> 0, and on Euclidean, <log_0(x) - log_0(p_k), a_k>, which is ordinary
    logistic regression. As there, a_k is a vector at the root that is transported to p_k.

    Args:
        manifold: where x lies; any but a product. Its c is learned too if it is learnable; then x
            has to follow it (x = expmap0(u)), or it falls off the ball or the sphere.
        dim: d, the number of coordinates of x.
        classes: how many.
        dtype, device, generator: of the initial values: p_k at the root, normals of length about 1.

    Attributes:
        points: p_k (classes, d), a `geoopt.ManifoldParameter`.
        normals: a_k (classes, d), ordinary parameters: orthonormal coordinates at the root, so that
            |a_k| is a metric length. (On the sphere the first of them has no effect.)

    Raises:
        ValueError: fewer than 2 classes, or dim too small for the manifold.
        NotImplementedError: a product.
    """

    def __init__(
        self,
        manifold: Manifold,
        dim: int,
        classes: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        _name(manifold, "HyperplaneRegression")
        super().__init__(manifold, dim, classes, 0.0, dtype, device, generator)
        normals = torch.randn(classes, dim, dtype=dtype, device=device, generator=generator)
        self.normals = nn.Parameter(normals / math.sqrt(dim))

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b classes"]:
        """Logits (..., classes), in nats once normalised, of points (..., d).

        Raises:
            ValueError: x does not fit `points` in d, dtype or device.
        """
        op = f"{self.manifold.name}.HyperplaneRegression"
        out, (rows, p, normals) = prepare(
            op, _rows(op, x), self.points, self.normals, pairwise=True
        )
        normals = self.manifold.proju(self.manifold._root(normals), normals)
        logits = _pairwise(self.manifold, rows, p, normals) * safe_norm(normals).mT
        return logits.reshape(*x.shape[:-1], len(self.points)).to(out)


class PrototypeRegression(_Regression):
    """Logits -exp(logit_scale) d(x, p_k)^power: the nearer prototype is the likelier class.

    With power 2 and `Euclidean` this is ordinary logistic regression again. Works on products too.

    Args:
        manifold: where x and the prototypes lie. A learnable c as in `HyperplaneRegression`.
        dim: d, the number of coordinates of x.
        classes: how many.
        power: of the distance, 1 or 2.
        std: of the initial prototypes about the root, a geodesic length.
        dtype, device, generator: of the initial prototypes.

    Attributes:
        points: the prototypes p_k (classes, d), a `geoopt.ManifoldParameter`.
        logit_scale: log of the inverse temperature, 0-dim, at first 0.

    Raises:
        ValueError: fewer than 2 classes, power not 1 or 2, std negative, dim that does not fit.
    """

    def __init__(
        self,
        manifold: Manifold,
        dim: int,
        classes: int,
        *,
        power: int = 2,
        std: float = 0.1,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if power not in (1, 2):
            raise ValueError(f"PrototypeRegression: power must be 1 or 2, got power={power}")
        super().__init__(manifold, dim, classes, std, dtype, device, generator)
        self.power = power
        self.logit_scale = nn.Parameter(torch.zeros((), dtype=dtype, device=device))

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b classes"]:
        """Logits (..., classes), in nats once normalised, of points (..., d).

        Raises:
            ValueError: x does not fit `points` in d, dtype or device.
        """
        rows = _rows(f"{self.manifold.name}.PrototypeRegression", x)
        pairwise = self.manifold.pairwise_dist2 if self.power == 2 else self.manifold.pairwise_dist
        logits = -self.logit_scale.exp() * pairwise(rows, self.points)
        return logits.reshape(*x.shape[:-1], len(self.points))

    def extra_repr(self) -> str:
        """For print(m)."""
        return f"{super().extra_repr()}, power={self.power}"


def _rows(op: str, x: Tensor) -> Tensor:
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"{op}: expects x (..., d), got shape {tuple(x.shape)}")
    return x.reshape(-1, x.shape[-1])
