"""Points as tangent vectors: where flat statistics are computed in a curved space."""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import Manifold

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
