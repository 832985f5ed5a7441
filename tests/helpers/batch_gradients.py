"""A program: one process of several takes its share of a batch through the trainer's own step.

    RANK=0 WORLD_SIZE=2 ... python batch_gradients.py FOLDER ['{"compile": true}']

Writes {case: {loss, gradients and statistics by name}}, in float64, and the root of a small corpus
to `FOLDER/WORLD-RANK.pt`.
Imported, `compute(case, World())` gives what one process gets.
"""

import dataclasses
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geomclip.data.record import Corpus, Record
from geomclip.data.shards import RecordShards
from geomclip.data.tokenizer import Tokenizer
from geomclip.geometry import Geometry, build_geometry
from geomclip.model import ContrastiveModel
from geomclip.names import CANONICAL
from geomclip.towers import ConvNet, PointTable, TextTransformer, VisionTransformer
from geomclip.train.config import ModelConfig, TrainConfig
from geomclip.train.gradients import Gradients
from geomclip.train.modality_config import IMAGE_TEXT, ModalityConfig
from geomclip.train.root import update_root, update_root_streamed
from geomclip.train.world import World, joined

BATCH, DIM, SIDE, LENGTH, VOCABULARY = 16, 6, 8, 5, 20
EOT = VOCABULARY - 1

# Has no linear-memory loss.
PRODUCT = "lorentz2xsphere4"

# Geometry, image tower, exchange, accumulate.
Case = tuple[str, str, str, int]


def cases(world: int) -> list[Case]:
    """What so many processes compute: every geometry, both exchanges, both towers."""
    # BatchNorm's batch is the part: with several the tower has none.
    ways = [("convnet", "gather", 1), ("vit", "ring", 2)]
    if world == 1:
        return [("hyperbolic", *way) for way in ways]
    if world == 2:
        ways += [("convnet", "ring", 1), ("vit", "gather", 2)]
    found = [(geometry, *way) for geometry in CANONICAL for way in ways]
    return [*found, (PRODUCT, "vit", "gather", 2)]


def build(
    geometry: str,
    tower: str,
    *,
    dropout: float = 0.0,
    modalities: Mapping[str, ModalityConfig] = IMAGE_TEXT,
) -> ContrastiveModel:
    """A tiny model in float64, scalars away from where they start."""
    torch.manual_seed(5)
    own = {name: m for name, m in modalities.items() if not m.shares}
    g = build_geometry(
        geometry, DIM, init_logit_scale=0.7, c_init=1.3, modalities=tuple(own),
        given=[name for name, m in own.items() if m.gives_points],
    )  # fmt: skip
    encoders = {name: encoder(m.kind, tower, dropout, g) for name, m in own.items()}
    return ContrastiveModel(encoders, g, modalities=modalities).double().train()


def encoder(kind: str, tower: str, dropout: float, g: Geometry) -> nn.Module:
    """A tiny encoder of what a modality takes; its weights come from torch's generator."""
    if kind == "rows":
        return PointTable(2 * BATCH, g.manifold, DIM, init_std=0.5)
    if kind == "tokens":
        return TextTransformer(
            context_length=LENGTH, vocab_size=VOCABULARY, width=8, layers=1, heads=2,
            embed_dim=DIM, eot=EOT,
        )  # fmt: skip
    image: nn.Module = (
        ConvNet(width=4, layers=2, embed_dim=DIM)
        if tower == "convnet"
        else VisionTransformer(
            image_size=SIDE, patch_size=4, width=8, layers=2, heads=2, embed_dim=DIM
        )
    )
    return nn.Sequential(image, nn.Dropout(dropout)) if dropout else image


def batch(n: int = BATCH) -> tuple[Tensor, Tensor]:
    """Pictures and token ids."""
    generator = torch.Generator().manual_seed(7)
    pixels = torch.rand(n, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    ids = torch.randint(1, EOT, (n, LENGTH), generator=generator)
    ids[torch.arange(n), 1 + torch.arange(n) % (LENGTH - 1)] = EOT
    return pixels, ids


def settings(geometry: str, **changes: Any) -> TrainConfig:
    """The configuration of a case: entailment on, half-way through its schedules."""
    cones = geometry not in ("clip", "elliptic", PRODUCT)
    config = TrainConfig(
        geometry=geometry, batch_size=BATCH, entailment=0.3 if cones else 0.0, steps=10,
        entailment_full=1.0, final_min_radius=0.2, model=ModelConfig(embed_dim=DIM),
    )  # fmt: skip
    return dataclasses.replace(config, **changes)


def compute(case: Case, world: World, **changes: Any) -> dict[str, Tensor]:
    """Loss, gradients and BatchNorm's statistics of a case, of this process's share."""
    geometry, tower, exchange, accumulate = case
    config = settings(geometry, exchange=exchange, accumulate=accumulate, **changes)
    model = build(geometry, tower)
    each = config.pairs(world.size)
    pixels, ids = (t[world.rank * each :][:each] for t in batch())
    terms = Gradients(model, config, world)({"image": pixels, "text": ids}, step=5)
    found = {"loss": terms.loss.detach(), "contrastive": terms.contrastive.detach()}
    found |= {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return found | {n: t for n, t in model.state_dict().items() if "running" in n or "num_" in n}


def root(world: World) -> Tensor:
    """The root of clip over 13 pictures of 5 names, each process embedding some: of a corpus in
    memory, and of the same records in shards."""
    names = [f"{word} thing" for word in ("red", "green", "small", "old", "plain")]
    shown = [names[i * i % 5] for i in range(13)]
    images = torch.randint(0, 256, (13, 4, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
    corpus = Corpus(
        images=images.to(torch.uint8),
        ids=[str(i) for i in range(13)],
        texts=[(name,) for name in shown],
        paths=[()] * 13,
        sources=[""] * 13,
    )
    torch.manual_seed(5)
    tokenizer = Tokenizer.train(names, vocab_size=520)
    tower = VisionTransformer(
        image_size=SIDE, patch_size=4, width=8, layers=1, heads=2, embed_dim=DIM
    )
    text = TextTransformer(
        context_length=12, vocab_size=tokenizer.vocab_size, width=8, layers=1, heads=2,
        embed_dim=DIM, eot=tokenizer.eot,
    )  # fmt: skip
    g = build_geometry("clip", DIM)
    model = ContrastiveModel(
        {"image": tower, "text": text}, g, tokenizer, context_length=12, image_size=SIDE
    )
    update_root(model, corpus, world, batch_size=2)
    found = g.root.clone()
    records = [
        Record(str(i), png(image), (name,))
        for i, (image, name) in enumerate(zip(corpus.images, shown, strict=True))
    ]
    records.insert(3, Record("bad", b"no picture", ("none",)))
    report = update_root_streamed(model, [RecordShards("part", records)], world, batch_size=2)
    assert report is not None and report.to_dict() == {"records": 13, "of": 14, "bad": 1}
    return torch.stack([found, g.root])


def png(image: Tensor) -> bytes:
    """RGBA bytes as a file."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(out, "PNG")
    return out.getvalue()


def main(folder: Path, changes: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    with joined("cpu") as world:
        results = {case: compute(case, world, **changes) for case in cases(world.size)}
        torch.save((results, root(world)), folder / f"{world.size}-{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads("".join(sys.argv[2:])) if sys.argv[2:] else {})
