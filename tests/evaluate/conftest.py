"""64 emoji in three renditions, and untrained models of a few thousand parameters."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from geomclip.data.emoji import LEVELS, is_novel, read_rendition
from geomclip.data.prompts import EVALUATION_TEMPLATES
from geomclip.data.record import Corpus
from geomclip.data.splits import EvalSplit, Splits
from geomclip.data.tokenizer import Tokenizer
from geomclip.model import ContrastiveModel, build_model
from geomclip.train.config import ImageTowerConfig, ModelConfig, TextTowerConfig, TrainConfig

SIDE = 16
ITEMS = 64

MODEL = ModelConfig(
    embed_dim=16,
    image=ImageTowerConfig(kind="convnet", image_size=SIDE, width=8, layers=2),
    text=TextTowerConfig(context_length=12, vocab_size=600, width=32, layers=1, heads=2),
)


@pytest.fixture(scope="session")
def emoji() -> Splits:
    """Every 20th emoji: Noto and Fluent to train on, Twemoji to be asked about."""

    def some(name: str) -> list[Any]:
        return list(itertools.islice(read_rendition(name), 0, 20 * ITEMS, 20))

    train = [r for name in ("noto", "fluent") for r in some(name) if not is_novel(r.id)]
    corpus, _ = Corpus.from_records(train, SIDE)
    pool, _ = Corpus.from_records(some("twemoji"), SIDE)
    novel = torch.tensor([is_novel(id) for id in pool.ids])
    return Splits(
        train=corpus,
        evaluation={
            name: EvalSplit(name, pool, mask.nonzero().squeeze(1))
            for name, mask in (("heldout_rendition", ~novel), ("heldout_emoji", novel))
        },
        name="emoji-64",
        levels=LEVELS,
        templates=EVALUATION_TEMPLATES,
    )


@pytest.fixture(scope="session")
def untrained(emoji: Splits) -> Callable[[str], ContrastiveModel]:
    """A fresh model of a geometry, its root set where it needs one."""
    texts = [text for texts in emoji.train.texts for text in texts]
    tokenizer = Tokenizer.train(texts, MODEL.text.vocab_size)

    def build(geometry: str) -> ContrastiveModel:
        model = build_model(TrainConfig(geometry=geometry, model=MODEL), tokenizer).eval()
        with torch.no_grad():
            points = model.encode_text(emoji.train.names)
            model.geometry.set_root_(points, points)
        return model

    return build
