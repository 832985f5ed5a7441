"""What the weight of the entailment loss changes, where several weights were run."""

from typing import Any

from geomclip.results import METRICS, Results, Variant
from geomclip.viz import style
from geomclip.viz.charts import Chart, Table, layout, rounded

MEASURES = (
    "i2t_r10", "zeroshot_group_acc", "root_tau", "ancestor_ap", "root_auc", "cone_auc_group",
)  # fmt: skip


def weighed(results: Results) -> list[list[Variant]]:
    """The variants of each geometry that was run with several weights, least first."""
    by_geometry: dict[str, list[Variant]] = {}
    for variant in results.variants:
        by_geometry.setdefault(variant.geometry, []).append(variant)
    return [sorted(v, key=lambda x: x.entailment) for v in by_geometry.values() if len(v) > 1]


def ablation(results: Results) -> list[Chart]:
    """A chart a measure: its value over the weights, a line a geometry; none with one weight."""
    lines = weighed(results)
    if not lines or not results.splits:
        return []
    found = [_chart(results, results.splits[0], metric, lines) for metric in MEASURES]
    return [chart for chart in found if chart is not None]


def _chart(results: Results, split: str, metric: str, lines: list[list[Variant]]) -> Chart | None:
    scale = 100 if METRICS[metric].kind == "share" else 1
    data: list[dict[str, Any]] = []
    rows = []
    for variants in lines:
        have = [(v, e) for v in variants if (e := results.estimate(v, split, metric)) is not None]
        if len(have) < 2:
            continue
        name = style.label(Variant(variants[0].geometry))
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [f"{v.entailment:g}" for v, _ in have],
                "y": [rounded(scale * e.mean) for _, e in have],
                "error_y": {
                    "type": "data",
                    "array": [rounded(scale * (style.margin(e) or 0.0)) for _, e in have],
                    "color": style.colour(variants[0]),
                    "thickness": 1.25,
                    "width": 4,
                },
                "line": {"color": style.colour(variants[0]), "width": 2},
                "marker": {"size": 8},
                "showlegend": False,
            }
        )
        rows += [
            (f"{name}, λ = {v.entailment:g}", style.number(e.mean, metric),
             "" if style.margin(e) is None else style.number(style.margin(e) or 0.0, metric))
            for v, e in have
        ]  # fmt: skip
    if not data:
        return None
    unit = style.unit(metric)
    spec = layout(x="weight λ of the entailment loss", y=unit)
    spec["xaxis"]["type"] = "category"
    title = METRICS[metric].label
    said = ", ".join(f"{what}: {value}" for what, value, _ in rows)
    return Chart(
        id=f"ablation-{metric.replace('_', '-')}",
        title=title,
        alt=f"{title} by weight of the entailment loss: {said}.",
        spec={"data": data, "layout": spec},
        table=Table(("Geometry, weight", f"Value{', ' + unit if unit else ''}", "±"), tuple(rows)),
    )
