"""A program: one process of several computes the loss of its share of a batch, for every loss.

    RANK=0 WORLD_SIZE=2 ... python loss_gradients.py FOLDER

Writes {case: {loss, gradients and state by name}} to `FOLDER/WORLD-RANK.pt`, in float64. Imported,
`compute(case, World())` gives what one process gets.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch
from batch_gradients import BATCH, EOT, LENGTH, batch, build, settings
from torch import Tensor

from geomclip.train.config import DataConfig, LossConfig
from geomclip.train.criterion import Criterion
from geomclip.train.gradients import Gradients
from geomclip.train.modality_config import IMAGE_TEXT, ModalityConfig
from geomclip.train.samples import Known
from geomclip.train.world import World, joined

CASES: dict[str, tuple[str, LossConfig]] = {
    "sigmoid": ("clip", LossConfig(contrastive="sigmoid", bias_form="relative")),
    "supcon": ("hyperbolic", LossConfig(contrastive="supcon", levels=(1.0, 2.0))),
    "individual": ("euclidean", LossConfig(contrastive="individual", tau_rate=0.1)),
    "angle": ("poincare", LossConfig(contrastive="angle")),
    "terms": (
        "euclidean-squared",
        LossConfig(alignment=0.3, uniformity=0.4, cross_uniformity=0.5, chains=0.6, links="all"),
    ),
}

BOXES = {
    "image": ModalityConfig("image"),
    "text": ModalityConfig("caption"),
    "box": ModalityConfig("box", shares="image"),
    "phrase": ModalityConfig("phrase", shares="text"),
}
THREE = {
    "image": ModalityConfig("image"),
    "name": ModalityConfig("name"),
    "words": ModalityConfig("keywords"),
}
TABLE = {**THREE, "item": ModalityConfig("item")}

# Those of more than two modalities.
MODALITIES: dict[str, dict[str, ModalityConfig]] = {
    "hycoclip": BOXES,
    "gram": THREE,
    "pmrl": THREE,
    "pairs": TABLE,
    "sigmoid pairs": TABLE,
}
CASES |= {
    "hycoclip": ("hyperbolic", LossConfig(contrastive="hycoclip")),
    "gram": ("clip", LossConfig(contrastive="gram", anchor="words")),
    "pmrl": ("euclidean", LossConfig(contrastive="pmrl")),
    "pairs": (
        "hyperbolic",
        LossConfig(alignment=0.3, uniformity=0.4, cross_uniformity=0.5, chains=0.6),
    ),
    "sigmoid pairs": ("poincare", LossConfig(contrastive="sigmoid")),
}

# Groups of 5, 6 and 5 pictures, one without a label, one without the second.
LABELS = torch.stack([torch.arange(BATCH) % 3, 3 + torch.arange(BATCH) // 2], 1)
LABELS[3] = -1
LABELS[8, 1] = -1


def known(rows: slice) -> Known:
    """What is known of some pictures of the batch."""
    generator = torch.Generator().manual_seed(11)
    texts = torch.randint(1, EOT, (int(LABELS.max()) + 1, LENGTH), generator=generator)
    texts[:, -1] = EOT
    labels = LABELS[rows]
    found, places = torch.unique(labels, return_inverse=True)
    missing = int((found < 0).sum())
    return Known(
        ids=(torch.arange(BATCH) * 7 % BATCH)[rows],
        labels=labels,
        tokens=texts[found[missing:]],
        chains=places - missing,
    )


def inputs(case: str) -> dict[str, Tensor]:
    """What the encoders are given: other pictures for boxes, other texts for each modality."""
    pixels, ids = batch()
    given = {}
    for number, (name, modality) in enumerate(MODALITIES.get(case, IMAGE_TEXT).items()):
        if modality.kind == "rows":
            given[name] = torch.arange(BATCH) * 5 % (2 * BATCH)
        else:
            rows = pixels if modality.kind == "pixels" else ids
            given[name] = rows if number < 2 else rows.roll(number, 0)
    return given


def compute(case: str, world: World, accumulate: int = 1) -> dict[str, Tensor]:
    """Loss, its parts, gradients, and what the losses keep after a step."""
    geometry, loss = CASES[case]
    modalities = MODALITIES.get(case, IMAGE_TEXT)
    changes: dict[str, Any] = {"loss": loss, "accumulate": accumulate, "modalities": modalities}
    if case == "hycoclip":
        changes["data"] = DataConfig(boxes=True)
    if case in ("gram", "pmrl"):
        changes["entailment"] = 0.0
    config = dataclasses.replace(settings(geometry), **changes)
    model = build(geometry, "vit", modalities=modalities)
    criterion = Criterion(config, model.geometry, items=BATCH).double()
    each = config.pairs(world.size)
    rows = slice(world.rank * each, (world.rank + 1) * each)
    given = known(rows)
    if "chains" not in criterion.needs:
        given = dataclasses.replace(given, tokens=None, chains=None)
    gradients = Gradients(model, config, world, criterion)
    terms = gradients({n: x[rows] for n, x in inputs(case).items()}, step=5, known=given)
    criterion.commit_()
    found = {"loss": terms.loss.detach(), "contrastive": terms.contrastive.detach()}
    found |= {f"part {n}": torch.tensor(v, dtype=torch.float64) for n, v in terms.parts.items()}
    learned = [*model.named_parameters(), *criterion.named_parameters()]
    found |= {n: p.grad for n, p in learned if p.grad is not None}
    return found | {n: t.double() for n, t in criterion.state_dict().items()}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined("cpu") as world:
        results = {case: compute(case, world) for case in CASES}
        torch.save(results, folder / f"{world.size}-{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
