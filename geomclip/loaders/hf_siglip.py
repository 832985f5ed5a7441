"""Hugging Face's SiglipModel folders (SigLIP, and SigLIP 2 of one resolution).

An image tower without class token whose patches are read by a learned query, a text tower without
mask that is read at its last token, cosine logits with a bias.
"""

from typing import TYPE_CHECKING

from geomclip.errors import RequestError
from geomclip.loaders.assemble import Scalars, assemble, settle
from geomclip.loaders.hf_clip import activation, scale, tower_settings
from geomclip.loaders.layout import Layout, Source
from geomclip.loaders.names import HF_BLOCK, Names
from geomclip.loaders.preprocessing import SIGLIP, from_hf
from geomclip.loaders.towers import text_tower, vision_tower
from geomclip.loaders.vocabulary import piece_tokenizer, read_json

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

VISION = Names(
    {
        "conv1.*": "vision_model.embeddings.patch_embedding.*",
        "positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "ln_post.*": "vision_model.post_layernorm.*",
        "attn_pool.probe": "vision_model.head.probe|11",
        "attn_pool.attn.in_proj_weight": "vision_model.head.attention.in_proj_weight",
        "attn_pool.attn.in_proj_bias": "vision_model.head.attention.in_proj_bias",
        "attn_pool.attn.out_proj.*": "vision_model.head.attention.out_proj.*",
        "attn_pool.ln.*": "vision_model.head.layernorm.*",
        "attn_pool.mlp.c_fc.*": "vision_model.head.mlp.fc1.*",
        "attn_pool.mlp.c_proj.*": "vision_model.head.mlp.fc2.*",
    },
    "vision_model.encoder.layers.{}.",
    HF_BLOCK,
)
TEXT = Names(
    {
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "ln_final.*": "text_model.final_layer_norm.*",
        "text_projection": "text_model.head.weight|T",
        "projection_bias": "text_model.head.bias",
    },
    "text_model.encoder.layers.{}.",
    HF_BLOCK,
)


def read(source: Source) -> "ContrastiveModel":
    """The model of a SiglipModel folder."""
    left = dict(source.weights.tensors)
    vision, text = tower_settings(source, "vision"), tower_settings(source, "text")
    patches = left["vision_model.embeddings.patch_embedding.weight"]
    if patches.ndim != 4:
        raise RequestError(
            f"{source.where}: its patches are embedded by a matrix (SigLIP 2 of any resolution); "
            "only one resolution is read",
            "Take the model's variant of a fixed resolution.",
        )
    image_tower = vision_tower(
        VISION.take(left),
        source.where,
        heads=vision.setting("num_attention_heads", default=12, kind=int),
        activation=activation(vision, "gelu_pytorch_tanh"),
        eps=vision.setting("layer_norm_eps", default=1e-6, kind=(int, float)),
        image_size=vision.setting("image_size", default=224, kind=int),
    )
    text_ = text_tower(
        TEXT.take(left),
        source.where,
        heads=text.setting("num_attention_heads", default=12, kind=int),
        activation=activation(text, "gelu_pytorch_tanh"),
        eps=text.setting("layer_norm_eps", default=1e-6, kind=(int, float)),
        causal=False,
    )
    scalars = Scalars(scale(source, left))
    bias = left.pop("logit_bias")
    source.done(left, ("position_ids",))
    return assemble(
        image_tower,
        text_,
        settle(source, text_.text_projection.shape[1], scalars, "clip"),
        where=source.where,
        tokenizer=piece_tokenizer(source.folder, source.wishes.tokenizer),
        preprocessing=from_hf(
            read_json(source.folder / "preprocessor_config.json"),
            SIGLIP,
            image_tower.image_size,
            source.where,
        ),
        bias=bias,
    )


LAYOUT = Layout(
    "Hugging Face SigLIP",
    (
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model.head.probe",
        "text_model.embeddings.token_embedding.weight",
        "text_model.head.weight",
        "logit_scale",
        "logit_bias",
    ),
    read,
)
