"""Curves and level sets as small SVG files, on white paper whatever the page's colour."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "gallery"))
from figures import COLOURS, dot, line, pale, svg, text

__all__ = ["COLOURS", "Plane", "curves", "dot", "line", "pale", "svg", "text"]

DASHES = ["", "7 4", "3 2", "9 3 3 3"]


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers between."""
    step = 10.0 ** torch.tensor((high - low) / 5).log10().floor().item()
    step = next(step * k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= 6)
    first = -(-low // step)
    return [round((first + k) * step, 10) for k in range(int((high - first * step) / step) + 1)]


def curves(
    x: Tensor,
    lines: dict[str, Tensor],
    *,
    across: str,
    up: str,
    marks: dict[str, float] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Named curves over x (n,); `marks` are horizontal lines with their names."""
    values = torch.cat([*lines.values(), torch.tensor(list((marks or {}).values()))]).double()
    low = min(0.0, values.min().item()) if low is None else low
    high = values.max().item() * 1.05 if high is None else high
    left, right = x[0].item(), x[-1].item()

    def place(a: float, b: float) -> tuple[float, float]:
        b = min(max(b, low), high)
        return 70 + 400 * (a - left) / (right - left), 20 + 270 * (high - b) / (high - low)

    parts = [line([(70, 15), (70, 290), (475, 290)], "#333")]
    for tick in ticks(left, right):
        a = place(tick, low)[0]
        parts += [line([(a, 290), (a, 295)], "#333"), text(a, 311, f"{tick:g}")]
    for tick in ticks(low, high):
        b = place(left, tick)[1]
        parts += [line([(70, b), (475, b)], "#e4e4e4"), text(63, b + 5, f"{tick:g}", "end")]
    for name, value in (marks or {}).items():
        b = place(left, value)[1]
        parts += [line([(70, b), (475, b)], "#777", 1, "3 3"), text(485, b + 5, name, "start")]
    for k, (name, y) in enumerate(lines.items()):
        colour = COLOURS[1 + k % 5]
        points = [place(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        parts.append(line(points, colour, 2, DASHES[k % 4]))
        at = 40 + 22 * k
        parts += [line([(490, at), (516, at)], colour, 2, DASHES[k % 4])]
        parts += [text(524, at + 5, name, "start")]
    parts.append(text(272, 336, across))
    turned = 'transform="translate(20 155) rotate(-90)" text-anchor="middle" fill="#333"'
    parts.append(f"<text {turned}>{up}</text>")
    return svg(720, 350, parts)


class Plane:
    """A square of the plane, y upward, on which functions of points are drawn by level sets."""

    def __init__(self, reach: float, side: int = 340, at: tuple[float, float] = (20, 34)) -> None:
        self.reach, self.side, self.at = reach, side, at
        self.n = 161
        axis = torch.linspace(-reach, reach, self.n, dtype=torch.float64)
        self.grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)  # (n, n, 2)
        x, y = at
        self.parts = [
            f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="none" stroke="#999"/>'
        ]

    def place(self, a: float, b: float) -> tuple[float, float]:
        k = self.side / (2 * self.reach)
        return self.at[0] + k * (a + self.reach), self.at[1] + k * (self.reach - b)

    def values(self, f: Callable[[Tensor], Tensor]) -> Tensor:
        """f of all points of the grid."""
        return f(self.grid.reshape(-1, 2)).reshape(self.n, self.n)

    def level(self, values: Tensor, at: float, colour: str, width: float = 1.2) -> None:
        """The points where values are `at`, by marching squares; NaN is nowhere."""
        v = (values - at).tolist()
        h = 2 * self.reach / (self.n - 1)
        pieces = []
        for i in range(self.n - 1):
            for j in range(self.n - 1):
                corners = (v[i][j], v[i][j + 1], v[i + 1][j + 1], v[i + 1][j])
                if any(c != c for c in corners) or not min(corners) < 0 <= max(corners):
                    continue
                ends = []
                steps = ((0, 0), (1, 0), (1, 1), (0, 1))
                for k in range(4):
                    a, b = corners[k], corners[(k + 1) % 4]
                    if (a < 0) != (b < 0):
                        s = a / (a - b)
                        (p, q), (r, t) = steps[k], steps[(k + 1) % 4]
                        ends.append((j + p + s * (r - p), i + q + s * (t - q)))
                pieces += [ends[k : k + 2] for k in range(0, len(ends) - 1, 2)]
        spots = [[self.place(h * a - self.reach, h * b - self.reach) for a, b in p] for p in pieces]
        path = "".join(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for (a, b), (c, d) in spots)
        self.parts.append(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )

    def shade(self, inside: Tensor, colour: str) -> None:
        """Where `inside` is true, row by row in runs."""
        step = self.side / (self.n - 1)
        path = ""
        for i, row in enumerate(inside.tolist()):
            j = 0
            while j < self.n:
                k = j
                while k < self.n and row[k]:
                    k += 1
                if k > j:
                    x, y = self.at[0] + step * (j - 0.5), self.at[1] + self.side - step * (i + 0.5)
                    x0, x1 = max(x, self.at[0]), min(x + step * (k - j), self.at[0] + self.side)
                    path += f"M{x0:.1f} {y:.1f}H{x1:.1f}V{y + step:.1f}H{x0:.1f}Z"
                j = max(k, j + 1)
        self.parts.insert(0, f'<path d="{path}" fill="{colour}"/>')

    def dot(self, point: Sequence[float], words: str = "", colour: str = "#222") -> None:
        a, b = self.place(*point)
        self.parts += [dot(a, b, 4, colour)]
        if words:
            self.parts.append(text(a + 9, b - 6, words, "start", colour))

    def title(self, words: str) -> None:
        self.parts.append(text(self.at[0] + self.side / 2, self.at[1] - 12, words))
