"""How much of a training run is the towers: samples/s of the recipe against their own passes.

    python experiments/bench/training.py [--geometries clip,euclip,meru] [--steps 200] [--into PAGE]

A real run (`geomclip.train.train`: batches, augmentation, loss, optimizer, bounds, logging, and a
checkpoint as often as `--checkpoint-every` says, but for the last step's) and forward and backward
of the same towers on batches made before take turns of ten steps in one process with one thread;
the run makes its next batch in another. The share of a turn is the mean of the towers' turns before
and after it over the run's, in wall seconds and in CPU seconds of all threads; the last number of
each, of the sums of all turns, counts checkpoints too. The first turn warms up. `--into` writes
between a page's marks `training`.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
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

Times = np.ndarray
"""Wall seconds and CPU seconds of the process."""


def now() -> Times:
    return np.array([time.perf_counter(), time.process_time()])


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
        stream.close()
        ones = torch.ones(config.batch_size, config.model.embed_dim)

        def towers() -> Times:
            time.sleep(0.1)  # the run's next batch is made by then
            start = now()
            for batch in (batches * TURN)[:TURN]:
                image = model.image_features(batch.inputs["image"])
                text = model.text_features(batch.inputs["text"])
                torch.autograd.backward([image, text], [ones, ones])
                model.zero_grad()
            return now() - start

        ours: list[Times] = []
        theirs = [towers()]
        mark = now()

        def turn(record: dict[str, Any]) -> None:
            nonlocal mark
            if record["step"] >= TURN:  # the first line comes after one step
                ours.append(now() - mark)
                theirs.append(towers())
            mark = now()

        train(config, Path(folder) / "run", splits=splits, progress=turn)
    run, alone = np.stack(ours), np.stack(theirs)
    shares = ((alone[:-1] + alone[1:]) / 2 / run)[1:]
    return {
        "train_ms": 1e3 * np.median(run, 0) / TURN,
        "towers_ms": 1e3 * np.median(alone, 0) / TURN,
        "shares": [Spread.of(column.tolist()) for column in shares.T],
        "mean_shares": alone.mean(0) / run.mean(0),
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
        f"{'geometry':<9} {'time':<5} {'train ms':>9} {'towers ms':>9}  share [low-high], of all",
    ]
    print(*lines, sep="\n", flush=True)
    for geometry in options.geometries.split(","):
        found = measure(geometry, options.steps, options.checkpoint_every)
        for k, kind in enumerate(("wall", "CPU")):
            lines.append(
                f"{geometry:<9} {kind:<5} {found['train_ms'][k]:>9.1f} "
                f"{found['towers_ms'][k]:>9.1f}  {found['shares'][k]}, "
                f"{found['mean_shares'][k]:.3f}"
            )
            print(lines[-1], flush=True)
    if options.into:
        write_between(options.into, "training", "\n".join(["```text", *lines, "```"]))


if __name__ == "__main__":
    main()
