"""Times of competitors that take turns in one process, and ratios of the times of one round.

Work of others on the machine slows a whole round more than it tilts the ratios in it. One CPU
thread is timed by its CPU seconds, which do not count what others do; several by the wall clock;
a GPU by events on its stream.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch

Step = Callable[[], object]
Watch = Callable[[Step], float]

SHORTEST = 0.02  # seconds a turn takes at least: short steps are repeated within it
# Seconds from which a step does not feel what another one left behind: caches, and memory that the
# allocator returns to the system in the next call, or that a virtual machine has lost to its host.
INERT = 1.0


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def to_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}-{self.high:.2f}]"


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Spread of the quotients, round by round."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def clock(device: str, threads: int) -> str:
    """What times are: "CPU seconds", "wall seconds" or "GPU seconds"."""
    if device.startswith("cuda"):
        return "GPU seconds"
    return "CPU seconds" if threads == 1 else "wall seconds"


def watch(device: str, threads: int) -> Watch:
    """A stopwatch: the seconds of a step."""
    if device.startswith("cuda"):
        return lambda step: _events(step, device)
    now = time.process_time if threads == 1 else time.perf_counter

    def seconds(step: Step) -> float:
        start = now()
        step()
        return now() - start

    return seconds


def _events(step: Step, device: str) -> float:
    """Seconds between two events on the current stream; the device is idle before the first."""
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        step()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3


def alternate(
    steps: dict[str, Step],
    rounds: int,
    stopwatch: Watch,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, list[float]]:
    """Seconds a step by competitor, one a round; the first competitor changes from round to round.

    Every step has run before: nothing is built or compiled in the first round. A step that is not
    `INERT` comes once for nothing, so that caches and memory are those of a loop of it, and is then
    repeated, as often as the first turn says.
    """
    order = list(steps)
    repeats: dict[str, int] = {}
    seconds: dict[str, list[float]] = {name: [] for name in steps}

    def turn(name: str) -> float:
        once = stopwatch(steps[name])
        if once >= INERT:
            return once
        count = repeats.setdefault(name, math.ceil(SHORTEST / max(1e-6, once)))

        def several() -> None:
            for _ in range(count):
                steps[name]()

        return stopwatch(several) / count

    for index in range(rounds):
        first = index % len(order)
        for name in order[first:] + order[:first]:
            progress(name)
            seconds[name].append(turn(name))
    return seconds
