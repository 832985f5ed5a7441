"""kill -9 at random moments, again and again: the run ends with the bits of one left in peace."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from launching import finish, launch
from safetensors.torch import load_file

from geomclip.train.checkpoint import checkpoints
from geomclip.train.log import TIMING, read_metrics
from geomclip.train.run import finished

SMALL = Path(__file__).with_name("small_run.py")
# Every step has a line, every third a checkpoint: moments at which something is being written.
SETTINGS = {
    "geometry": "meru", "entailment": 0.2, "entailment_full": 0.5, "final_min_radius": 0.3,
    "steps": 40, "log_every": 1, "checkpoint_every": 3,
}  # fmt: skip
KILLS = 10  # for each number of processes


def untimed(out: Path) -> list[dict[str, Any]]:
    records = read_metrics(out / "metrics.jsonl")
    return [{k: v for k, v in record.items() if k not in TIMING} for record in records]


def log_file(out: Path) -> int:
    """Which file the log is: each session begins with a new one."""
    path = out / "metrics.jsonl"
    return path.stat().st_ino if path.exists() else 0


def session(world: int, out: Path, kill: Callable[[], float] | None, rng: random.Random) -> int:
    """Start or resume the run; kill it (one process of it, or all) so many seconds after it began
    to write, or before. Returns the number of kills, 1 or 0 where it ended before.
    """
    before, resume = log_file(out), ["--resume"] if (out / "config.toml").exists() else []
    calls = launch(world, [SMALL, out, json.dumps(SETTINGS), "--pause", 0.02, *resume])
    try:
        if kill is not None:
            early = rng.random() < 0.15
            while not early and log_file(out) == before and any(c.poll() is None for c in calls):
                time.sleep(0.005)
            time.sleep(kill())
            living = [call for call in calls if call.poll() is None]
            for call in rng.sample(living, rng.randint(1, len(living))) if living else []:
                call.kill()
    finally:
        codes = [code for code, _ in finish(calls, timeout=300)]
    # Whoever was left alone by a killed process ends too, and as if all were well only when it is:
    # the other one was killed while it was leaving.
    assert all(code in (0, 1, -9) for code in codes) and (0 not in codes or finished(out)), codes
    return int(-9 in codes)


def all_readable(out: Path) -> None:
    """What carries the name of a finished file is one."""
    steps = [record["step"] for record in read_metrics(out / "metrics.jsonl")]
    assert steps == list(range(1, len(steps) + 1))
    for path in checkpoints(out):
        assert load_file(path / "model.safetensors")
        state = torch.load(path / "state.pt", weights_only=True)
        assert path.name == f"step-{state['step']:06d}"
    if (out / "model.safetensors").exists():
        assert load_file(out / "model.safetensors")
    assert finished(out) is None or finished(out)["step"] == SETTINGS["steps"]  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("world", [1, 2])
def test_killed_at_random_moments(
    tmp_path: Path, world: int, weights: Callable[..., Any], same: Callable[..., bool]
) -> None:
    rng, kills, runs = random.Random(world), 0, 0
    whole = tmp_path / "whole"
    assert session(world, whole, None, rng) == 0
    span = read_metrics(whole / "metrics.jsonl")[-1]["seconds"]
    while kills < KILLS:
        out = tmp_path / f"run-{runs}"
        while not finished(out):
            # About three kills a run; the last session of all is left in peace.
            at = None if kills >= KILLS else (lambda: rng.uniform(0, span / 2))
            kills += session(world, out, at, rng)
            all_readable(out)
        runs += 1
        assert same(weights(out), weights(whole))
        assert untimed(out) == untimed(whole)
        assert not list(out.rglob(".tmp-*"))
    print(f"{world} processes: {kills} kills, {runs} runs, {span:.1f} s a run")
