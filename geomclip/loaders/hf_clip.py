"""Hugging Face's CLIPModel folders: config.json, weights, tokenizer, preprocessor_config.json.

What only we know (the geometry, a bias of its logits) stands in config.json under "geomclip", so
that a model exported by us comes back as it was.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.loaders.assemble import Scalars, assemble, settle
from geomclip.loaders.layout import Layout, Source
from geomclip.loaders.names import HF_BLOCK, Names
from geomclip.loaders.preprocessing import OPENAI, from_hf
from geomclip.loaders.towers import text_tower, vision_tower
from geomclip.loaders.vocabulary import clip_tokenizer, read_json

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel
    from geomclip.towers.transformer import Activation

VISION = Names(
    {
        "class_embedding": "vision_model.embeddings.class_embedding",
        "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "ln_pre.*": "vision_model.pre_layrnorm.*",  # the published spelling
        "ln_post.*": "vision_model.post_layernorm.*",
        "proj": "visual_projection.weight|T",
    },
    "vision_model.encoder.layers.{}.",
    HF_BLOCK,
)
TEXT = Names(
    {
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "ln_final.*": "text_model.final_layer_norm.*",
        "text_projection": "text_projection.weight|T",
    },
    "text_model.encoder.layers.{}.",
    HF_BLOCK,
)

ACTIVATIONS: dict[str, "Activation"] = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
"""Hugging Face's names of activations; of two for one of ours the first is written."""

EOS = 49407
# Written by transformers before 4.31 for every CLIP: it then reads the largest id of a row.
LARGEST_ID = 2


def read(source: Source) -> "ContrastiveModel":
    """The model of a CLIPModel folder."""
    left = dict(source.weights.tensors)
    vision, text = tower_settings(source, "vision"), tower_settings(source, "text")
    eos = text.setting("eos_token_id", default=EOS, kind=int)
    image_tower = vision_tower(
        VISION.take(left),
        source.where,
        heads=vision.setting("num_attention_heads", default=12, kind=int),
        activation=activation(vision, "quick_gelu"),
        eps=vision.setting("layer_norm_eps", default=1e-5, kind=(int, float)),
        image_size=vision.setting("image_size", default=224, kind=int),
    )
    text_ = text_tower(
        TEXT.take(left),
        source.where,
        heads=text.setting("num_attention_heads", default=8, kind=int),
        activation=activation(text, "quick_gelu"),
        eps=text.setting("layer_norm_eps", default=1e-5, kind=(int, float)),
        eot=None if eos == LARGEST_ID else eos,
    )
    scalars = Scalars(scale(source, left))
    source.done(left, ("position_ids",))
    bias = source.setting("geomclip", "logit_bias", kind=(int, float))
    return assemble(
        image_tower,
        text_,
        settle(source, text_.text_projection.shape[1], scalars, "clip"),
        where=source.where,
        tokenizer=clip_tokenizer(
            source.folder, source.wishes.tokenizer, text_.token_embedding.num_embeddings
        ),
        preprocessing=from_hf(
            read_json(source.folder / "preprocessor_config.json"),
            OPENAI,
            image_tower.image_size,
            source.where,
        ),
        bias=None if bias is None else torch.tensor(float(bias)),
    )


def tower_settings(source: Source, tower: str) -> Source:
    """The source with a tower's part of config.json; old files override it by a second one.

    Raises RequestError where there is no config.json: heads and activation are in no tensor.
    """
    if not source.config:
        raise RequestError(
            f"{source.where}: there is no config.json beside the weights, and no tensor tells a "
            "tower's heads and activation",
            "Copy the whole folder.",
        )
    merged: dict[str, Any] = {}
    for name in (f"{tower}_config", f"{tower}_config_dict"):
        merged |= source.setting(name, default={}, kind=Mapping)
    return Source(source.path, source.folder, source.weights, merged, source.wishes)


def activation(settings: Source, default: str) -> "Activation":
    """The activation that a tower's settings, or the user, name."""
    if settings.wishes.quick_gelu is not None:
        return "quick_gelu" if settings.wishes.quick_gelu else "gelu"
    name = settings.setting("hidden_act", default=default, kind=str)
    if name not in ACTIVATIONS:
        raise RequestError(
            f"{settings.where}: its towers have the activation {name!r}",
            f"Known are {', '.join(ACTIVATIONS)}.",
        )
    return ACTIVATIONS[name]


def scale(source: Source, left: dict[str, Tensor]) -> Tensor:
    """logit_scale, taken out of `left`."""
    if "logit_scale" not in left:
        raise RequestError(f"{source.where}: no tensor logit_scale", "Copy the weights again.")
    return left.pop("logit_scale")


LAYOUT = Layout(
    "Hugging Face CLIP",
    (
        "vision_model.embeddings.class_embedding",
        "vision_model.encoder.layers.0.self_attn.q_proj.weight",
        "visual_projection.weight",
        "text_model.embeddings.token_embedding.weight",
        "text_projection.weight",
        "logit_scale",
    ),
    read,
)
