"""Times over those of the matrix products as bars, in an SVG without any library."""

import math
from collections.abc import Sequence
from html import escape

from geomclip.bench.config import Case
from geomclip.bench.result import OURS, Result
from geomclip.bench.timing import Spread

LEFT, WIDTH, ROW, HEAD = 150.0, 460.0, 20.0, 34.0  # pixels
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 13px; fill: #1f2933 }
.head { font-weight: 600 } .axis { font-size: 11px; fill: #52606d }
.ours { fill: #0b7285 } .other { fill: #adb5bd } .grid, .floor { stroke: #ced4da }
.spread { stroke: #343a40; stroke-width: 1.5 } .floor { stroke: #c92a2a; stroke-dasharray: 4 3 }
.back { fill: #fff }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e7eb } .axis { fill: #9aa5b1 } .back { fill: #131416 } .other { fill: #616e7c }
  .grid { stroke: #323f4b } .spread { stroke: #f1f3f5 } .ours { fill: #22b8cf }
}
"""
TICKS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


def svg(results: Sequence[Result], what: str = "forward + backward") -> str:
    """Bars for every case of `what`, shortest first; the line over one is the range of rounds."""
    cases: dict[Case, list[tuple[str, Spread]]] = {}
    for r in results:
        if r.over_floor is not None and r.what == what and r.competitor != "floor":
            cases.setdefault(r.case, []).append((r.competitor, r.over_floor))
    largest = max((ratio.high for bars in cases.values() for _, ratio in bars), default=2.0)
    end = next((tick for tick in TICKS if tick >= largest), largest)
    scale = WIDTH / math.log(max(2.0, end))

    def x(ratio: float) -> float:
        return LEFT + scale * math.log(max(1.0, ratio))

    body, y = [], 10.0
    for case, bars in cases.items():
        top = y + HEAD - 8
        bottom = top + ROW * len(bars)
        body.append(_text(10.0, y + 18, f"{case}, {_threads(case)}", "head"))
        for tick in (t for t in TICKS if t <= end):
            body.append(_line(x(tick), top, x(tick), bottom, "floor" if tick == 1.0 else "grid"))
            body.append(_text(x(tick), bottom + 14, f"{tick:g}", "axis", "middle"))
        for i, (name, ratio) in enumerate(sorted(bars, key=lambda bar: bar[1].median)):
            at, shade = top + ROW * i, "ours" if name.startswith(OURS) else "other"
            body += [
                _text(LEFT - 8, at + 14, name, "", "end"),
                _bar(at + 3, max(1.0, x(ratio.median) - LEFT), shade),
                _line(x(ratio.low), at + 9.5, x(ratio.high), at + 9.5, "spread"),
                _text(x(ratio.high) + 6, at + 14, f"{ratio.median:.2f}", ""),
            ]
        y = bottom + 26
    title = f"{what}: time over that of the matrix products alone, log scale"
    body.append(_text(10.0, y + 8, title, "axis"))
    width, height = round(LEFT + WIDTH + 70), round(y + 20)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img"><title>{escape(title)}</title>'
        f'<style>{STYLE}</style><rect class="back" width="100%" height="100%"/>'
    )
    return "\n".join([head, *body, "</svg>", ""])


def _bar(y: float, width: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{LEFT:g}" y="{y:.1f}" width="{width:.1f}" height="13"/>'


def _threads(case: Case) -> str:
    if case.device != "cpu":
        return case.device
    return f"{case.threads} thread{'s' if case.threads > 1 else ''}"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
