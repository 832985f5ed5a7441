"""ContrastiveModel: named encoders that meet in one geometry."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomclip.data.fit import LETTERBOX, Fit
from geomclip.errors import RequestError
from geomclip.geometry import Geometry, build_geometry
from geomclip.towers import ConvNet, PointTable, TextTransformer, VisionTransformer
from geomclip.train.config import ModelConfig, TrainConfig
from geomclip.train.modality_config import IMAGE_TEXT, ModalityConfig

if TYPE_CHECKING:
    from geomclip.data.pieces import PieceTokenizer
    from geomclip.data.tokenizer import Tokenizer

# OpenAI's CLIP statistics; the towers see pixels with about mean 0 and variance 1.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


class ContrastiveModel(nn.Module):
    """Encoders with their projections, one geometry; image-text is the two-encoder case.

    An encoder maps what it is given to raw projected features (n, d), which the geometry lifts. One
    with a true attribute `gives_points` (`towers.PointTable`) gives points of the geometry's
    manifold, which are left as they are.

    Args:
        encoders: by modality.
        geometry: lifts features to points and scores them; its modalities are the encoders' names,
            its `given` those that give points.
        tokenizer: turns texts into ids; needed only to encode strings.
        image_size: side of the pictures that the image encoders take, pixels.
        pixel_mean, pixel_std: what pixels are normalised by, a number a channel.
        fit: how pictures of other shapes become square.
        logit_bias: what a model trained with the sigmoid loss adds to its logits to get the odds
            of a match; it changes no order and is no part of `geometry.logits`.
        modalities: what the modalities read of a record and which share an encoder; those of a run.
            Without it "image" takes pixels, "text" strings or token ids, and others what you give.
        items: what the rows of tables of items stand for.

    Raises:
        ValueError: encoders and the geometry's modalities differ, an encoder gives points that the
            geometry would lift (or the reverse), or its points lie on another manifold.
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
        modalities: Mapping[str, ModalityConfig] | None = None,
        items: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if set(encoders) != set(geometry.modalities):
            raise ValueError(
                f"ContrastiveModel: encoders {sorted(encoders)} do not match the geometry's "
                f"modalities {sorted(geometry.modalities)}"
            )
        for name, encoder in encoders.items():
            _check_points(name, encoder, geometry)
        self.encoders = nn.ModuleDict(encoders)
        self.geometry = geometry
        self.tokenizer = tokenizer
        self.image_size = image_size
        self.context_length = context_length
        self.fit = fit
        known = IMAGE_TEXT if modalities is None else modalities
        self.modalities = {n: m for n, m in known.items() if (m.shares or n) in encoders}
        self.items = tuple(items)
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

    def encoder_of(self, modality: str) -> str:
        """The encoder that serves a modality, by its name: its own, or one that it shares.

        Raises:
            ValueError: there is no such modality.
        """
        about = self.modalities.get(modality)
        name = (about.shares or modality) if about else modality
        if name not in self.encoders:
            known = ", ".join(dict.fromkeys([*self.modalities, *self.encoders]))
            raise ValueError(f"there is no modality {modality!r}; this model has {known}")
        return name

    def first(self, kind: str) -> str:
        """The first modality of a kind, pixels or tokens, that has an encoder.

        Raises:
            ValueError: there is none.
        """
        for name, modality in self.modalities.items():
            if modality.kind == kind:
                return name
        known = ", ".join(self.encoders)
        raise ValueError(f"this model takes no {kind}; its modalities are {known}")

    def features(self, inputs: Any, modality: str) -> Float[Tensor, "n d"]:
        """Raw projected features of what a modality takes, points where its encoder gives those.

        Args:
            inputs: pictures (n, 3, s, s) with values in [0, 1]; strings or token ids; numbers of
                items; what the encoder takes for a modality that the model knows by name alone.

        Raises:
            ValueError: unknown modality, or strings were given and the model has no tokenizer.
        """
        encoder = self.encoders[self.encoder_of(modality)]
        about = self.modalities.get(modality)
        kind = about.kind if about else ""
        if kind == "pixels":
            inputs = (inputs - self.pixel_mean) / self.pixel_std
        elif kind == "tokens" and not isinstance(inputs, Tensor):
            if self.tokenizer is None:
                raise RequestError(
                    "the model has no tokenizer: there was no vocabulary beside its weights",
                    "Put CLIP's vocab.json and merges.txt (or bpe_simple_vocab_16e6.txt.gz) there, "
                    "give its path as tokenizer, or pass token ids.",
                )
            inputs = self.tokenizer(list(inputs), self.context_length).to(self.pixel_mean.device)
        return encoder(inputs)

    def encode(self, inputs: Any, modality: str) -> Float[Tensor, "n d"]:
        """Points of what a modality takes, as `features`, on `geometry.manifold`."""
        return self.geometry.lift(self.features(inputs, modality), self.encoder_of(modality))

    def image_features(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Raw projected features of pictures with values in [0, 1]."""
        return self.features(pixels, self.first("pixels"))

    def text_features(self, texts: Sequence[str] | Int[Tensor, "n l"]) -> Float[Tensor, "n d"]:
        """Raw projected features of strings or token ids, by the first encoder of texts.

        Raises:
            ValueError: strings were given and the model has no tokenizer.
        """
        return self.features(texts, self.first("tokens"))

    def encode_image(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Points of pictures with values in [0, 1] on `geometry.manifold`."""
        return self.encode(pixels, self.first("pixels"))

    def encode_text(self, texts: Sequence[str] | Int[Tensor, "n l"]) -> Float[Tensor, "n d"]:
        """Points of strings or token ids on `geometry.manifold`, by the first encoder of texts."""
        return self.encode(texts, self.first("tokens"))

    def forward(self, *inputs: Any) -> tuple[Float[Tensor, "n d"], ...]:
        """Points of the inputs of each modality, in their order: (image points, text points)."""
        names = dict.fromkeys([*self.modalities, *self.encoders])
        return tuple(self.encode(x, name) for x, name in zip(inputs, names, strict=True))


def _check_points(name: str, encoder: nn.Module, geometry: Geometry) -> None:
    """Whether encoder and geometry agree on what comes out. Raises ValueError."""
    gives = bool(getattr(encoder, "gives_points", False))
    if gives and name not in geometry.given:
        raise ValueError(
            f"ContrastiveModel: the encoder {name!r} gives points, which {geometry.name} would "
            f"lift; build the geometry with given=({name!r},)"
        )
    if not gives and name in geometry.given:
        raise ValueError(
            f"ContrastiveModel: {geometry.name} takes what the encoder {name!r} gives for points; "
            "set gives_points = True in its class if it does give points of the manifold"
        )
    manifold = getattr(encoder, "manifold", None) if gives else None
    if manifold is not None and manifold is not geometry.manifold:
        raise ValueError(
            f"ContrastiveModel: the points of {name!r} lie on {manifold!r}, not on the geometry's "
            f"own {geometry.manifold!r}; make them with geometry.manifold"
        )


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


def build_encoder(
    config: TrainConfig, name: str, tokenizer: "Tokenizer", geometry: Geometry, items: int
) -> nn.Module:
    """The encoder of a modality, freshly initialised from torch's generator.

    Raises:
        RequestError: an encoder of the user's own whose module is not imported, or that is none.
    """
    modality = config.modalities[name]
    if ":" in modality.encoder:
        return _own_encoder(config, name, tokenizer)
    if modality.kind == "rows":
        return PointTable(max(1, items), geometry.manifold, geometry.dim)
    if modality.kind == "pixels":
        return build_image_tower(config.model)
    return build_text_tower(config.model, vocab_size=tokenizer.vocab_size, eot=tokenizer.eot)


def _own_encoder(config: TrainConfig, name: str, tokenizer: "Tokenizer") -> nn.Module:
    path, _, function = config.modalities[name].encoder.partition(":")
    # A configuration must not run code by itself: whoever reads it imports what it may use.
    module = sys.modules.get(path)
    if module is None:
        raise RequestError(
            f"[modalities.{name}]: the encoder {path}:{function} is code outside of geomclip, and "
            f"{path} is not imported",
            f"On the command line give --plugin {path}; in Python import {path} first.",
        )
    make = getattr(module, function, None)
    encoder = make(config, tokenizer) if callable(make) else None
    if not isinstance(encoder, nn.Module):
        raise RequestError(
            f"[modalities.{name}]: {path}:{function} gives no torch module",
            "It is called with the configuration and the tokenizer, and returns an nn.Module.",
        )
    return encoder


def build_model(
    config: TrainConfig, tokenizer: "Tokenizer", items: Sequence[str] = ()
) -> ContrastiveModel:
    """A fresh model; its tower weights depend on `config.seed` and `config.model` alone.

    Two configurations that differ only in the geometry start from the same towers.

    Args:
        items: what the rows of tables stand for.
    """
    own = {name: m for name, m in config.modalities.items() if not m.shares}
    geometry = build_geometry(
        config.geometry,
        config.model.embed_dim,
        modalities=tuple(own),
        init_logit_scale=config.init_logit_scale,
        entailment=config.entailment > 0,
        min_logit_scale=config.min_logit_scale,
        alpha_max=config.alpha_max,
        c_init=config.c_init,
        learn_c=config.learn_c,
        c_min=config.c_min,
        c_max=config.c_max,
        given=[name for name, m in own.items() if m.gives_points],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoders = {
            name: build_encoder(config, name, tokenizer, geometry, len(items)) for name in own
        }
    return ContrastiveModel(
        encoders,
        geometry,
        tokenizer,
        image_size=config.model.image.image_size,
        context_length=config.model.text.context_length,
        modalities=config.modalities,
        items=items,
    )
