"""Entailment cones: half aperture, exterior angle; Euclidean and hyperbolic.

The cone at x opens away from the root 0 around the ray from 0 through x. y lies in it when the
exterior angle (at x, between that ray and the geodesic to y) is at most the half aperture. Angles
are radians.

    half aperture     Euclidean asin(min(1, K/|x|)), hyperbolic asin(min(1, 2K/(sqrt(c)|x|)))
    exterior angle    atan2(|B|, A)

with x in Lorentz space components, A and B the parts of the direction x -> y along and across the
ray.

Euclidean K is a length, hyperbolic K has no dimension; the two agree at K_E = 2 K / sqrt(c).
Sources: hyperbolic entailment cones (Ganea et al., arXiv 1804.01882), MERU (arXiv 2304.09172),
EuCLIP (arXiv 2409.13079). atan2 keeps the digits next to the axis that acos of a clamped cosine
loses.
"""

import math

import torch
from torch import Tensor

from manifolds.doubleword import grafted
from manifolds.kernels.reference import MAX_BLOCK, Direct, gathered
from manifolds.numerics import dot, power_above, safe_atan2, safe_divide, safe_norm
from manifolds.pairs import fine_across
from manifolds.polar import polar, radial_sinh, tangential


def aperture(radius: Tensor, min_radius: Tensor | float) -> Tensor:
    """asin(min(1, min_radius / radius)); pi/2 with gradient 0 at and below min_radius."""
    ratio = safe_divide(torch.ones_like(radius) * min_radius, radius)
    inside = (radius <= min_radius) | (ratio >= 1)
    ratio = torch.where(inside, torch.zeros_like(ratio), ratio)
    angle = torch.atan2(ratio, ((1 - ratio) * (1 + ratio)).sqrt())
    return torch.where(inside, torch.full_like(angle, math.pi / 2), angle)


def _not_at_root(x_norm: Tensor, along: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    root = x_norm == 0
    return (
        torch.where(root, torch.zeros_like(along), along),
        torch.where(root, torch.zeros_like(across), across),
    )


def euclidean_direction(x: Tensor, y: Tensor, *, fine: bool = False) -> tuple[Tensor, Tensor]:
    """y - x as its part along x/|x| (..., 1) and the rest (..., d); 0 at x = 0.

    fine: the rest in double words. Next to the axis the angle's gradient has the direction of that
    rest, of which one word keeps no more than eps |y - x|.
    """
    x_norm = safe_norm(x)
    unit = safe_divide(x, x_norm)
    step = y - x
    across = tangential(step, unit)
    if fine:
        across = grafted(-fine_across(*torch.broadcast_tensors(x, y)).value, across)
    return _not_at_root(x_norm, dot(step, unit), across)


def lorentz_direction(x: Tensor, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Initial direction x -> y times sinh(sqrt(c) d): radial part A, rest B; 0 at x = 0.

    In an orthonormal frame, so that A^2 + |B|^2 = sinh^2.
    """
    p = polar(x, y)
    a, b = c.sqrt() * p.x_norm, c.sqrt() * p.y_norm
    along = -radial_sinh(p, c) - b * p.e2 / 2 * torch.hypot(torch.ones_like(a), a)
    # Taking n x/|x| off first leaves nothing large for the exact projection to cancel.
    across = -c.sqrt() * tangential(p.difference - p.n * p.x_unit, p.x_unit)
    return _not_at_root(p.x_norm, along, across)


def poincare_direction(
    x: Tensor, y: Tensor, x_deficit: Tensor, c: Tensor, *, fine: bool = False
) -> tuple[Tensor, Tensor]:
    """The same on the ball up to a positive factor: the Möbius difference -x (+) y.

    x_deficit is 1 - c|x|^2; fine as in `euclidean_direction`.
    """
    p = polar(x, y)
    along = (
        -p.n * (x_deficit + c * p.x_norm * p.n) - p.y_norm * p.e2 * (1 + c * p.x_norm.square()) / 2
    )
    across = tangential(p.difference - p.n * p.x_unit, p.x_unit)
    if fine:
        across = grafted(fine_across(*torch.broadcast_tensors(x, y)).value, across)
    return _not_at_root(p.x_norm, along, -x_deficit * across)


def angle_of(direction: tuple[Tensor, Tensor]) -> Tensor:
    """atan2(|across|, along) (..., 1); gradient 0 on the axis, value and gradient 0 at (0, 0)."""
    along, across = direction
    length = safe_norm(across)
    # Exact, and the squares in the derivative of atan2 neither overflow nor underflow.
    power = power_above(torch.cat([length, along], dim=-1))
    return safe_atan2(length / power, along / power)


def pairwise_angle(
    x: tuple[Tensor, Tensor, Tensor],
    y: tuple[Tensor, Tensor, Tensor],
    points: tuple[Tensor, Tensor],
    direct: Direct,
    out: torch.dtype,
    parameters: tuple[Tensor, ...] = (),
) -> Tensor:
    """Exterior angles of all pairs (..., n, m) from rows of (unit vector, sinh r, cosh r).

    One matrix product gives the cosines; pairs near the axis, near the root or near each other are
    gathered and computed by `direct`. Euclid is the case cosh = 1. Where the work dtype is no wider
    than the result, all pairs are direct.
    """
    batch = torch.broadcast_shapes(points[0].shape[:-2], points[1].shape[:-2])
    n, m = points[0].shape[-2], points[1].shape[-2]
    step = max(1, MAX_BLOCK // max(1, m * batch.numel()))
    blocks = [
        _angle_block(
            tuple(t[..., s : s + step, :] for t in x), y, (points[0][..., s : s + step, :],
            points[1]), direct, out, parameters,
        )
        for s in range(0, max(n, 1), step)
    ]  # fmt: skip
    return torch.cat(blocks, dim=-2)


def _angle_block(
    x: tuple[Tensor, ...],
    y: tuple[Tensor, ...],
    points: tuple[Tensor, Tensor],
    direct: Direct,
    out: torch.dtype,
    parameters: tuple[Tensor, ...],
) -> Tensor:
    (x_unit, a, cosh_x), (y_unit, b, cosh_y) = x, tuple(t.mT for t in y)
    cosine = x_unit @ y_unit
    plus, minus = b * cosh_x, a * cosh_y
    with torch.no_grad():
        sine2 = (1 - cosine) * (1 + cosine)
        along = plus * cosine - minus
        length2 = along.square() + b.square() * sine2  # sinh^2 of the distance
        # eps(work) over these shares stays below eps(out) of the smallest angle that is left, 1e-4.
        bad = (sine2 < 1e-8) | (length2 < 1e-6 * (plus + minus).square()) | (a == 0) | (b == 0)
        if x_unit.dtype == out:
            bad = torch.ones_like(bad)
    cosine = torch.where(bad, torch.zeros_like(cosine), cosine)
    along = torch.where(bad, torch.ones_like(cosine), plus * cosine - minus)
    sine = ((1 - cosine) * (1 + cosine)).sqrt()
    angle = torch.atan2(b * sine, along).to(out)
    index = bad.nonzero()
    if index.shape[0] == 0:
        return angle
    return angle.index_put(tuple(index.T), gathered(direct, points, index, parameters).to(out))
