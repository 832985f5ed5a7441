"""Densities as ridges, one above the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from geomclip.names import factors, known
from geomclip.results import Variant
from geomclip.viz import style
from geomclip.viz.charts import Chart, Table, layout, rounded, short
from geomclip.viz.distances import quantile


def colour(geometry: str, alpha: float | None = None) -> str:
    """The CSS variable of a geometry's colour; grey for one that has no name."""
    if known(geometry) or factors(geometry):
        return style.colour(Variant(geometry), alpha)
    return "var(--muted)" if alpha is None else f"var(--muted, {alpha:g})"


def name_of(geometry: str) -> str:
    """`MERU`: the name a reader sees."""
    return style.label(Variant(geometry)) if known(geometry) else geometry


def ridges(
    id: str,
    title: str,
    geometry: str,
    unit: str,
    grid: Sequence[float | int],
    heights: Mapping[str, Sequence[float | int]],
    values: Mapping[str, Sequence[float | int]],
    labels: Mapping[str, str],
    *,
    note: str = "",
) -> Chart:
    """Densities over one axis, in the order given from the top; each is scaled to its own peak.

    Args:
        heights: by series, on `grid`.
        values: the values themselves in ascending order, for medians and the table.
        labels: how each series is called; those called "Image..." are drawn in grey.
    """
    names = list(heights)
    data: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        base = len(names) - 1 - place
        picture = name == "image"
        line = "var(--muted)" if picture else colour(geometry)
        fill = (
            "var(--muted, 0.28)" if picture else colour(geometry, 0.16 + 0.5 / len(names) * place)
        )
        top = max(heights[name]) or 1.0
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [rounded(v) for v in (grid[0], *grid, grid[-1])],
                "y": [base, *(rounded(base + 0.86 * h / top) for h in heights[name]), base],
                "fill": "toself",
                "fillcolor": fill,
                "line": {"color": line, "width": 1.25, "shape": "linear"},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
        middle = rounded(quantile(values[name], 0.5))
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [middle, middle],
                "y": [base, base + 0.86],
                "line": {"color": "var(--ink)", "width": 1.5},
                "hovertemplate": "median %{x:.4g}<extra></extra>",
                "showlegend": False,
            }
        )
    spec = layout(x=unit, y="")
    spec["hovermode"] = "closest"
    spec["yaxis"] |= {
        "tickvals": [len(names) - 1 - i + 0.3 for i in range(len(names))],
        "ticktext": [labels[n] for n in names],
        "range": [-0.06, len(names)],
        "showgrid": False,
        "ticks": "",
    }
    rows = []
    for name in names:
        at = [short(quantile(values[name], p)) for p in (0.05, 0.25, 0.5, 0.75, 0.95)]
        rows.append((labels[name], style.count(len(values[name])), *at))
    medians = ", ".join(f"{labels[n]} {short(quantile(values[n], 0.5))}" for n in names)
    return Chart(
        id=id,
        title=title,
        alt=f"{title}; medians: {medians}.",
        spec={"data": data, "layout": spec},
        table=Table(("Series", "Number", "5 %", "25 %", "Median", "75 %", "95 %"), tuple(rows)),
        note=note,
    )


def bars(
    id: str,
    title: str,
    geometry: str,
    unit: str,
    rows: Sequence[tuple[str, float | int, float | int | None, int]],
    *,
    note: str = "",
) -> Chart:
    """Numbers as dots with their 95 % intervals.

    Args:
        rows: label, value, standard error, sample size.
    """
    spec = layout(x=unit, y="")
    spec["hovermode"] = "closest"
    spec["yaxis"] |= {"autorange": "reversed", "showgrid": False, "ticks": ""}
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [rounded(value) for _, value, _, _ in rows],
        "y": [label for label, *_ in rows],
        "error_x": {
            "type": "data",
            "array": [rounded(1.96 * (error or 0.0)) for _, _, error, _ in rows],
            "color": colour(geometry),
            "thickness": 1.5,
            "width": 4,
        },
        "marker": {"size": 9, "color": colour(geometry)},
        "hovertemplate": "%{y}: %{x:.4g}<extra></extra>",
        "showlegend": False,
    }
    table = tuple(
        (label, short(value), "" if error is None else short(error), style.count(n))
        for label, value, error, n in rows
    )
    said = ", ".join(f"{label} {short(value)}" for label, value, *_ in rows)
    return Chart(
        id=id,
        title=title,
        alt=f"{title}: {said}.",
        spec={"data": [trace], "layout": spec},
        table=Table(("What", "Value", "Standard error", "Sample size"), table),
        note=note,
    )


def lines(
    id: str,
    title: str,
    geometry: str,
    x_title: str,
    y_title: str,
    series: Mapping[str, tuple[Sequence[float | int], Sequence[float | int]]],
    *,
    log: bool = False,
    note: str = "",
) -> Chart:
    """Curves (x, y) by label; "image" in grey, the others in the geometry's colour."""
    data = []
    for place, (name, (x, y)) in enumerate(series.items()):
        line = "var(--muted)" if name == "image" else colour(geometry)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [rounded(v) for v in x],
                "y": [rounded(v) for v in y],
                "line": {"color": line, "width": 2, "dash": style.DASHES[place % 4]},
            }
        )
    spec = layout(x=x_title, y=y_title)
    if log:
        spec["xaxis"]["type"] = spec["yaxis"]["type"] = "log"
    spec["legend"] = {"orientation": "h", "y": 1.08, "x": 0}
    rows = []
    for name, (x, y) in series.items():
        step = max(1, len(x) // 10)
        rows += [(f"{name}, {short(u)}", short(v)) for u, v in zip(x, y, strict=True)][::step]
    return Chart(
        id=id,
        title=title,
        alt=f"{title}: curves of {', '.join(series)}.",
        spec={"data": data, "layout": spec},
        table=Table((x_title, y_title), tuple(rows)),
        note=note,
    )
