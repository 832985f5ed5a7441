"""Symmetric InfoNCE, forward and backward: ours against the plain formula and what it can't beat.

    python experiments/bench/loss.py --n 2048 8192 --dim 512 --threads 1 --rounds 5
    python experiments/bench/loss.py --n 8192 16384 --memory

Competitors take turns in one process on the same points; a round gives one ratio of times to the
floor (CPU seconds on one thread, wall seconds otherwise), and the table shows the median with the
smallest and the largest.

    floor     x y^T, w y, w^T x: the three products that a loss with one n x n matrix can't avoid
    meru      acosh(clamp(-c <x, y>_L)) and two cross-entropies (MERU, arXiv 2304.09172), float32
    compiled  torch.compile of that
    float64   that in float64
    tiled, buffer, auto   geomclip.losses.info_nce(memory=...)

`--memory` measures peak memory instead, each competitor in a fresh process: what the peak of the
resident set grows by over a process that holds the inputs. Errors are those of the loss and, in
norm, of the gradients of x, y, logit_scale and c, relative to the plain formula in float64.
"""

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from geomclip import build_geometry
from geomclip.losses import info_nce
from manifolds.kernels import library

HERE = Path(__file__).parent
Inputs = list[Tensor]


def plain(x: Tensor, y: Tensor, logit_scale: Tensor, log_c: Tensor) -> Tensor:
    """The textbook loss; the clamp is MERU's."""
    c = log_c.exp()
    x_time = torch.sqrt(1 / c + x.square().sum(-1, keepdim=True))
    y_time = torch.sqrt(1 / c + y.square().sum(-1, keepdim=True))
    products = x @ y.T - x_time @ y_time.T
    distances = torch.acosh(torch.clamp(-c * products, min=1 + 1e-8)) / c.sqrt()
    logits = -logit_scale.exp() * distances
    pairs = torch.arange(len(x), device=x.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def inputs(n: int, dim: int, dtype: torch.dtype = torch.float32) -> Inputs:
    """Pairs that partly belong together, about 1 from the root, beta = 1/0.07 and c = 1."""
    torch.manual_seed(0)
    g = build_geometry("hyperbolic", dim)
    f = torch.randn(n, dim)
    h = f + torch.randn(n, dim)
    points = [g.lift(t, s).detach() for t, s in ((f, "image"), (h, "text"))]
    made = [*points, torch.tensor(math.log(1 / 0.07)), torch.tensor(0.0)]
    return [t.to(dtype).requires_grad_() for t in made]


def library_step(memory: str, given: Inputs) -> list[Tensor]:
    """Loss and gradients of the library; its scalars are parameters of a geometry."""
    x, y, logit_scale, log_c = given
    g = build_geometry("hyperbolic", x.shape[1]).to(x.dtype)
    g.logit_scale = torch.nn.Parameter(logit_scale.detach())
    g.manifold.log_c = torch.nn.Parameter(log_c.detach())
    loss = info_nce(g, x, y, memory=memory)
    return [loss.detach(), *torch.autograd.grad(loss, [x, y, g.logit_scale, g.manifold.log_c])]


def plain_step(loss: Callable[..., Tensor], given: Inputs) -> list[Tensor]:
    """Loss and gradients of a formula."""
    value = loss(*given)
    return [value.detach(), *torch.autograd.grad(value, given)]


def floor(given: Inputs) -> list[Tensor]:
    """The three products."""
    with torch.no_grad():
        x, y = given[:2]
        w = x @ y.T
        return [w @ y, w.T @ x]


def competitors() -> dict[str, Callable[[Inputs], list[Tensor]]]:
    """One step of each."""
    compiled = torch.compile(plain)

    def wide(given: Inputs) -> list[Tensor]:
        return plain_step(plain, [t.detach().double().requires_grad_() for t in given])

    return {
        "floor": floor,
        "meru": partial(plain_step, plain),
        "compiled": partial(plain_step, compiled),
        "float64": wide,
        **{memory: partial(library_step, memory) for memory in ("tiled", "buffer", "auto")},
    }


def clock(threads: int) -> float:
    """CPU seconds on one thread: other work on the machine does not count."""
    return time.process_time() if threads == 1 else time.perf_counter()


def times(names: list[str], n: int, dim: int, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Ratios to the floor and errors, of every competitor."""
    given, steps = inputs(n, dim), competitors()
    outputs = {name: steps[name](given) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            start = clock(threads)
            steps[name](given)
            seconds[name].append(clock(threads) - start)
    exact = outputs.get("float64")
    rows = []
    for name in names:
        ratios = sorted(a / b for a, b in zip(seconds[name], seconds["floor"], strict=True))
        row = {
            "n": n,
            "dim": dim,
            "threads": threads,
            "competitor": name,
            "seconds": statistics.median(seconds[name]),
            "ratio": statistics.median(ratios),
            "low": ratios[0],
            "high": ratios[-1],
        }
        if exact is not None and name not in ("floor", "float64"):
            errors = [
                ((a.double() - b).norm() / b.norm()).item()
                for a, b in zip(outputs[name], exact, strict=True)
            ]
            keys = ("loss", "grad_x", "grad_y", "grad_scale", "grad_c")
            row |= dict(zip(keys, errors, strict=True))
        rows.append(row)
    return rows


def high_water(reset: bool = False) -> float:
    """Peak of the resident set in MiB since the last reset (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(s for s in lines if s.startswith("VmHWM")).split()[1]) / 1024


def peak(name: str, n: int, dim: int) -> float:
    """What one step needs over its inputs, in this process, MiB."""
    step = competitors()[name]
    step(inputs(600, dim))  # thread pools, libraries, compilation
    given = inputs(n, dim)
    before = high_water(reset=True)
    step(given)
    return high_water() - before


def fresh_peak(name: str, n: int, dim: int, threads: int) -> float:
    """`peak` in a process of its own."""
    call = [sys.executable, __file__, "--n", str(n), "--dim", str(dim), "--threads", str(threads)]
    done = subprocess.run([*call, "--peak-of", name], capture_output=True, text=True, check=True)
    return float(done.stdout)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    if "peak_gib" in rows[0]:
        lines = ["| n | dim | competitor | peak over inputs, GiB |", "|---|---|---|---|"]
        lines += [
            f"| {r['n']} | {r['dim']} | {r['competitor']} | {r['peak_gib']:.3f} |" for r in rows
        ]
        return "\n".join(lines)
    lines = ["| n | dim | threads | competitor | seconds | / floor | loss error | gradient error |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for r in rows:
        errors = [r.get(k) for k in ("loss", "grad_x")]
        shown = [f"{e:.0e}" if e is not None else "" for e in errors]
        spread = f"{r['ratio']:.2f} [{r['low']:.2f}, {r['high']:.2f}]"
        lines.append(
            f"| {r['n']} | {r['dim']} | {r['threads']} | {r['competitor']} | {r['seconds']:.3g} | "
            f"{spread} | {shown[0]} | {shown[1]} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[2048])
    parser.add_argument("--dim", type=int, nargs="+", default=[512])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--competitors", nargs="+")
    parser.add_argument("--memory", action="store_true", help="peak memory instead of time")
    parser.add_argument("--json", type=Path, help="append the rows to this file")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak_of:
        print(peak(options.peak_of, options.n[0], options.dim[0]))
        return
    names = options.competitors or ["floor", "meru", "compiled", "float64", "tiled", "auto"]
    rows: list[dict[str, Any]] = []
    for n in options.n:
        for dim in options.dim:
            if options.memory:
                rows += [
                    {
                        "n": n,
                        "dim": dim,
                        "competitor": name,
                        "peak_gib": fresh_peak(name, n, dim, options.threads) / 1024,
                    }
                    for name in names
                    if name != "floor"
                ]
            else:
                names = names if "floor" in names else ["floor", *names]
                rows += times(names, n, dim, options.rounds, options.threads)
    print(table(rows))
    if options.json:
        about = {
            "torch": torch.__version__,
            "machine": platform.machine(),
            "kernels": library.live(),
        }
        with options.json.open("a") as file:
            for row in rows:
                file.write(json.dumps(about | row) + "\n")


if __name__ == "__main__":
    main()
