"""How long will it take? A few real steps, with as many processes at once as later, thrown away."""

import dataclasses
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geomclip.comparison.children import REQUESTS, Record, run_children
from geomclip.comparison.plan import PlannedRun

# Steps of a trial run, and the least of any; how many of them are warming up.
STEPS = 10
WARM = 3

# Evaluating a run and drawing its space cost about as much as this many training steps (measured on
# the emoji set), and loading the data and rendering the page this many seconds.
EVALUATION_STEPS = 65
FIXED_SECONDS = 6.0

FOLDER = "calibration"


@dataclass(frozen=True)
class Timing:
    """Seconds on the clock while `jobs` processes share the machine.

    `start` passes before a run's first step, `step` with each step, `end` at its end.
    """

    start: float
    step: float
    end: float
    jobs: int

    def run_seconds(self, steps: int) -> float:
        """Of one run."""
        return self.start + steps * self.step + self.end

    def seconds(self, runs: int, steps: int) -> float:
        """Of a whole comparison, with evaluation and report."""
        # Once fewer runs are left than jobs, each goes faster: the work is what counts.
        training = self.run_seconds(steps) * max(1.0, runs / self.jobs)
        return training + self.evaluation(runs)

    def evaluation(self, runs: int) -> float:
        """Of evaluating all runs, one after the other, and of the report."""
        share = min(self.jobs, 2)  # one process now, where `jobs` shared the cores before
        return FIXED_SECONDS + runs * EVALUATION_STEPS * self.step / share

    def steps_within(self, seconds: float, runs: int) -> int:
        """The number of steps of each run with which the comparison ends in that time; `STEPS`
        where not even these fit.
        """
        rounds = max(1.0, runs / self.jobs)
        left = (seconds - self.evaluation(runs)) / rounds - self.start - self.end
        return max(STEPS, math.floor(left / self.step))


def calibrate(runs: Sequence[PlannedRun], out: Path, jobs: int) -> Timing:
    """Time the first `jobs` runs (different geometries first) over a few steps.

    Raises what `run_children` raises: a request that can't work fails here, early.
    """
    # One run of each variant before a second seed of any.
    order = sorted(range(len(runs)), key=lambda i: (runs[i].seed, i))
    chosen = [_short(runs[i]) for i in order[:jobs]]
    folder = out / REQUESTS / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    seen: dict[str, list[tuple[int, float, float]]] = {run.name: [] for run in chosen}

    def note(run: PlannedRun, record: Record, elapsed: float) -> None:
        seen[run.name].append((int(record["step"]), float(record["seconds"]), elapsed))

    begun = time.monotonic()
    run_children(chosen, folder, jobs, note)
    total = time.monotonic() - begun
    # After a failure the folder stays: its logs are what the error refers to.
    shutil.rmtree(folder, ignore_errors=True)
    steps = [_step_seconds(records) for records in seen.values()]
    step = math.fsum(steps) / len(steps)
    # What is neither steps nor start is the end: the root, the checkpoint, the files.
    start = math.fsum(r[0][2] - r[0][1] for r in seen.values()) / len(seen)
    end = max(0.0, total - start - STEPS * step)
    return Timing(max(0.0, start), step, end, min(jobs, len(runs)))


def _short(run: PlannedRun) -> PlannedRun:
    config = dataclasses.replace(run.config, steps=STEPS, log_every=1)
    return dataclasses.replace(run, config=config)


def _step_seconds(records: Sequence[tuple[int, float, float]]) -> float:
    later = [(step, seconds) for step, seconds, _ in records if step > WARM]
    (first, begin), (last, end) = later[0], later[-1]
    return max(1e-4, (end - begin) / (last - first))
