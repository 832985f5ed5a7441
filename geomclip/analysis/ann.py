"""A FAISS index over points of a manifold (extra `ann`), ranked again exactly.

FAISS knows |x - y|^2 and <x, y>. Both rank like the geodesic distance of

    euclidean  x itself, L2
    sphere     x/|x|, inner product
    lorentz    database (x, x_t), query (x, -x_t): the inner product is <x, y>_L
    poincare   as lorentz, from 2x/(1 - c|x|^2)

in float32, whose rounding can exchange near neighbours: `FaissIndex.search` takes more candidates
than asked for and ranks them from differences in float64.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import manifolds
from geomclip.errors import GeomclipError
from manifolds.base import Manifold
from manifolds.kernels.neighbors import Neighbors, topk

FLAT = "Flat"
BLOCK = 1 << 22


def load_faiss() -> Any:
    """The faiss module. Raises GeomclipError that names the extra where it is missing."""
    try:
        import faiss
    except ImportError as error:
        raise GeomclipError(
            f"FAISS is not installed ({error})", "Install it with: pip install 'geomclip[ann]'"
        ) from error
    return faiss


def faiss_vectors(
    manifold: Manifold, points: Float[Tensor, "n d"], *, query: bool
) -> Float[Tensor, "n e"]:
    """What FAISS stores for database points, or is asked with for queries; float32 on the CPU.

    Raises:
        ValueError: a manifold other than Euclidean, Sphere, Lorentz and PoincareBall.
    """
    x = points.detach().cpu().double()
    if isinstance(manifold, manifolds.Euclidean):
        return x.float()
    if isinstance(manifold, manifolds.Sphere):
        return (x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)).float()
    c = manifold.c.detach().cpu().double()
    if isinstance(manifold, manifolds.PoincareBall):
        x = manifolds.poincare_to_lorentz(x, c)
    elif not isinstance(manifold, manifolds.Lorentz):
        raise ValueError(
            f"no FAISS index ranks {manifold.name}; one of Euclidean, Sphere, Lorentz, PoincareBall"
        )
    time = (1 / c + x.square().sum(-1, keepdim=True)).sqrt()
    return torch.cat([x, -time if query else time], dim=-1).float()


@dataclass(frozen=True)
class FaissIndex:
    """Points, and the FAISS index over their vectors."""

    index: Any
    """The faiss.Index; `faiss.write_index(index, path)` writes it."""
    manifold: Manifold
    points: Float[Tensor, "m d"] = field(repr=False)
    longest: float
    """Length of the longest vector."""
    factory: str = FLAT

    @torch.no_grad()
    def search(self, query: Float[Tensor, "n d"], k: int, *, oversample: int = 4) -> Neighbors:
        """The k nearest points by geodesic distance among `oversample` k + 16 candidates.

        With the factory "Flat" the result is that of `manifolds.topk`: rows whose candidates can't
        be shown to hold all neighbours, given FAISS's rounding, are searched again exactly. Other
        factories are approximate; where they find fewer than k points the index is -1 and the
        distance infinite.

        Raises:
            ValueError: as `manifolds.topk`.
        """
        query = query.detach().cpu().to(self.points.dtype)
        m = len(self.points)
        size = min(m, oversample * k + 16)
        if size == m or len(query) == 0 or not 1 <= k <= m:
            return topk(self.manifold, query, self.points, k)
        asked = faiss_vectors(self.manifold, query, query=True)
        seen, found = (torch.from_numpy(a) for a in self.index.search(asked.numpy(), size))
        where, _ = found.masked_fill(found < 0, m).sort(dim=-1)
        gone = where == m
        distance = self._distances(query, where.clamp_max(m - 1)).masked_fill(gone, torch.inf)
        distance, order = distance.sort(dim=-1, stable=True)
        index = where.masked_fill(gone, -1).gather(1, order)
        value, index = distance[:, :k].to(query.dtype), index[:, :k].contiguous()
        if self.factory == FLAT:
            unsure = ~self._certain(asked, seen.double(), distance[:, k - 1])
            if bool(unsure.any()):
                exact = topk(self.manifold, query[unsure], self.points, k)
                value[unsure], index[unsure] = exact.value, exact.index
        return Neighbors(value, index)

    def _distances(self, query: Tensor, where: Tensor) -> Tensor:
        """Distances (n, s) of queries to the points of the indices (n, s), float64."""
        step = max(1, BLOCK // (where.shape[1] * query.shape[1]))
        manifold = copy.deepcopy(self.manifold).cpu().double()
        parts = zip(query.double().split(step), where.split(step), strict=True)
        return torch.cat([manifold.dist(q[:, None], self.points[at].double()) for q, at in parts])

    def _certain(self, asked: Tensor, seen: Tensor, last: Tensor) -> Tensor:
        """Rows none of whose neighbours can be among the points that FAISS left out.

        Those looked to FAISS no nearer than the farthest candidate; `last` is the k-th distance.
        """
        length = torch.linalg.vector_norm(asked.double(), dim=-1)
        error = (32 + 4 * asked.shape[1] ** 0.5) * torch.finfo(torch.float32).eps
        if isinstance(self.manifold, manifolds.Euclidean):
            return last.square() < seen.amax(-1) - error * (length + self.longest).square()
        c = self.manifold.c.detach().cpu().double()
        angle = c.sqrt() * last
        on_sphere = isinstance(self.manifold, manifolds.Sphere)
        limit = angle.cos() if on_sphere else -angle.cosh() / c
        return limit > seen.amin(-1) + error * length * self.longest


def faiss_index(
    points: Float[Tensor, "m d"], manifold: Manifold, *, factory: str = FLAT
) -> FaissIndex:
    """A FAISS index over points, with the metric that ranks like the manifold's distance.

    Args:
        factory: a string of `faiss.index_factory`; "Flat" compares with every point.

    Raises:
        GeomclipError: FAISS is not installed.
        ValueError: a manifold that FAISS can't rank, or no points.
    """
    if points.ndim != 2 or len(points) == 0:
        raise ValueError(
            f"a FAISS index needs points (m, d), at least one, got {tuple(points.shape)}"
        )
    vectors = faiss_vectors(manifold, points, query=False)
    faiss = load_faiss()
    euclidean = isinstance(manifold, manifolds.Euclidean)
    metric = faiss.METRIC_L2 if euclidean else faiss.METRIC_INNER_PRODUCT
    index = faiss.index_factory(vectors.shape[1], factory, metric)
    if not index.is_trained:
        index.train(vectors.numpy())
    index.add(vectors.numpy())
    longest = torch.linalg.vector_norm(vectors.double(), dim=-1).amax().item()
    return FaissIndex(index, manifold, points.detach().cpu(), longest, factory)
