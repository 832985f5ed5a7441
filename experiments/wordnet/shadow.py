"""Umbral shadow cones of the upper half-space, with the light at infinity (Yu et al., ICLR 2024).

Every point is the centre of a ball of hyperbolic radius r / sqrt(c). The light falls along the
vertical geodesics, and a parent's cone is where a child's whole ball lies in the shadow of its own.
The ball of (h, t) is the Euclidean one round (h, t cosh r) with radius t sinh r, and its shadow the
upright cylinder below it, so that y is in the cone of x when

    |h_x - h_y| + t_y sinh r <= t_x sinh r

The score is minus the signed distance of y to the cone's boundary. The cylinder's wall has the same
distance r to its cone all along, and y's distance to the wall is asinh((|h_x - h_y| - t_x sinh r) /
t_y), negative within. Beside and above the apex the nearest point is the apex x itself: that is
where the foot of the perpendicular, on the circle of radius sqrt(w^2 + t_y^2) round the foot of the
wall with w = |h_x - h_y| - t_x sinh r, would be higher than the ball's equator t_x cosh r.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import UpperHalfSpace


def umbral_score(
    manifold: UpperHalfSpace,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    radius: float,
) -> Float[Tensor, "n"]:
    """Minus the signed distance of y_i to the cone of x_i, geodesic length times sqrt(c).

    Args:
        radius: r, the balls' radius times sqrt(c).
    """
    across = (x - y)[:, :-1].square().sum(-1)
    return _score(across, x[:, -1], y[:, -1], radius)


def pairwise_umbral_score(
    manifold: UpperHalfSpace,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    radius: float,
) -> Float[Tensor, "n m"]:
    """`umbral_score(x_i, y_j)` of all pairs; one matrix product, so give it float64."""
    a, b = x[:, :-1], y[:, :-1]
    across = a.square().sum(-1)[:, None] + b.square().sum(-1) - 2 * a @ b.T
    return _score(across, x[:, -1][:, None], y[:, -1], radius)


def _score(across: Tensor, t: Tensor, s: Tensor, radius: float) -> Tensor:
    """From |h_x - h_y|^2 and both heights."""
    # The floor keeps the slope of the square root finite where the points stand one above another.
    gap = (across.clamp_min(0) + (1e-6 * s).square()).sqrt()
    wall = gap - t * math.sinh(radius)
    outside = torch.asinh(wall / s) + radius
    beyond = wall.square() + s.square() > (t * math.cosh(radius)).square()
    sinh_half = (across.clamp_min(0) + (t - s).square() + (1e-6 * s).square()).sqrt() / (
        2 * (t * s).sqrt()
    )
    return -torch.where(beyond, 2 * torch.asinh(sinh_half), outside)
