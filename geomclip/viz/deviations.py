"""Where the runs leave the settings of Chou & Alam (arXiv 2409.13079), variant by variant.

The paper's side is its public code at DataComp small; initial values are those of its geometries.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geomclip.names import family
from geomclip.results import Results, Variant
from geomclip.viz import style
from geomclip.viz.charts import short


@dataclass(frozen=True)
class Setting:
    """A setting of the paper and of each variant; `differs` marks the variants that leave it."""

    label: str
    paper: str
    values: tuple[str, ...]
    differs: tuple[bool, ...]


_CURVED = ("hyperbolic", "hyperbolic-squared", "hyperbolic-inner", "poincare", "product")


def _paper_logit_scale(variant: Variant) -> float:
    if family(variant.geometry).endswith("-squared"):
        return -1.0 if variant.entailment > 0 else 0.0
    return math.log(1 / 0.07)


def deviations(results: Results) -> list[Setting]:
    """Where the runs leave the paper's settings, and where they keep them."""
    configs = {}
    for variant in results.variants:
        configs[variant] = next(r.config for r in results.runs if r.variant == variant)
    rows = [
        _scale_row(configs),
        _row("Learning rate", configs, "lr", 5e-4),
        _row("Learning rate of logit_scale, alpha, c", configs, "scalar_lr", 5e-4),
        _row("Weight decay", configs, "weight_decay", 0.2),
        _row("AdamW betas", configs, "betas", (0.9, 0.98)),
        _row("Batch", configs, "batch_size", 4096),
        _samples_row(configs),
        _row("Gradient norm clipped at (0: not)", configs, "clip_norm", 0.0),
        _row("Lower bound of logit_scale", configs, "min_logit_scale", None),
        _final_layernorm_row(configs),
        _text_row("Image tower", configs, _image_tower, "ViT-B/32, 224 px"),
        _text_row("Text tower", configs, _text_tower, "12 blocks, width 512, 77 tokens"),
        _row("Embedding dimension", configs, "model.embed_dim", 512),
    ]
    curved = {v: c for v, c in configs.items() if family(v.geometry) in _CURVED}
    if curved:
        rows.append(_row("Initial curvature c", configs, "c_init", 1.0, only=_CURVED))
        rows.append(_row("Upper bound of alpha", configs, "alpha_max", None, only=_CURVED))
    if any(v.entailment > 0 for v in configs):
        rows += [
            _row("Entailment weight λ", configs, "entailment", 0.2, entailed=True),
            _row("λ is 0 up to this share of the steps", configs, "entailment_start", 0.0,
                 entailed=True),
            _row("λ is reached at this share", configs, "entailment_full", 0.0, entailed=True),
            _row("Cone constant K", configs, "min_radius", 0.1, entailed=True),
            _row("K at the last step (none: the same)", configs, "final_min_radius", None,
                 entailed=True),
        ]  # fmt: skip
    return rows


def _get(config: dict[str, Any], path: str) -> Any:
    value: Any = config
    for key in path.split("."):
        value = value[key]
    return tuple(value) if isinstance(value, list) else value


def _show(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(_show, value))
    if isinstance(value, int):
        return style.count(value)
    return f"{value:g}".replace("-", "−") if isinstance(value, float) else str(value)


def _row(
    label: str,
    configs: dict[Variant, dict[str, Any]],
    key: str,
    paper: Any,
    *,
    only: tuple[str, ...] = (),
    entailed: bool = False,
) -> Setting:
    values, differs = [], []
    for variant, config in configs.items():
        applies = (not only or family(variant.geometry) in only) and (
            not entailed or variant.entailment > 0
        )
        value = _get(config, key)
        values.append(_show(value) if applies else "–")
        differs.append(applies and value != paper)
    return Setting(label, _show(paper), tuple(values), tuple(differs))


def _scale_row(configs: dict[Variant, dict[str, Any]]) -> Setting:
    papers = [_paper_logit_scale(v) for v in configs]
    # None stands for the geometry's own initial value, which is the paper's.
    own = [
        p if c["init_logit_scale"] is None else c["init_logit_scale"]
        for p, c in zip(papers, configs.values(), strict=True)
    ]
    shown = sorted(set(papers), reverse=True)
    # A recipe rounds log(1/0.07) to what is shown.
    alike = [short(v) == short(p) for v, p in zip(own, papers, strict=True)]
    return Setting(
        "Initial logit_scale, ln β",
        " or ".join(short(p) for p in shown),
        tuple(short(v) if same else f"{short(v)} (paper {short(p)})"
              for v, p, same in zip(own, papers, alike, strict=True)),
        tuple(not same for same in alike),
    )  # fmt: skip


def _samples_row(configs: dict[Variant, dict[str, Any]]) -> Setting:
    seen = [c["steps"] * c["batch_size"] for c in configs.values()]
    return Setting(
        "Samples seen", "12.8 million or more", tuple(map(style.count, seen)),
        tuple(n < 12_800_000 for n in seen),
    )  # fmt: skip


def _final_layernorm_row(configs: dict[Variant, dict[str, Any]]) -> Setting:
    values = [c["model"]["final_layernorm"] for c in configs.values()]
    without = [family(v.geometry).startswith("euclidean") for v in configs]
    return Setting(
        "Final LayerNorm in the towers", "yes; EuCLIP no", tuple(map(_show, values)),
        tuple(value == none for value, none in zip(values, without, strict=True)),
    )  # fmt: skip


def _text_row(
    label: str,
    configs: dict[Variant, dict[str, Any]],
    of: Callable[[dict[str, Any]], str],
    paper: str,
) -> Setting:
    values = tuple(of(c["model"]) for c in configs.values())
    return Setting(label, paper, values, tuple(v != paper for v in values))


def _image_tower(model: dict[str, Any]) -> str:
    image = model["image"]
    if image["kind"] == "convnet":
        return f"ConvNet, {image['layers']} stages from {image['width']}, {image['image_size']} px"
    size = f"{image['patch_size']}, {image['layers']} × {image['width']}"
    return f"ViT/{size}, {image['image_size']} px"


def _text_tower(model: dict[str, Any]) -> str:
    text = model["text"]
    plural = "s" if text["layers"] != 1 else ""
    size = f"{text['layers']} block{plural}, width {text['width']}"
    return f"{size}, {text['context_length']} tokens"
