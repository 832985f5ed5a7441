"""Entailment energies: how far y lies outside the cone of x, in radians.

    max(0, exterior_angle(x, y) - half_aperture(x))

Source: Ganea et al. (arXiv 1804.01882), MERU (arXiv 2304.09172). ValueError as the angles raise it.
"""

from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar
from manifolds.functional import euclidean, lorentz, poincare

__all__ = [
    "euclidean_entailment_energy",
    "euclidean_pairwise_entailment_energy",
    "lorentz_entailment_energy",
    "lorentz_pairwise_entailment_energy",
    "poincare_entailment_energy",
    "poincare_pairwise_entailment_energy",
]


def _outside(angle: Tensor, aperture: Tensor) -> Tensor:
    return (angle - aperture).clamp_min(0)


def euclidean_entailment_energy(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], min_radius: float = 0.1
) -> Float[Tensor, "*#b"]:
    """Energy of y in the cone of x; min_radius is a length."""
    aperture = euclidean.euclidean_half_aperture(x, min_radius)
    return _outside(euclidean.euclidean_exterior_angle(x, y), aperture)


def euclidean_pairwise_entailment_energy(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], min_radius: float = 0.1
) -> Float[Tensor, "*#b n m"]:
    """`euclidean_entailment_energy(x_i, y_j)` for all pairs."""
    aperture = euclidean.euclidean_half_aperture(x, min_radius).unsqueeze(-1)
    return _outside(euclidean.euclidean_pairwise_exterior_angle(x, y), aperture)


def lorentz_entailment_energy(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar, min_radius: float = 0.1
) -> Float[Tensor, "*#b"]:
    """Energy of y in the cone of x."""
    aperture = lorentz.lorentz_half_aperture(x, c, min_radius)
    return _outside(lorentz.lorentz_exterior_angle(x, y, c), aperture)


def lorentz_pairwise_entailment_energy(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar, min_radius: float = 0.1
) -> Float[Tensor, "*#b n m"]:
    """`lorentz_entailment_energy(x_i, y_j)` for all pairs."""
    aperture = lorentz.lorentz_half_aperture(x, c, min_radius).unsqueeze(-1)
    return _outside(lorentz.lorentz_pairwise_exterior_angle(x, y, c), aperture)


def poincare_entailment_energy(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar, min_radius: float = 0.1
) -> Float[Tensor, "*#b"]:
    """Energy of y in the cone of x."""
    aperture = poincare.poincare_half_aperture(x, c, min_radius)
    return _outside(poincare.poincare_exterior_angle(x, y, c), aperture)


def poincare_pairwise_entailment_energy(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar, min_radius: float = 0.1
) -> Float[Tensor, "*#b n m"]:
    """`poincare_entailment_energy(x_i, y_j)` for all pairs."""
    aperture = poincare.poincare_half_aperture(x, c, min_radius).unsqueeze(-1)
    return _outside(poincare.poincare_pairwise_exterior_angle(x, y, c), aperture)
