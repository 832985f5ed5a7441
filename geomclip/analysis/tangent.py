"""Points as tangent vectors: where flat statistics are computed in a curved space."""

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.lifts import unit
from manifolds import Manifold, Product, Sphere

# Rows at a time: maps keep a dozen arrays of float64 beside the points.
TILE = 2048


@torch.no_grad()
def coordinates(
    manifold: Manifold, base: Float[Tensor, "d"], x: Float[Tensor, "n d"]
) -> Float[Tensor, "n d"]:
    """log_base(x) in orthonormal coordinates: lengths are geodesic distances to the base.

    In Euclidean space x - base; on the sphere the first coordinate is 0.
    """
    parts = [manifold.to_frame(base, manifold.logmap(base, part)) for part in x.split(TILE)]
    return torch.cat(parts)


@torch.no_grad()
def principal_plane(
    manifold: Manifold, base: Float[Tensor, "d"], x: Float[Tensor, "n d"]
) -> Float[Tensor, "n 2"]:
    """Coordinates of the points along the two directions of largest variance in the tangent space
    at the base, geodesic lengths; each direction points to where its farthest point lies."""
    second = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for part in x.split(TILE):
        u = coordinates(manifold, base, part).double()
        second += u.T @ u
    plane = torch.linalg.eigh(second).eigenvectors[:, -2:].flip(1)
    y = torch.cat([coordinates(manifold, base, p).double() @ plane for p in x.split(TILE)])
    farthest = y.gather(0, y.abs().argmax(0, keepdim=True))
    return y * farthest.sign()


@torch.no_grad()
def flat(manifold: Manifold, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The features that a lift made these points of, up to its scale: flat coordinates about the
    root.

    On a sphere the unit vectors themselves (every direction is alike there, and the tangent space
    at any one point would single it out); elsewhere log at the root in orthonormal coordinates,
    whose lengths are geodesic; of a product those of its factors.
    """
    if isinstance(manifold, Product):
        parts = zip(manifold.factors, x.split(list(manifold.dims), -1), strict=True)
        return torch.cat([flat(m, part) for m, part in parts], -1)  # type: ignore[arg-type]
    if isinstance(manifold, Sphere):
        return x * manifold.c.sqrt().to(x)
    root = manifold.origin(x.shape[1], dtype=x.dtype)
    tiles = [manifold.to_frame(root, manifold.logmap0(part)) for part in x.split(TILE)]
    return torch.cat(tiles)


@torch.no_grad()
def from_flat(manifold: Manifold, u: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The points of flat coordinates; on a sphere those of the directions.

    Raises ValueError for a vector without a direction there.
    """
    if isinstance(manifold, Product):
        parts = zip(manifold.factors, u.split(list(manifold.dims), -1), strict=True)
        return torch.cat([from_flat(m, part) for m, part in parts], -1)  # type: ignore[arg-type]
    if isinstance(manifold, Sphere):
        return unit(u, "from_flat") / manifold.c.sqrt().to(u)
    root = manifold.origin(u.shape[1], dtype=u.dtype)
    return manifold.expmap0(manifold.from_frame(root, u))
