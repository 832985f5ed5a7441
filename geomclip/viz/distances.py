"""Root distances: how far texts of each level and pictures lie from the root."""

import math
from collections.abc import Sequence
from typing import Any

from geomclip.names import family
from geomclip.results import Results, Variant
from geomclip.viz import style
from geomclip.viz.charts import Chart, Table, rounded, short
from geomclip.viz.charts import layout as base_layout

BINS = 48


def root_distances(results: Results) -> list[Chart]:
    """Per variant, how far texts of each level and pictures lie from the root (first seed)."""
    charts = []
    for variant in results.variants:
        run = next(run for run in results.runs if run.variant == variant)
        if run.distances:
            charts.append(_ridges(variant, run.distances))
    return charts


def root_unit(geometry: str) -> str:
    """What a root distance is measured in."""
    name = family(geometry)
    return {"clip": "(1 − cos to the mean) / 2", "elliptic": "arc to the mean, radians"}.get(
        name, "distance to the origin"
    )


def _ridges(variant: Variant, distances: dict[str, list[float]]) -> Chart:
    levels = [name for name, values in distances.items() if values]
    low = min(min(distances[n]) for n in levels)
    high = max(max(distances[n]) for n in levels)
    margin = (high - low) * 0.04 or 0.5
    low, high = max(0.0, low - margin), high + margin
    data: list[dict[str, Any]] = []
    for place, name in enumerate(levels):
        # The general at the top, the picture at the bottom.
        base = len(levels) - 1 - place
        picture = name == "image"
        colour = "var(--muted)" if picture else style.colour(variant)
        fill = "var(--muted, 0.28)" if picture else style.colour(variant, 0.16 + 0.14 * place)
        x, height = histogram(distances[name], low, high)
        top = max(height)
        outline_x = [low, *x, high]
        outline_y = [base, *(base + 0.86 * h / top for h in height), base]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [rounded(v) for v in outline_x],
                "y": [rounded(v) for v in outline_y],
                "fill": "toself",
                "fillcolor": fill,
                "line": {"color": colour, "width": 1.25, "shape": "linear"},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
        q = quantile(sorted(distances[name]), 0.5)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [rounded(q), rounded(q)],
                "y": [base, base + 0.86],
                "line": {"color": "var(--ink)", "width": 1.5},
                "hovertemplate": f"{level_label(name)}: median %{{x:.3f}}<extra></extra>",
                "showlegend": False,
            }
        )
    layout = base_layout(x=root_unit(variant.geometry), y="")
    layout["hovermode"] = "closest"
    layout["xaxis"]["range"] = [rounded(low), rounded(high)]
    layout["yaxis"] |= {
        "tickvals": [len(levels) - 1 - i + 0.3 for i in range(len(levels))],
        "ticktext": [level_label(n) for n in levels],
        "range": [-0.06, len(levels)],
        "showgrid": False,
        "ticks": "",
    }
    medians = ", ".join(
        f"{level_label(n)} {short(quantile(sorted(distances[n]), 0.5))}" for n in levels
    )
    return Chart(
        id=f"root-{variant.key.replace('.', '-')}",
        title=style.label(variant),
        alt=f"Root distances under {style.label(variant)}; medians: {medians}.",
        spec={"data": data, "layout": layout},
        table=_distance_table(distances, levels),
    )


def level_label(level: str) -> str:
    """`Group texts`, `Pictures`."""
    return "Pictures" if level == "image" else f"{level.capitalize()} texts"


def _distance_table(distances: dict[str, list[float]], levels: list[str]) -> Table:
    rows = []
    for name in levels:
        values = sorted(distances[name])
        at = [short(quantile(values, p)) for p in (0.05, 0.25, 0.5, 0.75, 0.95)]
        rows.append((level_label(name), style.count(len(values)), *at))
    columns = ("Level", "Number", "5 %", "25 %", "Median", "75 %", "95 %")
    return Table(columns, tuple(rows))


def histogram(values: Sequence[float], low: float, high: float) -> tuple[list[float], list[float]]:
    """Counts of equal bins of [low, high] as the corners of a step outline: (x, height)."""
    width = (high - low) / BINS
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, max(0, int((value - low) / width)))] += 1
    x, height = [], []
    for i, n in enumerate(counts):
        x += [low + i * width, low + (i + 1) * width]
        height += [float(n), float(n)]
    return x, height


def quantile(ordered: Sequence[float], p: float) -> float:
    """Quantile of ascending values, interpolated linearly (numpy's default)."""
    at = p * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])
