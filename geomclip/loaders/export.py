"""Writing models in the layouts of others: `geomclip export SOURCE OUT --to hf|openclip`.

What a layout has no words for is refused, all of it in one line, but for the geometry: others score
by the cosine whatever the space is. The geometry, its scalars and the bias of the logits stand in
the configuration under "geomclip", from where `geomclip.load` takes them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from geomclip import __version__
from geomclip.errors import RequestError
from geomclip.geometry_record import describe
from geomclip.towers import TextTransformer, VisionTransformer
from geomclip.train.files import disk_errors, write_folder

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

_CARD = """\
---
library_name: {library}
tags: [contrastive-learning, image-text, {geometry}]
---

# An image tower and a text tower in the geometry {geometry}

Exported by geomclip {version}. {parameters:,} parameters, embeddings of dimension {dim}, pictures
of {size} x {size} pixels ({fit}).
{note}
```python
import geomclip

model = geomclip.load("{folder}")
points = model.encode_text(["a cat", "an animal"])  # on model.geometry.manifold
```
"""
_CURVED = """
Programs that know no geometry but CLIP's read the towers and give the same features, which are not
yet points of this space, and compare them by their cosine, which is not its distance.
"""


def towers_of(model: "ContrastiveModel", layout: str) -> tuple[VisionTransformer, TextTransformer]:
    """The two transformers of a model.

    Raises:
        RequestError: its encoders are others.
    """
    encoders = dict(model.encoders.items())
    image, text = encoders.get("image"), encoders.get("text")
    if len(encoders) == 2 and isinstance(image, VisionTransformer):
        if isinstance(text, TextTransformer):
            return image, text
    kinds = ", ".join(f"{name} {type(tower).__name__}" for name, tower in encoders.items())
    raise RequestError(
        f"{layout} has no words for these encoders: {kinds}",
        "Only CLIP's own towers are exported: --model.image.kind vit when training.",
    )


def refuse(reasons: Mapping[str, bool], layout: str) -> None:
    """Raises RequestError that lists the reasons that hold, in one line."""
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise RequestError(
            f"{layout} has no words for {', '.join(found)}",
            "Use it from its own folder (geomclip.load), or export what it embeds.",
        )


def stem_is_conv(image: VisionTransformer) -> bool:
    """Whether several convolutions make the patches' tokens."""
    return not isinstance(image.conv1, nn.Conv2d)


def layer_sizes(tower: VisionTransformer | TextTransformer) -> dict[str, Any]:
    """What both layouts ask of a transformer, by our names."""
    t = tower.transformer
    return {
        "width": t.width,
        "layers": len(t.resblocks),
        "heads": t.heads,
        "mlp_width": t.mlp_width,
        "activation": t.activation,
        "eps": t.eps,
    }


def ours(model: "ContrastiveModel", *, bias: bool) -> dict[str, Any]:
    """What goes into a configuration under "geomclip".

    Args:
        bias: whether the bias of the logits belongs here, for want of a tensor.
    """
    values: dict[str, Any] = {"version": __version__, "geometry": describe(model.geometry)}
    if bias and model.logit_bias is not None:
        values["logit_bias"] = model.logit_bias.item()
    return values


def write(
    model: "ContrastiveModel",
    out: Path,
    weights: str,
    tensors: Mapping[str, Tensor],
    configs: Mapping[str, Mapping[str, Any]],
    *,
    library: str,
) -> list[str]:
    """Write the folder `out` in one rename; returns the names of its files.

    Args:
        weights: name of the file of tensors.
        configs: json files by name.
        library: for the card.

    Raises:
        RequestError: there is something at `out`.
        GeomclipError: it can't be written (disk full, permission); there is nothing then.
    """
    from safetensors.torch import save

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out} exists and is no empty folder", "Choose another OUT.")
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    files = {name: _json(values) for name, values in configs.items()}
    files[weights] = save(stored, metadata={"format": "pt"})
    files |= tokenizer_files(model)
    name = model.geometry.name
    files["README.md"] = _CARD.format(
        library=library,
        geometry=name,
        version=__version__,
        parameters=sum(p.numel() for p in model.parameters()),
        dim=model.dim,
        size=model.image_size,
        fit=model.fit.kind,
        note="" if name == "clip" else _CURVED,
        folder=out.name,
    ).encode()
    with disk_errors(f"{out} can't be written", "Choose another OUT, or free some space."):
        if out.is_dir():
            out.rmdir()
        out.parent.mkdir(parents=True, exist_ok=True)
        write_folder(out, files)
    return sorted(files)


def tokenizer_files(model: "ContrastiveModel") -> dict[str, bytes]:
    """tokenizer.json and the names of its marks; nothing for a model without a tokenizer."""
    tokenizer = model.tokenizer
    if tokenizer is None:
        return {}
    end = tokenizer.token(tokenizer.eot)
    marks = {"eos_token": end, "unk_token": end}
    marks["pad_token"] = tokenizer.token(tokenizer.pad)
    if (start := getattr(tokenizer, "sot", None)) is not None:
        # CLIP's padding is no token; whatever stands behind the first end is not read.
        marks |= {"bos_token": tokenizer.token(start), "pad_token": end}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.context_length,
        **marks,
    }
    return {
        "tokenizer.json": tokenizer.to_json().encode(),
        "tokenizer_config.json": _json(config),
    }


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
