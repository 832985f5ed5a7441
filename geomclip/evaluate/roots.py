"""Distances to a root: the geometry's own, the mean of the points, the point of the text "".

A model without an origin has no root of its own: CLIP's hierarchy is seen from the mean of its
embeddings or from its text "", and the two need not agree. Every measure that needs a root can be
asked for all of them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from manifolds import Euclidean

OWN, MEAN, EMPTY = "own", "mean", "empty"


def radius(
    geometry: Geometry, x: Float[Tensor, "*b d"], root: Float[Tensor, "d"] | None = None
) -> Float[Tensor, "*b"]:
    """Length from the root to x; geodesic, but under clip the chord |x - root|.

    The chord is what HierarCaps measures (arXiv 2407.08521); `geometry.root_distance` of clip is a
    quarter of its square.

    Args:
        root: a point; the geometry's own root where not given.

    Raises:
        GeomclipError: the root of clip or elliptic has not been set.
    """
    if geometry.spec.root_distance == "cosine":
        at = geometry.root if root is None else root
        return torch.linalg.vector_norm(x - at.to(x), dim=-1)
    if root is None:
        return geometry.root_distance(x)
    return geometry.manifold.dist(root.to(x), x)


def pairwise_exterior_angle(
    geometry: Geometry,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    root: Float[Tensor, "d"] | None = None,
) -> Float[Tensor, "n m"]:
    """Angle at x between the way on from the root and the way to y, radians; small where x lies on
    the way to y.

    On manifolds with cones and with their own root it is the cone's; else that of the straight
    lines between the points, as Alper & Averbuch-Elor take it on CLIP (arXiv 2407.08521). With
    another root than the origin a curved space would need the angle there; it is not offered.

    Raises:
        ValueError: another root than its own on a curved space with cones.
        GeomclipError: the root of clip or elliptic has not been set.
    """
    if geometry.has_cones and root is None:
        return geometry.manifold.pairwise_exterior_angle(x, y)
    if geometry.has_cones and geometry.manifold.curvature_sign != 0:
        raise ValueError(f"{geometry.name}: angles are those at its own root, the origin")
    at = (geometry.root if root is None else root).to(x)
    return Euclidean().pairwise_exterior_angle(x - at, y - at)


def mean_root(geometry: Geometry, points: Float[Tensor, "n d"]) -> Float[Tensor, "d"]:
    """The weighted midpoint of the points: under clip and elliptic their normalised mean."""
    return geometry.manifold.weighted_midpoint(points)


def roots_of(
    geometry: Geometry,
    points: Float[Tensor, "n d"],
    empty: Float[Tensor, "d"] | None = None,
) -> dict[str, Tensor | None]:
    """The roots to measure from: `own` (None: the geometry's, where it has one), `mean` of the
    points, and `empty`, the text "", where its point is given."""
    found: dict[str, Tensor | None] = {}
    if geometry.spec.root == "origin" or bool(geometry.root_point.any()):
        found[OWN] = None
    found[MEAN] = mean_root(geometry, points)
    if empty is not None:
        found[EMPTY] = empty
    return found
