"""Isometries of hyperbolic space: boosts, Möbius translations, rotations.

A translation (boost, transvection) by the point b moves the root to b along the geodesic between
them and all other points with it, without a turn at the root. On the hyperboloid it is a symmetric
Lorentz matrix, on the ball the Möbius addition b (+) x; both are written in b + x, which is exact
for the points that a translation brings close to the root, so its inverse, the translation by -b,
works at large radius too. Two translations compose to a third and a rotation, the gyration.

Points of the hyperboloid are in space components. Source: Ungar, A Gyrovector Space Approach to
Hyperbolic Geometry (2008).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, check, check_tensor, curvature, holds, prepare, time
from manifolds.cones import lorentz_direction
from manifolds.functional.lorentz import cosh_radius
from manifolds.functional.poincare import within
from manifolds.numerics import asinhc, deficit, dot, safe_divide, safe_norm, tanhc
from manifolds.polar import tangential

__all__ = [
    "gyration",
    "lorentz_boost",
    "lorentz_translate",
    "mobius_add",
    "mobius_scalar",
    "rotate",
    "rotation",
]


def lorentz_translate(
    x: Float[Tensor, "*#b d"], by: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """x moved by the boost that takes the root to `by`; its inverse is the translation by -by.

        x + by (x_t sqrt(c) + c<by, x>/(1 + by_t sqrt(c)))

    without the cancellation of that formula where x is near -by.

    Raises:
        ValueError: c <= 0, or shapes, dtypes or devices that do not fit.
    """
    out, (x, by) = prepare("Lorentz.translate", x, by)
    c = curvature("Lorentz.translate", c, x)
    # The initial direction from -by to x, in an orthonormal frame along the ray from the root:
    # what arrives at the root when -by is moved there. It has no ray at by = 0, where the gradient
    # for `by` needs one, so short translations are written in the sum.
    total, x_cosh, by_cosh = x + by, cosh_radius(x, c), cosh_radius(by, c)
    ratio = (x_cosh - 1) / (x_cosh + by_cosh)
    share = c * (dot(total, x) + ratio * dot(total, by - x)) / (1 + by_cosh)
    short = c.sqrt() * safe_norm(by) < 1
    base = torch.where(short, torch.ones_like(by), -by)
    along, across = lorentz_direction(base, x, c)
    far = (along * safe_divide(base, safe_norm(base)) + across) / c.sqrt()
    return torch.where(short, total + share * by, far).to(out)


def lorentz_boost(by: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b n n"]:
    """The translation as a symmetric (1 + d, 1 + d) matrix that acts on ambient coordinates.

    (C, s b^T; s b, I + c b b^T/(1 + C)) with s = sqrt(c), C = sqrt(1 + c|b|^2). Its product with a
    point near -b loses cosh^2 of their radius in digits; `lorentz_translate` does not.

    Raises:
        ValueError: c <= 0, or `by` is not a floating point tensor (..., d).
    """
    out, (by,) = prepare("Lorentz.boost", by)
    c = curvature("Lorentz.boost", c, by)
    b, cosh = c.sqrt() * by.unsqueeze(-1), cosh_radius(by, c).unsqueeze(-1)
    eye = torch.eye(by.shape[-1], dtype=by.dtype, device=by.device)
    top = torch.cat([cosh, b.mT], dim=-1)
    bottom = torch.cat([b, eye + b * b.mT / (1 + cosh)], dim=-1)
    return torch.cat([top, bottom], dim=-2).to(out)


def mobius_add(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Möbius addition x (+) y on the ball: y translated by x.

        (X s + c|s|^2 x)/(X Y + c|s|^2),  s = x + y,  X = 1 - c|x|^2,  Y = 1 - c|y|^2

    Neither commutative nor associative: x (+) y = gyration(x, y, y (+) x), (-x) (+) (x (+) y) = y.
    A sum beyond geodesic radius 16 (float32) or 36 (float64) comes out there
    (`manifolds.radius_limit`); NaN off the ball.

    Raises:
        ValueError: c <= 0, or shapes, dtypes or devices that do not fit.
    """
    out, (x, y) = prepare("PoincareBall.mobius_add", x, y)
    c = curvature("PoincareBall.mobius_add", c, x)
    total, x_gap, y_gap = x + y, deficit(x, c), deficit(y, c)
    square = c * dot(total, total)
    added = (x_gap * total + square * x) / (x_gap * y_gap + square)
    return within(added, c, out).to(out)


def mobius_scalar(
    t: float | int | Tensor, x: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Möbius multiple t (x) x = tanh(t atanh(z)) x/z, z = sqrt(c)|x|: t times as far from the root.

    2 (x) x = x (+) x. Beyond radius 16 or 36 as `mobius_add`.

    Args:
        t: a number, or a tensor (...) that broadcasts with the leading dimensions of x.
        x: points of the ball (..., d).

    Raises:
        ValueError: c <= 0, or shapes, dtypes or devices that do not fit.
    """
    out, (x,) = prepare("PoincareBall.mobius_scalar", x)
    c = curvature("PoincareBall.mobius_scalar", c, x)
    gap = deficit(x, c).sqrt()
    u = time("PoincareBall.mobius_scalar", t, x) * (x / gap * asinhc(c.sqrt() * safe_norm(x) / gap))
    return within(u * tanhc(c.sqrt() * safe_norm(u)), c, out).to(out)


def gyration(
    x: Float[Tensor, "*#b d"],
    y: Float[Tensor, "*#b d"],
    z: Float[Tensor, "*#b d"],
    c: Scalar,
) -> Float[Tensor, "*#b d"]:
    """The rotation gyr[x, y] of z: (x (+) y) (+) gyr[x, y] z = x (+) (y (+) z) on the ball.

    z + 2 (p W z + W W z)/(p^2 + |W|^2) with p = 1 + c<x, y> and W = c (x y^T - y x^T): a rotation
    in the plane of x and y from y toward x, by twice the angle atan(|W|/p).

    Raises:
        ValueError: c <= 0, or shapes, dtypes or devices that do not fit.
    """
    out, (x, y, z) = prepare("PoincareBall.gyration", x, y, z)
    c = curvature("PoincareBall.gyration", c, x)
    total, x_gap, y_gap = x + y, deficit(x, c), deficit(y, c)
    square = c * dot(total, total)
    p = (x_gap + y_gap + square) / 2  # 1 + c<x, y> cancels where y is near -x at the rim

    def turn(z: Tensor) -> Tensor:
        return c * (x * dot(total, z) - total * dot(x, z))

    first = turn(z)
    return (z + 2 * (p * first + turn(first)) / (x_gap * y_gap + square)).to(out)


def rotation(u: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"]) -> Float[Tensor, "*#b d d"]:
    """Rotation matrix (..., d, d) in the plane of u and v that takes the direction of u to v's.

    Orthogonal with determinant 1, the identity where the directions agree; opposite directions
    (to 1e-13) have no plane of their own and turn in one of v and a coordinate axis.

    Raises:
        ValueError: d < 2, a vector that is 0, or shapes, dtypes or devices that do not fit.
    """
    out, (u, v) = prepare("manifolds.rotation", u, v)
    u, v = torch.broadcast_tensors(u, v)
    if u.shape[-1] < 2:
        raise ValueError(f"manifolds.rotation: needs d >= 2, got shape {tuple(u.shape)}")
    u_norm, v_norm = safe_norm(u), safe_norm(v)
    if not holds((u_norm > 0) & (v_norm > 0)):
        zero = int(((u_norm == 0) | (v_norm == 0)).sum())
        raise ValueError(
            f"manifolds.rotation: a direction needs a vector that is not 0, got {zero} of "
            f"{u_norm.numel()} pairs with one that is"
        )
    u, v = u / u_norm, v / v_norm
    # Two reflections, along u and along u + v, make the rotation. Beyond a right angle u + v loses
    # digits: then u goes to -v, and half a turn in the same plane takes that to v.
    wide = dot(u, v) < 0
    near = torch.where(wide, -v, v)
    turn = _reflection(_unit(u + near)) @ _reflection(u)
    axis = torch.nn.functional.one_hot(v.abs().argmin(-1), v.shape[-1]).to(v)
    side = tangential(torch.where(safe_norm(u + v) > 1e-13, u + v, axis), v)
    half = _reflection(_unit(tangential(side, v))) @ _reflection(v)
    return torch.where(wide.unsqueeze(-1), half @ turn, turn).to(out)


def _unit(x: Tensor) -> Tensor:
    return safe_divide(x, safe_norm(x))


def _reflection(unit: Tensor) -> Tensor:
    eye = torch.eye(unit.shape[-1], dtype=unit.dtype, device=unit.device)
    return eye - 2 * unit.unsqueeze(-1) * unit.unsqueeze(-2)


def rotate(x: Float[Tensor, "*#b d"], matrix: Float[Tensor, "*#b d d"]) -> Float[Tensor, "*#b d"]:
    """matrix @ x: an isometry about the root of the hyperboloid, the ball and the sphere's centre.

    The matrix has to be orthogonal, which is not looked at.

    Raises:
        TypeError: x or the matrix is no tensor.
        ValueError: the matrix is not (..., d, d), or dtypes or devices do not fit.
    """
    check("manifolds.rotate", x)
    check_tensor("manifolds.rotate", "matrix", matrix, "(..., d, d)")
    if matrix.ndim < 2 or matrix.shape[-2:] != (x.shape[-1],) * 2:
        raise ValueError(
            "manifolds.rotate: expects x (..., d) and a matrix (..., d, d), got shapes "
            f"x {tuple(x.shape)}, matrix {tuple(matrix.shape)}"
        )
    out, (x, rows) = prepare("manifolds.rotate", x.unsqueeze(-2), matrix)
    return (rows * x).sum(-1).to(out)
