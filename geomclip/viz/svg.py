"""Static figures as SVG without any library: their parts, round ticks, the whole on light and dark
paper."""

import math
from collections.abc import Sequence
from html import escape

Number = float | int

STYLE = """
text { font-family: system-ui, sans-serif; font-size: 12px; fill: #1f2933 }
.head { font-weight: 600; font-size: 13px } .axis { fill: #52606d }
.grid { stroke: #e4e7eb } .frame { stroke: #9aa5b1 } .back { fill: #fff }
"""
DARK = """
text { fill: #e4e7eb } .axis { fill: #9aa5b1 } .grid { stroke: #2a323b } .frame { stroke: #616e7c }
.back { fill: #131416 }
"""


def document(
    width: Number,
    height: Number,
    body: Sequence[str],
    *,
    title: str,
    light: str = "",
    dark: str = "",
) -> str:
    """The picture; `light` and `dark` are further styles of the two papers."""
    w, h = round(width), round(height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" '
        f'width="{w}" height="{h}" role="img"><title>{escape(title)}</title>'
        f"<style>{STYLE}{light}@media (prefers-color-scheme: dark) {{{DARK}{dark}}}</style>"
        '<rect class="back" width="100%" height="100%"/>'
    )
    return "\n".join([head, *body, "</svg>", ""])


def text(x: Number, y: Number, words: str, kind: str = "", anchor: str = "start") -> str:
    """Words at a place."""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def line(
    x1: Number, y1: Number, x2: Number, y2: Number, kind: str, dash: str = "", width: Number = 1
) -> str:
    """A straight line of a class."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


def ticks(low: Number, high: Number, steps: int = 5) -> list[float]:
    """Round numbers, about `steps` steps apart, from below `low` to above `high`."""
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-12) / steps))
    step *= next(m for m in (1, 2, 5, 10) if m * step >= (high - low) / steps)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, max(last, first + 1) + 1)]


def number(value: Number) -> str:
    """A tick's three digits, with a true minus sign."""
    return f"{value:.3g}".replace("-", "−") if abs(value) > 1e-12 else "0"
