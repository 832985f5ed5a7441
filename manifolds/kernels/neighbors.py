"""Nearest neighbours by distance or inner product: exact, in O(n tile) memory.

Candidates come from float32 products, ranked by the form u of `kernels.spaces`, which grows with
the distance: on the hyperboloid and the ball that is the Lorentzian inner product with its time
turned, c x_t y_t - c <x, y>. What is ranked is a lower bound, u less the product's error. The
candidates are then ranked again from differences in float64, and a row is done when its k-th u lies
below every bound that was left out; other rows go again with twice as many candidates. So the
result is that of a full sort in float64, equal distances in the order of their indices.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manifolds.arguments import check, check_tensor, whole, work_dtype
from manifolds.base import Manifold
from manifolds.kernels import near, precision, rounding, spaces
from manifolds.kernels.contrastive import FUNCTIONS, NAMES, supports
from manifolds.values import check_manifold

SCORES = ("-dist", "dot")
# Elements of a block of products.
BLOCK = 1 << 22


@dataclass(frozen=True)
class Neighbors:
    """The k best rows of a database for every query, best first."""

    value: Float[Tensor, "n k"]
    """Geodesic distance, or the inner product under score "dot"."""
    index: Int[Tensor, "n k"]

    def to_dict(self) -> dict[str, Any]:
        """Nested lists by name."""
        return {"value": self.value.tolist(), "index": self.index.tolist()}


@torch.no_grad()
def topk(
    manifold: Manifold,
    query: Float[Tensor, "n d"],
    database: Float[Tensor, "m d"],
    k: int,
    *,
    score: str = "-dist",
) -> Neighbors:
    """The k nearest rows of `database` for every row of `query`, nearest first; no gradient.

    Args:
        score: "-dist", or "dot" for the largest inner products of coordinates.

    Returns:
        `Neighbors`: values float64 for float64 input, else float32; equal distances (in float64)
        in the order of their indices.

    Raises:
        TypeError: no manifold, no tensors, or a k that is no whole number.
        ValueError: not 1 <= k <= m, an unknown score, points that are not finite or off the
            manifold, or shapes, dtypes or devices that do not fit.
    """
    if score not in SCORES:
        raise ValueError(f"topk: score must be one of {', '.join(SCORES)}, got {score!r}")
    check_manifold("topk", manifold)
    for name, points in (("query", query), ("database", database)):
        check_tensor("topk", name, points, "(n, d)")
    if query.ndim != 2 or database.ndim != 2:
        shapes = f"{tuple(query.shape)} and {tuple(database.shape)}"
        raise ValueError(f"topk: expects a query (n, d) and a database (m, d), got {shapes}")
    out = check(f"{manifold.name}.topk", query, database, pairwise=True)
    k = whole("topk", "k", k, k)
    if not 1 <= k <= database.shape[0]:
        raise ValueError(f"topk: k must lie in 1..{database.shape[0]}, the database, got {k}")
    query, database = (t.detach().to(out).contiguous() for t in (query, database))
    for name, points in (("query", query), ("database", database)):
        _check_finite(manifold, name, points)
    if score == "-dist" and not supports(manifold, "-dist"):
        return _by_distance(manifold, query, database, k)
    return _Search(manifold, query, database, k, score).run(out)


def _check_finite(manifold: Manifold, name: str, points: Tensor) -> None:
    bad = int((~points.isfinite()).any(-1).sum())
    if bad:
        raise ValueError(
            f"topk on {manifold.name}: {bad} of {len(points)} points of the {name} have a NaN or "
            "infinite coordinate; drop them first"
        )


def _by_distance(manifold: Manifold, query: Tensor, database: Tensor, k: int) -> Neighbors:
    """Bands of distances of any manifold, sorted in full."""
    wide = work_dtype(query.device)
    step, found = max(1, BLOCK // len(database)), []
    for part in query.to(wide).split(step):
        found.append(manifold.pairwise_dist(part, database.to(wide)).sort(dim=-1, stable=True))
    empty = query.new_empty(0, k)
    value = torch.cat([v[:, :k] for v, _ in found]) if found else empty
    if any(bool(v[:, -1].isnan().any()) for v, _ in found):  # NaN is sorted last
        raise ValueError(f"topk on {manifold.name}: query or database has points off the manifold")
    index = torch.cat([i[:, :k] for _, i in found]) if found else empty.long()
    return Neighbors(value.to(query.dtype), index)


class _Search:
    """Rows still open, and the candidates they are given."""

    def __init__(
        self, manifold: Manifold, query: Tensor, database: Tensor, k: int, score: str
    ) -> None:
        name = "dot" if score == "dot" else NAMES[type(manifold).__name__]
        self.space, self.name, self.k = spaces.SPACES[name], name, k
        self.function = "identity" if name == "dot" else FUNCTIONS[name]["-dist"]
        self.query, self.database = query, database
        wide = work_dtype(query.device)
        self.c = manifold.c.detach().to(device=query.device, dtype=wide)
        work = query.dtype
        turned = rounding.equal_terms(query, database)
        self.x, self.a = spaces.build(self.space, query, self.c, work, turned=turned)
        self.y, self.b = spaces.build(self.space, database, self.c, work, turned=turned)
        for what, level in (("query", self.a), ("database", self.b)):
            if not bool(level.isfinite().all()):
                raise ValueError(f"topk on {manifold.name}: the {what} has points off the manifold")
        # Rounding of a product of d terms, of the rows and of the levels, in units of eps.
        self.error = (16 + 2 * query.shape[1] ** 0.5) * torch.finfo(work).eps

    def run(self, out: torch.dtype) -> Neighbors:
        """Searches until every row is certain."""
        n, m = len(self.query), len(self.database)
        value = self.c.new_empty(n, self.k)
        index = torch.empty(n, self.k, dtype=torch.long, device=self.c.device)
        rows, size = torch.arange(n, device=self.c.device), self.k + 16
        while len(rows):
            size, still = min(size, m), []
            for part in rows.split(max(1, BLOCK // max(size, min(m, 8192)))):
                done = self._block(part, size, value, index)
                still.append(part[~done])
            rows, size = torch.cat(still), 2 * size
        if self.name == "dot":
            value = -value
        elif self.function != "root":
            value = value / self.c.sqrt()
        return Neighbors(value.to(out), index)

    def _block(self, rows: Tensor, size: int, value: Tensor, index: Tensor) -> Tensor:
        """Fills in the rows that `size` candidates decide; returns which."""
        m = len(self.database)
        best = self.x.new_full((len(rows), 0), torch.inf)
        where = torch.empty(len(rows), 0, dtype=torch.long, device=rows.device)
        x, a = self.x[rows], self.a[rows].to(self.x.dtype)
        width = max(size, BLOCK // max(1, len(rows)))
        for start in range(0, m, width):
            columns = slice(start, min(start + width, m))
            low = self._form(x, a, columns)
            here = torch.arange(columns.start, columns.stop, device=rows.device).expand_as(low)
            best, where = torch.cat([best, low], -1), torch.cat([where, here], -1)
            if best.shape[1] > size:
                best, at = best.topk(size, largest=False)
                where = where.gather(1, at)
        exact = near.scores(
            self.name,
            self.function,
            self.query,
            self.database,
            self.c,
            rows.repeat_interleave(where.shape[1]),
            where.flatten(),
        ).view_as(where)
        if self.name == "dot":
            exact = -exact
        # Two stable sorts: by index, then by distance.
        where, order = where.sort(-1)
        exact, order = exact.gather(1, order).sort(dim=-1, stable=True)
        where = where.gather(1, order)
        value[rows], index[rows] = exact[:, : self.k], where[:, : self.k]
        if where.shape[1] == m:
            return torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        return self._u_of(exact[:, self.k - 1]) < best.amax(-1).to(exact.dtype)

    def _form(self, x: Tensor, a: Tensor, columns: slice) -> Tensor:
        """Lower bounds of u (r, c), or of -<x, y> under "dot", of rows with some columns."""
        y = self.y[columns]
        g = precision.product(x, y)
        if self.name == "dot":
            lengths = (torch.linalg.vector_norm(side, dim=-1) for side in (x, y))
            return g.neg_().sub_(self.error * torch.outer(*lengths))
        b = self.b[columns].to(g.dtype) * (1 - self.error)
        scale = 1 + a[:, None] if self.space.coupled else g.new_ones(())
        g.mul_(-self.space.k(self.c)).addcmul_(scale, b)
        return g.add_(a[:, None] * (1 - self.error))

    def _u_of(self, score: Tensor) -> Tensor:
        """u of a score F(u)."""
        if self.function == "identity":
            return score
        if self.function == "root":
            return score.square()
        half = score / 2
        return 2 * (half.sin() if self.function == "arc" else half.sinh()).square()
