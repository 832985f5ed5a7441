"""A training run of seconds: 64 emoji in two renditions, towers of a few thousand parameters.

As a script it trains one in a process of its own, as the command line would:

    python small_run.py OUT '{"steps": 30}' [--resume] [--pause SECONDS] [--hold STEP]

`--pause` sleeps after every log line; `--hold` stands still at the line of STEP until a signal
comes or there is a file OUT.go: time for a signal to arrive, without any effect on numbers.
"""

import dataclasses
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from geomclip.data.emoji import LEVELS, is_novel, read_rendition
from geomclip.data.prompts import TEMPLATES
from geomclip.data.record import Corpus
from geomclip.data.splits import EvalSplit, Splits
from geomclip.errors import GeomclipError
from geomclip.train.config import ImageTowerConfig, ModelConfig, TextTowerConfig, TrainConfig

ITEMS = 64
SIDE = 16

MODEL = ModelConfig(
    embed_dim=16,
    image=ImageTowerConfig(kind="convnet", image_size=SIDE, width=8, layers=2),
    text=TextTowerConfig(context_length=12, vocab_size=600, width=32, layers=1, heads=2),
)


def config(**changes: Any) -> TrainConfig:
    """30 steps of 16 pairs."""
    base = TrainConfig(
        model=MODEL, steps=30, batch_size=16, log_every=4, checkpoint_every=10, lr=5e-3
    )
    return dataclasses.replace(base, **changes)


def splits() -> Splits:
    """The first 64 trained emoji of Noto and Fluent; the same of EmojiOne are asked about."""

    def corpus(*names: str) -> Corpus:
        records = []
        for name in names:
            trained = (r for r in read_rendition(name) if not is_novel(r.id))
            records += itertools.islice(trained, ITEMS)
        return Corpus.from_records(records, SIDE)[0]

    pool = corpus("emojione")
    held_out = EvalSplit("heldout_rendition", pool, torch.arange(len(pool)))
    return Splits(
        train=corpus("noto", "fluent"),
        evaluation={held_out.name: held_out},
        name="emoji-64",
        levels=LEVELS,
        templates=TEMPLATES,
        keywords=True,
        description="The first 64 emoji of two vendors.",
    )


def main(argv: list[str]) -> int:
    from geomclip.train import train

    out, changes = argv[0], json.loads(argv[1])
    pause = float(argv[argv.index("--pause") + 1]) if "--pause" in argv else 0.0

    def progress(record: dict[str, Any]) -> None:
        time.sleep(pause)
        if hold is not None:
            hold(record)

    hold = None
    if "--hold" in argv:
        sys.path.append(str(Path(__file__).parents[1] / "helpers"))
        from holding import Hold

        hold = Hold(int(argv[argv.index("--hold") + 1]), Path(f"{out}.go"))
    try:
        train(
            config(**changes),
            out,
            resume="--resume" in argv,
            progress=progress,
            splits=splits(),
        )
    except GeomclipError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if left := gloo_threads():
        print("the exchange goes on:", *left, file=sys.stderr)
    return 0


def gloo_threads() -> list[str]:
    """Threads of a process group that is still there, by name (Linux knows; elsewhere none)."""
    names = (path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    return [name for name in names if "gloo" in name]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
