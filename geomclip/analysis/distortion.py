"""Distortion: are distances in the space those of a tree?

With D the geodesic distance of two nodes' points, T the edges between them in the tree and s the
length's best scale (Sala et al., arXiv 1804.03329):

    average distortion      mean |s D / T - 1|
    worst-case distortion   max (D / T) / min (D / T); 1 where the tree is embedded exactly
    mean average precision  for every node, of its nearest nodes in the tree among all others by D

The nearest nodes in the tree are its neighbours there, where these have points.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.midpoints import midpoint
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Space
from geomclip.embeddings import LABEL, Embeddings, LabelPath
from geomclip.errors import RequestError
from geomclip.hierarchy import Hierarchy
from geomclip.statistics import Measured

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

# Nodes whose distances to all others are looked at, and others that ratios are formed with.
QUERIES = 1000
OTHERS = 10_000
BLOCK = 1 << 22


@dataclass(frozen=True)
class TreeDistortion(Result):
    """Distances against a tree; the null has the nodes' points shuffled.

    Args:
        average, worst, precision: as above.
        average_shuffled, precision_shuffled: of the null.
        edge: geodesic length that an edge has under the best scale.
        by_distance: mean s D of the nodes that are T = 1, 2, ... edges apart.
        nodes: with a point, of how many in the tree.
        points: what stands for a node.
        unplaced: names that the tree lacks.
        exact: whether all pairs were looked at.
    """

    geometry: str
    tree: str
    average: Measured
    worst: Measured
    precision: Measured
    average_shuffled: Measured
    precision_shuffled: Measured
    edge: Measured
    by_distance: dict[int, float] = field(repr=False)
    nodes: tuple[int, int]
    points: str
    unplaced: int
    exact: bool

    def rows(self) -> list[Row]:
        """Distortions and precision, each beside its null."""
        return [
            Row("average", "Average distortion", self.average),
            Row("average.shuffled", "The same, points shuffled", self.average_shuffled),
            Row("worst", "Worst-case distortion", self.worst),
            Row("map", "Mean average precision", self.precision),
            Row("map.shuffled", "The same, points shuffled", self.precision_shuffled),
            Row("edge", "Length of an edge", self.edge, "geodesic length"),
        ]

    def notes(self) -> list[str]:
        """Tree, nodes, what is not exact."""
        out = [
            f"{self.tree}: {self.nodes[0]:,} of {self.nodes[1]:,} nodes have a point, {self.points}"
            "."
        ]
        if self.unplaced:
            out.append(f"{self.unplaced:,} of these names are not in the tree.")
        if not self.exact:
            out.append(
                f"From {self.average.n:,} random nodes; the worst case is a lower bound, of the "
                "pairs looked at."
            )
        if math.isinf(self.worst.value):
            out.append("The worst case is infinite: two nodes of the tree lie at the same point.")
        return out

    def charts(self) -> "list[Chart]":
        """Distances in the space by those in the tree."""
        from geomclip.viz.densities import lines, name_of

        at = list(self.by_distance)
        series: dict[str, tuple[Sequence[float], Sequence[float]]] = {
            "embedded": (at, list(self.by_distance.values())),
            "the tree itself": (at, at),
        }
        title = f"{name_of(self.geometry)}: distances against the tree"
        return [
            lines(
                "distortion", title, self.geometry, "edges between two nodes",
                "mean distance, edges at the best scale", series,
            )
        ]  # fmt: skip


@torch.no_grad()
def tree_distortion(source: Embeddings | Space, *, tree: Hierarchy | None = None) -> TreeDistortion:
    """Geodesic distances of nodes against those in a tree.

    A node's point is that of its label, of the row of the first modality whose id is its name, or
    the midpoint of the points labelled with it, whichever there is first.

    Args:
        tree: what the space says by default, and else that of the label paths. A node's name is a
            label path joined by " > ", its last element, or an id.

    Raises:
        RequestError: no tree, or fewer than three of its nodes have a point; there are neither
            labels nor a tree; these are equally far from each other in the tree, or one point.
    """
    space = Space.of(source)
    e = space.everything
    tree = tree or space.tree
    placed = _own(e) if tree is None else _given(e, tree)
    tree = placed.tree
    tree.require_tree("distortion")
    x, n = placed.points, len(placed.nodes)
    generator = torch.Generator().manual_seed(space.seed)
    queries = torch.randperm(n, generator=generator)[:QUERIES]
    others = torch.randperm(n, generator=generator)[:OTHERS]
    apart = _Apart(tree, placed.nodes)

    def compare(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ratios, edges, precisions = [], [], []
        for some in queries.split(max(1, BLOCK // max(len(tree), n))):
            far = e.manifold.pairwise_dist(points[some], points)
            true = apart(some)
            precisions.append(_average_precision(far, true, some))
            far, true = far[:, others].double(), true[:, others]
            own = some[:, None] == others
            ratios.append((far / true.clamp_min(1)).masked_fill(own, torch.nan))
            edges.append(true)
        return torch.cat(ratios), torch.cat(edges), torch.cat(precisions)

    ratios, edges, precision = compare(x)
    known = ~ratios.isnan()
    if bool((edges[known] == edges[known][0]).all()):
        raise RequestError(
            f"{tree.title}: all {n:,} nodes with a point are equally far from each other, so that "
            "there is no distance to distort",
            "Give label paths of several levels, or a tree.",
        )
    if float(ratios[known].max()) == 0:
        raise RequestError(
            f"{e.source or 'embeddings'}: all points of the {n:,} nodes are the same",
            "Check which rows they are.",
        )
    scale = _scale(ratios[known])
    shuffled, _, chance = compare(x[torch.randperm(n, generator=generator)])
    count = len(others)
    pairs = int(known.sum())
    largest, smallest = ratios[known].max().item(), ratios[known].min().item()
    worst = largest / smallest if smallest > 0 else float("inf")
    found = _average(ratios, scale, count)
    sums = torch.bincount(edges[known], (scale * ratios * edges)[known])
    often = torch.bincount(edges[known])
    edge = _average(ratios, 1.0, count, plain=True)
    return TreeDistortion(
        space.geometry_name,
        tree.title,
        found,
        Measured(worst, None, pairs),
        resampling.mean(precision[~precision.isnan()]),
        _average(shuffled, _scale(shuffled[known]), count),
        resampling.mean(chance[~chance.isnan()]),
        Measured(1 / scale, edge.error, edge.n),
        {t: (sums[t] / often[t]).item() for t in often.nonzero()[:, 0].tolist()},
        (n, len(tree)),
        placed.what,
        placed.unplaced,
        len(queries) == n == count,
    )


def _scale(ratios: Float[Tensor, "p"]) -> float:
    """s of the least mean |s r - 1|: the median of 1 / r, weighted by r."""
    ordered = ratios.sort(descending=True).values
    weight = ordered.cumsum(0)
    middle = int(torch.searchsorted(weight, weight[-1] / 2))
    return 1 / ordered[middle].item()


def _average(
    ratios: Float[Tensor, "q k"], scale: float, count: int, *, plain: bool = False
) -> Measured:
    """Mean over pairs of |s r - 1| (of r itself where `plain`); its error is that of the nodes,
    each of which stands in the pairs of all others."""
    each = (ratios if plain else (scale * ratios - 1).abs()).nanmean(1)
    n = len(each)
    error = each.std().item() * (1 / n + 3 / count) ** 0.5 if n > 1 else None
    return Measured(each.mean().item(), error, n)


def _average_precision(
    far: Float[Tensor, "q n"], true: Int[Tensor, "q n"], queries: Int[Tensor, "q"]
) -> Float[Tensor, "q"]:
    """Of each query, its nearest in the tree ranked among all others; of equally far ones the
    wrong come first. NaN where all others are as near."""
    own = torch.arange(far.shape[1]) == queries[:, None]
    far, true = far.masked_fill(own, torch.inf), true.masked_fill(own, torch.iinfo(true.dtype).max)
    right = true == true.amin(1, keepdim=True)
    # Stable: by right or wrong first, then by distance.
    order = right.long().argsort(dim=1, stable=True)
    order = order.gather(1, far.gather(1, order).argsort(dim=1, stable=True))
    hit = right.gather(1, order).double()
    place = torch.arange(1, far.shape[1] + 1, dtype=torch.float64)
    count = hit.sum(1)
    found = (hit * hit.cumsum(1) / place).sum(1) / count
    return torch.where(count < far.shape[1] - 1, found, torch.nan)


class _Apart:
    """Edges between nodes of a tree: up to a common ancestor, and down."""

    def __init__(self, tree: Hierarchy, nodes: np.ndarray) -> None:
        self.nodes = torch.from_numpy(nodes)
        self.depth = torch.from_numpy(tree.depth)
        parent = np.arange(len(tree))
        child, up = tree.edges.T
        parent[child] = up
        self.parent = torch.from_numpy(parent)
        levels = [np.flatnonzero(tree.depth == d) for d in range(1, int(tree.depth.max()) + 1)]
        self.levels = [torch.from_numpy(level) for level in levels]

    def __call__(self, queries: Int[Tensor, "q"]) -> Int[Tensor, "q n"]:
        start = self.nodes[queries]
        beyond = 2 * len(self.levels) + 1
        away = torch.full((len(start), len(self.parent)), beyond)
        rows, at = torch.arange(len(start)), start
        for step in range(len(self.levels) + 1):
            away[rows, at] = away[rows, at].clamp_max(step)
            at = self.parent[at]
        for level in self.levels:
            away[:, level] = torch.minimum(away[:, level], away[:, self.parent[level]] + 1)
        return away[:, self.nodes]


@dataclass(frozen=True)
class _Placed:
    """Nodes (k,) of a tree with their points (k, d), and what these are."""

    tree: Hierarchy
    nodes: np.ndarray
    points: Tensor
    what: str
    unplaced: int = 0


def _own(e: Embeddings) -> _Placed:
    """The tree of the label paths."""
    from geomclip.evaluate.label_tree import nodes_of

    for paths, points, what in _labelled(e):
        if len(paths) > 2:
            tree = Hierarchy.from_paths(paths, title="the label paths")
            return _Placed(tree, nodes_of(tree, paths), points(range(len(paths))), what)
    raise RequestError(
        f"{e.source or 'embeddings'}: distortion needs a tree with three points, and there are "
        "neither points of labels nor three labelled classes",
        "Give label paths, or a tree.",
    )


def _given(e: Embeddings, tree: Hierarchy) -> _Placed:
    """The nodes of a given tree that have a point."""

    def look(paths: list[LabelPath]) -> list[int]:
        keys = [(" > ".join(path), path[-1]) for path in paths]
        return [tree.index.get(whole, tree.index.get(last, -1)) for whole, last in keys]

    def ids(rows: list[int]) -> Tensor:
        return e[first][torch.tensor(rows)]

    first = e.modalities[0]
    named: list[tuple[list[int], Callable[[list[int]], Tensor], str]] = []
    for paths, points, what in _labelled(e):
        named.append((look(paths), points, what))
    if e.ids and first in dict(e.ids):  # type: ignore[arg-type]
        names = [tree.index.get(name, -1) for name in dict(e.ids)[first]]  # type: ignore[arg-type]
        named.insert(1 if LABEL in e.points else 0, (names, ids, f"the {first} of that id"))
    for nodes, points, what in named:
        rows, seen = [], set()
        for row, node in enumerate(nodes):
            if node >= 0 and node not in seen:
                seen.add(node)
                rows.append(row)
        if len(rows) > 2:
            unplaced = sum(node < 0 for node in nodes)
            found = np.array([nodes[row] for row in rows], np.int64)
            return _Placed(tree, found, points(rows), what, unplaced)
    example = tree.names[int(tree.leaves[0])]
    raise RequestError(
        f"{e.source or 'embeddings'}: fewer than three nodes of {tree.title} have a point; its "
        f'names are like "{example}"',
        "Name nodes as the labels (whole paths joined by ' > ', or their ends) or as the ids.",
    )


def _labelled(
    e: Embeddings,
) -> list[tuple[list[LabelPath], Callable[..., Tensor], str]]:
    """Paths, their points by place, and what these are: points of labels, midpoints of classes."""
    out: list[tuple[list[LabelPath], Callable[..., Tensor], str]] = []
    labels = e.label_paths(LABEL) if LABEL in e.points else None
    if labels is not None:
        out.append((list(labels), lambda rows: e[LABEL][torch.tensor(list(rows))], "its label's"))
    for m in e.modalities[:1]:
        rows_of: dict[LabelPath, list[int]] = {}
        for row, path in enumerate(e.label_paths(m) or ()):
            if path:
                rows_of.setdefault(path, []).append(row)
        groups = list(rows_of.values())

        def middles(some, groups=groups, m=m) -> Tensor:  # type: ignore[no-untyped-def]
            each = [midpoint(e.manifold, e[m][torch.tensor(groups[i])]) for i in some]
            return torch.stack(each)

        if groups:
            out.append((list(rows_of), middles, f"the midpoint of its {m} points"))
    return out
