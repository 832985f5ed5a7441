"""PHyCLIP's checkpoints: MERU's towers, a product of hyperboloids with a curvature each.

curvs.i, visual_concept_alphas.i, textual_concept_alphas.i (logarithms) belong to factor i; a
feature's coordinates are shared out among the factors in their order. The logit is minus the mean
of the factors' distances. MERU's own curv and alphas stand in the file too and are not used.

Our products have one alpha a modality: the factors' are multiplied into the columns of the
projections, which gives the same points up to rounding.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.geometry import Geometry
from geomclip.loaders.assemble import assemble, number
from geomclip.loaders.layout import Layout, Source
from geomclip.loaders.meru import NEEDS, pixels, towers
from geomclip.loaders.vocabulary import clip_tokenizer
from geomclip.spec import PHYCLIP
from manifolds import Lorentz, Product

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

_ALPHAS = {"image": "visual_concept_alphas", "text": "textual_concept_alphas"}
_NOT_READ = ("attn_mask", "curv", "visual_alpha", "textual_alpha")


def read(source: Source) -> "ContrastiveModel":
    """The model of a PHyCLIP checkpoint."""
    if source.wishes.geometry:
        raise RequestError(
            f"{source.where}: PHyCLIP's geometry is in its tensors", "Leave that option out."
        )
    left = dict(source.weights.tensors)
    image, text = towers(source, left)
    curvatures = _row(source, left, "curvs")
    dim = text.text_projection.shape[1]
    if dim % len(curvatures):
        raise RequestError(
            f"{source.where}: {dim} coordinates do not divide into {len(curvatures)} factors",
            "Copy the file again.",
        )
    each = dim // len(curvatures)
    for modality, projection in (("image", image.proj), ("text", text.text_projection)):
        alphas = _row(source, left, _ALPHAS[modality])
        if len(alphas) != len(curvatures) or projection is None:
            raise RequestError(
                f"{source.where}: {len(curvatures)} curvatures and {len(alphas)} scales of "
                f"{modality}",
                "Copy the file again.",
            )
        factor = torch.tensor(alphas, dtype=torch.float64).exp().repeat_interleave(each)
        with torch.no_grad():
            projection.copy_(projection.double() * factor)
    geometry = _geometry(source, curvatures, each, left.pop("logit_scale", None))
    preprocessing = pixels(source, left)
    source.done(left, _NOT_READ)
    return assemble(
        image,
        text,
        geometry,
        where=source.where,
        tokenizer=clip_tokenizer(
            source.folder, source.wishes.tokenizer, text.token_embedding.num_embeddings
        ),
        preprocessing=preprocessing,
    )


def _geometry(source: Source, log_c: list[float], each: int, scale: Tensor | None) -> Geometry:
    if scale is None:
        raise RequestError(f"{source.where}: no tensor logit_scale", "Copy the file again.")
    factors = [
        Lorentz(c=(c := math.exp(value)), learnable=True, c_min=min(0.1, c), c_max=max(10.0, c))
        for value in log_c
    ]
    product = Product(factors, [each] * len(factors))
    geometry = Geometry(PHYCLIP, product, each * len(factors), name="phyclip")
    with torch.no_grad():
        geometry.logit_scale.fill_(number(scale, "logit_scale", source.where))
        for log_alpha in geometry.log_alpha.values():
            log_alpha.zero_()
    return geometry


def _row(source: Source, left: dict[str, Tensor], name: str) -> list[float]:
    """The numbers name.0, name.1, ..., taken out of `left`."""
    found: list[float] = []
    while (key := f"{name}.{len(found)}") in left:
        found.append(number(left.pop(key), key, source.where))
    return found


LAYOUT = Layout("PHyCLIP", (*NEEDS, "curvs.0", "visual_concept_alphas.0"), read)
