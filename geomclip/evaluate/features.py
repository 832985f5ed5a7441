"""From pictures and texts to points: in batches, prompts averaged before the lift."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from geomclip.data.prompts import fill
from geomclip.data.transforms import on_white
from geomclip.errors import GeomclipError
from geomclip.model import ContrastiveModel


@contextmanager
def inference(model: ContrastiveModel) -> Iterator[torch.device]:
    """Evaluation mode without gradients; the model's own mode comes back at the end.

    Yields the model's device.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield model.pixel_mean.device
    finally:
        model.train(training)


def image_points(
    model: ContrastiveModel, images: UInt8[Tensor, "n 4 h w"], batch_size: int = 256
) -> Float[Tensor, "n d"]:
    """Points of RGBA pictures, composited on white and not augmented.

    Raises:
        GeomclipError: features or points that are not finite, counted.
    """
    with inference(model) as device:
        features = [
            model.image_features(on_white(images[i : i + batch_size]).to(device))
            for i in range(0, len(images), batch_size)
        ]
        if not features:
            return torch.empty(0, model.dim, device=device)
        stacked = check_finite(torch.cat(features), "image encoder: features of")
        points = model.geometry.lift(stacked, model.encoder_of(model.first("pixels")))
        return check_finite(points, f"lift of {model.geometry.name}: image points of")


@dataclass(frozen=True)
class TextPoints:
    """Points of texts, each the prototype of its prompts."""

    points: Float[Tensor, "n d"]
    row: dict[str, int]

    def of(self, texts: Sequence[str]) -> Float[Tensor, "m d"]:
        """Points of some of the texts, in their order. KeyError for one that was not encoded."""
        rows = torch.tensor([self.row[t] for t in texts], dtype=torch.long)
        return self.points[rows.to(self.points.device)]


def text_points(
    model: ContrastiveModel,
    texts: Sequence[str],
    templates: tuple[str, ...] = ("{}",),
    batch_size: int = 256,
) -> TextPoints:
    """Prototypes of the distinct texts: features averaged over the templates, then lifted.

    The mean lies in the tangent space at the root, as MERU's zero-shot classifier has it
    (arXiv 2304.09172); `geometry.prototype` adds the normalisations of clip and elliptic.

    Raises:
        GeomclipError: features or points that are not finite, counted.
    """
    distinct = list(dict.fromkeys(texts))
    prompts = [prompt for text in distinct for prompt in fill(text, templates)]
    with inference(model) as device:
        if not distinct:
            return TextPoints(torch.empty(0, model.dim, device=device), {})
        features = torch.cat(
            [
                model.text_features(prompts[i : i + batch_size])
                for i in range(0, len(prompts), batch_size)
            ]
        )
        check_finite(features, "text encoder: features of")
        points = model.geometry.prototype(
            features.unflatten(0, (len(distinct), len(templates))),
            model.encoder_of(model.first("tokens")),
        )
        check_finite(points, f"lift of {model.geometry.name}: text points of")
    return TextPoints(points, {text: row for row, text in enumerate(distinct)})


def check_finite(x: Float[Tensor, "n d"], what: str) -> Float[Tensor, "n d"]:
    """`x` itself. Raises GeomclipError that counts the rows with NaN or infinite entries."""
    # NaN compares false, so that a rank or a share made from it would look like an ordinary number.
    bad = int((~torch.isfinite(x).all(-1)).sum())
    if bad:
        raise GeomclipError(
            f"{what} {bad} of {len(x)} inputs are not finite (NaN or infinite)",
            "The weights have diverged: take an earlier checkpoint, or a lower learning rate.",
        )
    return x
