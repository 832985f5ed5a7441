"""Traversals: the texts that are met on the way from a picture to the root, or to another picture.

The protocol of MERU (arXiv 2304.09172, section 5.2) and of its batch version for figure 5 of
arXiv 2409.13079: so many points from the picture to the root, the best text at each by the
geometry's own score, each text once, in the order of the way. The root is one of the candidates and
is called ROOT.

- path "published": x_w = exp_0(w log_0(x) + (1 - w) log_0(root)), w from 1 to 0; on the sphere
  (w x + (1 - w) root) over its length
- path "geodesic": equal steps of the geodesic from x to the root

With the origin as root the two are one path on Euclidean and hyperbolic manifolds. On the sphere
they pass through the same points at other times; from picture to picture they differ in curved
space.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomclip.analysis.result import Result, Row
from geomclip.envelope import HELD, reaches, winners
from geomclip.errors import RequestError
from geomclip.evaluate.retrieval import BLOCK
from geomclip.geometry import Geometry
from geomclip.resampling import mean
from geomclip.statistics import Measured
from manifolds import Manifold, Sphere

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

ROOT = "[ROOT]"

STEPS = 50

# Points and texts that are scored together for the sake of their pairs.
SQUARE = 64

Path = Literal["published", "geodesic"]


@dataclass(frozen=True)
class Met:
    """A text met on the way.

    Args:
        text: ROOT for the root.
        at: share of the way behind it where it was met first, 0 at the picture.
        score: the geometry's, larger is closer.
        row: its row in the pool; -1 for the root.
    """

    text: str
    at: float
    score: float
    row: int

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return {"text": self.text, "at": self.at, "score": self.score, "row": self.row}


@dataclass(frozen=True)
class Traversal:
    """The texts met from one picture, in the order of the way, each once."""

    met: tuple[Met, ...]

    @property
    def captions(self) -> tuple[str, ...]:
        """Without the root."""
        return tuple(m.text for m in self.met if m.row >= 0)

    @property
    def names(self) -> tuple[str, ...]:
        """With the root, as in the published lists."""
        return tuple(m.text for m in self.met)

    def to_dict(self) -> dict[str, Any]:
        """All that was met."""
        return {"met": [m.to_dict() for m in self.met]}


def way(
    geometry: Geometry,
    start: Float[Tensor, "n d"],
    end: Float[Tensor, "#n d"],
    steps: int = STEPS,
    path: Path = "published",
) -> Float[Tensor, "n s d"]:
    """Points from `start` to `end`, both included.

    Raises:
        RequestError: fewer than two steps.
        ValueError: points of the sphere that are opposite, which no one way joins.
    """
    _check(geometry, start, end, steps)
    w = torch.linspace(1, 0, steps, dtype=start.dtype, device=start.device)
    x, y = start[:, None], end.to(start).expand_as(start)[:, None]
    return _at(geometry.manifold, w[:, None], x, y, path)


def _check(geometry: Geometry, start: Tensor, end: Tensor, steps: int) -> None:
    if steps < 2:
        raise RequestError(f"a way of {steps} points", "Take at least 2 --steps.")
    opposite = 0
    if isinstance(geometry.manifold, Sphere):
        opposite = int(((start + end.to(start)).abs().amax(-1) < 1e-6).sum())
    if opposite:
        raise ValueError(
            f"{geometry.name}: {opposite} points are opposite to where they go, and no one way "
            "leads there; take another root"
        )


def _at(m: Manifold, w: Tensor, x: Tensor, y: Tensor, path: Path) -> Tensor:
    """The points at w (..., 1) of the ways from x, where w is 1, to y."""
    if path == "geodesic":
        return m.geodesic(1 - w[..., 0], x, y)
    if isinstance(m, Sphere):
        line = torch.lerp(y, x, w)
        return line / torch.linalg.vector_norm(line, dim=-1, keepdim=True) / m.c.sqrt().to(line)
    return m.expmap0(torch.lerp(m.logmap0(y), m.logmap0(x), w))


def traverse(
    geometry: Geometry,
    start: Float[Tensor, "n d"],
    texts: Sequence[str],
    points: Float[Tensor, "t d"],
    *,
    end: Float[Tensor, "#n d"] | None = None,
    root: Float[Tensor, "d"] | None = None,
    steps: int = STEPS,
    path: Path = "published",
    min_radius: float = 0.0,
    progress: Callable[[int], None] = lambda count: None,
) -> list[Traversal]:
    """Walk from every picture to the root, or to `end`, and say what is met.

    Args:
        start: the pictures' points.
        texts, points: the pool and its points.
        end: where the ways end; the root where not given.
        root: the root; the geometry's own where not given. It is a candidate on every way.
        steps: points of a way.
        path: see above.
        min_radius: K of the cones; above 0, a text counts at a point only where the point lies in
            the text's cone. The root always counts. 0 has no filter, as in figure 5.
        progress: called with the number of pictures so far.

    Raises:
        RequestError: no texts, or K above 0 in a geometry without cones.
        GeomclipError: the root of clip or elliptic has not been set.
        ValueError: texts and points of different numbers, or as `way`.
    """
    if len(texts) != len(points):
        raise ValueError(f"traverse: {len(texts)} texts and {len(points)} points of texts")
    if not len(texts):
        raise RequestError("there are no texts to be met", "Give some, with --texts FILE.")
    if min_radius > 0 and not geometry.has_cones:
        raise RequestError(
            f"{geometry.name} has no cones to filter by", "Leave --min-radius out, or at 0."
        )
    with torch.no_grad():
        at = (geometry.root if root is None else root).to(points)
        pool = torch.cat([points, at[None]])
        goal = at[None] if end is None else end.to(points)
        start = start.to(points)
        _check(geometry, start, goal, steps)
        best_on = _on_lines
        if min_radius > 0 or not reaches(geometry, start, goal, pool, published=path != "geodesic"):
            best_on = partial(_at_every_point, min_radius=min_radius)
        found: list[Traversal] = []
        # At 0 every text has the inner product 0, and none is met more than the root itself.
        blind = geometry.spec.logit == "dot" and len(goal) == 1 and not bool(goal.any())
        for rows, scores in best_on(geometry, start, goal, pool, steps, path):
            if blind:
                rows[:, -1] = len(points)
            found += _once(texts, rows, scores)
            progress(len(found))
    return found


# Rows of the pool that are best at each step of some of the ways, and their scores.
Best = Iterator[tuple[Int[Tensor, "k s"], Float[Tensor, "k s"]]]


def _at_every_point(
    geometry: Geometry,
    start: Tensor,
    end: Tensor,
    pool: Tensor,
    steps: int,
    path: Path,
    min_radius: float,
) -> Best:
    """By the scores of all texts at all points. The root, the last of the pool, always counts."""
    for some, goal in _blocks(start, end, max(1, BLOCK // (steps * len(pool)))):
        flat = way(geometry, some, goal, steps, path).flatten(0, 1)
        scores = geometry.score(flat, pool)
        if min_radius > 0:
            inside = _inside(geometry, pool[:-1], flat, min_radius)
            scores[:, :-1] = scores[:, :-1].masked_fill(~inside.T, -torch.inf)
        best, row = scores.max(-1)
        yield row.view(len(some), steps), best.view(len(some), steps)


def _on_lines(
    geometry: Geometry, start: Tensor, end: Tensor, pool: Tensor, steps: int, path: Path
) -> Best:
    """By `envelope`: the same texts for a fraction of the work."""
    for some, goal in _blocks(start, end, max(1, HELD // len(pool))):
        rows = winners(geometry, some, goal, pool, steps, published=path == "published")
        yield rows, _scores(geometry, some, goal, pool, rows, path)


def _blocks(start: Tensor, end: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Starts with the one end, or with their own."""
    for i in range(0, len(start), size):
        yield start[i : i + size], end if len(end) == 1 else end[i : i + size]


def _scores(
    geometry: Geometry, start: Tensor, end: Tensor, pool: Tensor, rows: Tensor, path: Path
) -> Float[Tensor, "n s"]:
    """The geometry's scores of the texts that lead on each way, where each begins to."""
    steps = rows.shape[1]
    begins = torch.ones_like(rows, dtype=torch.bool)
    begins[:, 1:] = rows[:, 1:] != rows[:, :-1]
    i, k = begins.nonzero(as_tuple=True)
    w = torch.linspace(1, 0, steps, dtype=start.dtype, device=start.device)[k]
    x = _at(geometry.manifold, w[:, None], start[i], end.expand_as(start)[i], path)
    y = pool[rows[i, k]]
    out = start.new_full(rows.shape, torch.nan)
    # The geometry scores all with all: of small squares the diagonal is what is wanted.
    parts = zip(x.split(SQUARE), y.split(SQUARE), strict=True)
    out[i, k] = torch.cat([geometry.score(p, q).diagonal() for p, q in parts])
    return out


def _inside(geometry: Geometry, texts: Tensor, x: Tensor, min_radius: float) -> Bool[Tensor, "t n"]:
    m = geometry.manifold
    aperture = m.half_aperture(texts, min_radius=min_radius)
    return m.pairwise_exterior_angle(texts, x) <= aperture[:, None]


def _once(
    texts: Sequence[str], rows: Int[Tensor, "n s"], scores: Float[Tensor, "n s"]
) -> list[Traversal]:
    found, last = [], len(texts)
    share = max(1, rows.shape[1] - 1)
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        met: dict[str | None, Met] = {}  # the root's key is None: a text may be called like it
        for k, (r, s) in enumerate(zip(row, score, strict=True)):
            root = r == last
            key = None if root else texts[r]
            if key not in met:
                met[key] = Met(key or ROOT, k / share, s, -1 if root else r)
        found.append(Traversal(tuple(met.values())))
    return found


@dataclass(frozen=True)
class TraversalStatistics(Result):
    """What a set of traversals to the root meets (figure 5 of arXiv 2409.13079).

    The published count has the root in it; here it is told apart.

    Args:
        counts: captions met on each way, the root not counted.
        captions: their mean.
        only_root: share of the ways that meet the root and no caption.
        distinct: different captions met in all.
        pool: captions that could be met.
    """

    counts: tuple[int, ...]
    captions: Measured
    only_root: Measured
    distinct: int
    pool: int

    def rows(self) -> list[Row]:
        """The numbers with errors."""
        return [
            Row("captions", "Captions met on a way", self.captions),
            Row("only_root", "Ways that meet the root alone", self.only_root, is_share=True),
        ]

    def notes(self) -> list[str]:
        """What was counted."""
        return [
            f"{len(self.counts):,} ways; {self.distinct:,} of {self.pool:,} captions are met. The "
            "root is not counted as a caption."
        ]

    def charts(self) -> "list[Chart]":
        """The distribution of the number of captions."""
        from geomclip.viz.traversal import counts_chart

        return [counts_chart({"": self})]

    @property
    def distribution(self) -> list[int]:
        """How many ways meet 0, 1, 2, ... captions."""
        return torch.bincount(torch.tensor(self.counts)).tolist()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TraversalStatistics":
        """The inverse of `to_dict`; the counts come back in ascending order."""

        def measured(of: Mapping[str, Any]) -> Measured:
            return Measured(of["value"], of["error"], of["n"])

        counts = (k for k, n in enumerate(values["distribution"]) for _ in range(n))
        return cls(
            counts=tuple(counts),
            captions=measured(values["captions"]),
            only_root=measured(values["only_root"]),
            distinct=values["distinct"],
            pool=values["pool"],
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields, the counts as their distribution."""
        return {
            "ways": len(self.counts),
            "captions": self.captions.to_dict(),
            "only_root": self.only_root.to_dict(),
            "distinct": self.distinct,
            "pool": self.pool,
            "distribution": self.distribution,
        }


def traversal_statistics(ways: Sequence[Traversal], pool: int) -> TraversalStatistics:
    """The distribution of what the ways meet, with standard errors over pictures.

    Args:
        ways: at least one.
        pool: captions that could be met.
    """
    if not ways:
        raise ValueError("traversal_statistics: no traversal")
    counts = [len(w.captions) for w in ways]
    root = [any(m.row < 0 for m in w.met) for w in ways]
    alone = [r and not n for r, n in zip(root, counts, strict=True)]

    def share(values: Sequence[int] | Sequence[bool]) -> Measured:
        return mean(torch.tensor(values, dtype=torch.float64))

    return TraversalStatistics(
        counts=tuple(counts),
        captions=share(counts),
        only_root=share(alone),
        distinct=len({text for w in ways for text in w.captions}),
        pool=pool,
    )
