"""Lines with error bars in small panels, as an SVG in the report's colours, without any library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from geomclip.names import family
from geomclip.results import Variant
from geomclip.viz import style

WIDTH, HEIGHT = 380.0, 250.0  # of a panel, pixels
LEFT, RIGHT, TOP, BOTTOM = 58.0, 14.0, 34.0, 46.0  # its margins
LEGEND = 30.0
DODGE = 5.0  # between the error bars of neighbouring series at the same x
MARKERS = ("circle", "square", "triangle", "diamond")
DASHED = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 12px; fill: #1f2933 }
.head { font-weight: 600; font-size: 13px } .axis { fill: #52606d }
.grid { stroke: #e4e7eb } .frame { stroke: #9aa5b1 } .back { fill: #fff }
"""
DARK = """
text { fill: #e4e7eb } .axis { fill: #9aa5b1 } .grid { stroke: #2a323b } .frame { stroke: #616e7c }
.back { fill: #131416 }
"""


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
    width, height = round(2 * WIDTH), round(LEGEND + math.ceil(len(panels) / 2) * HEIGHT)
    colours = {name: style.COLOURS[name] for name in sorted({family(v.geometry) for v in variants})}
    light, dark = (
        "".join(
            f".l-{n} {{ stroke: {c[paper]} }} .m-{n} {{ fill: {c[paper]} }}\n"
            for n, c in colours.items()
        )
        for paper in (0, 1)
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img"><title>{escape(title)}</title>'
        f"<style>{STYLE}{light}@media (prefers-color-scheme: dark) {{{DARK}{dark}}}</style>"
        '<rect class="back" width="100%" height="100%"/>'
    )
    return "\n".join([head, *body, "</svg>", ""])


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
            _line(at, 18, at + 34, 18, f"l-{looks[variant].colour}", looks[variant].dash, 2),
            _marker(at + 17, 18, looks[variant]),
            _text(at + 40, 22, words),
        ]
        at += 62 + 7.5 * len(words)
    return parts


def _panel(
    panel: Panel, looks: dict[Variant, _Look], x_title: str, left: float, top: float
) -> list[str]:
    xs = sorted({p[0] for s in panel.series for p in s.points})
    ends = [panel.scale * (m + side * e) for s in panel.series for _, m, e in s.points for side in
            (-1, 1)]  # fmt: skip
    ticks = _ticks(min(0.0, *ends), max(ends))
    low, high = ticks[0], ticks[-1]
    x0, x1 = left + LEFT, left + WIDTH - RIGHT
    y0, y1 = top + HEIGHT - BOTTOM, top + TOP
    pad = 18.0

    def across(value: float) -> float:
        share = math.log(value / xs[0]) / math.log(xs[-1] / xs[0]) if len(xs) > 1 else 0.5
        return x0 + pad + (x1 - x0 - 2 * pad) * share

    def up(value: float) -> float:
        return y0 + (y1 - y0) * (panel.scale * value - low) / (high - low)

    parts = [_text(x0, top + 20, panel.title, "head")]
    for tick in ticks:
        y = up(tick / panel.scale)
        parts += [_line(x0, y, x1, y, "grid"), _text(x0 - 7, y + 4, _number(tick), "axis", "end")]
    for value in xs:
        parts += [
            _line(across(value), y0, across(value), y0 + 5, "frame"),
            _text(across(value), y0 + 19, f"{value:g}", "axis", "middle"),
        ]
    parts += [
        _line(x0, y0, x1, y0, "frame"),
        _text((x0 + x1) / 2, y0 + 37, x_title, "axis", "middle"),
    ]
    for series in panel.series:
        look = looks[series.variant]
        line = f"l-{look.colour}"
        path = " ".join(f"{across(x) + look.shift:.1f},{up(m):.1f}" for x, m, _ in series.points)
        dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
        parts.append(
            f'<polyline class="{line}" points="{path}" fill="none" stroke-width="1.6"{dash}/>'
        )
        for x, mean, spread in series.points:
            at = across(x) + look.shift
            if spread > 0:
                parts.append(_line(at, up(mean - spread), at, up(mean + spread), line, "", 1.4))
            parts.append(_marker(at, up(mean), look))
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, about five steps apart, from below `low` to above `high`."""
    step = 10 ** math.floor(math.log10(max(high - low, 1e-12) / 5))
    step *= next(m for m in (1, 2, 5, 10) if m * step >= (high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, max(last, first + 1) + 1)]


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−") if abs(value) > 1e-12 else "0"


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


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, kind: str, dash: str = "", width: float = 1
) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )
