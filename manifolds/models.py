"""The standard models of constant curvature, and the way to them from any manifold.

Flat space, the hyperboloid in space components, the sphere in its ambient space: there a mean has a
closed form. Every manifold of constant curvature maps to one of them at the same directions and
distances from the root, which is an isometry.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from manifolds.arguments import holds
from manifolds.numerics import asinhc, safe_divide, safe_norm, sinc, sinhc
from manifolds.polar import polar


@runtime_checkable
class Space(Protocol):
    """What means and densities need of a manifold: its name, curvature and these operations."""

    @property
    def name(self) -> str: ...
    @property
    def curvature_sign(self) -> int: ...
    @property
    def codim(self) -> int: ...
    @property
    def c(self) -> Tensor: ...
    def dist2(self, x: Tensor, y: Tensor) -> Tensor: ...
    def logmap0(self, x: Tensor) -> Tensor: ...
    def expmap(self, x: Tensor, u: Tensor) -> Tensor: ...
    def expmap0(self, u: Tensor) -> Tensor: ...
    def to_frame(self, x: Tensor, v: Tensor) -> Tensor: ...
    def from_frame(self, x: Tensor, z: Tensor) -> Tensor: ...
    def norm(self, x: Tensor, u: Tensor) -> Tensor: ...
    def proju(self, x: Tensor, u: Tensor) -> Tensor: ...
    def origin(self, *size: Any, **options: Any) -> Tensor: ...


def root_scale(space: Space, like: Tensor) -> tuple[Tensor, Tensor]:
    """The root (d,), and the metric length there of a unit chart vector: 2 on the ball, else 1."""
    root = space.origin(like.shape[-1], dtype=like.dtype, device=like.device)
    unit = torch.zeros_like(root)
    unit[..., -1] = 1  # tangent on a sphere too
    return root, space.norm(root, unit)


def lift(space: Space, x: Tensor) -> Tensor:
    """Points of the standard model at the same directions and distances from the root."""
    root = space.origin(x.shape[-1], dtype=x.dtype, device=x.device)
    u = space.to_frame(root, space.logmap0(x))
    if space.curvature_sign == 0:
        return u
    c = space.c.to(x)
    z = c.sqrt() * safe_norm(u)
    if space.curvature_sign < 0:
        return u * sinhc(z)
    return torch.cat([torch.cos(z) / c.sqrt(), u * sinc(z)], dim=-1)


def lower(space: Space, x: Tensor) -> Tensor:
    """The inverse of `lift`."""
    c = space.c.to(x)
    if space.curvature_sign < 0:
        x = x * asinhc(c.sqrt() * safe_norm(x))
    elif space.curvature_sign > 0:
        time, rest = x[..., :1], x[..., 1:]
        across = safe_norm(rest)
        x = torch.atan2(across, time) / c.sqrt() * safe_divide(rest, across)
    root = space.origin(x.shape[-1], dtype=x.dtype, device=x.device)
    return space.expmap0(space.from_frame(root, x))


def centroid(op: str, sign: int, x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """Minimum (..., d) of `Manifold.weighted_midpoint` in the standard model of that curvature.

    Raises:
        ValueError: points of a sphere whose sum is 0.
    """
    if sign == 0:
        return (w * x).sum(-2)
    return _lorentz_centroid(x, w, c) if sign < 0 else _sphere_centroid(op, x, w, c)


def _lorentz_centroid(x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """Centroid s/(sqrt(c) sqrt(-<s, s>_L)), s = sum w_i x_i, of space components: (..., d).

    Source: Law et al. 2019 (Lorentzian distance learning), equation 12.
    """
    total = (w * x).sum(-2, keepdim=True)
    norm, total_norm = safe_norm(x), safe_norm(total)
    # -<s, s>_L = (s_t - |s|)(s_t + |s|); the first factor cancels far from the root unless it is
    # formed as a sum of positive terms, x_t - |x| + |x|(1 - cos) with the angle between x and s.
    x_time = torch.hypot(c.rsqrt().expand_as(norm), norm)
    gap = w * (1 / (c * (x_time + norm)) + norm * polar(x, total.expand_as(x)).e2 / 2)
    inner = gap.sum(-2, keepdim=True)
    # Where the sum is 0 every direction serves; the terms above then hold 1 - cos = 0.
    inner = torch.where(total_norm == 0, (w * x_time).sum(-2, keepdim=True), inner)
    length = (inner * (inner + 2 * total_norm)).sqrt()
    return (total / (c.sqrt() * length)).squeeze(-2)


def _sphere_centroid(op: str, x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """Sum of the directions x_i/|x_i|, scaled to the sphere."""
    total = (w * x / safe_norm(x)).sum(-2)
    length = safe_norm(total)
    zero = length < 1e-7  # what antipodal points of float32 leave
    if not holds(~zero):
        raise ValueError(
            f"{op}: the points of {int(zero.sum())} of {length.numel()} sets sum to 0 (antipodal), "
            "so no midpoint is nearest; move a point or a weight"
        )
    return total / (c.sqrt() * length)
