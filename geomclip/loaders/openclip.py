"""open_clip's checkpoints, and those of the EuCLIP fork (arXiv 2409.13079), which adds geometries.

A training checkpoint {epoch, name, state_dict, optimizer}, a file of weights alone, or a folder
with open_clip_config.json. Text tensors stand at the top, or under "text." (custom text).

The fork's hyperbolic models have alpha_img, alpha_txt, curvature (logarithms all); its others have
the tensors of open_clip's, so that CLIP and EuCLIP cannot be told apart but by the settings beside
them: ours in open_clip_config.json, or the training folder's params.txt.
"""

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from geomclip.errors import RequestError
from geomclip.loaders.assemble import Scalars, assemble, settle
from geomclip.loaders.layout import Layout, Source
from geomclip.loaders.names import OPEN_CLIP_BLOCK, Names
from geomclip.loaders.preprocessing import from_open_clip
from geomclip.loaders.towers import text_tower, vision_tower
from geomclip.loaders.vocabulary import clip_tokenizer

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel
    from geomclip.towers.transformer import Activation

CONFIG = "open_clip_config.json"

log = logging.getLogger(__name__)

VISION = Names(
    {
        "class_embedding": "visual.class_embedding",
        "conv1.weight": "visual.conv1.weight",
        "positional_embedding": "visual.positional_embedding",
        "ln_pre.*": "visual.ln_pre.*",
        "ln_post.*": "visual.ln_post.*",
        "proj": "visual.proj",
    },
    "visual.transformer.resblocks.{}.",
    OPEN_CLIP_BLOCK,
)
TEXT = Names(
    {
        "token_embedding.weight": "token_embedding.weight",
        "positional_embedding": "positional_embedding",
        "ln_final.*": "ln_final.*",
        "text_projection": "text_projection",
    },
    "transformer.resblocks.{}.",
    OPEN_CLIP_BLOCK,
)
# A projection with a bias is a Linear, stored (d, width).
TEXT_LINEAR = Names(
    {
        **TEXT.whole,
        "text_projection": "text_projection.weight|T",
        "projection_bias": "text_projection.bias",
    },
    TEXT.blocks,
    TEXT.block,
)

# The fork keeps exp(curvature) within these as it computes.
_C_MIN, _C_MAX = 0.1, 10.0

_UNREAD = {
    "timm_model_name": "an image tower of timm",
    "hf_model_name": "a text tower of transformers",
    "attentional_pool": "attention pooling",
    "patch_dropout_keep": "patch selection",
    "embed_cls": "a class token in the text tower",
    "no_causal_mask": "a text tower without causal mask",
}


def read(source: Source) -> "ContrastiveModel":
    """The model of an open_clip checkpoint."""
    left = {n.removeprefix(LAYOUT.prefix): t for n, t in source.weights.tensors.items()}
    model = source.setting("model_cfg", default={}, kind=Mapping)
    vision, text = _tower(source, "vision_cfg"), _tower(source, "text_cfg")
    quick = source.wishes.quick_gelu
    if quick is None:
        quick = bool(model.get("quick_gelu", False)) or _trained_with(source, "quickgelu")
    image_state = VISION.take(left)
    names = TEXT_LINEAR if "text_projection.weight" in left else TEXT
    text_state = names.take(left)
    image_tower = vision_tower(
        image_state,
        source.where,
        heads=_heads(vision, image_state),
        activation=_activation(vision, quick),
        eps=_eps(vision),
        mean_pool=_mean_pool(vision),
    )
    tower = text_tower(
        text_state,
        source.where,
        heads=text.setting("heads", kind=int),
        activation=_activation(text, quick),
        eps=_eps(text),
        eot=_eot(text),
    )
    scalars = _scalars(source, left)
    bias = left.pop("logit_bias", None)
    source.done(left, ("attn_mask",))
    return assemble(
        image_tower,
        tower,
        settle(
            source,
            tower.text_projection.shape[1],
            scalars,
            lambda: _geometry(source, scalars),
        ),
        where=source.where,
        tokenizer=clip_tokenizer(
            source.folder, source.wishes.tokenizer, tower.token_embedding.num_embeddings
        ),
        preprocessing=from_open_clip(
            source.setting("preprocess_cfg", default={}, kind=Mapping), source.where
        ),
        bias=bias,
    )


def _tower(source: Source, name: str) -> Source:
    """The source with a tower's part of model_cfg. Raises RequestError for towers not ours."""
    values = source.setting("model_cfg", name, default={}, kind=Mapping)
    for key, what in _UNREAD.items():
        if values.get(key):
            raise _unread(source, f"{name} has {key} = {values[key]!r}: {what}")
    return Source(source.path, source.folder, source.weights, values, source.wishes)


def _heads(vision: Source, state: Mapping[str, Tensor]) -> int | None:
    head_width = vision.setting("head_width", kind=int)
    if not vision.config or "class_embedding" not in state:
        return None
    return int(state["class_embedding"].shape[0]) // (head_width or 64)


def _activation(tower: Source, quick: bool) -> "Activation":
    if quick:
        return "quick_gelu"
    kind = tower.setting("act_kwargs", default={}, kind=Mapping).get("approximate", "none")
    return "gelu_tanh" if kind == "tanh" else "gelu"


def _mean_pool(vision: Source) -> bool:
    kind = vision.setting("pool_type", default="tok", kind=str)
    if kind == "tok":
        return vision.setting("global_average_pool", default=False, kind=bool)
    if kind != "avg" or vision.setting("final_ln_after_pool", default=False, kind=bool):
        raise _unread(vision, f"an image tower of pool_type {kind!r} with final_ln_after_pool")
    return True


def _eot(text: Source) -> int | None:
    kind = text.setting("pool_type", default="argmax", kind=str)
    if kind not in ("argmax", "eos"):
        raise _unread(text, f"a text tower of pool_type {kind!r}")
    return text.setting("eos_id", default=2, kind=int) if kind == "eos" else None


def _unread(source: Source, what: str) -> RequestError:
    return RequestError(f"{source.where}: {what}, which is not read", "Only CLIP's own towers are.")


def _eps(tower: Source) -> float:
    return float(tower.setting("norm_kwargs", default={}, kind=Mapping).get("eps", 1e-5))


def _scalars(source: Source, left: dict[str, Tensor]) -> Scalars:
    if "logit_scale" not in left:
        raise RequestError(f"{source.where}: no tensor logit_scale", "Copy the weights again.")
    alpha = {"image": left.pop("alpha_img", None), "text": left.pop("alpha_txt", None)}
    found = {modality: value for modality, value in alpha.items() if value is not None}
    if len(found) == 1:
        raise RequestError(
            f"{source.where}: it has alpha of {next(iter(found))} alone", "Copy the weights again."
        )
    c = left.pop("curvature", None)
    if c is not None and c.numel() == 1:
        inside = c.clamp(math.log(_C_MIN), math.log(_C_MAX))
        if bool(c != inside):
            log.warning(
                "%s: its curvature is exp(%.4g); the fork computes with %.4g, and so do we",
                source.where, c.item(), inside.exp().item(),
            )  # fmt: skip
        c = inside
    return Scalars(left.pop("logit_scale"), found, c)


def _geometry(source: Source, scalars: Scalars) -> str:
    """What stands beside the weights, or what the tensors tell."""
    if named := _params(source).get("geometry"):
        return named
    if scalars.c is not None:
        # -d, -d^2 and <x, y>_L order all pairs alike; MERU's is the published one.
        return "hyperbolic"
    if source.config or _params(source):  # open_clip itself knows no other
        return "clip"
    raise RequestError(
        f"{source.where}: its tensors are those of CLIP and of a Euclidean model (EuCLIP) alike",
        "Say which: --geometry clip or --geometry euclip (geometry= in Python).",
    )


def _trained_with(source: Source, word: str) -> bool:
    params = _params(source)
    return word in params.get("model", "") or params.get("force_quick_gelu") == "True"


def _params(source: Source) -> dict[str, str]:
    """params.txt of a training folder, whose checkpoints lie in checkpoints/."""
    for folder in (source.folder, source.folder.parent):
        path = folder / "params.txt"
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            rows = (line.partition(": ") for line in lines)
            return {key.strip(): value.strip() for key, _, value in rows}
    return {}


LAYOUT = Layout(
    "open_clip (and the EuCLIP fork)",
    (
        "visual.class_embedding",
        "visual.conv1.weight",
        "visual.transformer.resblocks.0.attn.in_proj_weight",
        "token_embedding.weight",
        "text_projection",
        "logit_scale",
    ),
    read,
    prefix="text.",
)
