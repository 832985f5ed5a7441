"""The figures of the gallery's pages as SVG, drawn from the names that a page's code leaves."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from manifolds import mobius_add

Space = dict[str, Any]

# Okabe and Ito's colour-blind-safe set.
COLOURS = ["#7f7f7f", "#0072b2", "#d55e00", "#008a64", "#a8518a", "#9a7200"]
DISK = 190  # radius in pixels


def svg(width: int, height: int, parts: list[str]) -> str:
    """One picture, on white paper whatever the page's colour."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="14">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, anchor: str = "middle", colour: str = "#333") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def line(points: list[tuple[float, float]], colour: str, width: float = 1, dash: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
        + (f' stroke-dasharray="{dash}"' if dash else "")
        + "/>"
    )


def dot(x: float, y: float, radius: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'


def ring(x: float, y: float, radius: float, colour: str) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="none" stroke="{colour}" '
        'stroke-width="2"/>'
    )


def pale(colour: str) -> str:
    """The colour at 30 % on white."""
    return "#" + "".join(
        f"{round(255 - 0.3 * (255 - int(colour[k : k + 2], 16))):02x}" for k in (1, 3, 5)
    )


def legend(x: float, y: float, entries: list[tuple[str, str]]) -> list[str]:
    """Dots with their meaning, one below the other."""
    parts = []
    for k, (colour, words) in enumerate(entries):
        parts += [dot(x, y + 22 * k, 5, colour), text(x + 14, y + 5 + 22 * k, words, "start")]
    return parts


def frechet_mean(space: Space) -> str:
    """Errors against the number of samples, both on a log scale; lines are predicted."""
    counts, errors, predicted = space["counts"], space["errors"], space["predicted"]
    low = min(min(v) for v in errors.values()) / 1.3
    high = max(max(v) for v in errors.values()) * 1.3

    def place(n: float, error: float) -> tuple[float, float]:
        across = math.log(n / counts[0]) / math.log(counts[-1] / counts[0])
        return 100 + 360 * across, 20 + 280 * math.log(high / error) / math.log(high / low)

    parts = [line([(75, 15), (75, 305), (485, 305)], "#333")]
    for n in counts:
        across = place(n, low)[0]
        parts += [line([(across, 305), (across, 310)], "#333"), text(across, 326, f"{n}")]
    for tick in (0.2, 0.1, 0.05, 0.02):
        up = place(counts[0], tick)[1]
        parts += [line([(75, up), (485, up)], "#e4e4e4"), text(68, up + 5, f"{tick:g}", "end")]
    parts.append(text(280, 350, "number of samples n"))
    parts.append(
        '<text transform="translate(22 160) rotate(-90)" text-anchor="middle" fill="#333">'
        "distance from µ (root mean square)</text>"
    )
    # The hyperbolic models agree to rounding: rings of different size show all of them.
    sizes = [4.0, 4.0, 3.5, 6.5, 9.5]
    for k, name in enumerate(errors):
        parts.append(
            line([place(*p) for p in zip(counts, predicted[name], strict=True)], COLOURS[k])
        )
        mark = ring if k > 1 else dot
        parts += [
            mark(*place(*p), sizes[k], COLOURS[k]) for p in zip(counts, errors[name], strict=True)
        ]
        parts += [mark(515, 50 + 26 * k, sizes[k], COLOURS[k])]
        parts += [text(535, 55 + 26 * k, name, "start")]
    parts.append(text(505, 55 + 26 * len(errors) + 8, "marks: measured, lines: predicted", "start"))
    return svg(765, 365, parts)


def disk(x: float, y: float) -> tuple[str, Callable[[Tensor], list[tuple[float, float]]]]:
    """The unit circle about (x, y), and where points of the ball (n, 2) lie in the picture."""
    rim = f'<circle cx="{x}" cy="{y}" r="{DISK}" fill="none" stroke="#333"/>'
    return rim, lambda p: [(x + DISK * a, y - DISK * b) for a, b in p.double().tolist()]


def drawn_tree(
    m: Any, x: Tensor, parent: list[int], place: Callable, colours: list[str]
) -> list[str]:
    """Edges as geodesics, nodes as dots."""
    t = torch.linspace(0, 1, 17, dtype=x.dtype).unsqueeze(-1)
    parts = [
        line(place(m.geodesic(t.squeeze(-1), x[k], x[parent[k]])), "#999") for k in range(1, len(x))
    ]
    return parts + [dot(*p, 3.5, colour) for p, colour in zip(place(x), colours, strict=True)]


def tree(space: Space) -> str:
    """Sarkar's tree on the disk, the learned one beside it, and the learned one of the plane."""
    parent, ball, plane = space["parent"], space["ball"], space["plane"]
    level = [int(math.log2(k + 1)) for k in range(space["n"])]
    colours = [COLOURS[1 + v % 5] for v in level]
    titles = [
        "Sarkar's construction, edges of length 1",
        "learned on the Poincaré ball",
        "learned in the plane",
    ]
    parts = [text(200 + 400 * k, 20, title) for k, title in enumerate(titles)]
    # A learned tree lies anywhere; an isometry takes its root to the middle.
    learned = mobius_add(-space["learned"][0], space["learned"], 1.0)
    for column, x in enumerate((space["exact"], learned)):
        rim, place = disk(200 + 400 * column, 230)
        parts += [rim, *drawn_tree(ball, x, parent, place, colours)]
    flat = space["flat"] - space["flat"].mean(0)
    reach = flat.norm(dim=-1).max().item() * 1.02
    parts += drawn_tree(
        plane,
        flat,
        parent,
        lambda p: [(1000 + DISK * a / reach, 230 - DISK * b / reach) for a, b in p.tolist()],
        colours,
    )
    for v in range(max(level) + 1):
        parts += [
            dot(420 + 80 * v, 450, 5, COLOURS[1 + v]),
            text(432 + 80 * v, 455, f"level {v}", "start"),
        ]
    return svg(1200, 470, parts)


def classification(space: Space) -> str:
    """What the hyperplanes decide in each place of the disk, and the nodes."""
    model, x, label = space["models"]["hyperplanes"], space["x"], space["label"]
    rim, place = disk(200, 205)
    parts = [
        f'<clipPath id="disk"><circle cx="200" cy="205" r="{DISK}"/></clipPath>',
        '<g clip-path="url(#disk)" shape-rendering="crispEdges">',
    ]
    half = 1 / DISK  # rows and columns of two pixels
    steps = torch.arange(-DISK / 2 + 0.5, DISK / 2, dtype=x.dtype) * 2 * half
    for v in steps.tolist():
        inside = steps[steps.square() + v * v < 0.9999]
        if not len(inside):
            continue
        decided = model(torch.stack([inside, torch.full_like(inside, v)], -1)).argmax(-1).tolist()
        ends = [k for k in range(1, len(decided)) if decided[k] != decided[k - 1]]
        for start, end in zip([0, *ends], [*ends, len(decided)], strict=True):
            # The outermost runs reach under the rim, where the clip path ends them.
            left = 200 + DISK * (inside[start].item() - half) - (10 if start == 0 else 0)
            right = (
                200 + DISK * (inside[end - 1].item() + half) + (10 if end == len(decided) else 0)
            )
            parts.append(
                f'<rect x="{left:.0f}" y="{205 - DISK * (v + half):.0f}" '
                f'width="{right - left:.0f}" height="2" fill="{pale(COLOURS[decided[start]])}"/>'
            )
    parts.append("</g>")
    colours = [COLOURS[k] for k in label.tolist()]
    parts += [rim, *drawn_tree(space["ball"], x, space["parent"], place, colours)]
    names = ["stem"] + [f"subtree {k}" for k in range(1, 5)]
    parts += legend(420, 160, list(zip(COLOURS, names, strict=False)))
    return svg(530, 410, parts)


FIGURES: dict[str, Callable[[Space], str]] = {
    "frechet_mean": frechet_mean,
    "classification": classification,
    "tree": tree,
}
