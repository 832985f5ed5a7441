"""Writes docs/benchmarks.md and its plot from the results beside this file; nothing is typed.

    python experiments/bench/page.py

Results come from the commands that the page lists (`geomclip bench --out ...`, build.py). What they
have is not measured again: delete a file to measure anew.
"""

import json
import statistics
from pathlib import Path

from geomclip.bench.config import Case
from geomclip.bench.plot import svg
from geomclip.bench.result import OURS, Result, read
from geomclip.bench.table import markdown
from geomclip.pages import written

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
PAGE, PLOT = DOCS / "benchmarks.md", DOCS / "images" / "benchmarks.svg"
PASSES = "forward + backward"

# Subject, n, dim: the largest share of each competitor's time, and the largest peak in GiB, that
# was asked of the C++ kernels.
MARKS: dict[tuple[str, int, int], tuple[dict[str, float], float | None]] = {
    ("pairwise", 2048, 512): ({"textbook": 0.6, "compiled": 0.95, "floor": 1.4}, None),
    ("pairwise", 4096, 512): ({"textbook": 0.6, "compiled": 0.95, "floor": 1.4}, None),
    ("pairwise", 2048, 64): ({"textbook": 0.3, "compiled": 0.75, "floor": 1.6}, None),
    ("pairwise", 4096, 64): ({"textbook": 0.3, "compiled": 0.75, "floor": 1.6}, None),
    ("loss", 8192, 512): ({"textbook": 0.33, "compiled": 0.55, "floor": 1.55}, 0.12),
    ("loss", 16384, 512): ({}, 0.2),
}
BUILD = 10.0  # seconds of wall time


def marks(results: list[Result], build: dict | None) -> str:
    """What was asked, and what was measured, by the number of threads."""
    threads = sorted({r.case.threads for r in results}) or [1]
    heads = [f"{t} thread{'s' if t > 1 else ''}" for t in threads]
    rows: list[tuple[str, str, str, list[str]]] = []
    for (subject, n, dim), (ratios, peak) in MARKS.items():
        what = f"{'distance' if subject == 'pairwise' else 'InfoNCE'}, n = {n}, dim {dim}"
        own = [r for r in results if key(r.case) == (subject, n, dim) and not r.case.close]
        for name, limit in ratios.items():
            cells = [ratio(own, t, name, limit) for t in threads]
            rows.append((what, name, f"{limit:g}", cells))
        if peak is not None:
            cells = [size(own, t, peak) for t in threads]
            rows.append((what, "memory over inputs", f"{peak:g} GiB", cells))
        if subject == "pairwise":
            cells = [outputs(own, t) for t in threads]
            rows.append((what, "memory over inputs", "one n x m output", cells))
    if build is not None:
        wall = statistics.median(b["wall"] for b in build["builds"])
        cells = [verdict(f"{wall:.1f} s", wall <= BUILD), *[""] * (len(threads) - 1)]
        rows.append((f"first build, {build['cores']} cores", "wall time", f"{BUILD:g} s", cells))
    lines = [f"| | against | at most | {' | '.join(heads)} |"]
    lines.append("|---|---|---:|" + "---:|" * len(threads))
    lines += [
        f"| {what} | {against} | {wanted} | {' | '.join(cell or '-' for cell in cells)} |"
        for what, against, wanted, cells in rows
        if any(cells)
    ]
    return "\n".join(lines)


def key(case: Case) -> tuple[str, int, int]:
    """How `MARKS` names a case."""
    return case.subject, case.n, case.dim


def verdict(text: str, met: bool) -> str:
    """Bold where a mark is missed."""
    return text if met else f"**{text}**"


def ratio(results: list[Result], threads: int, name: str, limit: float) -> str:
    """Our time over that of a competitor, forward and backward."""
    for r in results:
        if (r.case.threads, r.what, r.competitor) == (threads, PASSES, name) and r.ours_over:
            return verdict(str(r.ours_over), r.ours_over.median <= limit)
    return ""


def peak_of(results: list[Result], threads: int, name: str) -> int | None:
    """Bytes over the inputs."""
    for r in results:
        if (r.case.threads, r.what, r.competitor) == (threads, "memory", name):
            return r.bytes
    return None


def size(results: list[Result], threads: int, limit: float) -> str:
    """Our peak, and in brackets the textbook formula's."""
    ours, plain = (peak_of(results, threads, name) for name in (OURS, "textbook"))
    if ours is None:
        return ""
    beside = f" (textbook {plain / 2**30:.2f})" if plain is not None else ""
    return verdict(f"{ours / 2**30:.3f} GiB{beside}", ours <= limit * 2**30)


def outputs(results: list[Result], threads: int) -> str:
    """Our peak in units of the n x m result; in brackets what distances and gradients alone take,
    and the textbook formula's peak.
    """
    ours, plain = (peak_of(results, threads, name) for name in (OURS, "textbook"))
    if ours is None:
        return ""
    case = results[0].case
    whole = 4 * case.n * case.m
    parts = [f"results alone {1 + case.dim * (1 / case.n + 1 / case.m):.2f}"]
    parts += [f"textbook {plain / whole:.2f}"] if plain is not None else []
    return verdict(f"{ours / whole:.2f} n x m ({', '.join(parts)})", ours <= whole)


def systems(results: list[Result]) -> str:
    """The machines, one line each."""
    shown = ("hardware", "cores", "memory_gib", "kernels", "torch", "geoopt", "hypll", "python")
    lines = []
    for r in results:
        parts = [f"{k.replace('memory_gib', 'memory, GiB')} {r.system[k]}" for k in shown]
        lines.append("- " + "; ".join(parts))
    return "\n".join(dict.fromkeys(lines))


def main() -> None:
    """Reads, writes."""
    results = [r for path in sorted(HERE.glob("*.jsonl")) for r in read(path)]
    on_cpu = [r for r in results if r.case.device == "cpu"]
    on_gpu = [r for r in results if r.case.device != "cpu"]
    saved = HERE / "build.json"
    build = json.loads(saved.read_text()) if saved.is_file() else None
    text = PAGE.read_text(encoding="utf-8")
    text = written(text, "system", systems(results))
    text = written(text, "marks", marks(on_cpu, build))
    text = written(text, "cpu", markdown(on_cpu))
    text = written(text, "gpu", markdown(on_gpu) or "No figures yet.")
    PAGE.write_text(text, encoding="utf-8")
    one = [r for r in on_cpu if r.case.threads == 1 and not r.case.close and r.case.n >= 2048]
    PLOT.write_text(svg([r for r in one if r.case.subject != "rowwise"]), encoding="utf-8")


if __name__ == "__main__":
    main()
