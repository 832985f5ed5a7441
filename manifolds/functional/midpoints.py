"""Weighted midpoints of points x (..., n, d) along `dim`, in closed form.

w: weights (n,), or a shape that broadcasts with x.shape[:-1]; equal if not given.
`Manifold.weighted_midpoint` says what each minimises and what is raised.
"""

from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, curvature, weighted
from manifolds.functional.geodesics import to_ball
from manifolds.models import centroid
from manifolds.numerics import deficit

__all__ = [
    "euclidean_weighted_midpoint",
    "lorentz_weighted_midpoint",
    "poincare_weighted_midpoint",
    "sphere_weighted_midpoint",
]


def euclidean_weighted_midpoint(
    x: Float[Tensor, "*b d"], w: Tensor | None = None, dim: int = -2
) -> Tensor:
    """Weighted mean; also the Fréchet mean."""
    out, x, w = weighted("Euclidean.weighted_midpoint", x, w, dim)
    return (w * x).sum(-2).to(out)


def lorentz_weighted_midpoint(
    x: Float[Tensor, "*b d"], c: Scalar, w: Tensor | None = None, dim: int = -2
) -> Tensor:
    """Centroid s/(sqrt(c) sqrt(-<s, s>_L)), s = sum w_i x_i (Law et al. 2019, equation 12)."""
    op = "Lorentz.weighted_midpoint"
    out, x, w = weighted(op, x, w, dim)
    return centroid(op, -1, x, w, curvature(op, c, x)).to(out)


def poincare_weighted_midpoint(
    x: Float[Tensor, "*b d"], c: Scalar, w: Tensor | None = None, dim: int = -2
) -> Tensor:
    """The hyperboloid's centroid under the isometry: the gyromidpoint (Ungar 2008)."""
    op = "PoincareBall.weighted_midpoint"
    out, x, w = weighted(op, x, w, dim)
    c = curvature(op, c, x)
    return to_ball(centroid(op, -1, 2 * x / deficit(x, c), w, c), c, out).to(out)


def sphere_weighted_midpoint(
    x: Float[Tensor, "*b d"], c: Scalar, w: Tensor | None = None, dim: int = -2
) -> Tensor:
    """Direction of sum w_i x_i, scaled to the sphere.

    Raises:
        ValueError: the sum is 0 (antipodal points), or as the others.
    """
    op = "Sphere.weighted_midpoint"
    out, x, w = weighted(op, x, w, dim)
    return centroid(op, 1, x, w, curvature(op, c, x)).to(out)
