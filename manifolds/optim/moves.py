"""Moves of stored points along radial geodesics: decay, radius cap, change of curvature.

Each keeps a point's momentum in the frame that is parallel along that geodesic. Everything is
computed in float64 where the device has it, so that a move leaves one rounding in the point.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from manifolds.arguments import work_dtype
from manifolds.base import Manifold
from manifolds.curvature import CurvedManifold

# A capped point may come back this much farther out by rounding, and is then left where it is.
_SLACK = 1e-3


@dataclass(frozen=True)
class Stored:
    """Points (..., d) of one manifold that is no product, as views into a parameter.

    momentum: tangent vectors (..., d) at the points, or None.
    """

    manifold: Manifold
    points: Tensor
    momentum: Tensor | None

    def move_(self, points: Tensor, momentum: Tensor | None) -> None:
        """Write new points and the momentum there."""
        # The narrower dtype may round a point off the manifold.
        self.points.copy_(self.manifold.projx(points.to(self.points.dtype)))
        if self.momentum is not None and momentum is not None:
            self.momentum.copy_(momentum)


def stored(manifold: Manifold, points: Tensor, momentum: Tensor | None) -> list[Stored]:
    """One entry for a manifold, one a factor for a product."""
    factors = getattr(manifold, "factors", None)
    if factors is None:
        return [Stored(manifold, points, momentum)]
    dims = list(manifold.dims)
    parts = points.split(dims, dim=-1)
    momenta = [None] * len(dims) if momentum is None else momentum.split(dims, dim=-1)
    rows = zip(factors, parts, momenta, strict=True)
    return [entry for factor, part, m in rows for entry in stored(factor, part, m)]


def _wide(t: Tensor) -> Tensor:
    return t.detach().to(work_dtype(t.device))


def decay_(entry: Stored, factor: float) -> None:
    """Move points toward the root: x = exp_0(factor log_0(x))."""
    m, x = entry.manifold, _wide(entry.points)
    points = m.expmap0(factor * m.logmap0(x))
    v = None if entry.momentum is None else m.transp(x, points, _wide(entry.momentum))
    entry.move_(points, v)


def cap_(entry: Stored, max_radius: float) -> int:
    """Move points with sqrt(c) dist0(x) > max_radius in to that radius; returns how many.

    Euclidean space has no such radius, and nothing is moved there.
    """
    m = entry.manifold
    if not isinstance(m, CurvedManifold):
        return 0
    x = _wide(entry.points)
    radius = (m.c.detach().sqrt() * m.dist0(x)).unsqueeze(-1)
    far = radius > max_radius * (1 + _SLACK)
    count = int(far.sum())
    if count == 0:
        return 0
    inside = torch.where(far, m.expmap0(m.logmap0(x) * (max_radius / radius)), x)
    v = None
    if entry.momentum is not None:
        v = _wide(entry.momentum)
        v = torch.where(far, m.transp(x, inside, v), v)
    entry.move_(inside, v)
    return count


@dataclass(frozen=True)
class Held:
    """What of stored points stays while c changes."""

    entry: Stored
    c: Tensor
    coordinates: Tensor
    """Of logmap0, in an orthonormal basis at the root; on the sphere the unit vectors."""
    momentum: Tensor | None
    """Transported to the root, in that basis; on the sphere as it is."""


def hold(entry: Stored) -> Held:
    """Take the coordinates of points before c changes."""
    m, x = entry.manifold, _wide(entry.points)
    v = None if entry.momentum is None else _wide(entry.momentum)
    c = m.c.detach().to(x).clone()
    if m.curvature_sign > 0:
        return Held(entry, c, x * c.sqrt(), v)
    unit, root = _unit(m, x)
    if v is not None:
        v = unit * m.transp(x, root, v)
    return Held(entry, c, unit * m.logmap0(x), v)


def release_(held: Held) -> None:
    """Put the points to where the new c has their coordinates; nothing if c is the old one."""
    entry, m, u, v = held.entry, held.entry.manifold, held.coordinates, held.momentum
    c = m.c.detach().to(u)
    if bool(c == held.c):
        return
    if m.curvature_sign > 0:
        entry.move_(u / c.sqrt(), v)
        return
    unit, root = _unit(m, u)
    points = m.expmap0(u / unit)
    if v is not None:
        v = m.transp(root, points, v / unit)
    entry.move_(points, v)


def _unit(m: Manifold, like: Tensor) -> tuple[Tensor, Tensor]:
    """Metric length of a coordinate vector at the root (2 on the ball), and the root (d)."""
    root = m.origin(like.shape[-1], dtype=like.dtype, device=like.device)
    first = torch.zeros_like(root)
    first[0] = 1
    return m.norm(root, first), root
