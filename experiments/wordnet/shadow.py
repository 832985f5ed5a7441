"""Umbral shadow cones of the upper half-space, with the light at infinity (Yu et al., ICLR 2024).

Every point is the centre of a ball of radius r / sqrt(c). The light falls along the vertical
geodesics, and x's cone is where a whole ball lies in the shadow of x's. The ball round (h, t) is
the Euclidean one round (h, t cosh r) with radius t sinh r and its shadow the upright cylinder below
it, so that y is in the cone of x when

    |h_x - h_y| + t_y sinh r <= t_x sinh r

The score is minus the signed distance from y to the cone's boundary, times sqrt(c). To the
cylinder's wall it is asinh(w / t_y), w = |h_x - h_y| - t_x sinh r, negative within, and the cone is
what has r more of it. Where the foot of the perpendicular on the wall, at height sqrt(w^2 + t_y^2),
is higher than the ball's equator t_x cosh r, the nearest point of the boundary is x itself.
The definition is the paper's (arXiv 2305.15215), its signs as in the authors' public program.
"""

import math

from jaxtyping import Float
from torch import Tensor, where

# Of t_y: the floor under |h_x - h_y| that keeps its slope finite where one lies above the other.
FLOOR = 1e-6


def umbral_score(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], radius: float
) -> Float[Tensor, "n"]:
    """Minus the signed distance times sqrt(c) of y_i to the cone of x_i, points of a half-space.

    Args:
        radius: r, the balls' radius times sqrt(c).
    """
    across = (x - y)[:, :-1].square().sum(-1)
    return _score(across, x[:, -1], y[:, -1], radius)


def pairwise_umbral_score(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], radius: float
) -> Float[Tensor, "n m"]:
    """`umbral_score(x_i, y_j)` of all pairs, to float32's digits for points in float64."""
    a, b = x[:, :-1], y[:, :-1]
    across = a.square().sum(-1)[:, None] + b.square().sum(-1) - 2 * a @ b.T
    # The product cancels and has all digits; what follows has no need of them.
    return _score(across.clamp_min(0).float(), x[:, -1:].float(), y[:, -1].float(), radius)


def _score(across: Tensor, t: Tensor, s: Tensor, radius: float) -> Tensor:
    """From |h_x - h_y|^2 and the heights of x and y."""
    floor = (FLOOR * s).square()
    wall = (across + floor).sqrt() - t * math.sinh(radius)
    apex = wall.square() + s.square() > (t * math.cosh(radius)).square()
    # sinh of half the distance to x, or of the whole distance to the wall.
    sinh = where(apex, (across + (t - s).square() + floor).sqrt() / (2 * (t * s).sqrt()), wall / s)
    # torch's asinh takes ten times as long.
    positive = (sinh.abs() + (1 + sinh.square()).sqrt()).log()
    asinh = where(sinh < 0, -positive, positive)
    return -where(apex, 2 * asinh, asinh + radius)
