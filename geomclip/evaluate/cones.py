"""Entailment cones: do pictures lie inside the cone of their own label, and only of their own?

A cone that is nearly a half space (half aperture near pi/2) holds its own pictures and most others:
`own` says something only beside `other` and `aperture`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.evaluate.retrieval import BLOCK
from manifolds.base import Manifold


@dataclass(frozen=True)
class ConeStatistics:
    """Cones of the labels at one level against pictures.

    Args:
        labels: how many cones.
        pictures: how many pictures have a label of this level.
        own: share of pictures inside the cone of their own label's text.
        other: share of (picture, other label) pairs inside; None with a single label.
        aperture: mean half aperture of the labels' cones, radians.
        saturated: share of the cones that are half spaces (half aperture within 1e-3 of pi/2).
        auc: probability that aperture - exterior angle is larger for a picture's own label than for
            another label, over all pairs pooled, ties counting half; None with a single label.
        exterior: mean exterior angle of the pictures at their own labels, radians.
        violation: mean of what that angle exceeds the half aperture by, 0 inside; radians.
    """

    labels: int
    pictures: int
    own: float
    other: float | None
    aperture: float
    saturated: float
    auc: float | None
    exterior: float
    violation: float

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def cone_statistics(
    manifold: Manifold,
    labels: Float[Tensor, "k d"],
    images: Float[Tensor, "n d"],
    own: Int[Tensor, "n"],
    min_radius: float = 0.1,
) -> ConeStatistics:
    """Containment of pictures in cones, where inside means exterior angle <= half aperture.

    Args:
        labels: points of the labels' texts, the apexes.
        own: row of each picture's own label. At least one picture.
        min_radius: K of `manifold.half_aperture`.

    Raises:
        NotImplementedError: the manifold has no cones.
    """
    count, pictures = len(labels), len(images)
    aperture = manifold.half_aperture(labels, min_radius=min_radius)
    angle = manifold.exterior_angle(labels[own], images)
    mine = aperture[own] - angle
    ordered = mine.sort().values
    inside, losses = 0, 0
    step = max(1, BLOCK // count)
    for i in range(0, pictures, step):
        block = images[i : i + step]
        margin = (aperture[:, None] - manifold.pairwise_exterior_angle(labels, block)).T
        is_own = own[i : i + step, None] == torch.arange(count, device=own.device)
        other = margin[~is_own]
        inside += int((other >= 0).sum())
        losses += _twice_beaten(ordered, other)
    pairs = pictures * (count - 1)
    return ConeStatistics(
        labels=count,
        pictures=pictures,
        own=(mine >= 0).double().mean().item(),
        other=inside / pairs if pairs else None,
        aperture=aperture.double().mean().item(),
        # asin's last steps before pi/2 are coarse in float32.
        saturated=(aperture >= torch.pi / 2 - 1e-3).double().mean().item(),
        auc=1 - losses / (2 * pictures * pairs) if pairs else None,
        exterior=angle.double().mean().item(),
        violation=(-mine).clamp_min(0).double().mean().item(),
    )


def roc_auc(positive: Float[Tensor, "n"], negative: Float[Tensor, "m"]) -> float:
    """Area under the ROC curve: P(positive > negative) + P(equal) / 2 (Mann-Whitney, midranks)."""
    losses = _twice_beaten(positive.sort().values, negative)
    return 1 - losses / (2 * len(positive) * len(negative))


def _twice_beaten(ordered: Float[Tensor, "n"], values: Float[Tensor, "m"]) -> int:
    """Pairs with ordered < value counted twice, pairs with ordered == value once."""
    below = torch.searchsorted(ordered, values, right=False)
    not_above = torch.searchsorted(ordered, values, right=True)
    return int((below + not_above).sum())
