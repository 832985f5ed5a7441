"""The headline numbers as dots with whiskers, drawn by the style sheet alone: no script needed."""

import math
from dataclasses import dataclass

from geomclip.results import METRICS, Results
from geomclip.viz import style
from geomclip.viz.tables import REFERENCES
from geomclip.viz.verdict import HEADLINE


@dataclass(frozen=True)
class Dot:
    """A variant's number; positions are per cent of the scale's length."""

    label: str
    colour: str
    at: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A reference, drawn as a line across the panel."""

    label: str
    at: float


@dataclass(frozen=True)
class Panel:
    """One measure on a scale from 0 to `top` per cent."""

    title: str
    top: str
    dots: tuple[Dot, ...]
    marks: tuple[Mark, ...]


def panels(results: Results) -> list[Panel]:
    """A panel for each headline measure that has numbers, on the main split."""
    if not results.splits:
        return []
    split = results.splits[0]
    found = [_panel(results, split, metric) for metric in HEADLINE]
    return [panel for panel in found if panel is not None]


def _panel(results: Results, split: str, metric: str) -> Panel | None:
    estimates = [(v, results.estimate(v, split, metric)) for v in results.variants]
    have = [(v, e) for v, e in estimates if e is not None]
    if not have:
        return None
    references = {
        label: value
        for name, label in REFERENCES.items()
        if (value := results.reference(name, split, metric)) is not None
    }
    margins = {v: style.margin(e) or 0.0 for v, e in have}
    top = scale_top(max([e.mean + margins[v] for v, e in have] + list(references.values())))

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, value / top)), 2)

    dots = tuple(
        Dot(
            style.label(v),
            style.colour(v),
            place(e.mean),
            place(e.mean - margins[v]),
            place(e.mean + margins[v]),
            style.number(e.mean, metric),
        )
        for v, e in have
    )
    marks = tuple(
        Mark(f"{label.lower()} {style.number(value, metric)}", place(value))
        for label, value in references.items()
    )
    return Panel(METRICS[metric].label, f"{100 * top:g}", dots, marks)


def scale_top(largest: float) -> float:
    """The end of a scale from 0: the next round number, at most 1."""
    if largest <= 0:
        return 0.01
    power = 10 ** math.floor(math.log10(largest))
    steps = (1, 2, 2.5, 4, 5, 6, 8, 10)
    return min(1.0, next(s * power for s in steps if s * power >= largest * (1 - 1e-9)))
