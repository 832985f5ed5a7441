"""Lines with error bars in small panels, as an SVG in the report's colours, without any library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from geomclip.names import family
from geomclip.results import Variant
from geomclip.viz import style
from geomclip.viz.svg import document, line, number, text, ticks

WIDTH, HEIGHT = 380.0, 250.0  # of a panel, pixels
LEFT, RIGHT, TOP, BOTTOM = 58.0, 14.0, 34.0, 46.0  # its margins
LEGEND = 30.0
DODGE = 5.0  # between the error bars of neighbouring series at the same x
MARKERS = ("circle", "square", "triangle", "diamond")
DASHED = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}


@dataclass(frozen=True)
class Series:
    """A variant's points: (x, mean, spread over seeds or 0)."""

    variant: Variant
    points: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Panel:
    """One metric. `scale` multiplies what is shown (100 for shares in per cent)."""

    title: str
    series: tuple[Series, ...]
    scale: float = 1.0


def svg(panels: Sequence[Panel], *, title: str, x: str) -> str:
    """Two panels a row over a common axis `x` on a log scale; bars are one standard deviation."""
    variants = list(dict.fromkeys(s.variant for panel in panels for s in panel.series))
    looks = {variant: _look(variant, variants) for variant in variants}
    body = _legend(variants, looks)
    for i, panel in enumerate(panels):
        body += _panel(panel, looks, x, (i % 2) * WIDTH, LEGEND + (i // 2) * HEIGHT)
    width, height = 2 * WIDTH, LEGEND + math.ceil(len(panels) / 2) * HEIGHT
    colours = {name: style.COLOURS[name] for name in sorted({family(v.geometry) for v in variants})}
    light, dark = (
        "".join(
            f".l-{n} {{ stroke: {c[paper]} }} .m-{n} {{ fill: {c[paper]} }}\n"
            for n, c in colours.items()
        )
        for paper in (0, 1)
    )
    return document(width, height, body, title=title, light=light, dark=dark)


@dataclass(frozen=True)
class _Look:
    colour: str
    dash: str
    marker: str
    shift: float


def _look(variant: Variant, among: list[Variant]) -> _Look:
    geometries = list(dict.fromkeys(v.geometry for v in among))
    weights = sorted({v.entailment for v in among} | {0.0})
    return _Look(
        family(variant.geometry),
        DASHED[style.DASHES[weights.index(variant.entailment) % len(style.DASHES)]],
        MARKERS[geometries.index(variant.geometry) % len(MARKERS)],
        DODGE * (among.index(variant) - (len(among) - 1) / 2),
    )


def _legend(variants: list[Variant], looks: dict[Variant, _Look]) -> list[str]:
    parts, at = [], 20.0
    for variant in variants:
        words = style.label(variant)
        parts += [
            line(at, 18, at + 34, 18, f"l-{looks[variant].colour}", looks[variant].dash, 2),
            _marker(at + 17, 18, looks[variant]),
            text(at + 40, 22, words),
        ]
        at += 62 + 7.5 * len(words)
    return parts


def _panel(
    panel: Panel, looks: dict[Variant, _Look], x_title: str, left: float, top: float
) -> list[str]:
    xs = sorted({p[0] for s in panel.series for p in s.points})
    ends = [panel.scale * (m + side * e) for s in panel.series for _, m, e in s.points for side in
            (-1, 1)]  # fmt: skip
    marks = ticks(min(0.0, *ends), max(ends))
    low, high = marks[0], marks[-1]
    x0, x1 = left + LEFT, left + WIDTH - RIGHT
    y0, y1 = top + HEIGHT - BOTTOM, top + TOP
    pad = 18.0

    def across(value: float) -> float:
        share = math.log(value / xs[0]) / math.log(xs[-1] / xs[0]) if len(xs) > 1 else 0.5
        return x0 + pad + (x1 - x0 - 2 * pad) * share

    def up(value: float) -> float:
        return y0 + (y1 - y0) * (panel.scale * value - low) / (high - low)

    parts = [text(x0, top + 20, panel.title, "head")]
    for tick in marks:
        y = up(tick / panel.scale)
        parts += [line(x0, y, x1, y, "grid"), text(x0 - 7, y + 4, number(tick), "axis", "end")]
    for value in xs:
        parts += [
            line(across(value), y0, across(value), y0 + 5, "frame"),
            text(across(value), y0 + 19, f"{value:g}", "axis", "middle"),
        ]
    parts += [
        line(x0, y0, x1, y0, "frame"),
        text((x0 + x1) / 2, y0 + 37, x_title, "axis", "middle"),
    ]
    for series in panel.series:
        look = looks[series.variant]
        stroke = f"l-{look.colour}"
        path = " ".join(f"{across(x) + look.shift:.1f},{up(m):.1f}" for x, m, _ in series.points)
        dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
        parts.append(
            f'<polyline class="{stroke}" points="{path}" fill="none" stroke-width="1.6"{dash}/>'
        )
        for x, mean, spread in series.points:
            at = across(x) + look.shift
            if spread > 0:
                parts.append(line(at, up(mean - spread), at, up(mean + spread), stroke, "", 1.4))
            parts.append(_marker(at, up(mean), look))
    return parts


def _marker(x: float, y: float, look: _Look) -> str:
    kind = f'class="m-{look.colour}"'
    if look.marker == "circle":
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>'
    corners = {
        "square": ((-3, -3), (3, -3), (3, 3), (-3, 3)),
        "triangle": ((0, -4.2), (4, 3), (-4, 3)),
        "diamond": ((0, -4.4), (4.4, 0), (0, 4.4), (-4.4, 0)),
    }[look.marker]
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon {kind} points="{path}"/>'
