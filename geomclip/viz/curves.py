"""Training curves: one chart a quantity, all geometries on the same axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geomclip.results import Results, RunResult, Variant
from geomclip.viz import style
from geomclip.viz.charts import Chart, Table, rounded, short
from geomclip.viz.charts import layout as base_layout

# Rows of a chart's table: enough to redraw the course of a curve by hand.
TABLE_ROWS = 11


@dataclass(frozen=True)
class Curve:
    """A quantity followed during training, as metrics.jsonl names it."""

    key: str
    title: str
    unit: str
    note: str = ""


CURVES = (
    Curve("contrastive", "Contrastive loss", "nats"),
    Curve("logit_scale", "Logit scale", "ln β"),
    Curve("c", "Curvature magnitude c", "space curves as −c"),
    Curve("entailment", "Entailment loss, before its weight", "radians"),
    Curve("satisfied", "Pictures inside their caption's cone", "share of the batch"),
    Curve("aperture", "Half aperture of the captions' cones", "radians"),
)


def curves(results: Results) -> list[Chart]:
    """One chart a quantity, all geometries on the same axes; a quantity nobody logged has none."""
    charts = []
    for curve in CURVES:
        runs = [run for run in results.runs if _has(run, curve.key)]
        # Without entailment in the loss the cones are what they are by accident: leave them out.
        if curve.key in ("entailment", "satisfied", "aperture"):
            runs = [run for run in runs if run.variant.entailment > 0]
        if runs:
            charts.append(_curve_chart(results, curve, runs))
    return charts


def _has(run: RunResult, key: str) -> bool:
    return any(v is not None for v in run.curves.get(key, []))


def _curve_chart(results: Results, curve: Curve, runs: list[RunResult]) -> Chart:
    variants = [v for v in results.variants if any(run.variant == v for run in runs)]
    main = curve.key == "contrastive"
    data: list[dict[str, Any]] = []
    means: dict[Variant, dict[float, float]] = {}
    for variant in variants:
        series = [_series(run, curve.key) for run in runs if run.variant == variant]
        steps = sorted(set.intersection(*(set(one) for one in series)))
        means[variant] = {s: math.fsum(one[s] for one in series) / len(series) for s in steps}
        data += _band(variant, steps, series)
        y = [means[variant][s] for s in steps]
        name = style.label(variant)
        if main and len(y) >= 20:
            data.append(_line(variant, steps, y, dash=line_pattern(results, variant), faint=True))
            y = smooth(y, max(3, len(y) // 30 * 2 + 1))
        data.append(_line(variant, steps, y, name=name, dash=line_pattern(results, variant)))
    layout = base_layout(x="step", y=curve.unit)
    cut = False
    if main:
        layout |= _chance_line(runs)
        cut = _cut_axis(layout, runs, [v for m in means.values() for v in m.values()])
    last = ", ".join(
        f"{style.label(v)} {short(list(m.values())[-1])}" for v, m in means.items() if m
    )
    return Chart(
        id=f"curve-{curve.key.replace('_', '-')}",
        title=curve.title,
        alt=f"{curve.title} against training step; at the end {last}.",
        note="The first steps lie above the axis; the table has them." if cut else "",
        spec={"data": data, "layout": layout},
        table=_curve_table(means),
        wide=main,
    )


def _series(run: RunResult, key: str) -> dict[float, float]:
    steps = run.curves["step"]
    pairs = zip(steps, run.curves[key], strict=True)
    return {s: v for s, v in pairs if s is not None and v is not None}


def _line(
    variant: Variant,
    x: Sequence[float],
    y: Sequence[float],
    *,
    name: str = "",
    dash: str = "solid",
    faint: bool = False,
) -> dict[str, Any]:
    colour = style.colour(variant, 0.3 if faint else None)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": [rounded(v) for v in y],
        "line": {"color": colour, "width": 1 if faint else 2.25, "dash": dash},
        "showlegend": False,
        **({"hoverinfo": "skip"} if faint else {"hovertemplate": "%{y:.4g}"}),
    }


def _band(
    variant: Variant, steps: Sequence[float], series: list[dict[float, float]]
) -> list[dict[str, Any]]:
    """The range over seeds, where there are several."""
    if len(series) < 2:
        return []
    low = [rounded(min(one[s] for one in series)) for s in steps]
    high = [rounded(max(one[s] for one in series)) for s in steps]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [*steps, *reversed(steps)],
            "y": [*high, *reversed(low)],
            "fill": "toself",
            "fillcolor": style.colour(variant, 0.16),
            "line": {"width": 0, "color": style.colour(variant, 0.16)},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]


def line_pattern(results: Results, variant: Variant) -> str:
    """Solid without entailment, then one dash pattern a weight."""
    weights = sorted({v.entailment for v in results.variants} | {0.0})
    return style.DASHES[weights.index(variant.entailment) % len(style.DASHES)]


def _chance_line(runs: list[RunResult]) -> dict[str, Any]:
    batch = sorted({int(run.config["batch_size"]) for run in runs})
    return {
        "shapes": [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": math.log(n),
                "y1": math.log(n),
                "line": {"color": "var(--muted)", "width": 1, "dash": "dot"},
            }
            for n in batch
        ],
        "annotations": [
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": math.log(n),
                "yanchor": "bottom",
                "text": f"chance, ln {n} = {math.log(n):.2f}",
                "showarrow": False,
                "font": {"color": "var(--muted)", "size": 12},
            }
            for n in batch
        ],
    }


def _cut_axis(layout: dict[str, Any], runs: list[RunResult], values: list[float]) -> bool:
    """End the axis a little above chance where a first step lies far beyond: whether it does."""
    top = 1.1 * max(math.log(int(run.config["batch_size"])) for run in runs)
    if not values or max(values) <= top or min(values) >= top:
        return False
    layout["yaxis"]["range"] = [rounded(min(values) - 0.04 * (top - min(values))), rounded(top)]
    return True


def _curve_table(means: dict[Variant, dict[float, float]]) -> Table:
    steps = sorted(set().union(*means.values()))
    if len(steps) > TABLE_ROWS:
        picked = {round(i * (len(steps) - 1) / (TABLE_ROWS - 1)) for i in range(TABLE_ROWS)}
        steps = [steps[i] for i in sorted(picked)]
    rows = [
        (style.count(int(s)), *(short(m[s]) if s in m else "" for m in means.values()))
        for s in steps
    ]
    return Table(("Step", *(style.label(v) for v in means)), tuple(rows))


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred moving mean over an odd window, narrower at the ends so that it stays centred."""
    half = window // 2
    result = []
    for i in range(len(values)):
        reach = min(half, i, len(values) - 1 - i)
        part = values[i - reach : i + reach + 1]
        result.append(math.fsum(part) / len(part))
    return result
