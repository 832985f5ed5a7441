"""What the comparison consists of: a grid of TOML, and the runs of its cells."""

import dataclasses
import fnmatch
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geomclip.comparison.plan import PlannedRun, plan_runs
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError
from geomclip.train.config import update


@dataclass(frozen=True)
class Grid:
    """What is crossed with what."""

    geometries: list[str]
    entailment: list[float]
    """Weights; those above 0 for geometries with cones alone."""
    final_layernorm: list[bool]
    seeds: int
    steps: int
    overrides: dict[str, Any]
    """Settings of TrainConfig, the same for every cell."""
    data: dict[str, Any] = field(default_factory=dict)
    """Settings of DataConfig; the embedded set when empty."""


def read_grid(path: Path) -> Grid:
    """The grid of a TOML file. Raises RequestError where it can't be read or has other keys."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}", "Check --grid.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} is no TOML: {error}", "Repair it.") from None
    known = {f.name for f in dataclasses.fields(Grid)}
    wrong = sorted((values.keys() ^ known) - {"data"})
    if wrong:
        raise RequestError(
            f"{path}: wrong or missing: {', '.join(wrong)}",
            f"A grid has {', '.join(sorted(known))}; data may be left out.",
        )
    return Grid(**values)


def plan(grid: Grid) -> list[PlannedRun]:
    """A run for every cell, all with the first seed before any with the second.

    Raises RequestError as `plan_runs`.
    """
    if grid.steps < 1:
        raise RequestError(f"steps is {grid.steps}", "Give --steps 1 or more.")
    data = update(DataConfig(), grid.data, where="data")
    runs = []
    for layernorm in grid.final_layernorm:
        model = {**grid.overrides.get("model", {}), "final_layernorm": layernorm}
        runs += plan_runs(
            grid.geometries,
            grid.entailment,
            seeds=grid.seeds,
            steps=grid.steps,
            data=data,
            overrides={**grid.overrides, "model": model},
        )
    return sorted(runs, key=lambda run: run.seed)  # stable


def name_of(run: PlannedRun) -> str:
    """`euclip-ent0.2-no-final-ln-seed0`: the name of a cell."""
    layernorm = "" if run.config.model.final_layernorm else "-no-final-ln"
    return f"{run.variant.key}{layernorm}-seed{run.seed}"


def chosen(runs: Sequence[PlannedRun], patterns: str) -> list[PlannedRun]:
    """The runs whose names match one of some patterns with commas between; all without any.

    Raises RequestError for a pattern that no name matches.
    """
    if not patterns:
        return list(runs)
    found: set[str] = set()
    for pattern in patterns.split(","):
        names = fnmatch.filter([name_of(run) for run in runs], pattern)
        if not names:
            raise RequestError(
                f'--only: no cell is called "{pattern}"',
                f"There are {name_of(runs[0])} to {name_of(runs[-1])}; * stands for anything.",
            )
        found |= set(names)
    return [run for run in runs if name_of(run) in found]
