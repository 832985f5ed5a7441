"""Row-wise operations, forward and backward: ours against geoopt and the textbook formulas.

    python experiments/bench/rowwise.py --rounds 15 --threads 1

Competitors take turns in one process, on the same points; each round gives one ratio of times
(ours over theirs, CPU seconds on one thread, wall seconds otherwise), and the table shows the
median with the smallest and the largest. Errors are relative to float64, the largest over all rows,
of the value and (in norm) of the gradients: on the points of the measurement ("spread") and on
pairs that are 1e-4 apart ("near"). Textbook formulas: MERU (arXiv 2304.09172), on the ball
Nickel & Kiela (1705.08039) and Ganea et al. (1804.01882), with their usual clamps. geoopt's
hyperboloid gets its points in its own coordinates beforehand.
"""

import argparse
import json
import math
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import geoopt

from manifolds import functional as F

HERE = Path(__file__).parent
EPS = 1e-8
LIMITS = {"dist": 3.0, "exterior_angle": 3.0}
LIMIT = 1.5


# --- textbook formulas ---


def time_of(x: Tensor, c: float) -> Tensor:
    return torch.sqrt(1 / c + (x**2).sum(-1))


def meru_expmap0(u: Tensor, c: float) -> Tensor:
    length = c**0.5 * u.norm(dim=-1, keepdim=True)
    return torch.sinh(length.clamp(EPS, math.asinh(2**15))) * u / length.clamp(min=EPS)


def meru_logmap0(x: Tensor, c: float) -> Tensor:
    length = torch.acosh(torch.clamp(c**0.5 * time_of(x, c)[..., None], min=1 + EPS))
    return length * x / (c**0.5 * x.norm(dim=-1, keepdim=True)).clamp(min=EPS)


def meru_dist0(x: Tensor, c: float) -> Tensor:
    return torch.acosh(torch.clamp(c**0.5 * time_of(x, c), min=1 + EPS)) / c**0.5


def meru_inner(x: Tensor, y: Tensor, c: float) -> Tensor:
    return (x * y).sum(-1) - time_of(x, c) * time_of(y, c)


def meru_dist(x: Tensor, y: Tensor, c: float) -> Tensor:
    return torch.acosh(torch.clamp(-c * meru_inner(x, y, c), min=1 + EPS)) / c**0.5


def meru_half_aperture(x: Tensor, c: float) -> Tensor:
    ratio = 0.2 / (x.norm(dim=-1) * c**0.5 + EPS)
    return torch.asin(torch.clamp(ratio, min=-1 + EPS, max=1 - EPS))


def meru_exterior_angle(x: Tensor, y: Tensor, c: float) -> Tensor:
    product = c * meru_inner(x, y, c)
    above = time_of(y, c) + product * time_of(x, c)
    below = torch.sqrt(torch.clamp(product**2 - 1, min=EPS))
    cosine = above / (x.norm(dim=-1) * below + EPS)
    return torch.acos(torch.clamp(cosine, min=-1 + EPS, max=1 - EPS))


def ball_expmap0(u: Tensor, c: float) -> Tensor:
    length = c**0.5 * u.norm(dim=-1, keepdim=True).clamp(min=EPS)
    return torch.tanh(length) * u / length


def ball_logmap0(x: Tensor, c: float) -> Tensor:
    length = c**0.5 * x.norm(dim=-1, keepdim=True).clamp(min=EPS)
    return torch.atanh(length.clamp(max=1 - 1e-5)) * x / length


def ball_dist0(x: Tensor, c: float) -> Tensor:
    return 2 * torch.atanh((c**0.5 * x.norm(dim=-1)).clamp(max=1 - 1e-5)) / c**0.5


def ball_dist(x: Tensor, y: Tensor, c: float) -> Tensor:
    below = (1 - c * (x**2).sum(-1)) * (1 - c * (y**2).sum(-1))
    ratio = 2 * c * ((x - y) ** 2).sum(-1) / below.clamp(min=EPS)
    return torch.acosh(torch.clamp(1 + ratio, min=1 + EPS)) / c**0.5


def ball_half_aperture(x: Tensor, c: float) -> Tensor:
    norm = x.norm(dim=-1) * c**0.5
    ratio = 0.1 * (1 - norm**2) / norm.clamp(min=EPS)
    return torch.asin(torch.clamp(ratio, min=-1 + EPS, max=1 - EPS))


def ball_exterior_angle(x: Tensor, y: Tensor, c: float) -> Tensor:
    xx, yy, xy = c * (x**2).sum(-1), c * (y**2).sum(-1), c * (x * y).sum(-1)
    above = xy * (1 + xx) - xx * (1 + yy)
    root = torch.sqrt((1 + xx * yy - 2 * xy).clamp(min=EPS))
    below = c * x.norm(dim=-1) * (x - y).norm(dim=-1) * root
    return torch.acos(torch.clamp(above / below.clamp(min=EPS), min=-1 + EPS, max=1 - EPS))


def flat_half_aperture(x: Tensor, c: float) -> Tensor:
    return torch.asin((0.1 / x.norm(dim=-1).clamp(min=EPS)).clamp(max=1 - EPS))


def flat_exterior_angle(x: Tensor, y: Tensor, c: float) -> Tensor:
    step = y - x
    below = step.norm(dim=-1) * x.norm(dim=-1)
    cosine = (step * x).sum(-1) / below.clamp(min=EPS)
    return torch.acos(cosine.clamp(-1 + EPS, 1 - EPS))


def sphere_dist(x: Tensor, y: Tensor, c: float) -> Tensor:
    return torch.acos((c * (x * y).sum(-1)).clamp(-1 + EPS, 1 - EPS)) / c**0.5


# --- competitors ---

Operation = Callable[..., Tensor]
TEXTBOOK: dict[str, dict[str, Operation]] = {
    "lorentz": {
        "expmap0": meru_expmap0,
        "logmap0": meru_logmap0,
        "dist0": meru_dist0,
        "half_aperture": meru_half_aperture,
        "dist": meru_dist,
        "exterior_angle": meru_exterior_angle,
    },
    "poincare": {
        "expmap0": ball_expmap0,
        "logmap0": ball_logmap0,
        "dist0": ball_dist0,
        "half_aperture": ball_half_aperture,
        "dist": ball_dist,
        "exterior_angle": ball_exterior_angle,
    },
    "euclidean": {
        "dist": lambda x, y, c: (x - y).norm(dim=-1),
        "half_aperture": flat_half_aperture,
        "exterior_angle": flat_exterior_angle,
    },
    "sphere": {"dist": sphere_dist},
}


def ours(manifold: str, op: str) -> Operation:
    """Our function with a c of its own."""
    function = getattr(F, f"{manifold}_{op}")
    if manifold == "euclidean":
        return lambda *args: function(*args[:-1])
    return function


def geoopt_operation(manifold: str, op: str, c: float) -> Operation | None:
    """geoopt's method on its own coordinates, where it has one."""
    space = {
        "lorentz": lambda: geoopt.Lorentz(k=1 / c),
        "poincare": lambda: geoopt.PoincareBall(c=c),
        "sphere": geoopt.Sphere,
        "euclidean": lambda: geoopt.Euclidean(ndim=1),
    }[manifold]()
    method = getattr(space, op, None)
    if method is None or (manifold == "sphere" and c != 1):
        return None
    return lambda *args: method(*args[:-1])


def ambient(points: Tensor, op: str, c: float) -> Tensor:
    """Time first; a tangent vector at the root has time 0."""
    first = torch.zeros_like(points[..., :1]) if op == "expmap0" else time_of(points, c)[..., None]
    return torch.cat([first, points], dim=-1)


@dataclass(frozen=True)
class Case:
    """An operation on points, and how it is differentiated."""

    manifold: str
    op: str
    points: tuple[Tensor, ...]
    c: float

    def gradients(self, function: Operation, points: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The value and the gradients of its product with a fixed random tensor."""
        leaves = [p.detach().requires_grad_() for p in points]
        value = function(*leaves, self.c)
        seed = torch.Generator(device=value.device).manual_seed(1)
        shape = (*value.shape[:1], points[0].shape[-1]) if value.ndim == 2 else value.shape
        weight = torch.randn(shape, generator=seed, device=value.device).to(value.dtype)
        if shape != value.shape:
            raise ValueError(f"{self.manifold}.{self.op}: value {value.shape}, points {shape}")
        return value.detach(), *torch.autograd.grad(value, leaves, weight)


def cases(n: int, d: int, c: float, device: str, separation: float | None) -> list[Case]:
    """Points at radii around 1; the second of a pair `separation` beside the first if given."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for manifold, named in TEXTBOOK.items():
        u = torch.randn(2, n, d, generator=generator) / math.sqrt(d * c)
        if separation is not None:
            u[1] = u[0] + separation * u[1]
        if manifold == "lorentz":
            x = F.lorentz_expmap0(u, c)
        elif manifold == "poincare":
            x = F.poincare_expmap0(u / 2, c)
        else:
            x = F.sphere_projx(u, c) if manifold == "sphere" else u
        for op in named:
            if op in ("dist", "exterior_angle"):
                points = (x[0], x[1])
            else:
                points = (u[0] if op == "expmap0" else x[0],)
            made.append(Case(manifold, op, tuple(p.contiguous().to(device) for p in points), c))
    return made


# --- measurement ---


def clock(threads: int, device: str) -> Callable[[], float]:
    """Seconds of the process, or of the wall where several units work at once."""
    if device != "cpu":

        def now() -> float:
            torch.cuda.synchronize()
            return time.perf_counter()

        return now
    return time.process_time if threads == 1 else time.perf_counter


def worst(got: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> tuple[float, float]:
    """Largest relative error of a value, and of a gradient in norm; NaN where one is not finite."""
    errors = []
    for a, b in zip(got, exact, strict=True):
        a, b = a.double(), b.double()
        if b.ndim == 2:
            error, size = (a - b).norm(dim=-1), b.norm(dim=-1)
        else:
            error, size = (a - b).abs(), b.abs()
        errors.append((error / size.clamp(min=1e-300)).max().item())
    return errors[0], max(errors[1:], key=lambda e: math.inf if math.isnan(e) else e)


def contestants(case: Case) -> dict[str, tuple[Operation, tuple[Tensor, ...]]]:
    """Functions and their points, by name."""
    found = {
        "ours": (ours(case.manifold, case.op), case.points),
        "textbook": (TEXTBOOK[case.manifold][case.op], case.points),
    }
    theirs = geoopt_operation(case.manifold, case.op, case.c)
    if theirs is not None:
        points = case.points
        if case.manifold == "lorentz":
            points = tuple(ambient(p, case.op, case.c) for p in points)
        found["geoopt"] = (theirs, points)
    return found


def timed(case: Case, rounds: int, repeats: int, now: Callable[[], float]) -> dict[str, list]:
    """Seconds of forward and backward by competitor, one a round."""
    found = contestants(case)
    seconds: dict[str, list[float]] = {name: [] for name in found}
    prepared = {}
    for name, (function, points) in found.items():
        leaves = [p.detach().clone().requires_grad_() for p in points]
        value = function(*leaves, case.c)
        prepared[name] = (function, leaves, torch.randn_like(value))
    order = list(found)
    for turn in range(rounds + 1):
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            function, leaves, weight = prepared[name]
            start = now()
            for _ in range(repeats):
                torch.autograd.grad(function(*leaves, case.c), leaves, weight)
            if turn:  # the first round warms up
                seconds[name].append((now() - start) / repeats)
    return seconds


def measure(options: argparse.Namespace) -> list[dict]:
    """One record for each operation and competitor."""
    torch.set_num_threads(options.threads)
    now = clock(options.threads, options.device)
    near = {
        (k.manifold, k.op): k
        for k in cases(options.near, options.d, options.c, options.device, 1e-4)
    }
    records = []
    for case in cases(options.n, options.d, options.c, options.device, None):
        if options.only and f"{case.manifold}.{case.op}" not in options.only:
            continue
        seconds = timed(case, options.rounds, options.repeats, now)
        errors: dict[str, dict[str, list[float]]] = {name: {} for name in seconds}
        for kind, k in (("spread", case), ("near", near[case.manifold, case.op])):
            exact = k.gradients(ours(k.manifold, k.op), tuple(p.double() for p in k.points))
            for name in ("ours", "textbook"):
                function, points = contestants(k)[name]
                errors[name][kind] = list(worst(k.gradients(function, points), exact))
        for name, values in seconds.items():
            ratios = sorted(a / b for a, b in zip(seconds["ours"], values, strict=True))
            record = {
                "manifold": case.manifold,
                "op": case.op,
                "competitor": name,
                "seconds": statistics.median(values),
                "ratio": statistics.median(ratios),
                "ratio_range": [ratios[0], ratios[-1]],
                "errors": errors[name],
                "limit": LIMITS.get(case.op, LIMIT),
            }
            records.append(record)
            print(line(record), flush=True)
    return records


def line(r: dict) -> str:
    """One row of the table."""
    low, high = r["ratio_range"]
    ratio = "-" if r["competitor"] == "ours" else f"{r['ratio']:.2f} [{low:.2f}-{high:.2f}]"
    errors = [f"{v:.0e} / {g:.0e}" for v, g in r["errors"].values()] or ["", ""]
    cells = [
        f"{r['manifold']}.{r['op']}",
        r["competitor"],
        f"{1e3 * r['seconds']:.1f}",
        ratio,
        f"{r['limit']:g}" if ratio != "-" else "",
        *errors,
    ]
    return "| " + " | ".join(cells) + " |"


def page(records: list[dict], setting: dict) -> str:
    """The markdown page."""
    told = ", ".join(f"{k} {v}" for k, v in setting.items())
    head = [
        "# Row-wise operations, forward and backward",
        "",
        f"Written by `python experiments/bench/rowwise.py`; {told}.",
        "Ratio: our time over theirs, median [smallest-largest] of the rounds. Errors: largest "
        "relative error of value / gradient against float64, on the measured points and on pairs "
        "1e-4 apart.",
        "",
        "| operation | competitor | ms | ratio | limit | error, spread | error, near |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    return "\n".join(head + [line(r) for r in records]) + "\n"


def main() -> None:
    """Measures, prints the table, and writes rowwise.jsonl and rowwise.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="turns of every competitor")
    parser.add_argument("--repeats", type=int, default=3, help="calls in one turn")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--n", type=int, default=4096, help="rows")
    parser.add_argument("--d", type=int, default=512, help="dimension")
    parser.add_argument("--near", type=int, default=512, help="rows of the near pairs (errors)")
    parser.add_argument("--c", type=float, default=1.0, help="curvature magnitude")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--only", nargs="*", default=[], help="manifold.operation ...")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of rowwise.jsonl and .md")
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    setting = {
        "rows": options.n,
        "d": options.d,
        "c": options.c,
        "threads": options.threads,
        "rounds": options.rounds,
        "repeats": options.repeats,
        "device": options.device if options.device == "cpu" else torch.cuda.get_device_name(),
        "clock": "CPU" if options.device == "cpu" and options.threads == 1 else "wall",
        "torch": torch.__version__,
        "geoopt": geoopt.__version__,
        "machine": platform.machine(),
    }
    records = measure(options)
    if not options.dry:
        lines = [json.dumps(setting | r) for r in records]
        (options.out / "rowwise.jsonl").write_text("\n".join(lines) + "\n")
        (options.out / "rowwise.md").write_text(page(records, setting))


if __name__ == "__main__":
    main()
