"""Finished runs, one json file each: what makes the studies here resumable.

    done = store.complete(folder, [Run("mammals-lorentz-d5-s0", settings), ...], train)

A file is written whole or not at all. It holds the settings, all that decides the result; a run is
made again only when no file of its folder has just these settings.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geomclip.errors import GeomclipError
from geomclip.train.files import disk_errors, write_text

Result = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run.

    Args:
        name: for people: the start of its file's name, and what its progress bar is called.
        settings: all that decides the result, as json has it.
    """

    name: str
    settings: Mapping[str, Any]

    @property
    def file(self) -> str:
        """NAME-HASH.json: eight hex digits of the settings' SHA-256."""
        text = json.dumps(self.settings, sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"


def find(folder: Path, run: Run) -> Result | None:
    """The result of a finished run; None where there is none.

    Raises:
        GeomclipError: its file is no result, or of other settings.
    """
    path = folder / run.file
    if not path.exists():
        return None
    how = "Remove it; the run is then made again."
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GeomclipError(f"{path} is no json: {error}", how) from None
    if not isinstance(found, dict) or found.get("settings") != dict(run.settings):
        raise GeomclipError(f"{path} holds other settings than its name says", how)
    return found


def read(folder: Path) -> list[Result]:
    """All results of a folder, by file name."""
    return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("[!.]*.json"))]


def complete(
    folder: Path,
    runs: Iterable[Run],
    do: Callable[[Run], Result],
    finished: Callable[[Run, Result, bool], None] = lambda run, result, new: None,
) -> list[Result]:
    """The results of `runs` in their order; those that the folder lacks are made by `do`.

    Args:
        do: gives what was found, without the settings.
        finished: told of every result, and whether it was made now.

    Raises:
        GeomclipError: as `find`, or a result can't be written.
    """
    results = []
    for run in runs:
        found = find(folder, run)
        new = found is None
        if found is None:
            wall, cpu = time.perf_counter(), time.process_time()
            made = do(run)
            found = {
                "name": run.name,
                "settings": dict(run.settings),
                **made,
                "wall_seconds": round(time.perf_counter() - wall, 2),
                "cpu_seconds": round(time.process_time() - cpu, 2),
                "environment": environment(),
            }
            with disk_errors(f"writing the result of {run.name}", "Free space, and run it again."):
                folder.mkdir(parents=True, exist_ok=True)
                write_text(folder / run.file, json.dumps(found, indent=1) + "\n")
        finished(run, found, new)
        results.append(found)
    return results


def missing(folder: Path, runs: Iterable[Run]) -> list[Run]:
    """Those without a result. Raises as `find`."""
    return [run for run in runs if find(folder, run) is None]


def environment() -> dict[str, Any]:
    """What times depend on."""
    return {
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "torch": torch.__version__,
    }


def seeds(text: str) -> Sequence[int]:
    """`0,1,2` as numbers, for argparse. Raises ValueError."""
    return [int(part) for part in text.split(",")]
