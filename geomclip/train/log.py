"""metrics.jsonl: one JSON object a line, readable while it grows, exact after a resume."""

import errno
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from geomclip.errors import RequestError
from geomclip.train.files import write_bytes

# What differs between two runs of the same configuration.
TIMING = ("samples_per_second", "cpu_seconds", "seconds")


class MetricsLog:
    """Appends records to a file, whose lines after step `after` are cut off first (atomically).

    `history` is what is left, `logged` the step of the last line before the cut.
    """

    def __init__(self, path: Path, *, after: int = 0) -> None:
        found = read_metrics(path)
        self.logged: int = found[-1]["step"] if found else 0
        self.history = [record for record in found if record["step"] <= after]
        lines = [json.dumps(record) + "\n" for record in self.history]
        write_bytes(path, "".join(lines).encode())
        self._file = open(path, "ab", buffering=0)

    def write(self, record: dict[str, Any]) -> None:
        """Append one line. Raises OSError; the file then ends with the line before."""
        end = self._file.tell()
        line = json.dumps(record).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(end)
            raise

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a last line that was cut off by a kill is left out.

    A missing file has no records. Raises RequestError for a line that is damaged.
    """
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise RequestError(
                f"{path} line {number} is damaged, no JSON", "Remove the line, or the file."
            ) from error
    return records


class Window:
    """Sums over the steps since the last line; checkpointed, so that a resume changes no line."""

    def __init__(self, sums: dict[str, float] | None = None) -> None:
        self.sums: dict[str, float] = dict(sums or {})

    def add(self, values: dict[str, float]) -> None:
        """Add one step."""
        for name, value in {"steps": 1.0, **values}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def count(self, prefix: str, counts: Iterable[Mapping[str, int]]) -> None:
        """Add numbers of things, of several processes, under names that start with `prefix`."""
        for values in counts:
            for name, n in values.items():
                self.sums[prefix + name] = self.sums.get(prefix + name, 0.0) + n

    def mean(self, name: str) -> float:
        """Mean over the steps."""
        return self.sums[name] / self.sums["steps"]

    def means(self, prefix: str) -> dict[str, float]:
        """Means over the steps of all whose name starts with `prefix`, without it."""
        return {
            name.removeprefix(prefix): value / self.sums["steps"]
            for name, value in self.sums.items()
            if name.startswith(prefix)
        }

    def total(self, prefix: str) -> dict[str, int]:
        """Counts whose name starts with `prefix`, without it."""
        return {
            name.removeprefix(prefix): int(value)
            for name, value in sorted(self.sums.items())
            if name.startswith(prefix)
        }

    def clear(self) -> None:
        """Begin the next line."""
        self.sums.clear()


class Clock:
    """Wall and CPU seconds of training, continued over interruptions, and the current speed."""

    def __init__(self, step: int, seconds: float, cpu_seconds: float) -> None:
        self._wall = time.perf_counter() - seconds
        self._cpu = time.process_time() - cpu_seconds
        self._mark = step, seconds

    def seconds(self) -> float:
        """Wall seconds."""
        return time.perf_counter() - self._wall

    def cpu_seconds(self) -> float:
        """CPU seconds of this process, all threads together."""
        return time.process_time() - self._cpu

    def steps_per_second(self, step: int) -> float:
        """Speed since the last call, or since the session began."""
        (step_before, before), now = self._mark, self.seconds()
        self._mark = step, now
        return (step - step_before) / max(now - before, 1e-9)
