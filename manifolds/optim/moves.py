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
from manifolds.product import Product

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
    if not isinstance(manifold, Product):
        return [Stored(manifold, points, momentum)]
    parts = manifold.split(points)
    momenta = [None] * len(parts) if momentum is None else manifold.split(momentum)
    rows = zip(manifold.factors, parts, momenta, strict=True)
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
    if v is not None and m.curvature_sign < 0:
        unit, root = _unit(m, x)
        v = unit * m.transp(x, root, v)
    return Held(entry, m.c.detach().to(x).clone(), _coordinates(m, x), v)


def release_(held: Held) -> None:
    """Put the points to where the new c has their coordinates; nothing if c is the old one."""
    m, v = held.entry.manifold, held.momentum
    if bool(m.c.to(held.c) == held.c):
        return
    points = _from_coordinates(m, held.coordinates)
    if v is not None and m.curvature_sign < 0:
        unit, root = _unit(m, v)
        v = m.transp(root, points, v / unit)
    held.entry.move_(points, v)


def slope(entry: Stored, gradient: Tensor) -> Tensor:
    """d/d log_c of <gradient, x(c)>, 0-dim, where x(c) keeps its coordinates as c changes.

    `log_c.grad` is the slope at fixed chart coordinates. Points that follow c add this to it: a
    loss of logmap0 alone, such as dist0, then has slope 0 in c, as it should.
    """
    m = entry.manifold
    assert isinstance(m, CurvedManifold)
    with torch.no_grad():
        held = _coordinates(m, _wide(entry.points))
    with torch.enable_grad():
        moved = (_from_coordinates(m, held) * _wide(gradient)).sum()
        return torch.autograd.grad(moved, m.log_c)[0]


def _coordinates(m: Manifold, x: Tensor) -> Tensor:
    if m.curvature_sign > 0:
        return x * m.c.detach().to(x).sqrt()
    return _unit(m, x)[0] * m.logmap0(x)


def _from_coordinates(m: Manifold, u: Tensor) -> Tensor:
    return u / m.c.to(u).sqrt() if m.curvature_sign > 0 else m.expmap0(u / _unit(m, u)[0])


@torch.no_grad()
def _unit(m: Manifold, like: Tensor) -> tuple[Tensor, Tensor]:
    """Metric length of a coordinate vector at the root (2 on the ball, 1 elsewhere; the same at
    every c), and the root (d)."""
    root = m.origin(like.shape[-1], dtype=like.dtype, device=like.device)
    first = torch.zeros_like(root)
    first[0] = 1
    return m.norm(root, first), root
