"""Figures 1 to 5 as SVG: cones, root distances, traversals, captions met."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import torch
from study import NO_LAYERNORM, Row, Study
from torch import Tensor

from geomclip.names import family
from geomclip.results import Variant
from geomclip.traverse import ROOT
from geomclip.viz import style
from geomclip.viz.charts import short
from geomclip.viz.svg import document, line, number, text, ticks
from manifolds import Euclidean, Lorentz, lorentz_to_poincare

WIDTH, HEIGHT = 230.0, 160.0  # of a small panel with its margins
LEFT, RIGHT, TOP, BOTTOM = 30.0, 10.0, 40.0, 34.0
ACROSS = 4

K = 0.1  # of the cones of figure 1, hyperbolic; the Euclidean ones have 2 K
REACH = 2.5  # metric length that their borders are drawn for

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """Axes from x to x and from y to y, in pixels from the corner (left, top)."""

    left: float
    top: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the axes is drawn."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return self.left + LEFT + wide * across, self.top + HEIGHT - BOTTOM - high * up

    def frame(self, row: Row, unit: str, marks: Sequence[float]) -> list[str]:
        """What is shown, lower axis with its marks."""
        x0, y0 = self.at(self.x[0], self.y[0])
        x1, _ = self.at(self.x[1], self.y[0])
        parts = [*heading(x0 - 18, self.top + 18, row), line(x0, y0, x1, y0, "frame")]
        for mark in marks:
            x, _ = self.at(mark, 0)
            parts += [
                line(x, y0, x, y0 + 4, "frame"),
                text(x, y0 + 16, number(mark), "axis", "middle"),
            ]
        if unit:
            parts.append(text((x0 + x1) / 2, y0 + 30, unit, "axis", "middle"))
        return parts


def heading(x: float, y: float, row: Row) -> list[str]:
    """The name of a row; on a line of its own what would make it wider than its panel."""
    parts = [text(x, y, style.label(row.variant), "head")]
    return parts if row.layernorm else [*parts, text(x, y + 13, NO_LAYERNORM, "axis")]


def place(i: int, head: float) -> tuple[float, float]:
    """The corner of the i-th panel below a head."""
    return (i % ACROSS) * WIDTH, head + (i // ACROSS) * HEIGHT


def path(points: Points, kind: str, *, closed: bool = False, extra: str = "") -> str:
    """A line through points, or an area."""
    name = "polygon" if closed else "polyline"
    through = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<{name} class="{kind}" points="{through}"{extra}/>'


def colours(rows: Sequence[Row]) -> tuple[str, str]:
    """Classes of lines and areas in the geometries' colours, on light and dark paper."""
    names = sorted({family(row.variant.geometry) for row in rows})
    light, dark = (
        "".join(
            f".l-{n} {{ stroke: {style.COLOURS[n][side]}; fill: none }}\n"
            f".a-{n} {{ fill: {style.COLOURS[n][side]}; fill-opacity: 0.25 }}\n"
            f".b-{n} {{ fill: {style.COLOURS[n][side]} }}\n"
            for n in names
        )
        + f".grey {{ fill: {grey}; fill-opacity: 0.35 }} .ink {{ stroke: {ink}; fill: none }}\n"
        for side, grey, ink in ((0, "#8795a1", "#52606d"), (1, "#7b8794", "#9aa5b1"))
    )
    return light, dark


# --- figure 1


def rays(m: Euclidean | Lorentz, x: Tensor, min_radius: float, reach: float) -> Tensor:
    """Points (33, 65, 2) on geodesics from x (2,) through its cone: the first and the last leave at
    the half aperture from the way away from the root, and are its borders."""
    aperture = m.half_aperture(x, min_radius)
    away = x / m.norm(x, x)
    across = torch.stack([-x[1], x[0]])
    across = across / m.norm(x, across)
    angle = aperture * torch.linspace(1, -1, 33, dtype=x.dtype)[:, None, None]
    t = torch.linspace(0, reach, 65, dtype=x.dtype)[:, None]
    return m.expmap(x, t * (torch.cos(angle) * away + torch.sin(angle) * across))


def cones() -> str:
    """Figure 1: Euclidean cones along the line y = K, the one at (K, K) a quadrant; hyperbolic
    ones of the same meaning of K on the Poincaré disk."""
    side, head, gap = 340.0, 44.0, 60.0
    parts: list[str] = []
    kinds = ("clip", "euclidean-squared", "hyperbolic")
    flat, curved = Euclidean(), Lorentz(c=1.0).double()
    k = 2 * K
    starts = torch.tensor([[k, k], [2.5 * k, k], [1.2 * k, -2.4 * k]], dtype=torch.float64)

    def plane(x: Tensor) -> Points:
        return [(gap / 2 + side * (a + 0.3) / 1.5, head + side * (1.2 - b - 0.5) / 1.5)
                for a, b in x.tolist()]  # fmt: skip

    def ball(x: Tensor) -> Points:
        p = lorentz_to_poincare(x, 1.0)
        centre = gap * 1.5 + side * 1.5, head + side / 2
        return [(centre[0] + side / 2 * a, centre[1] - side / 2 * b) for a, b in p.tolist()]

    for title, m, radius, draw, at, box in (
        (f"Euclidean, K = {k:g}", flat, k, plane, gap / 2, "plane"),
        (
            f"Hyperbolic (Poincaré disk, c = 1), K = {K:g}",
            curved,
            K,
            ball,
            gap * 1.5 + side,
            "ball",
        ),
    ):
        parts.append(text(at, 24, title, "head"))
        parts.append(
            f'<clipPath id="{box}">'
            + (
                f'<rect x="{at:g}" y="{head:g}" width="{side:g}" height="{side:g}"/>'
                if box == "plane"
                else f'<circle cx="{at + side / 2:g}" cy="{head + side / 2:g}" r="{side / 2:g}"/>'
            )
            + f'</clipPath><g clip-path="url(#{box})">'
        )
        angle = torch.linspace(0, 2 * math.pi, 97, dtype=torch.float64)
        circle = torch.stack([angle.cos(), angle.sin()], -1) * radius * (1 if m is flat else 2)
        parts.append(path(draw(circle), "ink", extra=' stroke-dasharray="2 3"'))
        if m is flat:
            ends = torch.tensor([[-1.0, k], [2.0, k]], dtype=torch.float64)
            parts.append(path(draw(ends), "ink", extra=' stroke-dasharray="7 4"'))
        for name, x in zip(kinds, starts, strict=True):
            found = rays(m, x, radius, REACH if m is flat else 9.0)
            outline = torch.cat([found[0], found[1:-1, -1], found[-1].flip(0)])
            parts.append(path(draw(outline), f"a-{name}", closed=True))
            edges = torch.cat([found[0].flip(0), found[-1]])
            parts.append(path(draw(edges), f"l-{name}", extra=' stroke-width="1.6"'))
            ((px, py),) = draw(x[None])
            parts.append(f'<circle class="b-{name}" cx="{px:.1f}" cy="{py:.1f}" r="3.5"/>')
        ((ox, oy),) = draw(torch.zeros(1, 2, dtype=torch.float64))
        parts.append(f'<circle class="ink" cx="{ox:.1f}" cy="{oy:.1f}" r="3"/>')
        parts.append("</g>")
        if m is not flat:
            parts.append(
                f'<circle class="ink" cx="{at + side / 2:g}" cy="{head + side / 2:g}" '
                f'r="{side / 2:g}"/>'
            )
    light, dark = colours([Row(Variant(name)) for name in kinds])
    return document(
        2 * side + 2 * gap, head + side + 16, parts,
        title="Entailment cones in the plane and on the Poincaré disk", light=light, dark=dark,
    )  # fmt: skip


# --- figures 2 and 4


def root_distances(study: Study, rows: Sequence[Row], title: str) -> str:
    """Histograms of the root distances of pictures (grey) and texts, the first seed's."""
    head = 40.0
    parts = [
        '<rect class="grey" x="12" y="10" width="14" height="10"/>',
        text(32, 20, "pictures"),
        '<rect class="ink" x="112" y="10" width="14" height="10"/>',
        text(
            132, 20, "texts, in the geometry's colour; each in per cent of its points, first seed"
        ),
    ]
    for i, row in enumerate(rows):
        roots = study.of(row)[0]["roots"]
        series = roots["histogram"]
        every = [v for x, _ in series.values() for v in x]
        top = max(v for _, y in series.values() for v in y)
        panel = Panel(*place(i, head), (min(every), max(every)), (0, 1.05 * top))
        marks = [v for v in ticks(*panel.x, 3) if panel.x[0] <= v <= panel.x[1]]
        parts += panel.frame(row, roots["unit"], marks)
        for kind, (x, y) in series.items():
            outline = [panel.at(x[0], 0), *(panel.at(*p) for p in zip(x, y, strict=True))]
            outline.append(panel.at(x[-1], 0))
            name = family(row.variant.geometry)
            parts.append(path(outline, "grey" if kind == "image" else f"a-{name}", closed=True))
            if kind != "image":
                parts.append(path(outline[1:-1], f"l-{name}", extra=' stroke-width="1.3"'))
    light, dark = colours(rows)
    return document(
        ACROSS * WIDTH, head + math.ceil(len(rows) / ACROSS) * HEIGHT, parts,
        title=title, light=light, dark=dark,
    )  # fmt: skip


# --- figure 3


LINES = 12  # texts of a way that are shown
LETTERS = 24
PICTURE = 72.0


def traversals(
    study: Study, rows: Sequence[Row], pictures: Sequence[tuple[str, str]], credit: str
) -> str:
    """What is met from pictures to the root under some rows, the first seed's.

    Args:
        pictures: PNG in base64 and title of each that is shown.
        credit: of the pictures, with their licence.
    """
    wide, left, step = 190.0, PICTURE + 40, 17.0
    head = 34.0 if all(row.layernorm for row in rows) else 47.0
    parts = [p for k, row in enumerate(rows) for p in heading(left + wide * k, 22, row)]
    top = head
    for i, (png, title) in enumerate(pictures):
        ways = [study.of(row)[0]["traversal"]["shown"][i] for row in rows]
        parts.append(
            f'<image x="14" y="{top + 6:g}" width="{PICTURE:g}" height="{PICTURE:g}" '
            f'href="data:image/png;base64,{png}"><title>{escape(title)}</title></image>'
        )
        parts.append(text(14, top + PICTURE + 22, cut(title, 16), "axis"))
        for k, way in enumerate(ways):
            shown = [met for met, _ in way]
            if len(shown) > LINES:
                left_out = len(shown) - LINES + 1
                shown = [*shown[: LINES - 2], f"… {left_out} more", shown[-1]]
            parts += [
                text(left + wide * k, top + 18 + step * j, cut(met, LETTERS),
                     "axis" if met == ROOT else "")
                for j, met in enumerate(shown)
            ]  # fmt: skip
        longest = max(min(len(way), LINES) for way in ways)
        high = max(PICTURE + 34, 18 + step * longest)
        top += high + 10
        parts.append(line(14, top - 6, left + wide * len(rows) - 10, top - 6, "grid"))
    parts.append(text(14, top + 12, credit, "axis"))
    light, dark = colours(rows)
    return document(
        left + wide * len(rows), top + 24, parts,
        title="Texts met on the way from a picture to the root", light=light, dark=dark,
    )  # fmt: skip


def cut(words: str, most: int) -> str:
    """Words, not longer than so many letters."""
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


# --- figure 5


def captions_met(study: Study, rows: Sequence[Row]) -> str:
    """Share of the ways by the number of captions met, over all seeds."""
    head = 30.0
    parts = [
        text(12, 18, "Captions met on the way to the root: number below, per cent of ways above")
    ]
    found = {row: distribution(study, row) for row in rows}
    most = max(map(len, found.values()))
    top = max(max(shares) for shares in found.values())
    wide = (WIDTH - LEFT - RIGHT) / most >= 16  # a bar has room for a number of its own
    for i, row in enumerate(rows):
        panel = Panel(*place(i, head), (-0.5, most - 0.5), (0, 1.15 * top))
        marks = [float(n) for n in range(0, most, max(1, math.ceil(most / 8)))]
        mean = study.estimate(row, "captions")
        about = f"mean {short(mean.mean)}" if mean else ""
        parts += panel.frame(row, about, marks)
        for n, share in enumerate(found[row]):
            corners = [
                panel.at(n - 0.4, 0), panel.at(n - 0.4, share),
                panel.at(n + 0.4, share), panel.at(n + 0.4, 0),
            ]  # fmt: skip
            if share:
                parts.append(path(corners, f"b-{family(row.variant.geometry)}", closed=True))
            if share == max(found[row]) or (share >= 5 and wide):
                x, y = panel.at(n, share)
                parts.append(text(x, y - 3, f"{share:.0f}", "axis", "middle"))
    light, dark = colours(rows)
    return document(
        ACROSS * WIDTH, head + math.ceil(len(rows) / ACROSS) * HEIGHT, parts,
        title="Number of captions met on the way to the root", light=light, dark=dark,
    )  # fmt: skip


def distribution(study: Study, row: Row) -> list[float]:
    """Per cent of the ways of all seeds that meet 0, 1, 2, ... captions."""
    counts: list[int] = []
    for cell in study.of(row):
        found = cell["traversal"]["distribution"]
        counts += [0] * (len(found) - len(counts))
        counts = [a + b for a, b in zip(counts, found + [0] * len(counts), strict=False)]
    return [100 * n / sum(counts) for n in counts]
