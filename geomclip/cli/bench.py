"""`geomclip bench [pairwise] [loss] [rowwise]`: the kernels against torch and the peers."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from geomclip.bench.config import Case, Dtype, Precision, Subject, chosen, row_name
from geomclip.cli.options import Common, CommonFlags, parse
from geomclip.cli.output import Output, table
from geomclip.errors import Interrupted, RequestError

DEFAULT: tuple[Subject, ...] = ("pairwise", "loss")


@dataclass(frozen=True)
class BenchOptions:
    """Time, memory and error of pairwise distances, InfoNCE and row-wise operations, forward and
    backward, against the textbook formulas, torch.compile of them, float64, geoopt, hypll and the
    matrix products alone. Without options: pairwise and loss in small, within a minute."""

    subjects: Annotated[
        tyro.conf.Positional[tuple[Literal["pairwise", "loss", "rowwise"], ...]],
        tyro.conf.arg(metavar="[{pairwise,loss,rowwise} ...]"),
    ] = DEFAULT
    """What to measure."""
    geometry: str = "meru"
    """Whose distance or logit: clip, elliptic, euclip, meru, euclidean, poincare, ..."""
    n: tuple[int, ...] = (1024,)
    """Rows; several are measured one after the other."""
    m: int | None = None
    """Columns of the pairwise distances; as many as rows when not given."""
    dim: tuple[int, ...] = (512,)
    """Dimensions of the points."""
    dtype: Dtype = "float32"
    """Of the points."""
    device: str = "cpu"
    """cpu or cuda."""
    threads: int = 1
    """CPU threads; one is timed by CPU seconds, several by the clock."""
    rounds: int = 5
    """Turns of every competitor; ratios are taken in each."""
    precision: Precision = "float32"
    """Of the matrix products on CUDA, of all competitors; bf16x3 stands against their tf32."""
    close: tuple[float, ...] = (0.0,)
    """Shares of pairs 1e-6 apart, which the product does not resolve (pairwise)."""
    competitors: str | None = None
    """Of: geomclip,geomclip-torch,geomclip-tiled,geomclip-buffer,textbook,compiled,float64,
    one-buffer,geoopt,hypll,cdist; all when not given."""
    time: bool = True
    """Measure times and errors."""
    memory: bool = False
    """Measure peak memory too, each competitor in a fresh process."""
    out: Path | None = None
    """File of results, one JSON object a line; what it has is not measured again."""
    plot: Path | None = None
    """SVG file for bars of the times over the matrix products."""
    common: CommonFlags = field(default_factory=Common)

    def cases(self) -> list[tuple[Case, tuple[str, ...]]]:
        """Cases and their competitors. Raises RequestError for a value that no case can have."""
        geometry = row_name(self.geometry)
        if not (self.time or self.memory):
            raise RequestError("--no-time leaves nothing to measure", "Add --memory.")
        if self.m is not None and "pairwise" not in self.subjects:
            raise RequestError("--m is the number of columns of pairwise", "Leave it out.")
        if any(self.close) and "pairwise" not in self.subjects:
            raise RequestError("--close places pairs of the pairwise distance", "Leave it out.")
        cores = os.cpu_count() or 1
        if self.threads > cores:
            raise RequestError(
                f"--threads is {self.threads}, this machine has {cores} cores",
                f"Give --threads 1 to {cores}.",
            )
        found = []
        for subject in dict.fromkeys(self.subjects):
            names = chosen(subject, self.competitors)
            for n in self.n:
                for dim in self.dim:
                    for close in self.close if subject == "pairwise" else (0.0,):
                        case = Case(
                            subject=subject,
                            geometry=geometry,
                            n=n,
                            m=self.m if self.m is not None and subject == "pairwise" else n,
                            dim=dim,
                            dtype=self.dtype,
                            device=self.device,
                            threads=self.threads,
                            rounds=self.rounds,
                            precision=self.precision,
                            close=close,
                        )
                        found.append((case, names))
        if not found:
            raise RequestError("nothing to measure", "Name pairwise, loss or rowwise.")
        return found


def run(argv: list[str]) -> int:
    """Parse, measure, report."""
    options = parse(BenchOptions, argv, prog="geomclip bench")
    cases = options.cases()
    output = Output(options.common)

    from geomclip.bench.result import Store
    from geomclip.bench.runner import memory_case, prepare_process, system, time_case
    from geomclip.bench.table import HEADER, groups, notes

    for case, _ in cases:
        prepare_process(case)
    about = system(cases[0][0])
    output.note(f"{about['hardware']}, torch {about['torch']}, kernels: {about['kernels']}")
    store = Store(options.out, about)
    parts = [(time_case, case, names) for case, names in cases if options.time]
    # Row-wise operations need memory of the order of their results.
    parts += [
        (memory_case, c, names) for c, names in cases if options.memory and c.subject != "rowwise"
    ]
    start = time.monotonic()
    try:
        with _progress(output, len(parts)) as (tell, done):
            for measure, case, names in parts:
                wanted = store.lacking(case, names, memory=measure is memory_case)
                if wanted:
                    if not output.console.is_terminal:
                        output.note(f"measuring {case}{', memory' * (measure is memory_case)}")
                    found = measure(case, wanted, tell)
                    # Times of a case are kept together: a part of them would count as all.
                    store.add(found if measure is memory_case else list(found))
                done()
    except KeyboardInterrupt:
        if options.out is None:
            raise
        how = f"What is finished is in {options.out}; the same command goes on from there."
        raise Interrupted("interrupted", how) from None
    asked = {case for case, _ in cases}
    results = [r for r in store.results if r.case in asked]
    values = {"system": about, "results": [r.to_dict() for r in results]}
    if options.common.json:
        output.result(values, "")
    else:
        for (case, what), rows in groups([r for r in results if not r.note]).items():
            output.result({}, table(f"{case}, {what}", HEADER, rows))
            output.result({}, "")
    if options.plot is not None:
        from geomclip.bench.plot import svg

        options.plot.write_text(svg(results), encoding="utf-8")
        output.note(f"Plot: {options.plot}")
    for text in notes(results):
        output.note(text)
    output.note(
        f"Times: {about['clock']}; ratios of the times of one round, median [smallest-largest] of "
        f"{options.rounds}. Measured in {time.monotonic() - start:.0f} s."
    )
    return 0


@contextmanager
def _progress(
    output: Output, total: int
) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """(tell what is measured, count one part): a bar on a terminal."""
    if output.quiet or not output.console.is_terminal:
        yield (lambda text: None), (lambda: None)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TextColumn("{task.description}"), console=output.console, transient=True
    ) as bar:
        task = bar.add_task("", total=total)
        yield (lambda text: bar.update(task, description=text)), (lambda: bar.advance(task))
