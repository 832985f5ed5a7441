"""Reconstruction: do distances between trained points give a hierarchy's closure back?

    python experiments/wordnet/reconstruct.py --data mammals --manifold lorentz --dim 5
    python experiments/wordnet/reconstruct.py --data my_labels.csv --manifold poincare,euclidean
    python experiments/wordnet/reconstruct.py --table mammals
    python experiments/wordnet/reconstruct.py --page

Every node is embedded so that its ancestors are nearer to it than all other nodes; mean rank and
mean average precision (MAP) are those of all nodes among all nodes. A finished run is a json file
and is not made again; after an interruption the same command goes on. Runs of tables lie in
experiments/wordnet/results, others in runs/wordnet.
"""

import argparse
import functools
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import page
import torch
from graph import read
from plan import HERE, Table, digests, planned, read_table, settings_of, write_winners
from store import Result, Run, complete, missing
from training import INITS, MANIFOLDS, OPTIMIZERS, Progress, train

from geomclip.cli.options import Common
from geomclip.cli.output import Output, table
from geomclip.cli.progress import RunProgress
from geomclip.errors import GeomclipError
from geomclip.evaluate import reconstruct
from geomclip.hierarchy import Hierarchy

RESULTS = HERE / "results"
OWN = Path("runs/wordnet")

# Settings of a run that flags override; the others are the recipe's.
FLAGS = {
    "lr": float,
    "epochs": int,
    "batch": int,
    "negatives": int,
    "last-negatives": int,
    "scale": float,
    "edge": float,
    "eps": float,
}

Tell = Callable[[dict[str, Any]], None]


@functools.cache
def load(data: str, digest: str) -> Hierarchy:
    """`graph.read`, once a process and content."""
    return read(data)


def measure(run: Run, tell: Tell) -> Result:
    """Train a run and rank all of its nodes. Raises GeomclipError where ours diverges."""
    hierarchy = load(run.settings["data"], run.settings["digest"])
    settings = settings_of(run)

    def show(at: Progress) -> None:
        left = at.seconds * (at.steps - at.step) / at.step
        event = {"run": run.name, "step": at.step, "steps": at.steps, "loss": at.loss}
        tell(event | {"eta_seconds": left})

    trained = train(hierarchy, settings, show)
    result: Result = {
        "steps": trained.steps,
        "train_cpu_seconds": round(trained.cpu_seconds, 2),
        "train_wall_seconds": round(trained.wall_seconds, 2),
        "capped": trained.capped,
        "diverged_at": trained.diverged_at,
    }
    start = time.process_time()
    if trained.points.isfinite().all():
        manifold = trained.geometry.manifold
        found = reconstruct(manifold, trained.points, hierarchy.above)
        result |= found.to_dict() | {"max_radius": float(manifold.dist0(trained.points).max())}
    else:
        result |= {"map": None, "mean_rank": None}
    return result | {"evaluation_cpu_seconds": round(time.process_time() - start, 2)}


def run_all(runs: Sequence[Run], folder: Path, jobs: int, tell: Tell) -> list[Result]:
    """The results of all runs; those that the folder lacks are made, `jobs` at a time.

    Raises:
        GeomclipError: as `measure` and `store.complete`.
    """
    todo = missing(folder, runs)
    if jobs > 1 and len(todo) > 1:
        context = multiprocessing.get_context("spawn")
        with context.Manager() as manager:
            events = manager.Queue()
            listener = threading.Thread(target=_listen, args=(events, tell))
            listener.start()
            threads = torch.get_num_threads()
            try:
                with ProcessPoolExecutor(jobs, mp_context=context) as pool:
                    made = [pool.submit(_in_worker, r, folder, threads, events) for r in todo]
                    for future in made:
                        future.result()
            finally:
                events.put(None)
                listener.join()
    return complete(folder, runs, lambda run: measure(run, tell))


def _in_worker(run: Run, folder: Path, threads: int, events: "queue.Queue[Any]") -> None:
    torch.set_num_threads(threads)
    complete(folder, [run], lambda r: measure(r, events.put))


def _listen(events: "queue.Queue[Any]", tell: Tell) -> None:
    while (event := events.get()) is not None:
        tell(event)


def shown(results: Sequence[Result]) -> Any:
    """A row a run, for people."""

    def row(result: Result) -> list[str]:
        ends = result["map"] is None
        return [
            result["name"],
            "NaN" if ends else f"{result['mean_rank']:.2f}",
            "NaN" if ends else f"{result['map']:.3f}",
            f"{result['steps']:,}",
            f"{result['train_cpu_seconds']:.1f}",
            f"{result['evaluation_cpu_seconds']:.1f}",
        ]

    header = ["run", "mean rank", "MAP", "steps", "training, CPU s", "evaluation, CPU s"]
    return table("", header, map(row, results))


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    output = Output(Common(json=options.json, quiet=options.quiet))
    try:
        if options.page:
            page.write(RESULTS)
            return 0
        own = options.table is None
        plan = of_flags(options) if own else read_table(options.table)
        runs = list(planned(plan, digests(plan)))
        folder = options.out or (OWN if own else RESULTS / Path(options.table).stem)
        todo = missing(folder, runs)
        output.note(f"{len(runs)} runs, {len(todo)} to be made; results in {folder}")
        with RunProgress(output) as progress:
            results = run_all(runs, folder, options.jobs, progress)
        output.result({"runs": results}, shown(results))
        if not own and options.out is None:
            if plan.trials:
                write_winners(options.table, results)
            page.write(RESULTS)
    except GeomclipError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on with what is missing", file=sys.stderr)
        return 130
    return 0


def of_flags(options: argparse.Namespace) -> Table:
    """The runs that the flags ask for."""
    given = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name in FLAGS}
    return Table(
        data=[options.data],
        manifolds=options.manifold.split(","),
        dims=options.dim,
        inits=[options.init],
        optimizers=[options.optimizer],
        seeds=options.seeds,
        settings={name: value for name, value in given.items() if value is not None},
    )


def parser() -> argparse.ArgumentParser:
    """The flags."""
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument(
        "--data",
        default="mammals",
        help="nouns, verbs, mammals, a synset with all below it (bird.n.01), or a csv or tsv file "
        "with the columns child and parent (default: mammals)",
    )
    out.add_argument(
        "--manifold", default="lorentz", help=f"of {', '.join(MANIFOLDS)}; several with commas"
    )
    out.add_argument("--dim", type=numbers, default=[5], help="dimension; several with commas")
    out.add_argument("--seeds", type=numbers, default=[0], help="0,1,2: one run each")
    out.add_argument("--optimizer", choices=OPTIMIZERS, default="geomclip")
    out.add_argument("--init", choices=INITS, default="random", help="first points")
    for name, kind in FLAGS.items():
        out.add_argument(f"--{name}", type=kind, help="over the recipe's")
    out.add_argument(
        "--table", help="run a table of experiments/wordnet/tables, and write the page"
    )
    out.add_argument("--page", action="store_true", help="run nothing, only write the page")
    out.add_argument("--out", type=Path, help="folder of the results")
    out.add_argument("--jobs", type=int, default=1, help="runs at a time, a process each")
    out.add_argument("--threads", type=int, default=1, help="threads of each run")
    out.add_argument("--json", action="store_true", help="results as json on stdout")
    out.add_argument("--quiet", action="store_true", help="no progress")
    return out


def numbers(text: str) -> list[int]:
    """`0,1,2`."""
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
