"""Shards on disk for the tests of streamed data: tars and parquet files whose pictures tell which
record they are."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sources import tar

from geomclip.data.config import DataConfig
from geomclip.data.sources import load
from geomclip.data.splits import Splits
from geomclip.data.stream import ALL, Share, open_stream
from geomclip.data.tokenizer import Tokenizer
from geomclip.train.config import (
    AugmentConfig,
    CaptionConfig,
    ImageTowerConfig,
    ModelConfig,
    TextTowerConfig,
    TrainConfig,
)

SIDE = 8

MODEL = ModelConfig(
    embed_dim=8,
    image=ImageTowerConfig(image_size=SIDE, width=4, layers=1),
    text=TextTowerConfig(context_length=8, vocab_size=560, width=16, layers=1, heads=2),
)

# Pixels that can be read back as the number of the record.
STILL = AugmentConfig(
    rotate=0.0, scale=(1.0, 1.0), shift=0.0, background=0.0, brightness=0.0, saturation=0.0,
    channel_shift=0.0,
)  # fmt: skip
PLAIN = CaptionConfig(1.0, 0.0, 0.0, 0.0, (), template=0.0)


def numbered(number: int, format: str = "PNG") -> bytes:
    """A picture of one colour: red and green hold the number, blue is 0."""
    out = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (number % 256, number // 256, 0)).save(out, format)
    return out.getvalue()


def numbers(pixels: Any) -> list[int]:
    """The numbers of such pictures."""
    values = (pixels[:, :, 4, 4] * 255).round().long()
    return (values[:, 0] + 256 * values[:, 1]).tolist()


def shards(folder: Path, counts: list[int], first: int = 0) -> str:
    """Tars 000.tar, ... of `counts` samples numbered from `first` on; their brace pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    number = first
    for k, count in enumerate(counts):
        files: dict[str, bytes] = {}
        for _ in range(count):
            files[f"{number:06d}.png"] = numbered(number)
            files[f"{number:06d}.txt"] = f"picture {number}".encode()
            number += 1
        tar(folder / f"{k:03d}.tar", files)
    last = len(counts) - 1
    return str(folder / f"{{000..{last:03d}}}.tar") if last else str(folder / "000.tar")


def parquet(path: Path, rows: list[dict[str, Any]], *, group: int = 4) -> Path:
    """A parquet file of rows, `group` rows a row group."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=group)
    return path


def settings(source: str, *, batch_size: int = 16, seed: int = 0, **data: Any) -> TrainConfig:
    """A small run over `source`, streamed."""
    options = {"stream": "always", "workers": 0, "shuffle": 32, **data}
    return TrainConfig(
        data=DataConfig(source=source, **options), model=MODEL, augment=STILL, captions=PLAIN,
        batch_size=batch_size, seed=seed,
    )  # fmt: skip


def read(config: TrainConfig) -> tuple[Splits, Tokenizer]:
    """The data of a run and a tokenizer for them."""
    splits = load(config.data, SIDE)
    texts = [text for texts in splits.train.texts for text in texts]
    return splits, Tokenizer.train(texts, vocab_size=560)


def stream(config: TrainConfig, share: Share = ALL) -> Any:
    """The batches of a run."""
    splits, tokenizer = read(config)
    return open_stream(config, splits, tokenizer, share=share)


def drawn(stream: Any, batches: int) -> np.ndarray:
    """(batches, n) the numbers of the records in the next batches."""
    return np.array([numbers(stream.next().inputs["image"]) for _ in range(batches)])
