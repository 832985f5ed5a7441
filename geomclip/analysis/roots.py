"""How far texts of every level and pictures lie from the root (figure 2 of arXiv 2409.13079)."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.density import Densities, densities, overlap
from geomclip.analysis.midpoints import midpoint
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Root, Space
from geomclip.embeddings import LABEL, Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

BINS = 60


@dataclass(frozen=True)
class RootDistances(Result):
    """Distances to a root by series: a modality, or the labels of a level ("label: group").

    Args:
        distance: geodesic lengths, or (1 - cos) / 2 where `unit` says so.
        gap: median of the first modality less that of the second; above 0, texts lie nearer.
        farther: probability that a point of the first lies farther than one of the second.
        overlap: of their densities, 1 where they are the same.
    """

    geometry: str
    root: str
    unit: str
    distance: dict[str, Float[Tensor, "_"]] = field(repr=False)
    density: Densities = field(repr=False)
    median: dict[str, Measured]
    gap: Measured | None
    farther: Measured | None
    overlap: Measured | None
    pair: tuple[str, str] | None

    def rows(self) -> list[Row]:
        """Medians, gap, overlap."""
        out = [Row(f"median.{k}", f"Median, {k}", v) for k, v in self.median.items()]
        if self.pair is not None and self.gap and self.farther and self.overlap:
            a, b = self.pair
            out += [
                Row("gap", f"Median {a} less median {b}", self.gap),
                Row("farther", f"{a} farther than {b}", self.farther, is_share=True),
                Row("overlap", "Overlap of the densities", self.overlap, is_share=True),
            ]
        return out

    def notes(self) -> list[str]:
        """Which root, which unit."""
        return [f"Root: {self.root}. Unit: {self.unit}."]

    def charts(self) -> "list[Chart]":
        """Densities of all series, labels from the top of the tree, pictures last."""
        from geomclip.viz.densities import name_of, ridges

        order = sorted(self.distance, key=lambda name: name == "image")
        order.sort(key=lambda name: not name.startswith(LABEL))
        return [
            ridges(
                "roots",
                f"{name_of(self.geometry)}: distance to the root",
                self.geometry,
                self.unit,
                self.density.grid.tolist(),
                {name: self.density.height[name].tolist() for name in order},
                {name: self.distance[name].sort().values.tolist() for name in order},
                {name: name.capitalize() for name in order},
                note="Kernel densities, each scaled to its own peak; upright lines are medians.",
            ),
            *([self.paper_chart()] if self.pair else []),
        ]

    def paper_chart(self) -> "Chart":
        """Histograms of the first two modalities in per cent of their points, as figures 2 and 4 of
        arXiv 2409.13079 show root distances of trained models (under root="own")."""
        from geomclip.viz.densities import lines, name_of

        assert self.pair is not None
        both = torch.cat([self.distance[m] for m in self.pair]).double()
        edges = torch.linspace(both.min().item(), both.max().item(), BINS + 1).double()
        middle = ((edges[1:] + edges[:-1]) / 2).tolist()
        series = {}
        for m in self.pair:
            place = torch.bucketize(self.distance[m].double(), edges[1:-1])
            counts = torch.bincount(place, minlength=BINS).double()
            series[m] = (middle, (100 * counts / counts.sum()).tolist())
        title = f"{name_of(self.geometry)}: root distances of {' and '.join(self.pair)}"
        return lines("roots-paper", title, self.geometry, self.unit, "per cent of points", series)


def root_distances(source: Embeddings | Space, *, root: Root | None = None) -> RootDistances:
    """Distances of all points to the root.

    Args:
        root: "own": the geometry's, as in figure 2 of the paper: the origin, or for clip and
            elliptic the mean, with clip's distance (1 - cos) / 2; "origin": dist0; "mean": geodesic
            distance to the midpoint of the first two modalities; "empty": to the text ""; what the
            space says (own) by default.

    Raises:
        RequestError: the origin of a sphere, where it is a point like any other; or the point of
            the text "" is not known.
    """
    space = Space.of(source)
    root = root or space.root
    e = space.everything
    geometry, manifold = e.geometry, e.manifold
    unit = "geodesic length"
    if root == "own" or (root == "origin" and geometry.spec.root == "origin"):
        distance_of = geometry.root_distance
        mean = geometry.spec.root == "mean"
        name = "the mean of the embeddings" if mean else "the origin"
        if geometry.spec.root_distance == "cosine":
            unit = "(1 − cos) / 2"
    elif root == "origin":
        raise RequestError(
            f"{e.source or geometry.name}: the origin of {geometry.name} is a point like any other",
            'Take the root "mean" or "empty".',
        )
    elif root == "mean":
        both = torch.cat([e.points[m] for m in e.modalities[:2]])
        middle = midpoint(manifold, both)
        distance_of, name = lambda x: manifold.dist(middle, x), "the midpoint of the embeddings"
    else:
        if e.empty is None:
            raise RequestError(
                f'{e.source or geometry.name}: the point of the text "" is not known',
                "Embeddings that `geomclip embed` writes have it.",
            )
        empty = e.empty
        distance_of, name = lambda x: manifold.dist(empty, x), 'the text ""'

    with torch.no_grad():
        found = {m: _tiled(distance_of, e.points[m]) for m in e.modalities}
        if LABEL in e.points:
            all_labels = _tiled(distance_of, e.points[LABEL])
            depth = torch.tensor([len(path) for path in e.label_paths(LABEL) or ()])
            for level in range(1, int(depth.max()) + 1 if len(depth) else 1):
                title = e.levels[level - 1] if level <= len(e.levels) else f"level {level}"
                found[f"{LABEL}: {title}"] = all_labels[depth == level]
    found = {k: v for k, v in found.items() if len(v)}
    heights = densities(found)
    median = {k: resampling.quantile(v, seed=space.seed) for k, v in found.items()}
    pair = (e.modalities[0], e.modalities[1]) if len(e.modalities) > 1 else None
    gap = farther = common = None
    if pair is not None:
        a, b = (found[m] for m in pair)
        before, after = median[pair[0]], median[pair[1]]
        error = None
        if before.error is not None and after.error is not None:
            error = math.hypot(before.error, after.error)
        n = len(a) + len(b)
        gap = Measured(before.value - after.value, error, n)
        farther = resampling.auc(a, b)
        common = overlap(heights, *pair, seed=space.seed)
    return RootDistances(
        geometry.name, name, unit, found, heights, median, gap, farther, common, pair
    )


def _tiled(distance_of, x: Tensor, rows: int = 8192) -> Tensor:  # type: ignore[no-untyped-def]
    return torch.cat([distance_of(part) for part in x.split(rows)]).detach().cpu()
