"""The plane that a picture is drawn in, and the points that are to go there.

Everything is at unit curvature: lengths are the manifold's times sqrt(c).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

import manifolds
from geomclip.analysis.tangent import coordinates
from geomclip.geometry import Geometry
from manifolds import Manifold
from manifolds.curvature import CurvedManifold

# Length of the tangent vector that a flat or hyperbolic coordinate may have: cosh must stay finite.
LONGEST = 300.0


@dataclass(frozen=True)
class Plane:
    """Hyperbolic plane, Euclidean plane or sphere, with points given by tangent vectors at the
    root."""

    name: str
    manifold: Manifold

    def points(self, xy: Float[Tensor, "n 2"]) -> Float[Tensor, "n k"]:
        """exp_0: (n, 2) space components or coordinates; (n, 3) on the sphere."""
        if self.name == "sphere":
            return self.manifold.expmap0(torch.nn.functional.pad(xy, (1, 0)))
        return self.manifold.expmap0(xy)

    def tangent(self, points: Float[Tensor, "n k"]) -> Float[Tensor, "n 2"]:
        """log_0, the inverse of `points`."""
        return self.manifold.logmap0(points)[..., -2:]

    def dist(self, xy: Float[Tensor, "n 2"], other: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        """Distances of points given by their tangent vectors."""
        return self.manifold.dist(self.points(xy), self.points(other))


@dataclass(frozen=True)
class Problem:
    """Points of a geometry that are to be drawn.

    Args:
        x: (n, d) points, float64.
        tangent: (n, k) log_root(x) in orthonormal coordinates, times sqrt(c): lengths are distances
            to the root at unit curvature.
        scale: sqrt(c), 1 in flat space and products.
    """

    manifold: Manifold
    x: Float[Tensor, "n d"]
    tangent: Float[Tensor, "n k"]
    plane: Plane
    scale: float

    @property
    def radius(self) -> Float[Tensor, "n"]:
        """Distance to the root, at unit curvature."""
        return self.tangent.norm(dim=-1)

    def single(self) -> "Problem":
        """In float32: a descent needs no more, and float64 on a hyperboloid is slow."""
        plane = Plane(self.plane.name, _copy(self.plane.manifold).float())
        manifold = _copy(self.manifold).float()
        return Problem(manifold, self.x.float(), self.tangent.float(), plane, self.scale)

    def dist(self, i: Int[Tensor, "p"], j: Int[Tensor, "p"]) -> Float[Tensor, "p"]:
        """Distances of rows in the full space, at unit curvature."""
        return self.scale * self.manifold.dist(self.x[i], self.x[j])


@torch.no_grad()
def problem(geometry: Geometry, x: Float[Tensor, "n d"]) -> Problem:
    """The points as tangent vectors at the geometry's root, and the plane of the same kind.

    A product has no plane of its own kind and is drawn in the Euclidean one. Float64.

    Raises:
        GeomclipError: the root of clip or elliptic has not been set.
        ValueError: points farther from the root than a picture can hold.
    """
    x = x.detach().cpu().double()
    manifold = _copy(geometry.manifold)
    if geometry.spec.root == "origin":
        root = manifold.origin(x.shape[-1], dtype=x.dtype)
    else:
        root = geometry.root.detach().cpu().double()
    scale = 1.0
    if isinstance(manifold, CurvedManifold):
        scale = math.sqrt(manifold.c.item())
    tangent = scale * coordinates(manifold, root, x)
    kinds: dict[type, tuple[str, Manifold]] = {
        manifolds.Sphere: ("sphere", manifolds.Sphere(1.0)),
        manifolds.Lorentz: ("hyperbolic", manifolds.Lorentz(1.0)),
        manifolds.PoincareBall: ("hyperbolic", manifolds.Lorentz(1.0)),
    }
    name, plane = kinds.get(type(manifold), ("euclidean", manifolds.Euclidean()))
    longest = tangent.norm(dim=-1).max().item() if len(tangent) else 0.0
    if name == "hyperbolic" and longest > LONGEST:
        raise ValueError(
            f"a point lies at distance {longest:g} / sqrt(c) from the root; a disk holds up to "
            f"{LONGEST:g}"
        )
    return Problem(manifold, x, tangent, Plane(name, plane.double()), scale)


def _copy(manifold: Manifold) -> Manifold:
    import copy

    return copy.deepcopy(manifold).cpu().double().requires_grad_(False)
