"""Export to open_clip: open_clip_config.json, open_clip_model.safetensors, tokenizer."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from geomclip.loaders import openclip
from geomclip.loaders.export import (
    layer_sizes,
    ours,
    refuse,
    stem_is_conv,
    towers_of,
    write,
)
from geomclip.loaders.preprocessing import preprocessing_of, to_open_clip

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel
    from geomclip.towers import TextTransformer, VisionTransformer

LAYOUT = "open_clip's CLIP"


def write_openclip(model: "ContrastiveModel", out: Path) -> list[str]:
    """Write the folder `out`, which open_clip ("local-dir:OUT") and `geomclip.load` read.

    The EuCLIP fork's names are used for the scalars of hyperbolic geometries and its flag for
    towers without final LayerNorm; such a model needs the fork.

    Returns:
        The names of its files.

    Raises:
        RequestError: what the model has that open_clip does not; something is at `out`.
        GeomclipError: it can't be written.
    """
    image, text = towers_of(model, LAYOUT)
    _check(image, text)
    names = openclip.TEXT if text.projection_bias is None else openclip.TEXT_LINEAR
    tensors: dict[str, Tensor] = {
        **openclip.VISION.give(image.state_dict()),
        **names.give(text.state_dict()),
        "logit_scale": model.logit_scale.detach(),
    }
    if model.logit_bias is not None:
        tensors["logit_bias"] = model.logit_bias
    geometry = model.geometry
    if geometry.spec.manifold == "lorentz":
        tensors["alpha_img"] = geometry.log_alpha["image"].detach()
        tensors["alpha_txt"] = geometry.log_alpha["text"].detach()
        tensors["curvature"] = geometry.manifold.c.detach().log()
    config = {
        "model_cfg": {
            "embed_dim": model.dim,
            "quick_gelu": image.transformer.activation == "quick_gelu",
            **({} if model.logit_bias is None else {"init_logit_bias": model.logit_bias.item()}),
            "vision_cfg": _vision(image),
            "text_cfg": _text(text),
        },
        "preprocess_cfg": to_open_clip(preprocessing_of(model)),
        "geomclip": ours(model, bias=False),
    }
    return write(
        model,
        out,
        "open_clip_model.safetensors",
        tensors,
        {openclip.CONFIG: config},
        library="open_clip",
    )


def _check(image: "VisionTransformer", text: "TextTransformer") -> None:
    state = image.state_dict()
    acts = {image.transformer.activation, text.transformer.activation}
    final = {"ln_post.weight" in state, "ln_final.weight" in text.state_dict()}
    reasons = {
        "patches made by several convolutions": stem_is_conv(image),
        "patches with a bias": not stem_is_conv(image) and "conv1.bias" in state,
        "an image tower without class token": image.class_embedding is None,
        "a side of pictures that is no multiple of the patch's": image.image_size % image.patch_size
        > 0,
        "no projection of pictures": image.proj is None,
        f"a text tower read by {text.pool}": text.pool != "eot",
        "QuickGELU in one tower alone": "quick_gelu" in acts and len(acts) > 1,
        "a final LayerNorm in one tower alone": len(final) > 1,
        "heads that do not divide the image tower's width": image.transformer.width
        % image.transformer.heads
        > 0,
    }
    refuse(reasons, LAYOUT)


def _common(tower: "VisionTransformer | TextTransformer", final: str) -> dict[str, Any]:
    sizes = layer_sizes(tower)
    values: dict[str, Any] = {"width": sizes["width"], "layers": sizes["layers"]}
    if sizes["mlp_width"] != 4 * sizes["width"]:
        values["mlp_ratio"] = sizes["mlp_width"] / sizes["width"]
    if sizes["activation"] == "gelu_tanh":
        values["act_kwargs"] = {"approximate": "tanh"}
    if sizes["eps"] != 1e-5:
        values["norm_kwargs"] = {"eps": sizes["eps"]}
    if f"{final}.weight" not in tower.state_dict():
        values["final_layernorm"] = False  # the fork's flag
    return values


def _vision(image: "VisionTransformer") -> dict[str, Any]:
    return {
        **_common(image, "ln_post"),
        "image_size": image.image_size,
        "patch_size": image.patch_size,
        "head_width": image.transformer.width // image.transformer.heads,
        **({"pool_type": "avg"} if image.pool == "mean" else {}),
        **({} if "ln_pre.weight" in image.state_dict() else {"no_ln_pre": True}),
    }


def _text(text: "TextTransformer") -> dict[str, Any]:
    return {
        **_common(text, "ln_final"),
        "heads": text.transformer.heads,
        "context_length": text.context_length,
        "vocab_size": text.token_embedding.num_embeddings,
        **({} if text.eot is None else {"pool_type": "eos", "eos_id": text.eot}),
        **({} if text.projection_bias is None else {"proj_bias": True}),
    }
