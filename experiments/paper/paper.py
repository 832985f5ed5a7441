"""The comparison of arXiv 2409.13079: eight geometries, entailment, final LayerNorm, three seeds.

    python experiments/paper/paper.py                        # the embedded set
    python experiments/paper/paper.py --data shoes.csv --label-columns kind
    python experiments/paper/paper.py --only 'meru*' --minutes 7
    python experiments/paper/paper.py --page --docs          # docs/paper.md, its figures

The grid is paper.toml, or --grid. A finished cell is a file of OUT/cells, and is not run again; one
that was begun goes on from its last checkpoint: after an interruption the same command continues.
All cells run in this process, one after the other in one thread, first every cell with the first
seed. At the end, and after each stop, tables and figures of what is finished are written into OUT.
"""

import argparse
import dataclasses
import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grid import Grid, chosen, name_of, plan, read_grid

from geomclip.cli.options import parse, spell_out
from geomclip.comparison.plan import PlannedRun
from geomclip.data.config import DataConfig
from geomclip.errors import GeomclipError, Interrupted, RequestError
from geomclip.train.config import update

HERE = Path(__file__).parent
GRID = HERE / "paper.toml"

Line = dict[str, Any]


def file_of(out: Path, name: str) -> Path:
    """Where a finished cell is kept."""
    return out / "cells" / f"{name}.json"


def read_cells(out: Path, names: Sequence[str]) -> list[Line]:
    """The finished ones of some cells. Raises RequestError for a file that is no cell."""
    found = []
    for name in names:
        path = file_of(out, name)
        if path.is_file():
            try:
                line = json.loads(path.read_text(encoding="utf-8"))
                found.append({**line, "settings": line["settings"], "metrics": line["metrics"]})
            except (ValueError, KeyError, TypeError) as error:
                raise RequestError(
                    f"{path} is no finished cell ({error!r})", "Remove it: it is then run again."
                ) from None
    return found


def run(grid: Grid, out: Path, only: str, minutes: float, tell: Any) -> None:
    """Train what is missing.

    Raises:
        RequestError: `out` has a cell that was trained with other settings, or as `plan`.
        GeomclipError: a training failed; the finished cells are kept.
        Interrupted: SIGINT or SIGTERM; the cell at work is saved at the step it was at.
    """
    from cell import measured

    from geomclip.comparison.cells import complete, key, train_cell
    from geomclip.data.sources import check_comparable
    from geomclip.results import finite, write_file

    runs = chosen(plan(grid), only)
    data = runs[0].config.data
    if data.source != "emoji":
        check_comparable(data)
    lines = read_cells(out, [name_of(run) for run in runs])
    check(runs, lines, out)

    def do(planned: PlannedRun) -> Line:
        name = name_of(planned)
        begun = out / "begun" / name
        return train_cell(planned, lambda trained: {"name": name, **measured(trained)}, begun)

    def keep(line: Line) -> None:
        write_file(file_of(out, line["name"]), json.dumps(finite(line)) + "\n")
        shutil.rmtree(out / "begun" / line["name"], ignore_errors=True)

    try:
        complete(runs, {key(v["settings"]): v for v in lines}, do, keep, tell, 60 * minutes)
    except Interrupted as error:
        how = "The same command continues where it stopped."
        raise Interrupted(error.what.partition(", saved")[0], how) from None


def check(runs: Sequence[PlannedRun], lines: Sequence[Line], out: Path) -> None:
    """Raises RequestError where a finished cell was trained with other settings than its run's."""
    from geomclip.comparison.cells import key, settings
    from geomclip.train.run import FREE

    have = {line["name"]: line["settings"] for line in lines}
    for planned in runs:
        wanted = settings(planned.config)
        other = have.get(name_of(planned), wanted)
        if key(other) != key(wanted):
            names = (other.keys() | wanted.keys()) - set(FREE)
            k = min(k for k in names if other.get(k) != wanted.get(k))
            now, then = (repr(v[k]) if k in v else "the default" for v in (wanted, other))
            raise RequestError(
                f"{file_of(out, name_of(planned))} was trained with other settings: {k} is "
                f"{now}, was {then}",
                "Choose another --out, or give the settings it had.",
            )


@dataclass(frozen=True)
class Flags:
    """What `geomclip compare` is told of the data, in its words."""

    data: DataConfig
    """The embedded set when nothing is given."""


def parsed(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The options, and those flags that are of the data."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Data of your own: --data PATH and the other flags that geomclip compare has for "
        "them, such as --label-columns group kind, --caption-column title, --skip-bad.",
        allow_abbrev=False,
    )
    parser.add_argument("--grid", type=Path, default=GRID, help="TOML file with the grid")
    parser.add_argument("--batch-size", type=int, help="of every cell; the recipes' when not given")
    parser.add_argument("--steps", type=int, help="of every cell; the grid's when not given")
    parser.add_argument("--seeds", type=int, help="the grid's when not given")
    parser.add_argument("--out", type=Path, default=Path("runs/paper"))
    parser.add_argument("--only", default="", help="cells, such as 'meru*,*-seed0'; all are run")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="begin no cell after so many"
    )
    parser.add_argument("--page", action="store_true", help="train nothing, only write the page")
    parser.add_argument(
        "--docs",
        action="store_true",
        help="write docs/paper.md, its figures and the grid's .jsonl; of the recorded cells where "
        "OUT has none",
    )
    return parser.parse_known_args(argv)


def asked(options: argparse.Namespace, flags: Sequence[str]) -> Grid:
    """The grid with what the command line changes. Raises RequestError."""
    grid = read_grid(options.grid)
    default = Flags(update(DataConfig(), grid.data, where="data"))
    data = parse(Flags, spell_out(flags), prog="paper.py", default=default).data
    if data.source == "emoji" and data != DataConfig(protocol=data.protocol):
        raise RequestError(
            "columns, splits and the like are settings of data of your own", "Give --data PATH."
        )
    if options.docs and (data.source != "emoji" or options.grid.parent.resolve() != HERE):
        raise RequestError(
            "--docs is for the grids beside this file, on the embedded set", "Leave it out."
        )
    changes: dict[str, Any] = {"steps": options.steps, "seeds": options.seeds}
    changes = {k: v for k, v in changes.items() if v is not None}
    if options.batch_size is not None:
        changes["overrides"] = {**grid.overrides, "batch_size": options.batch_size}
    return dataclasses.replace(grid, data=dataclasses.asdict(data), **changes)


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, write what there is; the exit code."""
    options, flags = parsed(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    import page

    try:
        grid = asked(options, flags)
        runs = plan(grid)
        names = [name_of(run) for run in runs]
        stopped = None
        if not options.page:
            try:
                run(grid, options.out, options.only, options.minutes, tell)
            except RequestError:
                raise
            except GeomclipError as error:
                stopped = error
        lines = read_cells(options.out, names)
        if options.page:
            check(runs, lines, options.out)
            if not lines and not options.docs:
                raise RequestError(
                    f"{options.out} has none of the {len(names)} cells: no page to write",
                    "Give the --out they were trained with, or train them without --page.",
                )
        if lines:
            page.write(lines, len(names), options.out, runs[0].config.data)
            tell(f"{len(lines)} of {len(names)} cells are finished: {options.out / page.NAME}")
        if stopped:
            raise stopped
        if options.docs and lines:
            page.record(lines, options.grid, len(names))
        elif options.docs:
            page.document()
    except GeomclipError as error:
        print(f"paper.py: {error.what}. {error.how}", file=sys.stderr)
        return error.exit_code
    return 0


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
