"""How much of a training run is the towers: samples/s of the recipe against their own passes.

    python experiments/bench/training.py [--geometries clip,euclip,meru] [--steps 200] [--into PAGE]

A real run (`geomclip.train.train`: batches, augmentation, loss, optimizer, bounds, logging, and a
checkpoint as often as `--checkpoint-every` says, but for the last step's) and forward and backward
of the same towers on batches made before take turns of ten steps in one process with one thread.
Times are CPU seconds; the share of a turn is the mean of the towers' turns before and after it over
the run's; the last column, of the sums of all turns, counts checkpoints too. The first turn warms
up. `--into` writes between a page's marks `training`.
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from geomclip.bench.timing import Spread
from geomclip.data.sources import load
from geomclip.data.stream import open_stream
from geomclip.model import build_model
from geomclip.train.config import recipe
from geomclip.train.loop import train
from geomclip.train.setup import find_tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
from tables import write_between

TURN = 10


def measure(geometry: str, steps: int, checkpoint_every: int) -> dict[str, Any]:
    """Milliseconds a step of both, and the towers' share, over the turns."""
    config = dataclasses.replace(
        recipe(geometry), steps=steps, log_every=TURN, checkpoint_every=checkpoint_every
    )
    torch.set_num_threads(config.threads)
    splits = load(config.data, config.model.image.image_size)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = find_tokenizer(config, Path(folder), splits)
        torch.manual_seed(config.seed)
        model = build_model(config, tokenizer).train()
        stream = open_stream(config, splits, tokenizer)
        batches = [stream.next() for _ in range(8)]
        ones = torch.ones(config.batch_size, config.model.embed_dim)

        def towers() -> float:
            start = time.process_time()
            for batch in (batches * TURN)[:TURN]:
                image = model.image_features(batch.inputs["image"])
                text = model.text_features(batch.inputs["text"])
                torch.autograd.backward([image, text], [ones, ones])
                model.zero_grad()
            return time.process_time() - start

        ours: list[float] = []
        theirs = [towers()]
        mark = 0.0

        def turn(record: dict[str, Any]) -> None:
            nonlocal mark
            now = time.process_time()
            if record["step"] >= TURN:  # the first line comes after one step
                ours.append(now - mark)
                theirs.append(towers())
            mark = time.process_time()

        train(config, Path(folder) / "run", splits=splits, progress=turn)
    shares = [(theirs[i] + theirs[i + 1]) / 2 / spent for i, spent in enumerate(ours) if i > 0]
    return {
        "geometry": geometry,
        "train_ms": 1e3 * statistics.median(ours) / TURN,
        "towers_ms": 1e3 * statistics.median(theirs) / TURN,
        "share": Spread.of(shares),
        "mean_share": sum(theirs) / len(theirs) / (sum(ours) / len(ours)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--geometries", default="clip,euclip,meru")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--checkpoint-every", type=int, default=100)
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    lines = [
        f"{options.steps} steps, a checkpoint every {options.checkpoint_every}; one thread",
        f"{'geometry':<10} {'train ms':>9} {'towers ms':>9}  share [low-high], of all turns",
    ]
    print(*lines, sep="\n", flush=True)
    for geometry in options.geometries.split(","):
        found = measure(geometry, options.steps, options.checkpoint_every)
        lines.append(
            f"{geometry:<10} {found['train_ms']:>9.1f} {found['towers_ms']:>9.1f}  "
            f"{found['share']}, {found['mean_share']:.3f}"
        )
        print(lines[-1], flush=True)
    if options.into:
        write_between(options.into, "training", "\n".join(["```text", *lines, "```"]))


if __name__ == "__main__":
    main()
