"""Losses that the trainer has no data for, on emoji: a picture, its name, its keywords, a crop."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from geomclip import build_geometry
from geomclip.data.emoji import is_novel, read_rendition
from geomclip.data.record import Corpus
from geomclip.data.tokenizer import Tokenizer
from geomclip.data.transforms import on_white
from geomclip.losses import gram_loss, hycoclip_losses, pmrl_losses
from geomclip.model import ContrastiveModel
from geomclip.towers import ConvNet, TextTransformer

SIDE, LENGTH, DIM = 16, 10, 12
MODALITIES = ("image", "name", "keywords")


@pytest.fixture(scope="module")
def emoji() -> dict[str, Any]:
    """Twenty-four emoji that have keywords."""
    records = [r for r in read_rendition("noto") if len(r.texts) > 2 and not is_novel(r.id)][:24]
    corpus, _ = Corpus.from_records(records, SIDE)
    names, keywords = corpus.names, [", ".join(words[:3]) for words in corpus.keywords]
    groups = [path[1] for path in corpus.paths]
    tokenizer = Tokenizer.train([*names, *keywords, *groups], vocab_size=560)
    pixels = on_white(corpus.images)
    middle = pixels[:, :, SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    return {
        "tokenizer": tokenizer,
        "image": pixels,
        "box": torch.nn.functional.interpolate(middle, size=SIDE),
        **{
            key: tokenizer(texts, LENGTH)
            for key, texts in {"name": names, "keywords": keywords, "group": groups}.items()
        },
    }


def build(emoji: dict[str, Any], geometry: str, modalities: tuple[str, ...]) -> ContrastiveModel:
    torch.manual_seed(0)
    encoders: dict[str, torch.nn.Module] = {
        modality: ConvNet(width=8, layers=2, embed_dim=DIM)
        if modality == "image"
        else TextTransformer(
            context_length=LENGTH, vocab_size=emoji["tokenizer"].vocab_size, width=24, layers=1,
            heads=2, embed_dim=DIM, eot=emoji["tokenizer"].eot,
        )
        for modality in modalities
    }  # fmt: skip
    return ContrastiveModel(encoders, build_geometry(geometry, DIM, modalities=modalities)).train()


def descend(model: ContrastiveModel, loss: Callable[[], Tensor], steps: int = 15) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    values = []
    for _ in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        model.geometry.apply_bounds_()
        values.append(value.item())
    return values


@pytest.mark.parametrize("name", ["gram", "pmrl"])
def test_three_encoders_agree_more_and_more(emoji: dict[str, Any], name: str) -> None:
    model = build(emoji, "clip", MODALITIES)

    def loss() -> Tensor:
        image = model.image_features(emoji["image"])
        texts = [model.encoders[m](emoji[m]) for m in MODALITIES[1:]]
        if name == "gram":
            return gram_loss(texts[0], [image, texts[1]], temperature=0.1)
        found = pmrl_losses([image, *texts], tau_alignment=0.5, tau_separation=0.1)
        return found.alignment + found.separation

    values = descend(model, loss)
    assert max(values[-3:]) < 0.9 * min(values[:2])


def test_boxes_enter_the_cones_of_their_wholes(emoji: dict[str, Any]) -> None:
    """The middle of a picture stands for a box, the label of its subgroup for the box's phrase."""
    model = build(emoji, "meru", ("image", "text"))
    angles = []

    def loss() -> Tensor:
        image, box = model.encode_image(torch.cat([emoji["image"], emoji["box"]])).chunk(2)
        text, phrase = model.encode_text(torch.cat([emoji["name"], emoji["group"]])).chunk(2)
        losses = hycoclip_losses(model.geometry, image, text, box, phrase)
        angles.append(losses.entailment.item())
        return losses.contrastive + losses.entailment

    values = descend(model, loss)
    assert max(values[-3:]) < min(values[:2])
    assert max(angles[-3:]) < min(angles[:2])
