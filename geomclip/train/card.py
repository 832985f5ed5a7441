"""The model card of a run: written from its configuration and its log, with no claim of its own."""

import math
from typing import Any

from geomclip import __version__
from geomclip.losses.table import LOSSES
from geomclip.train.config import LossConfig, TrainConfig
from geomclip.train.criterion import TERMS
from geomclip.train.modality_config import IMAGE_TEXT

_CARD = """\
---
library_name: geomclip
tags: [contrastive-learning, image-text, {geometry}]
---

# {geometry}, trained on {data}

{encoders} trained with {loss} in the geometry `{geometry}`,
{parameters:,} parameters, embeddings of dimension {dim}. Written by geomclip {version}.

## Data

{description}

{images:,} training pictures.

## Training

| setting | value |
|---|---|
{settings}

The whole configuration is in `config.toml`, every log line in `metrics.jsonl`.

## Result of training

| number | value |
|---|---|
{results}

These are numbers of the training batches. This card holds no evaluation: run `geomclip evaluate`
on this folder.

## Use

```python
import geomclip

model = geomclip.load("{folder}")
{example}
```
{reading}
Pictures go in as float tensors (n, 3, {side}, {side}) with values in [0, 1], on white where
they are transparent.
"""


def model_card(
    config: TrainConfig, *, data: str, description: str, images: int, parameters: int,
    summary: dict[str, Any], folder: str,
) -> str:  # fmt: skip
    """README.md of a run folder.

    Args:
        data, description: name of the data set and a sentence about it.
        images: number of training pictures.
        parameters: number of parameters.
        summary: what `finished.json` holds: timings and the last record of the log.
        folder: how the run folder is called.
    """
    settings = {
        "steps": f"{config.steps:,}",
        "batch size": f"{config.batch_size:,}",
        "peak learning rate": f"{config.lr:g} (scalars {config.scalar_lr:g})",
        "weight decay": f"{config.weight_decay:g}",
        "entailment weight": f"{config.entailment:g}",
        "image tower": f"{config.model.image.kind}, {config.model.image.image_size} px",
        "seed": str(config.seed),
        "device": config.device,
    }
    last = summary["last"]
    unit = LOSSES[config.loss.contrastive].unit
    results = {
        f"contrastive loss, {unit}": f"{last['contrastive']:.3f} (chance {last['chance']:.3f})",
        "temperature factor exp(logit_scale)": f"{math.exp(last['logit_scale']):.3g}",
        **{name: f"{last[name]:.3g}" for name in last if name == "c" or name.startswith("alpha_")},
        **_root(summary["root"]),
        **{f"{name} at its bound": side for name, side in last["at_bound"].items()},
        "seconds": f"{summary['seconds']:.0f} ({summary['cpu_seconds']:.0f} CPU seconds)",
    }
    return _CARD.format(
        geometry=config.geometry,
        loss=_loss(config.loss),
        encoders=_encoders(config),
        example=_example(config),
        reading=_reading(config),
        data=data,
        parameters=parameters,
        dim=config.model.embed_dim,
        version=__version__,
        description=description or "No description.",
        images=images,
        settings=_rows(settings),
        results=_rows(results),
        folder=folder,
        side=config.model.image.image_size,
    )


def _loss(loss: LossConfig) -> str:
    """The losses in words, with the weights of what is added."""
    words = LOSSES[loss.contrastive].words.format(**vars(loss)) or loss.contrastive
    added = [f"{getattr(loss, t):g} {t}" for t in TERMS if getattr(loss, t, 0) > 0]
    return " + ".join([words, *added])


def _root(root: dict[str, int]) -> dict[str, str]:
    """What the root is the mean of, where it is one."""
    if not root:
        return {}
    records, of = root["records"], root["of"]
    whole = f"all {of:,}" if records == of else f"{records:,} of {of:,}"
    return {"records that the root is the mean of": whole}


def _encoders(config: TrainConfig) -> str:
    """The encoders in words."""
    if config.modalities == IMAGE_TEXT:
        return "An image tower and a text tower"
    words = {"pixels": "image tower", "tokens": "text tower", "rows": "table of points"}
    names = [
        f"{name} ({'own encoder' if ':' in m.encoder else words[m.kind]})"
        for name, m in config.modalities.items()
        if not m.shares
    ]
    return f"Encoders of {', '.join(names)},"


def _reading(config: TrainConfig) -> str:
    """What each modality reads, where there are others than image and text."""
    if config.modalities == IMAGE_TEXT:
        return ""
    rows = [
        f"| `{name}` | {m.reads} | {m.shares or name} |" for name, m in config.modalities.items()
    ]
    return "\n".join(["", "| modality | reads | encoder |", "|---|---|---|", *rows, ""])


def _example(config: TrainConfig) -> str:
    """A line that embeds something."""
    for name, modality in config.modalities.items():
        if modality.kind == "tokens":
            call = "encode_text(" if config.modalities == IMAGE_TEXT else "encode("
            end = "" if config.modalities == IMAGE_TEXT else f', "{name}"'
            return (
                f'points = model.{call}["a cat", "an animal"]{end})  # on model.geometry.manifold'
            )
    return "points = model.encode(inputs, modality)  # on model.geometry.manifold"


def _rows(values: dict[str, str]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
