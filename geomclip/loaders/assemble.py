"""From towers and scalars to a model."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.geometry import Geometry, build_geometry
from geomclip.geometry_record import rebuild, same
from geomclip.loaders.layout import Source
from geomclip.loaders.preprocessing import Preprocessing
from geomclip.model import ContrastiveModel
from geomclip.names import CHOICES, known
from geomclip.towers import TextTransformer, VisionTransformer
from manifolds.curvature import CurvedManifold

if TYPE_CHECKING:
    from geomclip.data.pieces import PieceTokenizer
    from geomclip.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Scalars:
    """The learned numbers beside the towers, all as logarithms but the bias and the root.

    Args:
        logit_scale: log beta.
        alpha: log alpha_m by modality, where the geometry learns them.
        c: log c, where the geometry learns it.
        root: the point at which the hierarchy starts, of clip and elliptic.
    """

    logit_scale: Tensor
    alpha: Mapping[str, Tensor] = field(default_factory=dict)
    c: Tensor | None = None
    root: Tensor | None = None


def assemble(
    image: VisionTransformer,
    text: TextTransformer,
    geometry: Geometry,
    *,
    where: str,
    tokenizer: "Tokenizer | PieceTokenizer | None",
    preprocessing: Preprocessing,
    bias: Tensor | None = None,
) -> ContrastiveModel:
    """A model in evaluation mode, with these towers in that geometry.

    Args:
        bias: of the sigmoid loss's logits.

    Raises:
        RequestError: the towers' dimensions differ, the bias is no number, or the vocabulary is
            larger than the text tower's.
    """
    dim = text.text_projection.shape[1]
    of_image = image.transformer.width if image.proj is None else image.proj.shape[1]
    if of_image != dim:
        raise RequestError(
            f"{where}: pictures have {of_image} dimensions and texts {dim}",
            "Copy the weights again; both meet in one space.",
        )
    if tokenizer is not None and tokenizer.vocab_size > text.token_embedding.num_embeddings:
        raise RequestError(
            f"{where}: the vocabulary has {tokenizer.vocab_size:,} entries, the text tower "
            f"{text.token_embedding.num_embeddings:,}",
            "Give the tokenizer that belongs to these weights.",
        )
    model = ContrastiveModel(
        {"image": image, "text": text},
        geometry,
        tokenizer,
        image_size=image.image_size,
        context_length=text.context_length,
        pixel_mean=preprocessing.mean,
        pixel_std=preprocessing.std,
        fit=preprocessing.fit,
        logit_bias=None if bias is None else number(bias, "logit_bias", where),
    )
    return model.eval()


def settle(source: Source, dim: int, scalars: Scalars, name: str | Callable[[], str]) -> Geometry:
    """The geometry that our part of the configuration holds, or the user names, or `name`.

    Raises:
        RequestError: that part is damaged, or the user names another than it holds; as `build`.
    """
    record = source.setting("geomclip", "geometry", kind=Mapping)
    wish = source.wishes.geometry
    if record is None:
        chosen = wish or (name if isinstance(name, str) else name())
        return build(chosen, dim, scalars, source.where)
    geometry = rebuild(dict(record), source.where)
    if wish and not same(geometry, wish, None):
        raise RequestError(
            f"{source.where}: its geometry is {geometry.name}, not {wish}", "Leave that option out."
        )
    if geometry.spec.learned_curvature:
        for part in geometry.manifold.modules():
            if isinstance(part, CurvedManifold):
                part.log_c.requires_grad_()
    with torch.no_grad():
        geometry.logit_scale.fill_(number(scalars.logit_scale, "logit_scale", source.where))
    return geometry


def build(name: str, dim: int, scalars: Scalars, where: str) -> Geometry:
    """The geometry with the scalars as they are, bit by bit.

    Raises:
        RequestError: unknown name; the geometry has scalars that are not there, or lacks some that
            are; a scalar is no number.
    """
    if not known(name):
        raise RequestError(f'{where}: there is no geometry "{name}"', CHOICES)
    bounds: dict[str, Any] = {}
    if scalars.c is not None:
        c = math.exp(number(scalars.c, "the curvature's logarithm", where))
        # A published value may lie outside our bounds; what is read stays as it is.
        bounds = {"c_min": min(0.1, c), "c_max": max(10.0, c)}
    geometry = build_geometry(name, dim, **bounds)
    has = {"alpha": bool(scalars.alpha), "curvature": scalars.c is not None}
    wants = {"alpha": geometry.spec.learned_alpha, "curvature": geometry.spec.learned_curvature}
    for what in has:
        if has[what] != wants[what]:
            raise RequestError(
                f"{where} has {'a' if has[what] else 'no'} learned {what}, and {name} has "
                f"{'one' if wants[what] else 'none'}",
                "Name the geometry that it was trained in.",
            )
    with torch.no_grad():
        geometry.logit_scale.fill_(number(scalars.logit_scale, "logit_scale", where))
        for modality, log_alpha in geometry.log_alpha.items():
            log_alpha.fill_(number(scalars.alpha[modality], f"alpha of {modality}", where))
        if scalars.c is not None:
            geometry.manifold.log_c.fill_(number(scalars.c, "curvature", where))
        if scalars.root is not None and geometry.spec.root == "mean":
            root = scalars.root.flatten().double()
            if len(root) != dim or not root.norm() > 0:
                raise RequestError(
                    f"{where}: its root has shape {tuple(scalars.root.shape)} and length "
                    f"{root.norm():g}; it is one of {dim} coordinates, and not 0",
                    "Copy the file again.",
                )
            geometry.root_point.copy_(_unit(root))
    return geometry


def _unit(root: Tensor) -> Tensor:
    """On the sphere; a root that lies on it already, up to rounding, stays as it is."""
    length = torch.linalg.vector_norm(root)
    return root if abs(length - 1) < 1e-6 else root / length


def number(value: Tensor, what: str, where: str) -> float:
    """A tensor of one finite number as that. Raises RequestError for any other."""
    if value.numel() != 1 or not torch.isfinite(value).all():
        raise RequestError(
            f"{where}: {what} is no finite number (shape {tuple(value.shape)})",
            "Copy the file again.",
        )
    return value.item()
