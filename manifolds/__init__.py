"""Torch manifolds of constant curvature: distances, exponential and logarithm maps, cones.

    >>> import torch, manifolds
    >>> m = manifolds.Lorentz(c=1.0)
    >>> m.dist(torch.zeros(3), m.expmap0(torch.tensor([0.0, 3.0, 4.0]))).item()
    5.0

A point is a tensor (..., d); on the hyperboloid these are its space components. c is the magnitude
of the curvature everywhere: Lorentz and PoincareBall curve as -c, Sphere as +c, Euclidean has
c = 0.
"""

import manifolds._geoopt  # noqa: F401  first: geoopt warns when it is imported elsewhere
from manifolds import functional, optim
from manifolds.base import Manifold
from manifolds.euclidean import Euclidean
from manifolds.halfspace import UpperHalfSpace
from manifolds.interop import (
    from_geoopt,
    points_from_geoopt,
    points_to_geoopt,
    to_geoopt,
    vectors_from_geoopt,
    vectors_to_geoopt,
)
from manifolds.isometries import (
    gyration,
    lorentz_boost,
    lorentz_translate,
    mobius_add,
    mobius_scalar,
    rotate,
    rotation,
)
from manifolds.kernels.neighbors import Neighbors, topk
from manifolds.lorentz import Lorentz
from manifolds.maps import (
    convert,
    from_ambient,
    halfspace_to_klein,
    halfspace_to_lorentz,
    halfspace_to_poincare,
    klein_to_halfspace,
    klein_to_lorentz,
    klein_to_poincare,
    lorentz_to_halfspace,
    lorentz_to_klein,
    lorentz_to_poincare,
    poincare_to_halfspace,
    poincare_to_klein,
    poincare_to_lorentz,
    push,
    radius_limit,
    to_ambient,
)
from manifolds.means import TangentPCA, tangent_pca
from manifolds.poincare import PoincareBall
from manifolds.product import Product
from manifolds.regression import (
    HyperplaneRegression,
    PrototypeRegression,
    dist2plane,
    pairwise_dist2plane,
)
from manifolds.sphere import Sphere

MANIFOLDS: dict[str, type[Manifold]] = {
    "euclidean": Euclidean,
    "sphere": Sphere,
    "lorentz": Lorentz,
    "poincare": PoincareBall,
    "halfspace": UpperHalfSpace,
}

__all__ = [
    "MANIFOLDS",
    "Euclidean",
    "HyperplaneRegression",
    "Lorentz",
    "Manifold",
    "Neighbors",
    "PoincareBall",
    "Product",
    "PrototypeRegression",
    "Sphere",
    "TangentPCA",
    "UpperHalfSpace",
    "convert",
    "dist2plane",
    "from_ambient",
    "from_geoopt",
    "functional",
    "gyration",
    "halfspace_to_klein",
    "halfspace_to_lorentz",
    "halfspace_to_poincare",
    "klein_to_halfspace",
    "klein_to_lorentz",
    "klein_to_poincare",
    "lorentz_boost",
    "lorentz_to_halfspace",
    "lorentz_to_klein",
    "lorentz_to_poincare",
    "lorentz_translate",
    "mobius_add",
    "mobius_scalar",
    "optim",
    "pairwise_dist2plane",
    "poincare_to_halfspace",
    "poincare_to_klein",
    "poincare_to_lorentz",
    "points_from_geoopt",
    "points_to_geoopt",
    "push",
    "radius_limit",
    "rotate",
    "rotation",
    "tangent_pca",
    "to_ambient",
    "to_geoopt",
    "topk",
    "vectors_from_geoopt",
    "vectors_to_geoopt",
]
