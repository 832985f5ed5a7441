"""The wrapped normal of `manifolds.random`, and the uniform distribution on the sphere.

size is the shape (..., d) of the sample; mean, std and gradients as in `Manifold.random_normal`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import random
from manifolds.arguments import Scalar, curvature
from manifolds.functional.space import (
    euclidean_space,
    lorentz_space,
    poincare_space,
    sphere_space,
)
from manifolds.numerics import safe_norm

__all__ = [
    "euclidean_log_normal_density",
    "euclidean_random_normal",
    "lorentz_log_normal_density",
    "lorentz_random_normal",
    "poincare_log_normal_density",
    "poincare_random_normal",
    "sphere_log_normal_density",
    "sphere_random",
    "sphere_random_normal",
]

Size = tuple[int, ...]


def _like(
    mean: Tensor | None, dtype: torch.dtype | None, device: torch.device | str | None
) -> Tensor:
    """A tensor where the sample will be, for c."""
    return torch.empty(0, dtype=dtype, device=device) if mean is None else mean


def euclidean_random_normal(
    size: Size,
    *,
    mean: Tensor | None = None,
    std: float | Tensor = 1.0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """mean + std z with z normal."""
    return random.normal(euclidean_space(), size, mean, std, dtype, device, generator)


def lorentz_random_normal(
    size: Size,
    c: Scalar,
    *,
    mean: Tensor | None = None,
    std: float | Tensor = 1.0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Wrapped normal on the hyperboloid."""
    space = lorentz_space("random_normal", c, _like(mean, dtype, device))
    return random.normal(space, size, mean, std, dtype, device, generator)


def poincare_random_normal(
    size: Size,
    c: Scalar,
    *,
    mean: Tensor | None = None,
    std: float | Tensor = 1.0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Wrapped normal on the ball."""
    space = poincare_space("random_normal", c, _like(mean, dtype, device))
    return random.normal(space, size, mean, std, dtype, device, generator)


def sphere_random_normal(
    size: Size,
    c: Scalar,
    *,
    mean: Tensor | None = None,
    std: float | Tensor = 1.0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Wrapped normal on the sphere; long vectors go round it more than once."""
    space = sphere_space("random_normal", c, _like(mean, dtype, device))
    return random.normal(space, size, mean, std, dtype, device, generator)


@torch.no_grad()
def sphere_random(
    size: Size,
    c: Scalar,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Uniform on the sphere: the direction of a normal vector (Muller 1959)."""
    x = torch.randn(size, dtype=dtype, device=device, generator=generator)
    return x / (curvature("Sphere.random", c, x).sqrt() * safe_norm(x))


def euclidean_log_normal_density(
    x: Float[Tensor, "*#b d"], mean: Tensor | None = None, std: float | Tensor = 1.0
) -> Tensor:
    """Log density (...) of `euclidean_random_normal`, nats."""
    return random.log_density(euclidean_space(), x, mean, std)


def lorentz_log_normal_density(
    x: Float[Tensor, "*#b d"], c: Scalar, mean: Tensor | None = None, std: float | Tensor = 1.0
) -> Tensor:
    """Log density (...) of `lorentz_random_normal` for the Riemannian volume, nats."""
    space = lorentz_space("log_normal_density", c, x)
    return random.log_density(space, x, mean, std)


def poincare_log_normal_density(
    x: Float[Tensor, "*#b d"], c: Scalar, mean: Tensor | None = None, std: float | Tensor = 1.0
) -> Tensor:
    """Log density (...) of `poincare_random_normal` for the Riemannian volume, nats."""
    space = poincare_space("log_normal_density", c, x)
    return random.log_density(space, x, mean, std)


def sphere_log_normal_density(
    x: Float[Tensor, "*#b d"], c: Scalar, mean: Tensor | None = None, std: float | Tensor = 1.0
) -> Tensor:
    """Log density (...) of `sphere_random_normal` for the Riemannian volume, nats."""
    space = sphere_space("log_normal_density", c, x)
    return random.log_density(space, x, mean, std)
