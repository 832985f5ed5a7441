"""Fréchet means of points x (..., n, d) along `dim`.

w: weights (n,), or a shape that broadcasts with x.shape[:-1]; equal if not given.
The minimum of the weighted squared distances, with the implicit gradient for x, w and c;
`Manifold.frechet_mean` says how and what is raised.
"""

from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, check_search, curvature, weighted
from manifolds.frechet import frechet_mean
from manifolds.functional.geodesics import to_ball
from manifolds.numerics import deficit

__all__ = [
    "euclidean_frechet_mean",
    "lorentz_frechet_mean",
    "poincare_frechet_mean",
    "sphere_frechet_mean",
]

MAX_ITER = 100


def euclidean_frechet_mean(
    x: Float[Tensor, "*b d"],
    w: Tensor | None = None,
    dim: int = -2,
    *,
    tol: float | None = None,
    max_iter: int = MAX_ITER,
) -> Tensor:
    """Weighted mean; tol and max_iter have no effect."""
    out, x, w = weighted("Euclidean.frechet_mean", x, w, dim)
    check_search("Euclidean.frechet_mean", tol, max_iter)
    return (w * x).sum(-2).to(out)


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
    op = "Lorentz.frechet_mean"
    out, x, w = weighted(op, x, w, dim)
    return frechet_mean(op, -1, x, w, curvature(op, c, x), tol, max_iter).to(out)


def poincare_frechet_mean(
    x: Float[Tensor, "*b d"],
    c: Scalar,
    w: Tensor | None = None,
    dim: int = -2,
    *,
    tol: float | None = None,
    max_iter: int = MAX_ITER,
) -> Tensor:
    """Fréchet mean on the ball; it is unique. It is found on the hyperboloid."""
    op = "PoincareBall.frechet_mean"
    out, x, w = weighted(op, x, w, dim)
    c = curvature(op, c, x)
    mean = frechet_mean(op, -1, 2 * x / deficit(x, c), w, c, tol, max_iter)
    return to_ball(mean, c, out).to(out)


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
    op = "Sphere.frechet_mean"
    out, x, w = weighted(op, x, w, dim)
    return frechet_mean(op, 1, x, w, curvature(op, c, x), tol, max_iter).to(out)
