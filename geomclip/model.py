"""ContrastiveModel: named encoders that meet in one geometry."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomclip.data.fit import LETTERBOX, Fit
from geomclip.errors import RequestError
from geomclip.geometry import Geometry, build_geometry
from geomclip.towers import ConvNet, TextTransformer, VisionTransformer
from geomclip.train.config import ModelConfig, TrainConfig

if TYPE_CHECKING:
    from geomclip.data.pieces import PieceTokenizer
    from geomclip.data.tokenizer import Tokenizer

# OpenAI's CLIP statistics; the towers see pixels with about mean 0 and variance 1.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


class ContrastiveModel(nn.Module):
    """Encoders with their projections, one geometry; image-text is the two-encoder case.

    Args:
        encoders: by modality, each maps its input to raw projected features (n, d).
        geometry: lifts features to points and scores them; its modalities are the encoders' names.
        tokenizer: turns texts into ids; needed only to encode strings.
        image_size: side of the pictures that the image encoder takes, pixels.
        pixel_mean, pixel_std: what pixels are normalised by, a number a channel.
        fit: how pictures of other shapes become square.
        logit_bias: what a model trained with the sigmoid loss adds to its logits to get the odds
            of a match; it changes no order and is no part of `geometry.logits`.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    logit_bias: Tensor | None

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        geometry: Geometry,
        tokenizer: "Tokenizer | PieceTokenizer | None" = None,
        *,
        image_size: int = 0,
        context_length: int = 0,
        pixel_mean: Sequence[float] = PIXEL_MEAN,
        pixel_std: Sequence[float] = PIXEL_STD,
        fit: Fit = LETTERBOX,
        logit_bias: float | None = None,
    ) -> None:
        super().__init__()
        if set(encoders) != set(geometry.modalities):
            raise ValueError(
                f"ContrastiveModel: encoders {sorted(encoders)} do not match the geometry's "
                f"modalities {sorted(geometry.modalities)}"
            )
        self.encoders = nn.ModuleDict(encoders)
        self.geometry = geometry
        self.tokenizer = tokenizer
        self.image_size = image_size
        self.context_length = context_length
        self.fit = fit
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1))
        self.register_buffer(
            "logit_bias", None if logit_bias is None else torch.tensor(float(logit_bias))
        )

    @property
    def dim(self) -> int:
        """Dimension of features and points."""
        return self.geometry.dim

    @property
    def logit_scale(self) -> nn.Parameter:
        """Log of the temperature factor, as open_clip names it."""
        return self.geometry.logit_scale

    def image_features(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Raw projected features of pictures with values in [0, 1]."""
        return self.encoders["image"]((pixels - self.pixel_mean) / self.pixel_std)

    def text_features(self, texts: Sequence[str] | Int[Tensor, "n l"]) -> Float[Tensor, "n d"]:
        """Raw projected features of strings or token ids.

        Raises:
            RequestError: strings were given and the model has no tokenizer.
        """
        if not isinstance(texts, Tensor):
            if self.tokenizer is None:
                raise RequestError(
                    "the model has no tokenizer: there was no vocabulary beside its weights",
                    "Put CLIP's vocab.json and merges.txt (or bpe_simple_vocab_16e6.txt.gz) there, "
                    "give its path as tokenizer, or pass token ids.",
                )
            texts = self.tokenizer(list(texts), self.context_length).to(self.pixel_mean.device)
        return self.encoders["text"](texts)

    def encode_image(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Points of pictures with values in [0, 1] on `geometry.manifold`."""
        return self.geometry.lift(self.image_features(pixels), "image")

    def encode_text(self, texts: Sequence[str] | Int[Tensor, "n l"]) -> Float[Tensor, "n d"]:
        """Points of strings or token ids on `geometry.manifold`."""
        return self.geometry.lift(self.text_features(texts), "text")

    def forward(
        self, pixels: Float[Tensor, "n 3 s s"], texts: Int[Tensor, "n l"]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """(image points, text points)."""
        return self.encode_image(pixels), self.encode_text(texts)


def build_image_tower(config: ModelConfig) -> nn.Module:
    """The image tower of a configuration, freshly initialised from torch's generator."""
    image = config.image
    if image.kind == "convnet":
        return ConvNet(
            width=image.width,
            layers=image.layers,
            embed_dim=config.embed_dim,
            final_layernorm=config.final_layernorm,
        )
    return VisionTransformer(
        image_size=image.image_size,
        patch_size=image.patch_size,
        width=image.width,
        layers=image.layers,
        heads=image.heads,
        embed_dim=config.embed_dim,
        pool=image.pool,
        stem=image.stem,
        final_layernorm=config.final_layernorm,
        activation="quick_gelu" if image.quick_gelu else "gelu",
    )


def build_text_tower(config: ModelConfig, *, vocab_size: int, eot: int) -> TextTransformer:
    """The text tower of a configuration, freshly initialised from torch's generator."""
    text = config.text
    return TextTransformer(
        context_length=text.context_length,
        vocab_size=vocab_size,
        width=text.width,
        layers=text.layers,
        heads=text.heads,
        embed_dim=config.embed_dim,
        eot=eot,
        pool=text.pool,
        final_layernorm=config.final_layernorm,
        activation="quick_gelu" if text.quick_gelu else "gelu",
    )


def build_model(config: TrainConfig, tokenizer: "Tokenizer") -> ContrastiveModel:
    """A fresh model; its tower weights depend on `config.seed` and `config.model` alone.

    Two configurations that differ only in the geometry start from the same towers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoders = {
            "image": build_image_tower(config.model),
            "text": build_text_tower(
                config.model, vocab_size=tokenizer.vocab_size, eot=tokenizer.eot
            ),
        }
    geometry = build_geometry(
        config.geometry,
        config.model.embed_dim,
        init_logit_scale=config.init_logit_scale,
        entailment=config.entailment > 0,
        min_logit_scale=config.min_logit_scale,
        alpha_max=config.alpha_max,
        c_init=config.c_init,
        learn_c=config.learn_c,
        c_min=config.c_min,
        c_max=config.c_max,
    )
    return ContrastiveModel(
        encoders,
        geometry,
        tokenizer,
        image_size=config.model.image.image_size,
        context_length=config.model.text.context_length,
    )
