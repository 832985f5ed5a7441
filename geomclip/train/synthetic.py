"""Data of the true shapes without any data: what a dry run steps over."""

import io
import itertools

import numpy as np

from geomclip.data.record import Box, Corpus, Record
from geomclip.data.splits import Splits
from geomclip.data.tokenizer import Tokenizer, byte_symbols
from geomclip.train.config import MIN_VOCAB_SIZE, TrainConfig

# Labels of each level of the synthetic paths.
_LABELS = 4


def synthetic_splits(config: TrainConfig, pairs: int) -> Splits:
    """So many pictures of noise to train on, of the size that the image tower takes, with captions
    that fill the context, label paths of the depth that the losses ask for, and boxes where
    `config` reads some.
    """
    rng = np.random.default_rng(config.seed)
    size, depth = config.model.image.image_size, max(3, len(config.loss.levels))
    length, boxes = config.model.text.context_length, config.data.boxes
    pictures = [_picture(rng, size) for _ in range(min(pairs, 8))]
    records = [
        Record(
            id=str(i),
            image=pictures[i % len(pictures)],
            texts=(_caption(rng, length),),
            path=tuple(f"label {rng.integers(_LABELS)}" for _ in range(depth)),
            source="synthetic",
            boxes=(Box(_caption(rng, length), (0.25, 0.25, 0.75, 0.75)),) if boxes else (),
        )
        for i in range(pairs)
    ]
    corpus, _ = Corpus.from_records(records, size)
    levels = tuple(f"level_{i}" for i in range(1, depth + 1))
    return Splits(corpus, {}, "synthetic", levels, ("{}",), f"{pairs} pictures of noise")


def synthetic_tokenizer(vocab_size: int) -> Tokenizer:
    """A vocabulary of exactly so many entries, at least 514; what its merges join means nothing."""
    symbols = byte_symbols()
    merges: list[tuple[str, str]] = []
    wanted = vocab_size - MIN_VOCAB_SIZE
    tokens = list(symbols)
    for left in tokens:  # grows while it is walked
        for right in itertools.islice(symbols, wanted - len(merges)):
            merges.append((left, right))
            tokens.append(left + right)
        if len(merges) == wanted:
            break
    return Tokenizer.from_merges(merges)


def _picture(rng: np.random.Generator, size: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def _caption(rng: np.random.Generator, context_length: int) -> str:
    """Digits, which are a token each: as many as the context holds."""
    return " ".join(str(digit) for digit in rng.integers(0, 10, context_length))
