"""The link prediction tables of docs/wordnet.md, from the lines of cones.jsonl."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geomclip.pages import written
from geomclip.statistics import estimate

PAGE = Path(__file__).parents[2] / "docs" / "wordnet.md"

Line = dict[str, Any]

ROWS = {
    ("hyperbolic", "random"): "Hyperbolic cones",
    ("umbral", "random"): "Umbral cones, half-space",
    ("euclidean", "random"): "Euclidean cones",
    ("order", "random"): "Order embeddings",
    ("hyperbolic", "tree"): "Hyperbolic cones, structure-initialised",
    ("umbral", "tree"): "Umbral cones, structure-initialised",
    ("euclidean", "tree"): "Euclidean cones, structure-initialised",
    ("order", "tree"): "Order embeddings, structure-initialised",
}

PERCENTS = (0, 10, 25, 50)

SHADOW = "Yu et al. 2024"
GANEA = "Ganea et al. 2018"

# F1 in %, by (data, dim): what could be read in a source; None where a number could not.
PUBLISHED: dict[tuple[str, int], list[tuple[str, list[float | None]]]] = {
    ("mammals", 2): [
        (f"entailment cones ({SHADOW})", [54.4, 61.0, 71.0, 66.5]),
        (f"umbral cones ({SHADOW})", [57.7, 73.7, 77.4, 80.3]),
        (f"penumbral cones ({SHADOW})", [52.8, 74.1, 70.9, 72.3]),
    ],
    ("mammals", 5): [
        (f"entailment cones ({SHADOW})", [56.3, 81.0, 84.1, 83.6]),
        (f"umbral cones ({SHADOW})", [69.4, 81.1, 83.7, 88.5]),
        (f"penumbral cones ({SHADOW})", [67.8, 82.0, 83.5, 87.6]),
    ],
    ("nouns", 5): [
        (f"order embeddings ({GANEA})", [None, None, None, 81.7]),
        (f"entailment cones ({GANEA})", [None, None, None, 92.8]),
        (f"entailment cones, rerun ({SHADOW})", [29.2, 78.1, 84.6, 92.1]),
        (f"umbral cones ({SHADOW})", [45.2, 87.8, 94.2, 96.4]),
        (f"penumbral cones ({SHADOW})", [44.6, 82.6, 86.2, 88.3]),
    ],
    ("nouns", 10): [
        (f"entailment cones ({GANEA})", [None, None, None, 94.4]),
        (f"entailment cones, rerun ({SHADOW})", [32.1, 82.9, 91.0, 95.2]),
        (f"umbral cones ({SHADOW})", [52.2, 89.4, 95.7, 97.0]),
        (f"penumbral cones ({SHADOW})", [51.7, 84.1, 88.3, 89.8]),
    ],
}


def cell(lines: Sequence[Line]) -> str:
    """`88.9 ± 0.6`: mean and standard deviation of test F1 over the runs, in %."""
    if not lines:
        return "-"
    found = estimate([100 * line["test_f1"] for line in lines])
    return f"{found.mean:.1f}" + (f" ± {found.spread:.1f}" if found.spread is not None else "")


def counts(lines: Sequence[Line]) -> str:
    """Of the runs of a row: `5`, or `1, 3` where cells differ."""
    by_percent: dict[int, int] = {}
    for line in lines:
        percent = line["settings"]["percent"]
        by_percent[percent] = by_percent.get(percent, 0) + 1
    return ", ".join(map(str, sorted(set(by_percent.values()))))


def table(lines: Sequence[Line], data: str, dim: int) -> str:
    """Ours by model, then the published rows; the percentages across."""
    out = [
        f"| {data}, d = {dim} | " + " | ".join(f"{p} %" for p in PERCENTS) + " | runs | CPU s |",
        "|---|" + "---:|" * (len(PERCENTS) + 2),
    ]
    for (model, init), title in ROWS.items():
        row = [
            line
            for line in lines
            if (line["settings"]["model"], line["settings"]["init"]) == (model, init)
        ]
        if row:
            cells = [cell([r for r in row if r["settings"]["percent"] == p]) for p in PERCENTS]
            seconds = sum(r["cpu_seconds"] for r in row) / len(row)
            out.append(f"| {title} | {' | '.join(cells)} | {counts(row)} | {seconds:.0f} |")
    for title, values in PUBLISHED.get((data, dim), []):
        cells = ["-" if v is None else f"{v:.1f}" for v in values]
        out.append(f"| *published:* {title} | {' | '.join(cells)} | | |")
    return "\n".join(out)


def tables(lines: Sequence[Line], data: str) -> str:
    """A table a dimension and split, with what it was made on said above it."""
    out = []
    mine = [line for line in lines if line["settings"]["data"] == data]
    own = [line for line in mine if line["settings"]["split"] == "own"]
    for title, some in (
        ("The published split", [line for line in mine if line not in own]),
        ("Splits of our own, drawn by the seed", own),
    ):
        for dim in sorted({line["settings"]["dim"] for line in some}):
            rows = [line for line in some if line["settings"]["dim"] == dim]
            drawn = sorted(
                {
                    line["settings"]["percent"]
                    for line in rows
                    if line["settings"]["split"].startswith("published valid")
                }
            )
            note = title + "".join(
                f"; {p} %: its training edges are not public, every run draws its own by its seed"
                for p in drawn
            )
            out.append(f"{note}.\n\n{table(rows, data, dim)}")
    return "\n\n".join(out) if out else "No run of this table is recorded."


def write(lines: Sequence[Line], page: Path = PAGE) -> None:
    """Write the tables between their marks. Raises ValueError where the page has none."""
    text = page.read_text(encoding="utf-8")
    for data in ("mammals", "nouns"):
        text = written(text, f"cones-{data}", tables(lines, data))
    page.write_text(text, encoding="utf-8")
