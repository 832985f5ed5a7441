"""Compositional entailment with boxes (HyCoCLIP, Pal et al., arXiv 2410.06912): one contrastive
loss and four cones over pictures, their captions, and a box of each with its phrase.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.entailment import entailment_loss
from geomclip.losses.info_nce import info_nce
from geomclip.losses.one_way import one_way_info_nce

# Half apertures are multiplied by these across modalities and within one.
INTER_APERTURE = 0.7
INTRA_APERTURE = 1.2


@dataclass(frozen=True)
class BoxLosses:
    """The two losses of the scheme; the whole is `contrastive + 0.2 * entailment` in the paper."""

    contrastive: Float[Tensor, ""]
    """Nats."""
    entailment: Float[Tensor, ""]
    """Radians: half the sum of the four cones' mean angles."""


def hycoclip_losses(
    geometry: Geometry,
    image: Float[Tensor, "n d"],
    text: Float[Tensor, "n d"],
    box_image: Float[Tensor, "n d"],
    box_text: Float[Tensor, "n d"],
    *,
    min_radius: float = 0.1,
    inter_aperture: float = INTER_APERTURE,
    intra_aperture: float = INTRA_APERTURE,
) -> BoxLosses:
    """HyCoCLIP's contrastive and entailment losses over points of one box a picture.

        contrastive = [CE(image, texts) + CE(text, images)
                       + CE(box image, texts) + CE(box text, images)] / 4
        entailment  = [E(text, image; 0.7) + E(box text, box image; 0.7)
                       + E(box image, image; 1.2) + E(box text, text; 1.2)] / 2

    CE(a, b) is the cross-entropy of a_i's partner among all of b, E(parent, child; eta) is
    `entailment_loss` with half apertures times eta. Boxes are contrasted with whole texts and
    pictures, never with other boxes.

    Raises:
        ValueError: the four are not the same number of points, or none; as `entailment_loss`.
        NotImplementedError: the manifold has no cones.
    """
    contrastive = box_contrastive(geometry, image, text, box_image, box_text)
    entailment = box_entailment(
        geometry,
        image,
        text,
        box_image,
        box_text,
        min_radius=min_radius,
        inter_aperture=inter_aperture,
        intra_aperture=intra_aperture,
    )
    return BoxLosses(contrastive, entailment)


def box_contrastive(
    geometry: Geometry,
    image: Float[Tensor, "n d"],
    text: Float[Tensor, "n d"],
    box_image: Float[Tensor, "n d"],
    box_text: Float[Tensor, "n d"],
) -> Float[Tensor, ""]:
    """The contrastive half of `hycoclip_losses`, nats; log n where all points are equal."""
    return (
        2 * info_nce(geometry, image, text)
        + one_way_info_nce(geometry, box_image, text)
        + one_way_info_nce(geometry, box_text, image)
    ) / 4


def box_entailment(
    geometry: Geometry,
    image: Float[Tensor, "n d"],
    text: Float[Tensor, "n d"],
    box_image: Float[Tensor, "n d"],
    box_text: Float[Tensor, "n d"],
    *,
    min_radius: float = 0.1,
    inter_aperture: float = INTER_APERTURE,
    intra_aperture: float = INTRA_APERTURE,
) -> Float[Tensor, ""]:
    """The entailment half of `hycoclip_losses`, radians, without its weight."""
    links = [
        (text, image, inter_aperture),
        (box_text, box_image, inter_aperture),
        (box_image, image, intra_aperture),
        (box_text, text, intra_aperture),
    ]
    cones = [
        entailment_loss(geometry.manifold, parent, child, min_radius, aperture_scale=scale)
        for parent, child, scale in links
    ]
    return (cones[0] + cones[1] + cones[2] + cones[3]) / 2
