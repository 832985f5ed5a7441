"""Maps between models of hyperbolic space, all isometries, and between charts."""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, curvature, prepare
from manifolds.functional.poincare import within
from manifolds.numerics import deficit, safe_norm


def lorentz_to_poincare(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """p = x/(1 + sqrt(1 + c|x|^2)), from space components to the ball.

    Points beyond geodesic radius 16 (float32) or 36 (float64) come out at that radius, the last the
    ball can hold.

    Raises:
        ValueError: c <= 0, or x is not a floating point tensor (..., d).
    """
    out, (x,) = prepare("lorentz_to_poincare", x)
    c = curvature("lorentz_to_poincare", c, x)
    a = c.sqrt() * safe_norm(x)
    return within(x / (1 + torch.hypot(torch.ones_like(a), a)), c, out).to(out)


def poincare_to_lorentz(p: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """x = 2p/(1 - c|p|^2), from the ball to space components; NaN off the ball.

    Raises:
        ValueError: c <= 0, or p is not a floating point tensor (..., d).
    """
    out, (p,) = prepare("poincare_to_lorentz", p)
    return (2 * p / deficit(p, curvature("poincare_to_lorentz", c, p))).to(out)


def to_ambient(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d_plus_1"]:
    """Ambient hyperboloid coordinates (x_t, x), time first as in geoopt, x_t = sqrt(1/c + |x|^2).

    Raises:
        ValueError: c <= 0, or x is not a floating point tensor (..., d).
    """
    out, (x,) = prepare("to_ambient", x)
    a = curvature("to_ambient", c, x).rsqrt()
    norm = safe_norm(x)
    return torch.cat([torch.hypot(a.expand_as(norm), norm), x], dim=-1).to(out)


def from_ambient(x: Float[Tensor, "*b d_plus_1"]) -> Float[Tensor, "*b d"]:
    """Space components of ambient hyperboloid coordinates (time first); the time component is not
    read.

    Raises:
        ValueError: x is not a floating point tensor (..., 1 + d) with d >= 1.
    """
    out, (x,) = prepare("from_ambient", x)
    if x.shape[-1] < 2:
        raise ValueError(f"from_ambient: expects (..., 1 + d), got shape {tuple(x.shape)}")
    return x[..., 1:].to(out)
