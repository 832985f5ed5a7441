"""The report's tables as data: every number with its spread, bold only where that may be."""

import math
from dataclasses import dataclass

from geomclip.results import METRICS, SPLITS, Results
from geomclip.viz import style
from geomclip.viz.charts import Table
from geomclip.viz.standings import standing

REFERENCES = {"chance": "Chance", "majority": "Commonest", "pixel_nn": "Raw pixels"}


@dataclass(frozen=True)
class Cell:
    """A number, what stands after ±, and whether it is set in bold."""

    text: str
    margin: str = ""
    best: bool = False


@dataclass(frozen=True)
class MetricRow:
    """One metric over the variants; `references` follows the order of REFERENCES."""

    label: str
    unit: str
    meaning: str
    cells: tuple[Cell, ...]
    references: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """The rows of one split."""

    title: str
    detail: str
    rows: tuple[MetricRow, ...]


def metric_blocks(results: Results) -> list[Block]:
    """The main table, one block a split, and one for the cost of training."""
    blocks = []
    for split in [*results.splits, "train"]:
        metrics = [m for m in METRICS if _is_shown(results, split, m)]
        rows = [row for metric in metrics if (row := _metric_row(results, split, metric))]
        if rows:
            cost = split == "train"
            title = "Cost of training" if cost else SPLITS.get(split, split)
            detail = "" if cost else _detail(results, split)
            blocks.append(Block(title, detail, tuple(rows)))
    return blocks


def _is_shown(results: Results, split: str, metric: str) -> bool:
    """What the table leaves to results.csv: scores on training pictures, cones nobody trained, and
    the raw-pixel reference, which stands in its own column beside what it compares with."""
    if split == "train":
        return METRICS[metric].kind == "seconds"
    if metric.startswith("cone_"):
        return any(v.entailment > 0 for v in results.variants)
    return metric != "pixel_nn_r1"


def _detail(results: Results, split: str) -> str:
    entry = results.data.get("splits", {}).get(split)
    if entry is None:
        return ""
    asked, pool = int(entry["queries"]), int(entry["pool"])
    return f"{style.count(asked)} asked about, {style.count(pool)} candidates"


def _metric_row(results: Results, split: str, metric: str) -> MetricRow | None:
    info = METRICS[metric]
    found = standing(results, split, metric, results.variants)
    if found is None:
        return None
    one_seed = any(e.spread is None for _, e in found.ranked)
    bold = None if one_seed or info.higher_is_better is None else found.leader
    estimates = dict(found.ranked)
    cells = []
    for variant in results.variants:
        if variant not in estimates:
            cells.append(Cell("–"))
            continue
        value = estimates[variant]
        margin = style.margin(value)
        after = "" if margin is None else style.number(margin, metric)
        cells.append(Cell(style.number(value.mean, metric), after, variant == bold))
    references = [results.reference(name, split, metric) for name in REFERENCES]
    texts = ("" if r is None else style.number(r, metric) for r in references)
    return MetricRow(info.label, style.unit(metric), info.meaning, tuple(cells), tuple(texts))


def cone_table(results: Results) -> Table | None:
    """Containment, aperture, angle and AUC per level, mean over seeds; None without cones."""
    rows = []
    for variant in results.variants:
        runs = [run for run in results.runs if run.variant == variant and run.cones]
        if not runs:
            continue
        for place, cone in enumerate(runs[0].cones):
            mean = {key: _mean([run.cones[place].get(key) for run in runs]) for key in _CONE}
            rows.append(
                (
                    f"{style.label(variant)}, {cone['level']}",
                    _percent(mean["own"]),
                    _percent(mean["other"]),
                    _radians(mean["aperture"]),
                    _radians(mean["exterior"]),
                    _radians(mean["violation"]),
                    _percent(mean["saturated"]),
                    "" if mean["auc"] is None else f"{mean['auc']:.3f}",
                )
            )
    if not rows:
        return None
    columns = (
        "Geometry, level", "Own cone, %", "Others’, %", "Half aperture", "Exterior angle",
        "Outside by", "Half spaces, %", "AUC",
    )  # fmt: skip
    return Table(columns, tuple(rows))


_CONE = ("own", "other", "aperture", "exterior", "violation", "saturated", "auc")


def _mean(values: list[float | None]) -> float | None:
    have = [v for v in values if v is not None]
    return math.fsum(have) / len(have) if have else None


def _radians(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
