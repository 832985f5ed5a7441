"""Angles in place of distances as logits (ATMG: Ramasinghe et al., "Accept the Modality Gap", CVPR
2024): a text should lie on the way from the root to its image, however far from it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.bands import by_bands
from geomclip.losses.lines import row_cross_entropy
from geomclip.losses.sums import check_pairs
from geomclip.precision import no_autocast, widen
from manifolds.arguments import work_dtype


def angle_loss(
    geometry: Geometry, text: Float[Tensor, "n d"], image: Float[Tensor, "n d"]
) -> Float[Tensor, ""]:
    """InfoNCE in nats over exterior angles, of the image at the text and of the text at the image.

        loss = -(1/2n) sum_i [log softmax_j(-beta ext(text_i, image_j))_i
                              + log softmax_j(+beta ext(image_i, text_j))_i]

    ext(x, y) is the angle at x between the ray from the root through x and the geodesic to y. Both
    terms want the order root, text, image on one geodesic: the image straight ahead of the text,
    the text straight behind the image. Memory O(n).

    Raises:
        ValueError: text and image are not the same number of points, or none.
        NotImplementedError: the manifold has no exterior angles.
    """
    text, image = check_pairs(geometry, text, image, "angle_loss")
    scale = widen(geometry.logit_scale, "logit_scale").exp()
    with no_autocast(text):
        total = torch.zeros((), dtype=work_dtype(text.device), device=text.device)
        for parent, child, factor in ((text, image, -scale), (image, text, scale)):
            for (part,) in by_bands(_band, parent, len(child), geometry, child, factor):
                total = total + part
        return (total / (2 * len(text))).to(text.dtype)


def _band(
    start: int, parent: Tensor, geometry: Geometry, child: Tensor, factor: Tensor
) -> tuple[Tensor]:
    """Sum over a band of parents of the cross-entropy of their partners."""
    logits = factor * geometry.manifold.pairwise_exterior_angle(parent, child)
    return (row_cross_entropy(logits, start).sum(),)
