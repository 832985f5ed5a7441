"""Charts as Plotly specifications, each with the table that says the same.

A specification is the plain dict of a figure: `plotly.graph_objects.Figure(chart.spec)` draws
it in a notebook. Colours are CSS variables, `var(--name)` or `var(--name, opacity)`, which the
page resolves for light and dark paper.
"""

from dataclasses import dataclass
from typing import Any

from geomclip.viz import style


@dataclass(frozen=True)
class Table:
    """A table of finished strings; the first column heads the rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A figure: `spec` has Plotly's data and layout; `alt` says what is to be seen."""

    id: str
    title: str
    alt: str
    spec: dict[str, Any]
    table: Table
    wide: bool = False
    note: str = ""


def layout(*, x: str, y: str) -> dict[str, Any]:
    """Axes titled x and y on transparent paper."""
    axis: dict[str, Any] = {
        "gridcolor": "var(--rule)",
        "linecolor": "var(--muted)",
        "zeroline": False,
        "automargin": True,
        "fixedrange": True,
        "tickfont": {"size": 12},
    }
    return {
        "autosize": True,
        "margin": {"l": 8, "r": 12, "t": 10, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--ink)", "size": 13},
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": "var(--paper)",
            "bordercolor": "var(--rule)",
            "font": {"color": "var(--ink)", "size": 12},
        },
        "xaxis": axis
        | {"title": {"text": x, "font": {"size": 12}}, "showgrid": False, "ticks": "outside"},
        "yaxis": axis | {"title": {"text": y, "font": {"size": 12}}},
    }


def rounded(value: float | int) -> float:
    """Five significant digits: a pixel is less."""
    return float(f"{value:.5g}")


def short(value: float | int) -> str:
    """Three significant digits, with a true minus sign."""
    return f"{value:.3g}".replace("-", "−") if abs(value) < 1000 else style.count(round(value))
