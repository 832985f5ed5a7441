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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomclip.analysis.result import Result, Row
from geomclip.errors import RequestError
from geomclip.evaluate.retrieval import BLOCK
from geomclip.geometry import Geometry
from geomclip.resampling import mean
from geomclip.statistics import Measured
from manifolds import Sphere

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

ROOT = "[ROOT]"

STEPS = 50

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
    if steps < 2:
        raise RequestError(f"a way of {steps} points", "Take at least 2 --steps.")
    m = geometry.manifold
    w = torch.linspace(1, 0, steps, dtype=start.dtype, device=start.device)
    x, y = start[:, None], end.to(start).expand_as(start)[:, None]
    if isinstance(m, Sphere):
        opposite = int(((start + y[:, 0]).abs().amax(-1) < 1e-6).sum())
        if opposite:
            raise ValueError(
                f"{geometry.name}: {opposite} points are opposite to where they go, and no one way "
                "leads there; take another root"
            )
    if path == "geodesic":
        return m.geodesic(1 - w, x, y)
    if isinstance(m, Sphere):
        line = torch.lerp(y, x, w[:, None])
        return line / torch.linalg.vector_norm(line, dim=-1, keepdim=True) / m.c.sqrt().to(line)
    return m.expmap0(torch.lerp(m.logmap0(y), m.logmap0(x), w[:, None]))


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
        found: list[Traversal] = []
        step = max(1, BLOCK // (steps * len(pool)))
        for i in range(0, len(start), step):
            some = start[i : i + step].to(points)
            goal = at[None] if end is None else end if len(end) == 1 else end[i : i + step]
            ways = way(geometry, some, goal, steps, path)
            flat = ways.flatten(0, 1)
            scores = geometry.score(flat, pool)
            if min_radius > 0:
                inside = _inside(geometry, pool[:-1], flat, min_radius)
                scores[:, :-1] = scores[:, :-1].masked_fill(~inside.T, -torch.inf)
            best, row = scores.max(-1)
            shape = (len(some), steps)
            found += _once(texts, row.view(shape), best.view(shape))
            progress(len(found))
    return found


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
