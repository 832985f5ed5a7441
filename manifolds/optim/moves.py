"""Moves of stored points along radial geodesics: decay, radius cap, change of curvature.

Each keeps a point's momentum in the frame that is parallel along that geodesic. Points are computed
in float64 where the device has it, so that a move leaves one rounding in them.
"""

from dataclasses import dataclass
from typing import Any

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

    def move_(self, points: Tensor, momentum: Tensor | None = None) -> None:
        """Write new points; the momentum goes there along geodesics unless it is given."""
        # The narrower dtype may round a point off the manifold.
        new = self.manifold.projx(points.to(self.points.dtype))
        if self.momentum is not None:
            if momentum is None:
                momentum = self.manifold.transp(self.points, new, self.momentum)
            self.momentum.copy_(momentum)
        self.points.copy_(new)


def stored(manifold: Manifold, points: Tensor, momentum: Tensor | None) -> list[Stored]:
    """One entry for a manifold, one a factor for a product."""
    if not isinstance(manifold, Product):
        return [Stored(manifold, points, momentum)]
    parts = manifold.split(points)
    momenta = [None] * len(parts) if momentum is None else manifold.split(momentum)
    factors: Any = manifold.factors
    rows = zip(factors, parts, momenta, strict=True)
    return [entry for factor, part, m in rows for entry in stored(factor, part, m)]


def _wide(t: Tensor) -> Tensor:
    return t.detach().to(work_dtype(t.device))


def decay_(entry: Stored, factor: float) -> None:
    """Move points toward the root: x = exp_0(factor log_0(x))."""
    m = entry.manifold
    entry.move_(m.expmap0(factor * m.logmap0(_wide(entry.points))))


def cap_(entry: Stored, max_radius: float) -> int:
    """Move points with sqrt(c) dist0(x) > max_radius in to that radius; returns how many.

    Euclidean space has no such radius, and nothing is moved there.
    """
    m = entry.manifold
    if not isinstance(m, CurvedManifold):
        return 0
    radius = (m.c.detach().sqrt() * m.dist0(entry.points)).unsqueeze(-1)
    far = radius > max_radius * (1 + _SLACK)
    count = int(far.sum())
    if count:
        x = _wide(entry.points)
        inside = m.expmap0(m.logmap0(x) * (max_radius / radius.to(x)))
        entry.move_(torch.where(far, inside, x))
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
    m, x, v = entry.manifold, entry.points, entry.momentum
    if v is not None and m.curvature_sign < 0:
        unit, root = _unit(m, x)
        v = unit * m.transp(x, root, v)
    return Held(entry, m.c.detach().clone(), _coordinates(m, _wide(x)), v)


def release_(held: Held) -> None:
    """Put the points to where the new c has their coordinates; nothing if c is the old one."""
    entry, m, v = held.entry, held.entry.manifold, held.momentum
    if bool(m.c == held.c):
        return
    points = _from_coordinates(m, held.coordinates)
    if v is not None and m.curvature_sign < 0:
        unit, root = _unit(m, v)
        v = m.transp(root, m.projx(points.to(entry.points.dtype)), v / unit)
    entry.move_(points, v)


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
