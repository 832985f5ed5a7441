"""Export to a Hugging Face folder: CLIPModel, or SiglipModel for SigLIP's towers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from geomclip.loaders import hf_clip, hf_siglip
from geomclip.loaders.export import (
    layer_sizes,
    ours,
    refuse,
    stem_is_conv,
    towers_of,
    write,
)
from geomclip.loaders.preprocessing import preprocessing_of, to_hf

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel
    from geomclip.towers import TextTransformer, VisionTransformer

LAYOUT = "Hugging Face's CLIPModel"

_HIDDEN_ACT = {name: theirs for theirs, name in reversed(hf_clip.ACTIVATIONS.items())}


def write_hf(model: "ContrastiveModel", out: Path) -> list[str]:
    """Write the folder `out`, which transformers' from_pretrained and `geomclip.load` read.

    Returns:
        The names of its files.

    Raises:
        RequestError: what the model has that transformers does not; something is at `out`.
        GeomclipError: it can't be written.
    """
    image, text = towers_of(model, LAYOUT)
    siglip = image.attn_pool is not None
    kind = "siglip" if siglip else "clip"
    if siglip:
        _check_siglip(model, image, text)
        vision_names, text_names = hf_siglip.VISION, hf_siglip.TEXT
    else:
        _check_clip(image, text)
        vision_names, text_names = hf_clip.VISION, hf_clip.TEXT
    tensors: dict[str, Tensor] = {
        **vision_names.give(image.state_dict()),
        **text_names.give(text.state_dict()),
        "logit_scale": model.logit_scale.detach(),
    }
    if siglip:
        assert model.logit_bias is not None
        # Both have one axis there.
        tensors["logit_scale"] = tensors["logit_scale"][None]
        tensors["logit_bias"] = model.logit_bias[None]
    config: dict[str, Any] = {
        "architectures": ["SiglipModel" if siglip else "CLIPModel"],
        "model_type": kind,
        "torch_dtype": "float32",
        "vision_config": _vision(model, image, kind),
        "text_config": _text(model, text, kind),
        "geomclip": ours(model, bias=not siglip),
    }
    if not siglip:
        config["projection_dim"] = model.dim
    pixels = to_hf(preprocessing_of(model), model.image_size)
    pixels["image_processor_type"] = "SiglipImageProcessor" if siglip else "CLIPImageProcessor"
    return write(
        model,
        out,
        "model.safetensors",
        tensors,
        {"config.json": config, "preprocessor_config.json": pixels},
        library="transformers",
    )


def _check_clip(image: "VisionTransformer", text: "TextTransformer") -> None:
    bias = not stem_is_conv(image) and "conv1.bias" in image.state_dict()
    reasons = {
        "patches made by several convolutions": stem_is_conv(image),
        "patches with a bias": bias,
        f"an image tower read by {image.pool}": image.pool != "cls",
        "no LayerNorm before the image tower": "ln_pre.weight" not in image.state_dict(),
        "no final LayerNorm of pictures": "ln_post.weight" not in image.state_dict(),
        "no projection of pictures": image.proj is None,
        f"a text tower read by {text.pool}": text.pool != "eot",
        "no final LayerNorm of texts": "ln_final.weight" not in text.state_dict(),
        "a projection of texts with a bias": text.projection_bias is not None,
        f"an end of text with the id {text.eot}": text.eot == hf_clip.LARGEST_ID,
    }
    refuse(reasons, LAYOUT)


def _check_siglip(
    model: "ContrastiveModel", image: "VisionTransformer", text: "TextTransformer"
) -> None:
    state = image.state_dict()
    reasons = {
        "a class token": image.class_embedding is not None,
        "patches without a bias": "conv1.bias" not in state,
        "a LayerNorm before the image tower": "ln_pre.weight" in state,
        "no final LayerNorm of pictures": "ln_post.weight" not in state,
        "a projection of pictures": image.proj is not None,
        f"a text tower read by {text.pool}": text.pool != "last",
        "no final LayerNorm of texts": "ln_final.weight" not in text.state_dict(),
        "a projection of texts without a bias": text.projection_bias is None,
        "logits without a bias": model.logit_bias is None,
    }
    refuse(reasons, "Hugging Face's SiglipModel")


def _common(tower: "VisionTransformer | TextTransformer") -> dict[str, Any]:
    sizes = layer_sizes(tower)
    return {
        "hidden_size": sizes["width"],
        "intermediate_size": sizes["mlp_width"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "hidden_act": _HIDDEN_ACT[sizes["activation"]],
        "layer_norm_eps": sizes["eps"],
        "attention_dropout": 0.0,
    }


def _vision(model: "ContrastiveModel", image: "VisionTransformer", kind: str) -> dict[str, Any]:
    values = {
        "model_type": f"{kind}_vision_model",
        **_common(image),
        "image_size": image.image_size,
        "patch_size": image.patch_size,
        "num_channels": 3,
    }
    return values | ({"projection_dim": model.dim} if kind == "clip" else {})


def _text(model: "ContrastiveModel", text: "TextTransformer", kind: str) -> dict[str, Any]:
    tokenizer = model.tokenizer
    values = {
        "model_type": f"{kind}_text_model",
        **_common(text),
        "max_position_embeddings": text.context_length,
        "vocab_size": text.token_embedding.num_embeddings,
    }
    if kind == "siglip":
        marks = {} if tokenizer is None else {"eos_token_id": tokenizer.eot}
        return values | marks | {"projection_size": model.dim, "bos_token_id": None}
    # 2 is what transformers takes for "the largest id of a row".
    end = hf_clip.LARGEST_ID if text.eot is None else text.eot
    return values | {
        "projection_dim": model.dim,
        "bos_token_id": getattr(tokenizer, "sot", None),
        "eos_token_id": end,
        "pad_token_id": 0 if tokenizer is None else tokenizer.pad,
    }
