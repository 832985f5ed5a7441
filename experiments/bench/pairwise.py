"""Pairwise distances, forward and backward: ours against the textbook formulas and the GEMM floor.

    python experiments/bench/pairwise.py --threads 1 --rounds 9

Competitors take turns in one process, on the same points; each round gives one ratio of times (ours
over theirs, CPU seconds on one thread, wall seconds otherwise), and the table shows the median with
the smallest and the largest. The floor is three matrix products: one forward, two backward.
Textbook formulas: MERU (arXiv 2304.09172) in float32 with its clamp, as it stands and through
torch.compile; on the ball Nickel & Kiela (1705.08039) over a matrix product; torch.cdist; acos of
inner products. "close" is the share of pairs that were computed from differences, and the rows
named after a share hold that many pairs 1e-6 apart, in tight clusters. Errors: the largest over all
pairs of the value, relative to float64.
"""

import argparse
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from manifolds import functional as F
from manifolds.kernels import fused, library

Operation = Callable[[Tensor, Tensor], Tensor]
EPS = 1e-8


# --- textbook formulas, c = 1 ---


def meru(x: Tensor, y: Tensor) -> Tensor:
    x_time = torch.sqrt(1 + (x**2).sum(-1, keepdim=True))
    y_time = torch.sqrt(1 + (y**2).sum(-1, keepdim=True))
    return torch.acosh(torch.clamp(x_time @ y_time.T - x @ y.T, min=1 + EPS))


def ball(x: Tensor, y: Tensor) -> Tensor:
    xx, yy = (x**2).sum(-1, keepdim=True), (y**2).sum(-1, keepdim=True)
    square = (xx + yy.T - 2 * x @ y.T).clamp(min=0)
    return torch.acosh(torch.clamp(1 + 2 * square / ((1 - xx) * (1 - yy.T)), min=1 + EPS))


def flat2(x: Tensor, y: Tensor) -> Tensor:
    return (x**2).sum(-1, keepdim=True) + (y**2).sum(-1) - 2 * x @ y.T


def arc(x: Tensor, y: Tensor) -> Tensor:
    return torch.acos((x @ y.T).clamp(-1 + EPS, 1 - EPS))


OURS: dict[str, Operation] = {
    "lorentz": lambda x, y: F.lorentz_pairwise_dist(x, y, 1.0),
    "poincare": lambda x, y: F.poincare_pairwise_dist(x, y, 1.0),
    "euclidean2": F.euclidean_pairwise_dist2,
    "euclidean": F.euclidean_pairwise_dist,
    "sphere": lambda x, y: F.sphere_pairwise_dist(x, y, 1.0),
}
TEXTBOOK: dict[str, Operation] = {
    "lorentz": meru,
    "poincare": ball,
    "euclidean2": flat2,
    "euclidean": torch.cdist,
    "sphere": arc,
}
# Ratios that are wanted for the Lorentz distance: vs MERU, vs torch.compile of it, vs the floor.
MARKS = {512: (0.6, 0.95, 1.4), 64: (0.3, 0.75, 1.6)}


def points(kind: str, n: int, d: int, near: float) -> tuple[Tensor, Tensor]:
    """Two sets at radii around 1, of which a share `near` of the pairs lie in tight clusters."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(2 * n, d, generator=generator) / math.sqrt(d)
    if near > 0:
        clusters = max(1, round(1 / near))
        centers = torch.randn(clusters, d, generator=generator) / math.sqrt(d)
        u = centers[torch.arange(2 * n) % clusters] + 1e-6 * u
    made = {
        "lorentz": lambda: F.lorentz_expmap0(u, 1.0),
        "poincare": lambda: F.poincare_expmap0(u / 2, 1.0),
        "sphere": lambda: F.sphere_projx(u, 1.0),
    }.get(kind, lambda: u)()
    return made[:n].contiguous(), made[n:].contiguous()


@dataclass(frozen=True)
class Record:
    """Times of one case: ours over a competitor, and what was repaired."""

    kind: str
    n: int
    d: int
    threads: int
    near: float
    passes: str
    competitor: str
    ratio: float
    ratio_range: tuple[float, float]
    seconds: float
    our_seconds: float
    close: float
    error: float


def measure(kind: str, n: int, d: int, near: float, options: argparse.Namespace) -> list[Record]:
    """Ratios of one case, forward and forward with backward."""
    x, y = points(kind, n, d, near)
    weight = torch.randn(n, n)
    leaves = [t.clone().requires_grad_() for t in (x, y)]
    now = time.process_time if options.threads == 1 else time.perf_counter

    def floor(backward: bool) -> None:
        torch.mm(x, y.T)
        if backward:
            torch.mm(weight, y)
            torch.mm(weight.T, x)

    def with_gradient(function: Operation) -> Callable[[bool], None]:
        def call(backward: bool) -> None:
            if backward:
                torch.autograd.grad(function(*leaves), leaves, weight)
            else:
                with torch.no_grad():
                    function(x, y)

        return call

    contestants = {"ours": with_gradient(OURS[kind]), "floor": floor}
    contestants["textbook"] = with_gradient(TEXTBOOK[kind])
    if options.compile:
        contestants["compiled"] = with_gradient(torch.compile(TEXTBOOK[kind]))

    loaded = library.cpu()
    close = int(fused.forward(loaded, kind, x, y, 1.0)[1]) / n**2 if loaded else math.nan
    some = slice(0, min(n, 256))
    exact = OURS[kind](x[some].double(), y[some].double())
    error = ((OURS[kind](x[some], y[some]) - exact).abs() / exact)[exact != 0].max().item()

    records = []
    for backward in (False, True):
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        order = list(contestants)
        for turn in range(options.rounds + 1):
            for name in order[turn % len(order) :] + order[: turn % len(order)]:
                start = now()
                contestants[name](backward)
                if turn:  # the first round warms up
                    seconds[name].append(now() - start)
        for name in order[1:]:
            ratios = sorted(a / b for a, b in zip(seconds["ours"], seconds[name], strict=True))
            records.append(
                Record(
                    kind=kind,
                    n=n,
                    d=d,
                    threads=options.threads,
                    near=near,
                    passes="forward + backward" if backward else "forward",
                    competitor=name,
                    ratio=statistics.median(ratios),
                    ratio_range=(ratios[0], ratios[-1]),
                    seconds=statistics.median(seconds[name]),
                    our_seconds=statistics.median(seconds["ours"]),
                    close=close,
                    error=error,
                )
            )
    return records


def mark(record: Record) -> str:
    """The wanted ratio, where there is one."""
    if record.kind != "lorentz" or record.near or record.passes == "forward":
        return ""
    wanted = MARKS.get(record.d)
    if wanted is None:
        return ""
    return f"<= {wanted[['textbook', 'compiled', 'floor'].index(record.competitor)]}"


def line(record: Record) -> str:
    """A row of the markdown table."""
    low, high = record.ratio_range
    near = f"{record.near:.1%} near" if record.near else "spread"
    return (
        f"| {record.kind} | {record.n} | {record.d} | {near} | {record.passes} | "
        f"{record.competitor} | {record.ratio:.2f} [{low:.2f}-{high:.2f}] | {mark(record)} | "
        f"{record.our_seconds * 1e3:.1f} | {record.close:.2%} | {record.error:.1e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kinds", default="lorentz")
    parser.add_argument("--n", default="2048,4096")
    parser.add_argument("--d", default="64,512")
    parser.add_argument("--near", default="0", help="shares of near pairs, e.g. 0,0.01,0.1,1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", help="append one JSON object a row to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"kernels: {library.live()}; {options.threads} threads")
    print("| kind | n = m | d | pairs | passes | against | ratio | mark | our ms | close | error |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.compile's own deprecations
        for kind in options.kinds.split(","):
            for n in map(int, options.n.split(",")):
                for d in map(int, options.d.split(",")):
                    for near in map(float, options.near.split(",")):
                        for record in measure(kind, n, d, near, options):
                            print(line(record), flush=True)
                            if options.json:
                                with open(options.json, "a", encoding="utf-8") as file:
                                    file.write(json.dumps(asdict(record)) + "\n")


if __name__ == "__main__":
    main()
