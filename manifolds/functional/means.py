"""Fréchet means of points x (..., n, d) along `dim`.

w: weights (n,), or a shape that broadcasts with x.shape[:-1]; equal if not given.
The minimum of the weighted squared distances, with the implicit gradient for x, w and c;
`Manifold.frechet_mean` says how and what is raised.
"""

from jaxtyping import Float
from torch import Tensor

from manifolds import means
from manifolds.arguments import Scalar
from manifolds.functional.space import (
    euclidean_space,
    lorentz_space,
    poincare_space,
    sphere_space,
)

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
