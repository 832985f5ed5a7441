"""Link prediction in the closure of a hierarchy: entailment cones, shadow cones, orders.

    python experiments/wordnet/cones.py --data mammals --percent 50 --dim 5 --seeds 0,1,2,3,4
    python experiments/wordnet/cones.py --data tree.csv --percent 25 --dim 5 --model euclidean
    python experiments/wordnet/cones.py --table mammals     # a whole table of cones.toml
    python experiments/wordnet/cones.py --page              # finished runs to docs/wordnet.md

The split is drawn by seed, or with --splits DIR the published one (the folder data/maxn of
github.com/dalab/hyperbolic_cones). The threshold is chosen on validation; options that are left out
are those of cones.toml, which says what each was chosen by. Every finished run is one json file
under --out and is not made again; after an interruption the same command goes on. --page adds them
to cones.jsonl, which the page is made of.
"""

import argparse
import dataclasses
import functools
import json
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import store
import torch
from cones_models import MODELS
from cones_train import INITS, Settings
from cones_train import run as train_run
from graph import read
from splits import PERCENTS, LinkSplit, draw_split, read_split

from geomclip.cli.options import Common
from geomclip.cli.output import Output
from geomclip.cli.progress import RunProgress
from geomclip.errors import GeomclipError, RequestError
from geomclip.train.files import write_text

HERE = Path(__file__).parent
DEFAULTS = HERE / "cones.toml"
RECORD = HERE / "cones.jsonl"
OUT = Path("runs/wordnet/cones")
# Hierarchies with more nodes take the options of the nouns.
LARGE = 10_000


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table: what is trained with every seed.

    Args:
        seeds: where the split is all published.
        drawn: where some of it is drawn, by every seed anew.
    """

    data: str
    percent: int
    dim: int
    model: str
    init: str
    seeds: tuple[int, ...]
    drawn: tuple[int, ...]


def cells_of(table: str) -> Iterator[Cell]:
    """The cells of a table of cones.toml. Raises RequestError for an unknown one."""
    tables = tomllib.loads(DEFAULTS.read_text(encoding="utf-8"))["tables"]
    if table not in tables:
        raise RequestError(f"--table {table}: there is none", f"Tables: {', '.join(tables)}.")
    for part in tables[table]:
        seeds = tuple(part["seeds"]), tuple(part["drawn"])
        for percent in part["percents"]:
            for dim in part["dims"]:
                for model, init in part["rows"]:
                    yield Cell(part["data"], percent, dim, model, init, *seeds)


def settings(cell: Cell, nodes: int, seed: int, given: dict[str, Any]) -> Settings:
    """The options of cones.toml for a cell, under those that were given.

    A table [MODEL.SIZE] (SIZE is small or large) holds for all, [[MODEL.SIZE.where]] with `init`,
    `dim` or `percent` for these, later ones over earlier ones.
    """
    rows = tomllib.loads(DEFAULTS.read_text(encoding="utf-8"))[cell.model]
    row = rows["large" if nodes > LARGE else "small"]
    values = {k: v for k, v in row.items() if k != "where"}
    for case in row.get("where", []):
        asked = {k: v for k, v in case.items() if k in ("init", "dim", "percent")}
        if all(getattr(cell, k) == v for k, v in asked.items()):
            values |= {k: v for k, v in case.items() if k not in asked}
    values |= {k: v for k, v in given.items() if v is not None}
    return Settings(model=cell.model, dim=cell.dim, init=cell.init, seed=seed, **values)


@functools.lru_cache(maxsize=2)
def split_of(data: str, percent: int, splits: Path | None, draw: int) -> LinkSplit:
    """The split of a cell, kept for the next one."""
    if splits is not None:
        return read_split(splits, data, percent, draw)
    return draw_split(read(data), percent, draw)


Plan = tuple[store.Run, LinkSplit, Settings]


def planned(cells: Sequence[Cell], options: argparse.Namespace) -> Iterator[Plan]:
    """Every run of some cells."""
    given = {name: getattr(options, name) for name in TUNED}
    for cell in cells:
        first = split_of(cell.data, cell.percent, options.splits, cell.drawn[0])
        for seed in cell.seeds if first.draw is None else cell.drawn:
            draw = 0 if first.draw is None else seed
            split = split_of(cell.data, cell.percent, options.splits, draw)
            s = settings(cell, split.nodes, seed, given)
            name = f"{Path(cell.data).stem}-{cell.percent}-{cell.model}-{cell.init}-d{cell.dim}"
            what = {
                "data": cell.data,
                "percent": cell.percent,
                "split": split.origin,
                "draw": split.draw,
                **s.to_dict(),
            }
            yield store.Run(f"{name}-s{seed}", what), split, s


TUNED = {
    "shape": "K of the cones, radius of the balls (umbral), margin of the order",
    "sharpness": "beta of the loss",
    "lr": "learning rate at the start",
    "epochs": "passes through the training edges",
    "batch": "children of a step",
    "negatives": "drawn parents, and drawn children, of a step",
    "hard": "share of the drawn parents that are parents of edges",
    "weight": "weight of the negatives",
    "restarts": "trainings, of which the best by validation is taken",
    "step": "tree initialisation: length of an edge",
    "spread": "tree initialisation: random part of a direction, the outward part being 1",
}


WHOLE = ("epochs", "batch", "negatives", "restarts")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = p.add_argument_group("what is trained")
    what.add_argument("--table", help="a whole table of cones.toml in place of one cell")
    what.add_argument(
        "--data",
        default="mammals",
        help="mammals, nouns, verbs, a synset (bird.n.01), or a csv or tsv file with the columns "
        "child and parent (mammals)",
    )
    what.add_argument(
        "--percent",
        type=int,
        default=50,
        help=f"of the edges beside the basic ones, trained on: {', '.join(map(str, PERCENTS))}, "
        "or any up to 90 for a split by seed (50)",
    )
    what.add_argument("--dim", type=int, default=5, help="coordinates of a point (5)")
    what.add_argument("--model", choices=[*MODELS], default="hyperbolic", help="(hyperbolic)")
    what.add_argument(
        "--init",
        choices=INITS,
        default="random",
        help="where the points start: at random, or as a tree of the basic edges (random)",
    )
    what.add_argument(
        "--seeds", type=store.seeds, help="0,1,2: of the runs, and of what is drawn of a split (0)"
    )
    what.add_argument("--splits", type=Path, metavar="DIR", help="folder of the published splits")
    what.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    what.add_argument(
        "--page", action="store_true", help="train nothing: add what --out holds to the page"
    )
    what.add_argument("--threads", type=int, default=1, help="of torch (1)")
    what.add_argument("--quiet", action="store_true", help="no progress, only results")
    tuned = p.add_argument_group("how (left out: as in cones.toml)")
    for name, text in TUNED.items():
        kind = int if name in WHOLE else float
        tuned.add_argument(f"--{name}", type=kind, help=text)
    return p


def check(options: argparse.Namespace) -> None:
    """Raises RequestError for a number out of range."""
    low = {"dim": 2, "epochs": 1, "batch": 1, "negatives": 2, "threads": 1, "restarts": 1}
    for name, least in low.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise RequestError(f"--{name} {value}: at least {least}", "Give a larger one.")
    for name in ("shape", "sharpness", "lr", "weight", "step"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise RequestError(f"--{name} {value:g}: must be positive", "Give a larger one.")
    if options.hard is not None and not 0 <= options.hard <= 1:
        raise RequestError(f"--hard {options.hard:g}: a share", "Give a number from 0 to 1.")


def work(options: argparse.Namespace, output: Output) -> list[store.Result]:
    """Make the runs that are missing; the results of all."""
    check(options)
    torch.set_num_threads(options.threads)
    if options.table is not None:
        cells = [*cells_of(options.table)]
        if options.seeds:
            seeds = tuple(options.seeds)
            cells = [dataclasses.replace(cell, seeds=seeds, drawn=seeds) for cell in cells]
    else:
        seeds = tuple(options.seeds or [0])
        cells = [
            Cell(
                options.data,
                options.percent,
                options.dim,
                options.model,
                options.init,
                seeds,
                seeds,
            )
        ]
    found = []
    with RunProgress(output) as progress:
        for plan in planned(cells, options):
            found += store.complete(options.out, [plan[0]], functools.partial(do, plan, progress))
            print(line(found[-1]), flush=True)
    return found


def do(plan: Plan, progress: RunProgress, run: store.Run) -> dict[str, Any]:
    """Train and evaluate a run, and draw its progress."""
    start = time.monotonic()

    def tell(step: int, steps: int, loss: float) -> None:
        left = (time.monotonic() - start) * (steps - step) / step
        progress({"run": run.name, "step": step, "steps": steps, "loss": loss, "eta_seconds": left})

    return train_run(plan[1], plan[2], tell)


def gather(folder: Path, record: Path) -> list[store.Result]:
    """Add the finished runs of a folder to the record, in place of those of the same settings."""
    known = (
        [json.loads(text) for text in record.read_text().splitlines()] if record.exists() else []
    )
    by_settings = {json.dumps(r["settings"], sort_keys=True): r for r in known}
    by_settings |= {json.dumps(r["settings"], sort_keys=True): r for r in store.read(folder)}
    found = sorted(by_settings.values(), key=lambda r: r["name"])
    write_text(record, "".join(json.dumps(r) + "\n" for r in found))
    return found


def line(result: store.Result) -> str:
    """A result for people."""
    return (
        f"{result['name']}: test F1 {100 * result['test_f1']:.1f} (validation "
        f"{100 * result['valid_f1']:.1f}, threshold {result['threshold']:.3f}; split: "
        f"{result['settings']['split']}), {result['cpu_seconds']:.0f} CPU seconds"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    output = Output(Common(quiet=options.quiet))
    try:
        if options.page:
            import cones_page

            cones_page.write(gather(options.out, RECORD))
        else:
            work(options, output)
    except GeomclipError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
