"""Manifolds, points and tangent vectors to and from geoopt's.

    ours                        geoopt's                              coordinates
    Euclidean()                 Euclidean(ndim=1)                     the same
    Sphere(c=1)                 Sphere(), SphereExact()               the same
    Lorentz(c), (..., d)        Lorentz(k=1/c), (..., 1 + d)          theirs have the time first
    PoincareBall(c)             PoincareBall(c), Stereographic(k=-c)  the same
    Product(factors, dims)      ProductManifold((factor, d), ...)     factor by factor

What has no counterpart raises ValueError. A curvature that learns does so on the other side too;
bounds (`c_min`, `c_max`) are ours alone and start from their defaults.
"""

import geoopt
import torch
from torch import Tensor

from manifolds.arguments import prepare
from manifolds.base import Manifold
from manifolds.curvature import C_MAX, C_MIN, CurvedManifold
from manifolds.euclidean import Euclidean
from manifolds.lorentz import Lorentz
from manifolds.maps import from_ambient, push, to_ambient
from manifolds.poincare import PoincareBall
from manifolds.product import Product
from manifolds.sphere import Sphere
from manifolds.values import check_manifold

GeooptManifold = geoopt.manifolds.base.Manifold


def from_geoopt(manifold: GeooptManifold) -> Manifold:
    """Our manifold for one of geoopt's, with its curvature, dtype and device; ours as it is.

    A sphere of geoopt's has neither dtype nor device; alone it becomes float32 on the CPU.

    Raises:
        ValueError: no counterpart; it says which and why.
    """
    if isinstance(manifold, Manifold):
        return manifold
    if isinstance(manifold, geoopt.ProductManifold):
        shapes = manifold.shapes
        if any(len(shape) != 1 for shape in shapes):
            raise ValueError(
                f"from_geoopt: factors of a Product hold vectors (d,), got shapes {shapes}"
            )
        factors = [from_geoopt(m) for m in manifold.manifolds]
        sizes = zip(factors, shapes, strict=True)
        product = Product(
            factors,
            [m.dim if isinstance(m, Product) else d - isinstance(m, Lorentz) for m, (d,) in sizes],
        )
        # geoopt's sphere has no dtype of its own; ours follows the other factors.
        like = next(manifold.parameters(), torch.empty(()))
        return product.to(device=like.device, dtype=like.dtype)
    if isinstance(manifold, geoopt.Lorentz):
        return _curved(Lorentz, 1 / manifold.k.detach().double(), manifold.k)
    if isinstance(manifold, geoopt.PoincareBall):
        return _curved(PoincareBall, manifold.c.detach(), manifold.isp_c)
    if isinstance(manifold, geoopt.Stereographic):
        k = manifold.k.detach().double()
        if not k < 0:
            raise ValueError(
                f"from_geoopt: {type(manifold).__name__} with k={k.item():g} has no counterpart: "
                "only k < 0 is a ball (k = -c); take Sphere or Euclidean and map the points"
            )
        return _curved(PoincareBall, -k, manifold.k)
    if isinstance(manifold, geoopt.Sphere):
        if manifold.projector is not None:
            raise ValueError(
                "from_geoopt: a Sphere inside a subspace has no counterpart; use coordinates of "
                "the subspace"
            )
        return Sphere(c=1.0)
    if isinstance(manifold, geoopt.Euclidean):
        if manifold.ndim != 1:
            raise ValueError(
                f"from_geoopt: our Euclidean points are vectors, geoopt's Euclidean(ndim="
                f"{manifold.ndim}) has another distance; pass geoopt.Euclidean(ndim=1)"
            )
        return Euclidean()
    raise ValueError(
        f"from_geoopt: {type(manifold).__name__} has no counterpart; known are Euclidean(ndim=1), "
        "Sphere, Lorentz, PoincareBall, Stereographic with k < 0, and ProductManifold of these"
    )


def to_geoopt(manifold: Manifold) -> GeooptManifold:
    """geoopt's manifold for one of ours, with its curvature, dtype and device.

    Raises:
        ValueError: no counterpart: geoopt's sphere has c = 1, and it has no such half-space.
    """
    check_manifold("to_geoopt", manifold)
    if isinstance(manifold, Product):
        return geoopt.ProductManifold(
            *(
                (to_geoopt(m), _width(m, d))
                for m, d in zip(_factors(manifold), manifold.dims, strict=True)
            )
        )
    if isinstance(manifold, Euclidean):
        return geoopt.Euclidean(ndim=1)
    if isinstance(manifold, Sphere):
        if manifold.learnable or manifold.c.item() != 1:
            raise ValueError(
                f"to_geoopt: geoopt's Sphere has c = 1, fixed, got {manifold!r}; scale the points "
                "by sqrt(c) and distances by 1/sqrt(c), or wrap geoopt.Sphere() in geoopt.Scaled"
            )
        return geoopt.Sphere()
    if isinstance(manifold, Lorentz):
        return geoopt.Lorentz(k=1 / manifold.c.detach(), learnable=manifold.learnable)
    if isinstance(manifold, PoincareBall):
        return _ball(manifold.c.detach(), manifold.learnable)
    raise ValueError(
        f"to_geoopt: {manifold.name} has no counterpart in geoopt; known are Euclidean, Sphere "
        "with c = 1, Lorentz, PoincareBall and Product of these (manifolds.convert maps points "
        "between the hyperbolic models)"
    )


def points_from_geoopt(manifold: GeooptManifold, x: Tensor) -> Tensor:
    """Points of geoopt's manifold in the coordinates of from_geoopt(manifold).

    Raises:
        ValueError: as `from_geoopt`; a last dimension that does not fit.
    """
    return _points(from_geoopt(manifold), x, back=True)


def points_to_geoopt(manifold: Manifold, x: Tensor) -> Tensor:
    """Our points in the coordinates of to_geoopt(manifold).

    Raises:
        ValueError: as `to_geoopt`; a last dimension that does not fit.
    """
    to_geoopt(manifold)
    return _points(manifold, x, back=False)


def vectors_from_geoopt(manifold: GeooptManifold, v: Tensor) -> Tensor:
    """Tangent vectors of geoopt's manifold in the coordinates of from_geoopt(manifold).

    Raises:
        ValueError: as `points_from_geoopt`.
    """
    return _points(from_geoopt(manifold), v, back=True)  # both leave the time component out


def vectors_to_geoopt(manifold: Manifold, x: Tensor, v: Tensor) -> Tensor:
    """Our tangent vectors v at x in the coordinates of to_geoopt(manifold).

    Raises:
        ValueError: as `points_to_geoopt`.
    """
    to_geoopt(manifold)
    return _vectors(manifold, x, v)


def _curved(kind: type[CurvedManifold], c: Tensor, parameter: Tensor) -> CurvedManifold:
    value = c.item()
    bounds = {"c_min": min(C_MIN, value), "c_max": max(C_MAX, value)}
    m = kind(c=value, learnable=parameter.requires_grad, **bounds)
    return m.to(device=parameter.device, dtype=parameter.dtype)


def _ball(c: Tensor, learnable: bool) -> GeooptManifold:
    # geoopt's constructor changes its tensor in place, and log(exp(c) - 1) overflows above c = 88.
    ball = geoopt.PoincareBall(c=torch.ones_like(c), learnable=learnable)
    with torch.no_grad():
        ball.isp_c.copy_(c + torch.log(-torch.expm1(-c)))
    return ball


def _factors(m: Product) -> list[Manifold]:
    return list(m.factors)  # type: ignore[arg-type]


def _width(m: Manifold, d: int) -> int:
    """How many coordinates geoopt has for our d."""
    if isinstance(m, Product):
        return sum(_width(f, d) for f, d in zip(_factors(m), m.dims, strict=True))
    return d + isinstance(m, Lorentz)


def _split(m: Product, x: Tensor, *, theirs: bool) -> tuple[Tensor, ...]:
    pairs = zip(_factors(m), m.dims, strict=True)
    widths = [_width(f, d) if theirs else d for f, d in pairs]
    if x.ndim == 0 or x.shape[-1] != sum(widths):
        raise ValueError(
            f"Product: the factors have {' + '.join(map(str, widths))} = {sum(widths)} "
            f"coordinates, got shape {tuple(x.shape)}"
        )
    return x.split(widths, -1)


def _points(m: Manifold, x: Tensor, *, back: bool) -> Tensor:
    if isinstance(m, Product):
        parts = zip(_factors(m), _split(m, x, theirs=back), strict=True)
        return torch.cat([_points(f, part, back=back) for f, part in parts], dim=-1)
    if isinstance(m, Lorentz):
        return from_ambient(x) if back else to_ambient(x, m.c)
    out, (same,) = prepare("interop.points", x)
    return same.to(out)


def _vectors(m: Manifold, x: Tensor, v: Tensor) -> Tensor:
    if isinstance(m, Product):
        parts = zip(
            _factors(m), _split(m, x, theirs=False), _split(m, v, theirs=False), strict=True
        )
        return torch.cat([_vectors(*part) for part in parts], dim=-1)
    if isinstance(m, Lorentz):
        return push(x, v, m.c, "lorentz", "ambient")
    out, (x, v) = prepare("interop.push", x, v)
    return torch.broadcast_tensors(x, v)[1].to(out)
