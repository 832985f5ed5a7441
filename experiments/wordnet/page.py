"""The tables of docs/wordnet.md on reconstruction, from the results; nothing is typed."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from store import read

from geomclip.pages import written
from geomclip.statistics import estimate
from geomclip.train.files import write_text

PAGE = Path(__file__).parents[2] / "docs" / "wordnet.md"

Result = dict[str, Any]

NICKEL_2017 = "Nickel & Kiela 2017"
NICKEL_2018 = "Nickel & Kiela 2018"

# (data, what, source) -> {dimension: (mean rank, MAP)}
PUBLISHED: dict[tuple[str, str, str], dict[int, tuple[float, float]]] = {
    ("mammals", "Poincaré", "the reference code's README and issues"): {5: (1.26, 0.927)},
    ("nouns", "Poincaré", NICKEL_2017): {
        5: (4.9, 0.823), 10: (4.02, 0.851), 20: (3.84, 0.855), 50: (3.98, 0.86),
    },
    ("nouns", "Euclidean", NICKEL_2017): {
        5: (3542.3, 0.024), 10: (2286.9, 0.059), 20: (1685.9, 0.087), 50: (1281.7, 0.140),
    },
    ("nouns", "Lorentz", NICKEL_2018): {2: (22.8, 0.305), 5: (3.18, 0.923), 10: (2.95, 0.928)},
    ("verbs", "Poincaré", NICKEL_2018): {2: (10.71, 0.365), 5: (1.39, 0.910), 10: (1.35, 0.912)},
    ("verbs", "Lorentz", NICKEL_2018): {2: (3.64, 0.577), 5: (1.26, 0.935), 10: (1.23, 0.933)},
}  # fmt: skip

LABELS = {
    "poincare": "Poincaré",
    "lorentz": "Lorentz",
    "euclidean": "Euclidean",
    "sphere": "sphere",
    "product": "hyperboloid × sphere",
}

# Marks of the page and the folder of results that each table is written from.
TABLES = ("mammals", "mammals-tree", "geoopt", "subtrees", "verbs", "nouns")
SWEEPS = ("sweep", "sweep-near")


def write(results: Path) -> None:
    """Write the tables of the results that there are; the others stay as they are."""
    text = PAGE.read_text(encoding="utf-8")
    for name in TABLES:
        if found := read(results / name):
            text = written(text, name, table(found))
            text = written(text, f"{name}-cost", cost(found))
    for name in SWEEPS:
        if found := read(results / name):
            text = written(text, name, sweep(found))
    write_text(PAGE, text)


def table(results: Sequence[Result]) -> str:
    """Data, manifolds, first points and optimizers down, dimensions across: mean rank / MAP."""
    dims = sorted({r["settings"]["dim"] for r in results})
    lines = ["| | " + " | ".join(f"d = {d}" for d in dims) + " |", "|---|" + "---:|" * len(dims)]
    rows = dict.fromkeys(_row(r) for r in results)
    several = len({row[0] for row in rows}) > 1
    for row in rows:
        cells = [
            _cell([r for r in results if _row(r) == row and r["settings"]["dim"] == d])
            for d in dims
        ]
        lines.append(f"| {_label(row, several)} | {' | '.join(cells)} |")
    for (data, what, source), values in PUBLISHED.items():
        if any(row[0] == data for row in rows) and values.keys() & set(dims):
            cells = [f"{values[d][0]:g} / {values[d][1]:.3f}" if d in values else "-" for d in dims]
            lines.append(f"| published, {what} ({source}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _row(result: Result) -> tuple[str, str, str, str]:
    s = result["settings"]
    return s["data"], s["manifold"], s["init"], s["optimizer"]


def _label(row: tuple[str, str, str, str], several: bool) -> str:
    data, manifold, init, optimizer = row
    parts = [f"`{data}`"] if several else []
    parts.append(LABELS[manifold])
    if init == "tree":
        parts.append("from a tree")
    if optimizer == "geoopt":
        parts.append("geoopt's RiemannianAdam")
    return ", ".join(parts)


def _cell(results: Sequence[Result]) -> str:
    """`1.25 ± 0.02 / 0.950 ± 0.003`, means and standard deviations over seeds."""
    whole = [r for r in results if r["map"] is not None]
    if not results:
        return "-"
    diverged = len(results) - len(whole)
    if not whole:
        return f"NaN ({diverged} of {len(results)})"
    rank = estimate([r["mean_rank"] for r in whole])
    precision = estimate([r["map"] for r in whole])
    text = f"{_number(rank.mean)}{_spread(rank.spread)} / {precision.mean:.3f}"
    if precision.spread is not None:
        text += f" ± {precision.spread:.3f}"
    return text + (f"; NaN {diverged} of {len(results)}" if diverged else "")


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _spread(value: float | None) -> str:
    return "" if value is None else f" ± {_number(value)}"


def cost(results: Sequence[Result]) -> str:
    """How many runs, seeds, steps, CPU seconds, and seconds by the clock."""
    seconds = [r["train_cpu_seconds"] for r in results]
    wall = [r["wall_seconds"] for r in results]
    steps = sorted({r["steps"] for r in results})
    cells = Counter((_row(r), r["settings"]["dim"]) for r in results)
    seeds = _range([*cells.values()])
    threads = sorted({r["environment"]["threads"] for r in results})
    return (
        f"{len(results)} run{'s' * (len(results) > 1)}, {seeds} seed{'s' * (seeds != '1')}, "
        f"{_range(steps)} steps; training took {_range(seconds)} CPU seconds a run "
        f"({sum(seconds) / 60:.0f} minutes together), on {' or '.join(map(str, threads))} thread"
        f"{'s' * (threads[-1] > 1)}. With its evaluation a run took {_range(wall)} seconds by the "
        "clock."
    )


def _range(values: Sequence[float]) -> str:
    """`268 to 1,272`, or one number where both are the same."""
    ends = dict.fromkeys(f"{end:,.0f}" for end in (min(values), max(values)))
    return " to ".join(ends)


def sweep(results: Sequence[Result]) -> str:
    """Every trial of every manifold, the best first."""
    lines = ["| | tried | mean rank | MAP |", "|---|---|---:|---:|"]
    varied = [
        key
        for key in results[0]["settings"]
        if key not in ("manifold",) and len({str(r["settings"].get(key)) for r in results}) > 1
    ]
    for manifold in dict.fromkeys(r["settings"]["manifold"] for r in results):
        tried = [r for r in results if r["settings"]["manifold"] == manifold]
        for r in sorted(tried, key=lambda r: -(r["map"] or 0)):
            values = ", ".join(f"{key} {r['settings'][key]}" for key in varied)
            ends = r["map"] is None
            numbers = "NaN | NaN" if ends else f"{_number(r['mean_rank'])} | {r['map']:.3f}"
            lines.append(f"| {LABELS[manifold]} | {values} | {numbers} |")
    return "\n".join(lines)
