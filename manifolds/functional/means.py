"""Weighted midpoints and Fréchet means of points x (..., n, d) along `dim`.

w: weights (n,), or a shape that broadcasts with x.shape[:-1]; equal if not given.
`weighted_midpoint` is a closed form, `frechet_mean` the minimum of the weighted squared distances
with the implicit gradient for x, w and c. `Manifold` says what they raise.
"""

from jaxtyping import Float
from torch import Tensor

from manifolds import means
from manifolds.arguments import Scalar, curvature, weighted
from manifolds.functional.geodesics import to_ball
from manifolds.functional.space import (
    euclidean_space,
    lorentz_space,
    poincare_space,
    sphere_space,
)
from manifolds.numerics import deficit

__all__ = [
    "euclidean_frechet_mean",
    "euclidean_weighted_midpoint",
    "lorentz_frechet_mean",
    "lorentz_weighted_midpoint",
    "poincare_frechet_mean",
    "poincare_weighted_midpoint",
    "sphere_frechet_mean",
    "sphere_weighted_midpoint",
]

MAX_ITER = 100


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
    out, x, w = weighted("Lorentz.weighted_midpoint", x, w, dim)
    c = curvature("Lorentz.weighted_midpoint", c, x)
    return means.lorentz_centroid(x, w, c).to(out)


def poincare_weighted_midpoint(
    x: Float[Tensor, "*b d"], c: Scalar, w: Tensor | None = None, dim: int = -2
) -> Tensor:
    """The hyperboloid's centroid under the isometry: the gyromidpoint (Ungar 2008)."""
    out, x, w = weighted("PoincareBall.weighted_midpoint", x, w, dim)
    c = curvature("PoincareBall.weighted_midpoint", c, x)
    return to_ball(means.lorentz_centroid(2 * x / deficit(x, c), w, c), c, out).to(out)


def sphere_weighted_midpoint(
    x: Float[Tensor, "*b d"], c: Scalar, w: Tensor | None = None, dim: int = -2
) -> Tensor:
    """Direction of sum w_i x_i, scaled to the sphere.

    Raises:
        ValueError: the sum is 0 (antipodal points), or as the others.
    """
    op = "Sphere.weighted_midpoint"
    out, x, w = weighted(op, x, w, dim)
    return means.sphere_centroid(op, x, w, curvature(op, c, x), out).to(out)


def euclidean_frechet_mean(
    x: Float[Tensor, "*b d"],
    w: Tensor | None = None,
    dim: int = -2,
    *,
    tol: float | None = None,
    max_iter: int = MAX_ITER,
) -> Tensor:
    """Weighted mean, reached in one step."""
    return means.frechet_mean(euclidean_space(), x, w, dim, tol=tol, max_iter=max_iter)


def lorentz_frechet_mean(
    x: Float[Tensor, "*b d"],
    c: Scalar,
    w: Tensor | None = None,
    dim: int = -2,
    *,
    tol: float | None = None,
    max_iter: int = MAX_ITER,
) -> Tensor:
    """Fréchet mean on the hyperboloid; it is unique."""
    space = lorentz_space("frechet_mean", c, x)
    return means.frechet_mean(space, x, w, dim, tol=tol, max_iter=max_iter)


def poincare_frechet_mean(
    x: Float[Tensor, "*b d"],
    c: Scalar,
    w: Tensor | None = None,
    dim: int = -2,
    *,
    tol: float | None = None,
    max_iter: int = MAX_ITER,
) -> Tensor:
    """Fréchet mean on the ball; it is unique."""
    space = poincare_space("frechet_mean", c, x)
    return means.frechet_mean(space, x, w, dim, tol=tol, max_iter=max_iter)


def sphere_frechet_mean(
    x: Float[Tensor, "*b d"],
    c: Scalar,
    w: Tensor | None = None,
    dim: int = -2,
    *,
    tol: float | None = None,
    max_iter: int = MAX_ITER,
) -> Tensor:
    """Fréchet mean on the sphere, the local minimum next to the normalised sum.

    It is the only one where all points lie within pi/(2 sqrt(c)) of one (Afsari 2011).
    """
    space = sphere_space("frechet_mean", c, x)
    return means.frechet_mean(space, x, w, dim, tol=tol, max_iter=max_iter)
