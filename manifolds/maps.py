"""Maps between models of hyperbolic space with curvature -c: points and tangent vectors, isometric.

    lorentz     x, the d space components of the hyperboloid             every finite x
    ambient     (x_t, x), time first as in geoopt, x_t = sqrt(1/c + |x|^2)
    poincare    p = x/(1 + C)                                            c|p|^2 < 1
    klein       k = x/C                                                  c|k|^2 < 1
    halfspace   (h, t) = (sqrt(c) x_1..d-1, 1)/(sqrt(c) N), N = C - sqrt(c) x_d    t > 0

with C = sqrt(1 + c|x|^2) = cosh r. All charts share the root and, up to a factor 1/2 on the ball,
the tangent vectors there, so `logmap0` gives the same vector in each. No map adds an epsilon.

Near their rims the ball and the Klein ball cannot hold every point: one beyond r = 16 (ball) or 8
(Klein) in float32, 36 or 18 in float64, comes out at that radius in its direction. `radius_limit`
gives these numbers, so that such points can be counted:

    (m.dist0(x) * m.c.sqrt() > radius_limit("klein", x.dtype)).sum()

Source: Cannon, Floyd, Kenyon and Parry, Hyperbolic Geometry (in: Flavors of Geometry, 1997).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds.arguments import Scalar, curvature, prepare
from manifolds.halfspace import root_height
from manifolds.numerics import MAX_BALL_RADIUS, deficit, dot, safe_divide, safe_norm
from manifolds.polar import tangential

CHARTS = ("lorentz", "ambient", "poincare", "klein", "halfspace")

Points = Float[Tensor, "*b d"]


def radius_limit(chart: str, dtype: torch.dtype) -> float:
    """Largest r = sqrt(c) dist0 that the maps into a chart keep; points beyond come out there.

    inf where no point is moved: coordinates of the hyperboloid and of the half-space overflow only
    near r = 88 (float32) and 709 (float64). Results are never narrower than float32.

    Raises:
        ValueError: no such chart.
    """
    _check_chart("radius_limit", chart)
    ball = MAX_BALL_RADIUS[torch.float64 if dtype == torch.float64 else torch.float32]
    # Klein coordinates are tanh(r) where those of the ball are tanh(r/2).
    return {"poincare": ball, "klein": ball / 2}.get(chart, math.inf)


def convert(x: Float[Tensor, "*b n"], c: Scalar, source: str, target: str) -> Tensor:
    """The point x of one chart in the coordinates of another.

    Args:
        x: points (..., d) in `source`; (..., 1 + d) if that is "ambient", whose time component is
            not read.
        source, target: "lorentz", "ambient", "poincare", "klein" or "halfspace".

    Raises:
        ValueError: c <= 0, no such chart, x not a floating point tensor of a fitting shape (d >= 2
            on the half-space). A point off the source's manifold gives NaN.
    """
    return _convert("convert", x, c, source, target)


def push(
    x: Float[Tensor, "*#b n"], v: Float[Tensor, "*#b n"], c: Scalar, source: str, target: str
) -> Tensor:
    """The tangent vector v at x of one chart in the coordinates of another, at convert(x).

    The differential of `convert`, hence an isometry of tangent spaces: norms and angles stay. It
    is written as transport to the root, where the charts agree, and back, so that nothing cancels.

    Args:
        x, v: points and tangent vectors (..., d) in `source`, (..., 1 + d) if that is "ambient".
        source, target: as in `convert`.

    Raises:
        ValueError: as `convert`, or x and v do not fit each other.
    """
    out, (x, v) = prepare("manifolds.push", x, v)
    c = curvature("manifolds.push", c, x)
    _check_chart("manifolds.push", source, target)
    _check_dim("manifolds.push", x, source, target)
    space = _TO_LORENTZ[source](x, c, out)
    unit = safe_divide(space, safe_norm(space))
    sinh = c.sqrt() * safe_norm(space)
    at = _Place(x, unit, sinh, torch.hypot(torch.ones_like(sinh), sinh), root_height(c, out).to(x))
    frame = _TO_ROOT[source](at, v)
    at = _Place(_FROM_LORENTZ[target](space, c, out), at.unit, at.sinh, at.cosh, at.root)
    return _FROM_ROOT[target](at, frame).to(out)


def lorentz_to_poincare(x: Points, c: Scalar) -> Points:
    """p = x/(1 + sqrt(1 + c|x|^2)), from space components to the ball.

    Points beyond geodesic radius 16 (float32) or 36 (float64) come out at that radius, the last the
    ball can hold (`radius_limit`). Errors of all these maps: see `convert`.
    """
    return _convert("lorentz_to_poincare", x, c, "lorentz", "poincare")


def poincare_to_lorentz(p: Points, c: Scalar) -> Points:
    """x = 2p/(1 - c|p|^2), from the ball to space components; NaN off the ball."""
    return _convert("poincare_to_lorentz", p, c, "poincare", "lorentz")


def lorentz_to_klein(x: Points, c: Scalar) -> Points:
    """k = x/sqrt(1 + c|x|^2), from space components to the Klein ball.

    Points beyond geodesic radius 8 (float32) or 18 (float64) come out at that radius
    (`radius_limit`).
    """
    return _convert("lorentz_to_klein", x, c, "lorentz", "klein")


def klein_to_lorentz(k: Points, c: Scalar) -> Points:
    """x = k/sqrt(1 - c|k|^2), from the Klein ball to space components; NaN off the ball."""
    return _convert("klein_to_lorentz", k, c, "klein", "lorentz")


def lorentz_to_halfspace(x: Points, c: Scalar) -> Points:
    """(h, t) = (sqrt(c) x_1..d-1, 1)/(sqrt(c) N), N = sqrt(1 + c|x|^2) - sqrt(c) x_d; d >= 2."""
    return _convert("lorentz_to_halfspace", x, c, "lorentz", "halfspace")


def halfspace_to_lorentz(x: Points, c: Scalar) -> Points:
    """x = (h/(sqrt(c) t), (|h|^2 + t^2 - 1/c)/(2t)), from the half-space; d >= 2.

    NaN where the height t is not positive.
    """
    return _convert("halfspace_to_lorentz", x, c, "halfspace", "lorentz")


def poincare_to_klein(p: Points, c: Scalar) -> Points:
    """k = 2p/(1 + c|p|^2); beyond radius 8 or 18 as `lorentz_to_klein`, NaN off the ball."""
    return _convert("poincare_to_klein", p, c, "poincare", "klein")


def klein_to_poincare(k: Points, c: Scalar) -> Points:
    """p = k/(1 + sqrt(1 - c|k|^2)); NaN off the ball."""
    return _convert("klein_to_poincare", k, c, "klein", "poincare")


def poincare_to_halfspace(p: Points, c: Scalar) -> Points:
    """Inversion of the ball; root to root, the point e_d/sqrt(c) of the rim to infinity; d >= 2."""
    return _convert("poincare_to_halfspace", p, c, "poincare", "halfspace")


def halfspace_to_poincare(x: Points, c: Scalar) -> Points:
    """Inverse of `poincare_to_halfspace`; beyond radius 16 or 36 as `lorentz_to_poincare`."""
    return _convert("halfspace_to_poincare", x, c, "halfspace", "poincare")


def klein_to_halfspace(k: Points, c: Scalar) -> Points:
    """Through the hyperboloid; NaN off the ball; d >= 2."""
    return _convert("klein_to_halfspace", k, c, "klein", "halfspace")


def halfspace_to_klein(x: Points, c: Scalar) -> Points:
    """Through the hyperboloid; beyond radius 8 or 18 as `lorentz_to_klein`; d >= 2."""
    return _convert("halfspace_to_klein", x, c, "halfspace", "klein")


def to_ambient(x: Points, c: Scalar) -> Float[Tensor, "*b d_plus_1"]:
    """Ambient hyperboloid coordinates (x_t, x), time first, x_t = sqrt(1/c + |x|^2)."""
    return _convert("to_ambient", x, c, "lorentz", "ambient")


def from_ambient(x: Float[Tensor, "*b d_plus_1"]) -> Points:
    """Space components of ambient hyperboloid coordinates (time first); the time component is not
    read.

    Raises:
        ValueError: x is not a floating point tensor (..., 1 + d) with d >= 1.
    """
    return _convert("from_ambient", x, 1.0, "ambient", "lorentz")


def _convert(op: str, x: Tensor, c: Scalar, source: str, target: str) -> Tensor:
    out, (x,) = prepare(op, x)
    c = curvature(op, c, x)
    _check_chart(op, source, target)
    _check_dim(op, x, source, target)
    if source == target != "ambient":
        return x.to(out)
    return _FROM_LORENTZ[target](_TO_LORENTZ[source](x, c, out), c, out).to(out)


def _check_chart(op: str, *charts: str) -> None:
    for chart in charts:
        if chart not in CHARTS:
            raise ValueError(f"{op}: charts are {', '.join(CHARTS)}, got {chart!r}")


def _check_dim(op: str, x: Tensor, source: str, target: str) -> None:
    shape = tuple(x.shape)
    dim = x.shape[-1] - (source == "ambient")
    if dim < 1:
        raise ValueError(f"{op}: expects (..., 1 + d) with d >= 1, got shape {shape}")
    if "halfspace" in (source, target) and dim < 2:
        raise ValueError(f"{op}: the half-space needs d >= 2, got shape {shape}")


# --- points, unchecked: x in the work dtype, `out` the dtype of the result ---

Map = Callable[[Tensor, Tensor, torch.dtype], Tensor]


def _cosh(x: Tensor, c: Tensor) -> Tensor:
    a = c.sqrt() * safe_norm(x)
    return torch.hypot(torch.ones_like(a), a)


def _within(x: Tensor, c: Tensor, tanh: float) -> Tensor:
    limit = tanh / c.sqrt()
    norm = safe_norm(x)
    beyond = norm > limit
    return torch.where(beyond, x * (limit / torch.where(beyond, norm, limit)), x)


def _to_poincare(x: Tensor, c: Tensor, out: torch.dtype) -> Tensor:
    return _within(x / (1 + _cosh(x, c)), c, math.tanh(radius_limit("poincare", out) / 2))


def _to_klein(x: Tensor, c: Tensor, out: torch.dtype) -> Tensor:
    return _within(x / _cosh(x, c), c, math.tanh(radius_limit("klein", out)))


def _to_halfspace(x: Tensor, c: Tensor, out: torch.dtype) -> Tensor:
    across, up = (c.sqrt() * x).split([x.shape[-1] - 1, 1], dim=-1)
    wide = safe_norm(across)
    wide = torch.hypot(torch.ones_like(wide), wide)
    # cosh r - up; for up > 0 that difference cancels, and (cosh r - up)(cosh r + up) = wide^2.
    # Not up.abs(): its gradient at 0 is 0.
    total = torch.hypot(wide, up) + torch.where(up > 0, up, -up)
    n = torch.where(up > 0, wide * (wide / total), total)
    return root_height(c, out).to(x) * torch.cat([across / n, 1 / n], dim=-1)


def _from_halfspace(x: Tensor, c: Tensor, out: torch.dtype) -> Tensor:
    across, height = x[..., :-1], x[..., -1:]
    height = torch.where(height > 0, height, torch.full_like(height, math.nan))
    root = root_height(c, out).to(x)
    # |h|^2 + t^2 - root^2 keeps the digits of a height near the root's as a product.
    up = dot(across, across) / root + (height - root) * ((height + root) / root)
    return torch.cat([across / height, up / (2 * height)], dim=-1) / c.sqrt()


def _to_ambient(x: Tensor, c: Tensor, out: torch.dtype) -> Tensor:
    return torch.cat([_cosh(x, c) / c.sqrt(), x], dim=-1)


_TO_LORENTZ: dict[str, Map] = {
    "lorentz": lambda x, c, out: x,
    "ambient": lambda x, c, out: x[..., 1:],
    "poincare": lambda x, c, out: 2 * x / deficit(x, c),
    "klein": lambda x, c, out: x / deficit(x, c).sqrt(),
    "halfspace": _from_halfspace,
}
_FROM_LORENTZ: dict[str, Map] = {
    "lorentz": lambda x, c, out: x,
    "ambient": _to_ambient,
    "poincare": _to_poincare,
    "klein": _to_klein,
    "halfspace": _to_halfspace,
}


# --- tangent vectors: transported along the ray to the root and back ---


@dataclass(frozen=True)
class _Place:
    """Where a vector sits: the point in its chart, and its polar coordinates."""

    point: Tensor
    unit: Tensor
    sinh: Tensor
    cosh: Tensor
    root: Tensor
    """Height of the half-space's root."""


Move = Callable[[_Place, Tensor], Tensor]


def _scaled(at: _Place, v: Tensor, radial: Tensor, across: Tensor | float) -> Tensor:
    # Projected twice: a remainder eps |v| along the ray would drown a small radial part.
    rest = tangential(tangential(v, at.unit), at.unit)
    return radial * dot(at.unit, v) * at.unit + across * rest


def _turn(at: _Place, v: Tensor, sign: int) -> Tensor:
    """The half-space's frames t d/dx, from the root (sign 1) or to it (-1): `halfspace_transp`."""
    height = torch.where(at.point[..., -1:] > 0, at.point[..., -1:], math.nan)
    ratio = sign * at.point[..., :-1] / (height + at.root)
    across, up = v[..., :-1], v[..., -1:]
    square, lean = dot(ratio, ratio), dot(ratio, across)
    weight = 2 / (1 + square)
    turned = [across + weight * (up - lean) * ratio, up - weight * (square * up + lean)]
    return (height / at.root) ** sign * torch.cat(turned, dim=-1)


def _to_ambient_vector(at: _Place, v: Tensor) -> Tensor:
    return torch.cat([at.sinh * dot(at.unit, v), _scaled(at, v, at.cosh, 1.0)], dim=-1)


_TO_ROOT: dict[str, Move] = {
    "lorentz": lambda at, v: _scaled(at, v, 1 / at.cosh, 1.0),
    "ambient": lambda at, v: _scaled(at, v[..., 1:], 1 / at.cosh, 1.0),
    "poincare": lambda at, v: (1 + at.cosh) * v,
    "klein": lambda at, v: _scaled(at, v, at.cosh.square(), at.cosh),
    "halfspace": lambda at, v: _turn(at, v, -1),
}
_FROM_ROOT: dict[str, Move] = {
    "lorentz": lambda at, v: _scaled(at, v, at.cosh, 1.0),
    "ambient": _to_ambient_vector,
    "poincare": lambda at, v: v / (1 + at.cosh),
    "klein": lambda at, v: _scaled(at, v, 1 / at.cosh.square(), 1 / at.cosh),
    "halfspace": lambda at, v: _turn(at, v, 1),
}
