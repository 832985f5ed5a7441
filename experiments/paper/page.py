"""What the comparison writes: a page and figures in OUT, or docs/paper.md; no number is typed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import figures
import tables
from cell import shown_rows
from claims import claims
from grid import read_grid
from study import Study

from geomclip.comparison.cells import splits_of
from geomclip.comparison.measure import main_split, png
from geomclip.data import emoji
from geomclip.data.config import DataConfig
from geomclip.data.splits import Splits
from geomclip.pages import written
from geomclip.results import write_file
from geomclip.train.config import TrainConfig
from geomclip.train.log import read_metrics
from geomclip.viz import style

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
PAGE, IMAGES = DOCS / "paper.md", DOCS / "images"
NAME = "paper.md"

SIDE = 32  # pixels of the pictures of figure 3

# Of figure 3, where they were trained.
SHOWN = (
    ("clip", 0.0), ("euclip", 0.0), ("meru", 0.0), ("euclip", 0.2), ("meru", 0.2),
)  # fmt: skip

TITLES = {
    "done": "What was run",
    "claims": "What agrees with the paper",
    "plain": "Without entailment",
    "entailed": "With entailment",
    "layernorm": "Without final LayerNorm less with it",
    "entailment": "With entailment less without",
    "hierarchy": "Hierarchy",
    "traversals": "Traversals",
    "scalars": "Where the learned scalars ended",
}

FIGURES = {
    "paper-1-cones.svg": "Figure 1: entailment cones",
    "paper-2-roots.svg": "Figure 2: root distances without entailment",
    "paper-3-traversals.svg": "Figure 3: what is met on the way to the root",
    "paper-4-roots.svg": "Figure 4: root distances with entailment",
    "paper-5-captions.svg": "Figure 5: captions met on the way to the root",
}


def sections(study: Study) -> dict[str, str]:
    """The written parts of the page by their marks."""
    plain, entailed = study.chosen(entailed=False), study.chosen(entailed=True)
    return {
        "done": done(study),
        "claims": claims(study),
        "plain": tables.table(study, plain, tables.MAIN),
        "entailed": tables.table(study, entailed, tables.MAIN),
        "layernorm": tables.differences(study, tables.without_layernorm(study)),
        "entailment": tables.differences(study, tables.with_entailment(study)),
        "hierarchy": tables.table(study, study.rows, tables.HIERARCHY),
        "traversals": tables.table(study, study.rows, tables.TRAVERSALS),
        "scalars": tables.ends(study),
    }


def done(study: Study) -> str:
    """How much of the grid is finished, and what it took."""
    spent = [v["train_cpu_seconds"] + v["evaluation_cpu_seconds"] for v in study.lines]
    steps = study.lines[0]["step"]
    step = sum(v["train_cpu_seconds"] for v in study.lines) / (steps * len(study.lines))
    counts: dict[int, int] = {}
    for row in study.rows:
        n = len(study.of(row))
        counts[n] = counts.get(n, 0) + 1
    by_seeds = style.words(
        [f"{rows} rows with {n} seed{'' if n == 1 else 's'}" for n, rows in sorted(counts.items())]
    )
    parameters = sorted({v["parameters"] for v in study.lines})
    chance = study.lines[0]["chance"]
    about = ", ".join(
        f"{tables.title(m).removesuffix(', %')} {style.number(chance[m], m)} %"
        for m in ("zeroshot_group_acc", "zeroshot_subgroup_acc", "i2t_r10")
        if m in chance
    )
    evaluated = sum(v["evaluation_cpu_seconds"] for v in study.lines) / len(study.lines)
    names = style.count(study.lines[0]["candidates"])
    return (
        f"{len(study.lines)} of {study.planned} cells are finished: {by_seeds}. A cell is a model "
        f"of {style.count(parameters[0])} to {style.count(parameters[-1])} parameters, trained for "
        f"{steps} steps: {step:.3f} CPU seconds a step, {evaluated:.1f} for what is measured then, "
        f"{sum(spent) / 60:.0f} CPU minutes in all, in one thread. Numbers are of the split "
        f"{study.split}, {style.count(study.items)} pictures among {names} names; chance is "
        f"{about}."
    )


def drawn(study: Study, splits: Splits, credit: str) -> dict[str, str]:
    """The figures by file name."""
    split = splits.evaluation[main_split(splits.evaluation)]
    rows = [int(split.query[i]) for i in shown_rows(splits)]
    pictures = [(png(split.pool, i), split.pool.names[i]) for i in rows]
    shown = [row for g, w in SHOWN if (row := study.row(g, w))] or study.rows[:5]
    plain = [*study.chosen(entailed=False, layernorm=True),
             *study.chosen(entailed=False, layernorm=False)]  # fmt: skip
    entailed = [*study.chosen(entailed=True, layernorm=True),
                *study.chosen(entailed=True, layernorm=False)]  # fmt: skip
    titles = list(FIGURES.values())
    found = [
        figures.cones(),
        figures.root_distances(study, plain, titles[1]) if plain else "",
        figures.traversals(study, shown, pictures, credit),
        figures.root_distances(study, entailed, titles[3]) if entailed else "",
        figures.captions_met(study, study.rows),
    ]
    return {name: picture for name, picture in zip(FIGURES, found, strict=True) if picture}


def write(lines: Sequence[dict[str, Any]], planned: int, out: Path, data: DataConfig) -> None:
    """OUT/paper.md with its figures in OUT/images."""
    study = Study(lines, planned)
    credit = twemoji() if data.source == "emoji" else "Pictures: of the data."
    for name, picture in drawn(study, splits_of(data, SIDE), credit).items():
        write_file(out / "images" / name, picture)
    parts = [f"# The comparison of arXiv 2409.13079 on {data.source}"]
    parts += [f"## {TITLES[mark]}\n\n{text}" for mark, text in sections(study).items()]
    parts += [
        f"## {title}\n\n![{title}](images/{name})"
        for name, title in FIGURES.items()
        if (out / "images" / name).is_file()
    ]
    write_file(out / NAME, "\n\n".join(parts) + "\n")


def twemoji() -> str:
    """Whose the pictures of the embedded set are."""
    rendition = emoji.RENDITIONS["twemoji"]
    return (
        f"Pictures: {rendition.title}, Copyright 2019 Twitter, Inc and other contributors, "
        f"{rendition.licence}, reduced to 32 x 32 pixels."
    )


# --- docs/paper.md


def record(lines: Sequence[dict[str, Any]], grid: Path, planned: int) -> None:
    """Keep the cells beside their grid, and write the documentation anew.

    Ways in full are kept of the first seed, whose are shown.
    """
    kept = []
    for cell in lines:
        ways = {k: v for k, v in cell["traversal"].items() if k != "shown" or cell["seed"] == 0}
        kept.append({**cell, "traversal": ways, "planned": planned})
    text = "".join(json.dumps(cell) + "\n" for cell in kept)
    write_file(grid.with_suffix(".jsonl"), text)
    document()


def document() -> None:
    """Write docs/paper.md and its figures anew."""
    page, pictures = documentation()
    write_file(PAGE, page)
    for name, picture in pictures.items():
        write_file(IMAGES / name, picture)


def documentation() -> tuple[str, dict[str, str]]:
    """docs/paper.md and its figures from the recorded cells."""
    lines = read_metrics(HERE / "paper.jsonl")
    study = Study(lines, lines[0]["planned"])
    parts = sections(study) | {
        "control": control(study, read_metrics(HERE / "meru-lr.jsonl")),
        "full": full(read_metrics(HERE / "full.jsonl")),
    }
    text = PAGE.read_text(encoding="utf-8")
    for mark, part in parts.items():
        text = written(text, mark, part)
    return text, drawn(study, splits_of(DataConfig(), SIDE), twemoji())


def control(study: Study, lines: Sequence[dict[str, Any]]) -> str:
    """MERU at another learning rate beside MERU and its entailed recipe."""
    if not lines:
        return "Not run."
    other = Study(lines, lines[0]["planned"])
    default = TrainConfig().lr
    head: list[str] = []
    out: list[str] = []
    for source in (other, study):
        rows = [r for r in source.rows if r.variant.geometry == "meru"]
        text = tables.table(source, rows, tables.MAIN).splitlines()
        for row, cells in zip(rows, text[2:], strict=True):
            lr = source.of(row)[0]["settings"].get("lr", default)
            out.append(cells.replace(f"| {row.label} |", f"| {row.label}, lr {lr:g} |"))
        head = text[:2]
    return "\n".join([*head, *out])


def full(lines: Sequence[dict[str, Any]]) -> str:
    """What the full grid takes, from a few steps of some of its cells."""
    costs = [v["step_cpu_seconds"] for v in lines if v["step_cpu_seconds"] is not None]
    if not costs:
        return "Not measured."
    steps = read_grid(HERE / "full.toml").steps
    step = sum(costs) / len(costs)
    rest = sum(v["evaluation_cpu_seconds"] for v in lines) / len(lines)
    cells = lines[0]["planned"]
    names = style.words([f"`{v['name']}`" for v in lines])
    return (
        f"Measured on {lines[0]['step']} steps of {names}: {step:.2f} CPU seconds a step and "
        f"{rest:.1f} for what is measured then, so about "
        f"{(steps * step + rest) / 60:.0f} CPU minutes for each of the {cells} cells and "
        f"{cells * (steps * step + rest) / 3600:.1f} CPU hours for all."
    )
