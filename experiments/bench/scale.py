"""What large batches cost: cached embeddings in time, the sharded loss in memory by processes.

    python experiments/bench/scale.py time --batch 512 --parts 16 --rounds 5
    python experiments/bench/scale.py memory --pairs 1024 --dim 512 --worlds 1 2 4

`time` takes the trainer's own gradient step over one batch in one piece, in `--parts` parts from
cached embeddings (`--accumulate`), and as many small batches one after the other; the three take
turns in one process on one thread, a round gives ratios of CPU seconds, and the table shows the
median with the smallest and the largest. Each is warm before it counts.

`memory` lets 1, 2, 4 processes (gloo) hold so many pairs each and take the loss of all of them,
forward and backward, by `gather` and in a `ring`: what the peak of the resident set of a process
(Linux) grows by, points included, the largest of the processes. Pairs a process are the same
throughout. A ring of two or more holds, beside its own points, those that pass by; from there on
its memory should not grow.

`--into PAGE` writes what is printed between the page's marks `scale-time` or `scale-memory`.
"""

import argparse
import contextlib
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from geomclip.bench.memory import resident_peak
from geomclip.geometry import build_geometry
from geomclip.losses import info_nce, sharded_info_nce
from geomclip.model import ContrastiveModel
from geomclip.towers import TextTransformer, VisionTransformer
from geomclip.train.config import ModelConfig, TrainConfig
from geomclip.train.gradients import Gradients
from geomclip.train.world import World, joined

DIM, SIDE, LENGTH, VOCABULARY = 128, 32, 16, 1000


def towers() -> ContrastiveModel:
    """A ViT of 4 layers and a text transformer of 2, of width 128, in the geometry of MERU."""
    torch.manual_seed(0)
    image = VisionTransformer(
        image_size=SIDE, patch_size=8, width=128, layers=4, heads=4, embed_dim=DIM
    )
    text = TextTransformer(
        context_length=LENGTH, vocab_size=VOCABULARY, width=128, layers=2, heads=4,
        embed_dim=DIM, eot=VOCABULARY - 1,
    )  # fmt: skip
    return ContrastiveModel({"image": image, "text": text}, build_geometry("meru", DIM)).train()


def measure_time(batch: int, parts: int, rounds: int) -> None:
    torch.set_num_threads(1)
    model = towers()
    pixels = torch.rand(batch, 3, SIDE, SIDE)
    ids = torch.randint(1, VOCABULARY - 1, (batch, LENGTH))
    ids[:, -1] = VOCABULARY - 1
    inputs = {"image": pixels, "text": ids}
    small = batch // parts

    def config(size: int, accumulate: int) -> TrainConfig:
        return TrainConfig(
            geometry="meru", batch_size=size, accumulate=accumulate,
            model=ModelConfig(embed_dim=DIM),
        )  # fmt: skip

    whole = Gradients(model, config(batch, 1), World())
    cached = Gradients(model, config(batch, parts), World())
    piece = Gradients(model, config(small, 1), World())

    def pieces() -> None:
        for part, words in zip(pixels.split(small), ids.split(small), strict=True):
            piece({"image": part, "text": words}, 0)

    steps = {
        "one piece": lambda: whole(inputs, 0),
        f"{parts} cached parts": lambda: cached(inputs, 0),
        f"{parts} batches of {small}": pieces,
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn:
                seconds[name].append(time.process_time() - start)
    first, second, third = seconds.values()
    print(
        f"batch {batch}, {parts} parts of {small}; one thread; median [min-max] of {rounds} rounds"
    )
    for name, base in (("one piece", first), (f"{parts} batches of {small}", third)):
        ratios = [a / b for a, b in zip(second, base, strict=True)]
        low, high = min(ratios), max(ratios)
        print(f"cached / {name}: {statistics.median(ratios):.2f} [{low:.2f}-{high:.2f}]")
    print(f"one piece: {1000 * statistics.median(first) / batch:.2f} CPU ms a pair")


def loss_peak(pairs: int, dim: int, exchange: str) -> None:
    """One process of several: prints the peak as JSON."""
    torch.set_num_threads(1)
    with joined("cpu") as world:
        torch.manual_seed(world.rank)
        g = build_geometry("meru", dim)

        def step(n: int) -> None:
            x, y = (torch.randn(n, dim).requires_grad_() for _ in range(2))
            if exchange == "none":
                loss = info_nce(g, x, y, memory="tiled")
            else:
                loss = sharded_info_nce(g, x, y, exchange=exchange, memory="tiled")
            loss.backward()

        step(300)  # libraries, connections
        world.wait()
        peak = resident_peak(lambda: step(pairs))
        peaks = world.collect(peak)
        if world.main:
            print(json.dumps({"bytes": max(peaks)}))


def measure_memory(pairs: int, dim: int, worlds: list[int]) -> None:
    points = 4 * pairs * dim * 4  # x, y and their gradients, float32
    print(
        f"{pairs} pairs a process, d = {dim}, MERU, tiled; {points / 2**20:.1f} MiB are its points"
    )
    print("and their gradients; one process is the plain loss, without an exchange")
    first: dict[str, float] = {}
    for exchange in ("gather", "ring"):
        for world in worlds:
            peak = run_processes(world, pairs, dim, exchange) / 2**20
            first.setdefault(exchange, peak)
            ratio = peak / first[exchange]
            print(f"{exchange:8}{world} processes: {peak:7.1f} MiB, {ratio:.2f} of the first")


def run_processes(world: int, pairs: int, dim: int, exchange: str) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, __file__, "peak", "--pairs", str(pairs), "--dim", str(dim)]
    command += ["--exchange", exchange if world > 1 else "none"]
    calls = []
    for rank in range(world):
        found = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
        there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        # glibc moves this bound as it goes; freed blocks then stay, more of them the more come by.
        fixed = {"MALLOC_MMAP_THRESHOLD_": str(1 << 18), "MALLOC_TRIM_THRESHOLD_": str(1 << 17)}
        environment = os.environ | found | there | fixed
        calls.append(subprocess.Popen(command, env=environment, stdout=-1, text=True))
    texts = [call.communicate()[0] for call in calls]
    if any(call.returncode for call in calls):
        raise SystemExit(f"{world} processes, {exchange}: failed")
    return int(json.loads(texts[0])["bytes"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["time", "memory", "peak"])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=1024)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--exchange", choices=["gather", "ring", "none"], default="ring")
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    if options.what == "peak":
        loss_peak(options.pairs, options.dim, options.exchange)
        return
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        if options.what == "time":
            measure_time(options.batch, options.parts, options.rounds)
        else:
            measure_memory(options.pairs, options.dim, options.worlds)
    print(text.getvalue(), end="")
    if options.into:
        begin, end = (f"<!-- scale-{options.what}:{side} -->" for side in ("begin", "end"))
        before, _, rest = options.into.read_text(encoding="utf-8").partition(begin)
        after = rest.partition(end)[2]
        block = f"{begin}\n```text\n{text.getvalue()}```\n{end}"
        options.into.write_text(before + block + after, encoding="utf-8")


if __name__ == "__main__":
    main()
