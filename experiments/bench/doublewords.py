"""What double words cost: float64 operations on the hyperboloid against their one-word forms.

    python experiments/bench/doublewords.py --rounds 3

Forward and backward take turns in one process on one thread, on the same points at radii around 1;
the table shows the median CPU seconds and the median ratio [smallest-largest] of the rounds.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from manifolds import functional as F
from manifolds.functional.lorentz import distance, exterior, fine_distance
from manifolds.hyperboloid import exponential, exterior_angle, logarithm, transport

Operation = Callable[[Tensor, Tensor, Tensor, Tensor, bool], Tensor]
"""(x, y, u, c, in double words) -> value."""
OPERATIONS: dict[str, Operation] = {
    "dist": lambda x, y, u, c, fine: (fine_distance if fine else distance)(x, y, c),
    "expmap": lambda x, y, u, c, fine: exponential(x, u, c, fine=fine),
    "logmap": lambda x, y, u, c, fine: logarithm(x, y, c, fine=fine),
    "transp": lambda x, y, u, c, fine: transport(x, y, u, c, fine=fine),
    "exterior_angle": lambda x, y, u, c, fine: (exterior_angle if fine else exterior)(x, y, c),
}


def seconds(operation: Operation, points: tuple[Tensor, ...], c: Tensor, fine: bool) -> float:
    """CPU seconds of value and gradients."""
    leaves = [p.clone().requires_grad_() for p in points]
    start = time.process_time()
    torch.autograd.grad(operation(*leaves, c, fine).sum(), leaves, allow_unused=True)
    return time.process_time() - start


def rows(n: int, d: int, rounds: int) -> list[str]:
    """The table's lines, printed as they come."""
    torch.manual_seed(0)
    c = torch.ones((), dtype=torch.float64)
    steps = torch.randn(3, n, d, dtype=torch.float64) / math.sqrt(d)
    points = (F.lorentz_expmap0(steps[0], c), F.lorentz_expmap0(steps[1], c), steps[2])
    found = []
    for name, operation in OPERATIONS.items():
        taken = [[seconds(operation, points, c, fine) for fine in (True, False)]
                 for _ in range(rounds)]  # fmt: skip
        ratios = sorted(a / b for a, b in taken)
        fine, plain = (statistics.median(t[i] for t in taken) for i in (0, 1))
        ratio = f"{statistics.median(ratios):.1f} [{ratios[0]:.1f}-{ratios[-1]:.1f}]"
        found.append(f"| {name} | {fine:.2f} | {plain:.2f} | {ratio} |")
        print(found[-1], flush=True)
    return found


BEGIN, END = "<!-- double words: begin -->", "<!-- double words: end -->"
DOCS = Path(__file__).parents[2] / "docs" / "accuracy.md"


def main() -> None:
    """Measures, prints, and rewrites the table between its two markers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n", type=int, default=4096, help="rows")
    parser.add_argument("--d", type=int, default=512, help="dimension")
    parser.add_argument("--out", type=Path, default=DOCS, help="page with the markers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    setting = f"--rounds {options.rounds} --n {options.n} --d {options.d}"
    head = [
        f"`python experiments/bench/doublewords.py {setting}`, CPU seconds of forward and backward",
        f"on one thread, medians, and the ratio [smallest-largest] of the rounds; torch "
        f"{torch.__version__}:",
        "",
        "| operation, float64 | double words | one word | ratio |",
        "|---|---:|---:|---:|",
    ]
    table = "\n".join(head + rows(options.n, options.d, options.rounds))
    before, begin, rest = options.out.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        parser.error(f"{options.out}: no lines {BEGIN} and {END}")
    options.out.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


if __name__ == "__main__":
    main()
