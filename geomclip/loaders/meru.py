"""MERU's checkpoints, and those of HyCoCLIP, ATMG and UNCHA, which have its layout.

{model, optimizer, scheduler, scaler, iteration}; towers of timm (visual.) and of open_clip's make
(textual.), projections beside them; curv, visual_alpha, textual_alpha are logarithms. Without them
it is a CLIP baseline, whose root may stand beside "model". UNCHA has a logit scale for whole
pictures and texts of its own (global_logit_scale). The logits of ATMG are angles; its points are
MERU's, and `geomclip.losses.angle` has its score.
"""

from typing import TYPE_CHECKING

from geomclip.errors import RequestError
from geomclip.loaders.assemble import Scalars, assemble, build
from geomclip.loaders.layout import Layout, Source
from geomclip.loaders.names import OPEN_CLIP_BLOCK, Names
from geomclip.loaders.preprocessing import IMAGENET, Preprocessing, Triple
from geomclip.loaders.towers import text_tower, vision_tower
from geomclip.loaders.vocabulary import clip_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from geomclip.model import ContrastiveModel
    from geomclip.towers import TextTransformer, VisionTransformer
    from geomclip.towers.transformer import Activation

VISION = Names(
    {
        "class_embedding": "visual.cls_token|11",
        "conv1.*": "visual.patch_embed.proj.*",
        "positional_embedding": "visual.pos_embed|1",
        "ln_post.*": "visual.norm.*",
        "proj": "visual_proj.weight|T",
    },
    "visual.blocks.{}.",
    {
        "ln_1.*": "norm1.*",
        "attn.in_proj_weight": "attn.qkv.weight",
        "attn.in_proj_bias": "attn.qkv.bias",
        "attn.out_proj.*": "attn.proj.*",
        "ln_2.*": "norm2.*",
        "mlp.c_fc.*": "mlp.fc1.*",
        "mlp.c_proj.*": "mlp.fc2.*",
    },
)
TEXT = Names(
    {
        "token_embedding.weight": "textual.token_embed.weight",
        "positional_embedding": "textual.posit_embed",
        "ln_final.*": "textual.ln_final.*",
        "text_projection": "textual_proj.weight|T",
    },
    "textual.resblocks.{}.",
    OPEN_CLIP_BLOCK,
)

# The small model has 12 heads, not the 6 that its width has elsewhere.
_HEADS = {384: 12}
# Computed anew by its code; numbers of the training scheme; scales of parts, not of wholes.
_NOT_READ = ("attn_mask", "local_logit_scale")


def read(source: Source) -> "ContrastiveModel":
    """The model of a MERU checkpoint."""
    left = dict(source.weights.tensors)
    image, text = towers(source, left)
    alpha = {"image": left.pop("visual_alpha", None), "text": left.pop("textual_alpha", None)}
    whole = left.pop("global_logit_scale", None)
    scale = left.pop("logit_scale", None)
    preprocessing = pixels(source, left)
    scalars = Scalars(
        _there(source, scale if whole is None else whole, "logit_scale"),
        {modality: value for modality, value in alpha.items() if value is not None},
        left.pop("curv", None),
        source.weights.extras.get("root"),
    )
    source.done(left, _NOT_READ)
    name = source.wishes.geometry or ("clip" if scalars.c is None else "hyperbolic")
    return assemble(
        image,
        text,
        build(name, text.text_projection.shape[1], scalars, source.where),
        where=source.where,
        tokenizer=clip_tokenizer(
            source.folder, source.wishes.tokenizer, text.token_embedding.num_embeddings
        ),
        preprocessing=preprocessing,
    )


def towers(
    source: Source, left: "dict[str, Tensor]"
) -> "tuple[VisionTransformer, TextTransformer]":
    """Both towers, whose tensors are taken out of `left`."""
    quick: Activation = "quick_gelu" if source.wishes.quick_gelu else "gelu"
    state = VISION.take(left)
    width = state["class_embedding"].shape[-1] if "class_embedding" in state else 0
    image = vision_tower(state, source.where, heads=_HEADS.get(width), activation=quick)
    return image, text_tower(TEXT.take(left), source.where, activation=quick)


def pixels(source: Source, left: "dict[str, Tensor]") -> Preprocessing:
    """The normalisation that the model holds; ImageNet's where it holds none."""
    mean, std = left.pop("pixel_mean", None), left.pop("pixel_std", None)
    if mean is None or std is None:
        return IMAGENET
    return Preprocessing(_triple(source, mean), _triple(source, std), IMAGENET.fit)


def _triple(source: Source, value: "Tensor") -> Triple:
    if value.numel() != 3:
        raise RequestError(
            f"{source.where}: the pixels' normalisation has shape {tuple(value.shape)}, not 3 "
            "channels",
            "Copy the file again.",
        )
    r, g, b = value.flatten().tolist()
    return r, g, b


def _there(source: Source, value: "Tensor | None", name: str) -> "Tensor":
    if value is None:
        raise RequestError(f"{source.where}: no tensor {name}", "Copy the file again.")
    return value


NEEDS = (
    "visual.cls_token",
    "visual.blocks.0.attn.qkv.weight",
    "textual.token_embed.weight",
    "textual.resblocks.0.attn.in_proj_weight",
    "visual_proj.weight",
    "textual_proj.weight",
)

LAYOUT = Layout("MERU (HyCoCLIP, ATMG, UNCHA)", NEEDS, read, lacks=("curvs.",))
