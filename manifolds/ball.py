"""Exponential map, logarithm and transport on the Poincaré ball, unchecked.

Points x, y (..., d) with X = 1 - c|x|^2 > 0, tangent vectors u, v, c 0-dim, all in one dtype. The
chart is conformal, so nothing is magnified in one direction only; what has to be small is formed
from X, which is exact to the rim.
"""

from functools import partial

import torch
from torch import Tensor

from manifolds import doubleword as dw
from manifolds.doubleword import grafted
from manifolds.mapgradients import FineMap, poincare_expmap, poincare_logmap, poincare_transp
from manifolds.numerics import asinhc, deficit, dot, safe_divide, safe_norm, safe_sqrt, tanhc
from manifolds.polar import tangential


def hyperbolic_q(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """sinh^2(sqrt(c) d / 2) = c|x - y|^2 / (X Y) (..., 1)."""
    return c * dot(x - y, x - y) / deficit(x, c) / deficit(y, c)


def exponential(x: Tensor, u: Tensor, c: Tensor, *, fine: bool) -> Tensor:
    """End of the geodesic that leaves x with velocity u, after unit time; not kept off the rim.

    x (+) w with w = tanh(z) u/(sqrt(c)|u|), z = sqrt(c)|u|/X. With p = sqrt(c)|x|, q = tanh(z), t
    the angle between x and u, the end's parts along and across x are, times sqrt(c),

        ((p - q)(1 - p q) + q (1 + p^2)(1 + cos t))/M    X q sin t/M
        M = (1 - p q)^2 + 2 p q (1 + cos t)

    Far inward steps need this form, and `fine` for the angle.
    """
    x, u = torch.broadcast_tensors(x, u)
    return _EXPONENTIAL(c, x, u) if fine else _exponential(c, x, u)


def _exponential(c: Tensor, x: Tensor, u: Tensor, *, fine: bool = False) -> Tensor:
    gap = deficit(x, c)
    x_norm, u_norm = safe_norm(x), safe_norm(u)
    x_unit, u_unit = safe_divide(x, x_norm), safe_divide(u, u_norm)
    half = c.sqrt() * u_norm / gap
    p, q = c.sqrt() * x_norm, torch.tanh(half)
    p_rest, q_rest = gap / (1 + p), 2 * torch.sigmoid(-2 * half)  # 1 - p, 1 - q
    product_rest = p_rest + p * q_rest
    side = tangential(u_unit, x_unit)
    if fine:
        side = safe_divide(dw.across(u, x).value, u_norm)
    cosine = dot(x_unit, u_unit)
    facing = dot(side, side) / (1 + cosine.abs())
    facing = torch.where(cosine < 0, facing, 1 + cosine)
    bottom = product_rest.square() + 2 * p * q * facing
    radial = (q_rest - p_rest) * product_rest + q * (1 + p.square()) * facing
    long = (radial * x_unit + gap * q * side) / (bottom * c.sqrt())
    # Everywhere else x plus something: a step of 0 ends at x itself, and nothing depends on x/|x|,
    # which turns fast near the root. The other form of M has the right derivative there.
    w = u / gap * tanhc(half)
    moebius = 1 + 2 * c * dot(x, w) + (c * dot(x, x)) * (c * dot(w, w))
    short = x + gap * (w + c * dot(w, w) * x) / grafted(bottom, moebius)
    return torch.where((cosine < 0) & (p * q > 0.5), long, short)


def logarithm(x: Tensor, y: Tensor, c: Tensor, *, fine: bool) -> Tensor:
    """Velocity at x of the geodesic that reaches y after unit time.

    Along the Möbius difference -x (+) y, whose direction is V = X (y - x) - c|y - x|^2 x; of V's
    two terms neither is much longer than V, |V| = |y - x| sqrt(X Y (1 + Q)).
    """
    x, y = torch.broadcast_tensors(x, y)
    return _LOGARITHM(c, x, y) if fine else _logarithm(c, x, y)


def _logarithm(c: Tensor, x: Tensor, y: Tensor) -> Tensor:
    step, q = y - x, hyperbolic_q(x, y, c)
    direction = deficit(x, c) * step - c * dot(step, step) * x
    return direction * asinhc(safe_sqrt(q)) / (deficit(y, c) * (1 + q).sqrt())


def transport(x: Tensor, y: Tensor, v: Tensor, c: Tensor, *, fine: bool) -> Tensor:
    """Parallel transport of v from x to y: Y/X times the gyration gyr[y, -x] v.

    The gyration turns the plane of x and y by 2 atan(W/p), W = c(y x^T - x y^T), p = 1 - c<x, y>:

        gyr v = v + 2 (W W v - p W v)/(X Y + c|x - y|^2),    2 p = X + Y + c|x - y|^2

    Source: Ungar, Analytic Hyperbolic Geometry; Ganea et al., arXiv 1805.10112 (lambda gyr).
    """
    x, y, v = torch.broadcast_tensors(x, y, v)
    return _TRANSPORT(c, x, y, v) if fine else _transport(c, x, y, v)


def _transport(c: Tensor, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    x_gap, y_gap, step = deficit(x, c), deficit(y, c), x - y
    length2 = c * dot(step, step)

    def turned(v: Tensor) -> Tensor:
        return c * (dot(step, v) * x - dot(x, v) * step)  # W v; with y it would cancel

    once = turned(v)
    p = (x_gap + y_gap + length2) / 2
    gyration = v + 2 * (turned(once) - p * once) / (x_gap * y_gap + length2)
    return y_gap / x_gap * gyration


_EXPONENTIAL = FineMap(partial(_exponential, fine=True), poincare_expmap, _exponential)
_LOGARITHM = FineMap(_logarithm, poincare_logmap, _logarithm)
_TRANSPORT = FineMap(_transport, poincare_transp, _transport)
