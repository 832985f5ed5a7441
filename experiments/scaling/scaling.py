"""Embedding dimension, batch and entailment by geometry, over seeds, on the embedded set.

    python experiments/scaling/scaling.py            # train what is missing, then write the page
    python experiments/scaling/scaling.py --page     # write the page from the results there are

The grid is scaling.toml. A finished cell is a line of scaling.jsonl beside it, with the settings it
was trained with, and is not run again while they are those of the grid; after an interruption the
same command goes on. All cells run in this process, one after the other in one thread: first every
cell with the first seed. The tables of docs/scaling.md and its plots are written at the end.
"""

import argparse
import dataclasses
import math
import os
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomclip.comparison import cells as cells_of
from geomclip.comparison.cells import key, settings
from geomclip.comparison.plan import PlannedRun, plan_runs
from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig
from geomclip.train.log import MetricsLog, read_metrics

HERE = Path(__file__).parent
GRID = HERE / "scaling.toml"


@dataclass(frozen=True)
class Grid:
    """What is crossed with what.

    Every variant (geometry and entailment weight) is trained at every one of `dims` with the first
    batch, and at `dim` with every one of `batches`.
    """

    geometries: list[str]
    entailment: list[float]
    dims: list[int]
    batches: list[int]
    dim: int
    seeds: int
    pairs: int
    overrides: dict[str, Any]

    def __post_init__(self) -> None:
        uneven = [b for b in self.batches if self.pairs % b]
        if uneven:
            raise RequestError(
                f"grid: {self.pairs} pairs are no whole number of batches of {uneven[0]}",
                "Give pairs that every batch divides.",
            )

    @property
    def places(self) -> list[tuple[int, int]]:
        """(dimension, batch) of the cells of a variant and seed."""
        along_dims = [(dim, self.batches[0]) for dim in self.dims]
        return list(dict.fromkeys(along_dims + [(self.dim, batch) for batch in self.batches]))


def read_grid(path: Path) -> Grid:
    """The grid of a TOML file. Raises RequestError where it has other keys."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    known = {f.name for f in dataclasses.fields(Grid)}
    if values.keys() != known:
        raise RequestError(
            f"{path}: wrong or missing: {', '.join(sorted(values.keys() ^ known))}",
            f"A grid has {', '.join(sorted(known))}.",
        )
    return Grid(**values)


def cells(grid: Grid) -> list[PlannedRun]:
    """Every run of the grid, all with the first seed before any with the second."""
    runs = [run for dim, batch in grid.places for run in _plan(grid, dim, batch)]
    return sorted(runs, key=lambda run: run.seed)  # stable


def _plan(grid: Grid, dim: int, batch: int) -> list[PlannedRun]:
    """The runs at a place. Learning rates go with the square root of the batch (Malladi et al.
    2022, arXiv 2205.10287, for Adam), from the recipe's at the first batch of the grid.
    """
    model = {**grid.overrides.get("model", {}), "embed_dim": dim}
    runs = plan_runs(
        grid.geometries,
        grid.entailment,
        seeds=grid.seeds,
        steps=grid.pairs // batch,
        overrides={**grid.overrides, "model": model},
    )
    factor = math.sqrt(batch / grid.batches[0])
    return [dataclasses.replace(run, config=_with_batch(run.config, batch, factor)) for run in runs]


def _with_batch(config: TrainConfig, batch: int, factor: float) -> TrainConfig:
    return dataclasses.replace(
        config,
        batch_size=batch,
        lr=factor * config.lr,
        scalar_lr=factor * config.scalar_lr,
        checkpoint_every=config.steps,  # a cell is short: it is repeated, not resumed
    )


def train_cell(run: PlannedRun) -> dict[str, Any]:
    """Train and evaluate a run; the line of the results."""
    place = {"dim": run.config.model.embed_dim, "batch_size": run.config.batch_size}
    name = f"{run.name}, dimension {place['dim']}, batch {place['batch_size']}"
    return cells_of.train_cell(run, lambda trained: {**place, "name": name})


def complete(
    runs: Sequence[PlannedRun],
    record: Path,
    do: Callable[[PlannedRun], dict[str, Any]] = train_cell,
    tell: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """The lines of `runs` in their order; those that `record` lacks are made by `do` and appended.

    A line is written whole or not at all: one that a kill cut off is removed at the next start.
    """
    lines = {key(line["settings"]): line for line in read_metrics(record)}
    if any(key(settings(run.config)) not in lines for run in runs):
        log = MetricsLog(record, after=sys.maxsize)
        try:
            lines = cells_of.complete(runs, lines, do, log.write, tell)
        finally:
            log.close()
    return [lines[key(settings(run.config))] for run in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=Path, default=GRID, help="TOML file with the grid")
    parser.add_argument("--page", action="store_true", help="train nothing, only write the page")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    record = options.grid.with_suffix(".jsonl")
    try:
        runs = cells(read_grid(options.grid))
        if options.page:
            have = {key(line["settings"]) for line in read_metrics(record)}
            runs = [run for run in runs if key(settings(run.config)) in have]
        lines = complete(runs, record, tell=lambda line: print(line, file=sys.stderr, flush=True))
    except RequestError as error:
        parser.error(str(error))
    if options.grid == GRID:
        import page

        page.write(lines)


if __name__ == "__main__":
    main()
