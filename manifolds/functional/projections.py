"""Projections, dual gradients and retractions that are the identity, a copy or one step of others.

On Euclidean, Lorentz and PoincareBall every vector is tangent; on Euclidean and Lorentz every
tensor is a point; the retraction is `expmap` except on the sphere.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, check, curvature, prepare
from manifolds.functional.sphere import sphere_proju, sphere_projx

__all__ = [
    "euclidean_egrad2rgrad",
    "euclidean_proju",
    "euclidean_projx",
    "lorentz_proju",
    "lorentz_projx",
    "poincare_proju",
    "sphere_egrad2rgrad",
    "sphere_retr",
]


def _second(op: str, x: Tensor, u: Tensor) -> Tensor:
    out = check(op, x, u)
    return torch.broadcast_tensors(x, u)[1].to(out)


def euclidean_projx(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """x itself."""
    out = check("Euclidean.projx", x)
    return x.to(out)


def euclidean_proju(x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d"]:
    """u itself, broadcast."""
    return _second("Euclidean.proju", x, u)


def euclidean_egrad2rgrad(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*#b d"]:
    """u itself, broadcast."""
    return _second("Euclidean.egrad2rgrad", x, u)


def lorentz_projx(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """x itself: the time component is derived."""
    out, (wide,) = prepare("Lorentz.projx", x)
    curvature("Lorentz.projx", c, wide)
    return x.to(out)


def lorentz_proju(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """u itself, broadcast."""
    result = _second("Lorentz.proju", x, u)
    curvature("Lorentz.proju", c, x)
    return result


def poincare_proju(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """u itself, broadcast."""
    result = _second("PoincareBall.proju", x, u)
    curvature("PoincareBall.proju", c, x)
    return result


def sphere_egrad2rgrad(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """The part of a Euclidean gradient u across x: the metric is that of the ambient space."""
    check("Sphere.egrad2rgrad", x, u)
    curvature("Sphere.egrad2rgrad", c, x)
    return sphere_proju(x, u, c)


def sphere_retr(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """x + u, scaled back to the sphere."""
    out, (x, u) = prepare("Sphere.retr", x, u)
    return sphere_projx(x + u, curvature("Sphere.retr", c, x)).to(out)
