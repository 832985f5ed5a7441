"""Entailment: the image should lie in the cone of its text (MERU, arXiv 2304.09172, section 3.3).

The parent x (text) spans a cone of half aperture aper(x) that points away from the root; the child
y (image) is seen from x under the exterior angle ext(x, y). `min_radius` is the K of the
aperture, a length in Euclidean space, dimensionless on hyperbolic manifolds (they agree at K_E =
2K / sqrt(c)).
"""

import math
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.precision import no_autocast, widen
from manifolds.arguments import check_tensor
from manifolds.base import Manifold


def entailment_loss(
    manifold: Manifold,
    parent: Float[Tensor, "n d"],
    child: Float[Tensor, "n d"],
    min_radius: float = 0.1,
    *,
    aperture_scale: float = 1.0,
) -> Float[Tensor, ""]:
    """Mean angle by which a child lies outside the cone of its parent, in radians.

        loss = (1 / n) sum_i max(0, ext(parent_i, child_i) - eta aper(parent_i))

    With `min_radius=0` every aperture is 0 and the loss is the mean exterior angle. Gradients reach
    both sides and a learnable c.

    Args:
        aperture_scale: eta, which makes cones wider or narrower than their K does; 1 in MERU.

    Raises:
        ValueError: no pairs, `min_radius` is negative, or `aperture_scale` not positive.
        NotImplementedError: the manifold has no cones.
    """
    _check(parent, min_radius)
    if not (aperture_scale > 0 and math.isfinite(aperture_scale)):
        raise ValueError(
            f"aperture_scale multiplies apertures and must be positive, got {aperture_scale}"
        )
    with no_autocast(parent):
        parent, child = widen(parent, "parent"), widen(child, "child")
        if min_radius == 0:  # apertures are 0, which the manifold does not take as cones
            return manifold.exterior_angle(parent, child).mean()
        if aperture_scale == 1:
            return manifold.entailment_energy(parent, child, min_radius).mean()
        aperture = aperture_scale * manifold.half_aperture(parent, min_radius)
        return (manifold.exterior_angle(parent, child) - aperture).clamp_min(0).mean()


@dataclass(frozen=True)
class ConeStatistics:
    """How n children lie to the cones of their parents."""

    satisfied: float
    """Share of the pairs whose child lies inside its parent's cone, border included."""
    aperture: float
    """Mean half aperture of the parents, radians."""
    angle: float
    """Mean exterior angle of the pairs, radians."""
    saturated: float
    """Share of the parents so near the root that their cone is a half-space (aperture pi/2)."""

    def to_dict(self) -> dict[str, float]:
        """The four numbers by name."""
        return asdict(self)


@torch.no_grad()
def cone_statistics(
    manifold: Manifold,
    parent: Float[Tensor, "n d"],
    child: Float[Tensor, "n d"],
    min_radius: float = 0.1,
) -> ConeStatistics:
    """What `entailment_loss` hides: a small loss may come from good directions or from wide cones.

    Raises:
        ValueError: no pairs, or `min_radius` is negative.
        NotImplementedError: the manifold has no cones.
    """
    _check(parent, min_radius)
    parent, child = widen(parent, "parent"), widen(child, "child")
    with no_autocast(parent):
        angle = manifold.exterior_angle(parent, child)
        aperture = (
            manifold.half_aperture(parent, min_radius)
            if min_radius > 0
            else torch.zeros_like(angle)
        )
    # The half space itself is pi/2 to rounding; nothing else comes closer to it than this.
    half_space = math.pi / 2 - 1e-6
    return ConeStatistics(
        satisfied=(angle <= aperture).to(angle).mean().item(),
        aperture=aperture.mean().item(),
        angle=angle.mean().item(),
        saturated=(aperture >= half_space).to(angle).mean().item(),
    )


def _check(parent: Tensor, min_radius: float) -> None:
    check_tensor("entailment", "parent", parent, "(n, d)")
    if parent.shape[0] == 0:
        raise ValueError("entailment needs at least one pair of parent and child, got none")
    if not (min_radius >= 0 and math.isfinite(min_radius)):
        raise ValueError(
            f"min_radius is the K of the cones and must be finite and >= 0, got {min_radius}"
        )


def linear_schedule(step: int, total: int, start: float, end: float) -> float:
    """The value at `step` on the line from `start` at step 0 to `end` at step `total`.

        K(t) = ((T - t) K0 + t K1) / T        (the schedule of the published euclip branch)

    Raises:
        ValueError: `total` is not positive or `step` lies outside 0..total.
    """
    _check_step(step, total)
    return ((total - step) * start + step * end) / total


def warmup_weight(
    step: int, total: int, weight: float, start_fraction: float, end_fraction: float
) -> float:
    """The weight of a loss at `step`: 0 up to start_fraction of the run, then linear to `weight` at
    end_fraction, constant from there on; with both fractions 0 it is `weight` from the first step.

    Raises:
        ValueError: `total` is not positive, `step` lies outside 0..total, or not
            0 <= start_fraction <= end_fraction <= 1.
    """
    _check_step(step, total)
    if not 0 <= start_fraction <= end_fraction <= 1:
        raise ValueError(
            "the warm-up of a weight needs 0 <= start_fraction <= end_fraction <= 1, got "
            f"start_fraction={start_fraction}, end_fraction={end_fraction}"
        )
    start, end = start_fraction * total, end_fraction * total
    if step >= end:
        return weight
    return weight * (step - start) / (end - start) if step > start else 0.0


def _check_step(step: int, total: int) -> None:
    if total <= 0 or not 0 <= step <= total:
        raise ValueError(
            f"a schedule needs 0 <= step <= total and total > 0, got {step} of {total}"
        )
