"""Upper half-space model of hyperbolic space with curvature -c: points (h, t) with height t > 0.

    metric |dx|^2 / (c t^2)        sinh^2(sqrt(c) d(x, y) / 2) = |x - y|^2 / (4 t_x t_y)

The height is the last coordinate, the root (0, ..., 0, 1/sqrt(c)), where the metric is the
identity. Translations of h and dilations of the whole space are isometries, and one of each takes
any point to any other, so every map is written at the root and applied to differences: the digits
that a ball loses at its rim are all there. Heights reach down to radius 87 below the root and up to
87 above it in float32, 708 in float64, and overflow beyond. c is a positive number or a 0-dim
tensor in the functions, which raise ValueError for shapes, dtypes or devices that do not fit and
for c <= 0; a height that is not positive gives NaN.

Source: Cannon, Floyd, Kenyon and Parry, Hyperbolic Geometry (in: Flavors of Geometry, 1997); the
transport follows from the polar decomposition of the map x -> (h, 0) + t x.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import doubleword as dw
from manifolds.arguments import Scalar, check_min_radius, curvature, prepare, sized, verdict
from manifolds.base import Point, kept
from manifolds.cones import angle_of, aperture, pairwise_angle
from manifolds.curvature import CurvedManifold
from manifolds.doubleword import Wide, grafted
from manifolds.kernels.reference import Rows, pairwise, traced
from manifolds.numerics import MAX_BALL_RADIUS, asinhc, dot, safe_divide, safe_norm, sinhc
from manifolds.polar import tangential

__all__ = [
    "UpperHalfSpace",
    "halfspace_dist",
    "halfspace_dist0",
    "halfspace_egrad2rgrad",
    "halfspace_expmap",
    "halfspace_expmap0",
    "halfspace_exterior_angle",
    "halfspace_half_aperture",
    "halfspace_inner",
    "halfspace_logmap",
    "halfspace_logmap0",
    "halfspace_norm",
    "halfspace_pairwise_dist",
    "halfspace_pairwise_exterior_angle",
    "halfspace_projx",
    "halfspace_transp",
]


class UpperHalfSpace(CurvedManifold):
    """Upper half-space with curvature -c, points (..., d) with x[..., -1] > 0; c can be learned."""

    name = "UpperHalfSpace"
    has_cones = True
    curvature_sign = -1
    min_dim = 2

    def dist(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        return kept(halfspace_dist(x, y, self.c), keepdim)

    def dist0(self, x: Point, *, keepdim: bool = False) -> Tensor:
        return kept(halfspace_dist0(x, self.c), keepdim)

    def pairwise_dist(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        return halfspace_pairwise_dist(x, y, self.c)

    def inner(self, x: Point, u: Point, v: Point | None = None, *, keepdim: bool = False) -> Tensor:
        return kept(halfspace_inner(x, u, u if v is None else v, self.c), keepdim)

    def norm(self, x: Point, u: Point, *, keepdim: bool = False) -> Tensor:
        return kept(halfspace_norm(x, u, self.c), keepdim)

    def egrad2rgrad(self, x: Point, u: Point) -> Tensor:
        return halfspace_egrad2rgrad(x, u, self.c)

    def expmap(self, x: Point, u: Point) -> Tensor:
        return halfspace_expmap(x, u, self.c)

    def expmap0(self, u: Point) -> Tensor:
        return halfspace_expmap0(u, self.c)

    def logmap(self, x: Point, y: Point) -> Tensor:
        return halfspace_logmap(x, y, self.c)

    def logmap0(self, x: Point) -> Tensor:
        return halfspace_logmap0(x, self.c)

    def transp(self, x: Point, y: Point, v: Point) -> Tensor:
        return halfspace_transp(x, y, v, self.c)

    def projx(self, x: Point) -> Tensor:
        return halfspace_projx(x, self.c)

    def origin(
        self,
        *size: int | tuple[int, ...],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = 42,
    ) -> Tensor:
        """The root; a c that learns gets its gradient."""
        x = torch.zeros(sized("UpperHalfSpace.origin", size, dtype), dtype=dtype, device=device)
        x[..., -1] = root_height(self.c.to(x.device), x.dtype)
        return x

    def half_aperture(self, x: Point, min_radius: float = 0.1) -> Tensor:
        return halfspace_half_aperture(x, self.c, min_radius)

    def exterior_angle(self, x: Point, y: Point) -> Tensor:
        return halfspace_exterior_angle(x, y, self.c)

    def pairwise_exterior_angle(
        self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]
    ) -> Tensor:
        return halfspace_pairwise_exterior_angle(x, y, self.c)

    def _check_point_on_manifold(
        self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        ok, reason = super()._check_point_on_manifold(x)
        if not ok:
            return ok, reason
        rule = "have a last coordinate, the height, that is not positive (use projx)"
        return verdict("points", "x", x[..., -1] <= 0, rule, x[..., -1])


def root_height(c: Tensor, dtype: torch.dtype) -> Tensor:
    """1/sqrt(c) rounded to dtype: the root is what a tensor of that dtype can hold, so that its
    distance to itself is 0.
    """
    return c.double().rsqrt().to(dtype) if c.device.type != "mps" else c.rsqrt().to(dtype)


def _height(x: Tensor) -> Tensor:
    t = x[..., -1:]
    return torch.where(t > 0, t, torch.full_like(t, float("nan")))


def _root(x: Tensor, c: Tensor, out: torch.dtype) -> Tensor:
    height = root_height(c, out).to(x)
    return torch.cat([torch.zeros_like(x[..., :-1]), height.expand_as(x[..., -1:])], dim=-1)


def _sinh_half(x: Tensor, y: Tensor) -> Tensor:
    """sinh(sqrt(c) d / 2) = |x - y| / (2 sqrt(t_x t_y)) (..., 1)."""
    return safe_norm(x - y) / (2 * _height(x).sqrt() * _height(y).sqrt())


def _direction(x: Tensor, y: Tensor) -> Tensor:
    """Direction x -> y in the orthonormal frame t d/dx of x, times sinh(sqrt(c) d) (..., d)."""
    step, t, s = y[..., :-1] - x[..., :-1], _height(x), _height(y)
    up = (dot(step, step) / t + (s - t) * (s + t) / t) / (2 * s)
    return torch.cat([step / s, up], dim=-1)


def distance(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """Unchecked distance (..., 1) in the dtype of its arguments."""
    return 2 * torch.asinh(_sinh_half(x, y)) / c.sqrt()


def halfspace_dist(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Geodesic distance 2/sqrt(c) asinh(|x - y| / (2 sqrt(t_x t_y))); gradient 0 at x = y."""
    out, (x, y) = prepare("UpperHalfSpace.dist", x, y)
    return distance(x, y, curvature("UpperHalfSpace.dist", c, x)).squeeze(-1).to(out)


def halfspace_dist0(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b"]:
    """Distance to the root (0, ..., 0, 1/sqrt(c))."""
    out, (x,) = prepare("UpperHalfSpace.dist0", x)
    c = curvature("UpperHalfSpace.dist0", c, x)
    return distance(_root(x, c, out), x, c).squeeze(-1).to(out)


def halfspace_pairwise_dist(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar
) -> Float[Tensor, "*#b n m"]:
    """Distances of all pairs; one matrix product, close pairs repaired (`kernels.reference`)."""
    out, (x, y) = prepare("UpperHalfSpace.pairwise_dist", x, y, pairwise=True)
    c = curvature("UpperHalfSpace.pairwise_dist", c, x)
    if traced():
        return distance(x.unsqueeze(-2), y.unsqueeze(-3), c).squeeze(-1).to(out)
    t, s = _height(x), _height(y)  # cosh D - 1 = |x - y|^2 / (2 t s)
    x_rows = Rows(-x / t, dot(x, x) / (2 * t), 1 / (2 * t))
    y_rows = Rows(y / s, 1 / s, dot(y, y) / s)
    return pairwise("cosh", x_rows, y_rows, (x, y), distance, out, scale=c.rsqrt(), parameters=(c,))


def halfspace_inner(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Metric product <u, v> / (c t^2) of tangent vectors at x."""
    out, (x, u, v) = prepare("UpperHalfSpace.inner", x, u, v)
    t = curvature("UpperHalfSpace.inner", c, x).sqrt() * _height(x)
    return dot(u / t, v / t).squeeze(-1).to(out)


def halfspace_norm(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Metric length |u| / (sqrt(c) t) of a tangent vector at x; gradient 0 at u = 0."""
    out, (x, u) = prepare("UpperHalfSpace.norm", x, u)
    t = curvature("UpperHalfSpace.norm", c, x).sqrt() * _height(x)
    return (safe_norm(u) / t).squeeze(-1).to(out)


def halfspace_egrad2rgrad(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Riemannian gradient c t^2 u of a Euclidean gradient u."""
    out, (x, u) = prepare("UpperHalfSpace.egrad2rgrad", x, u)
    t = _height(x)
    return (curvature("UpperHalfSpace.egrad2rgrad", c, x) * t * (t * u)).to(out)


def exponential(x: Tensor, u: Tensor) -> Tensor:
    """Unchecked exponential map in the dtype of its arguments."""
    t = _height(x)
    v = u / t
    across, up = v[..., :-1], v[..., -1:]
    length = safe_norm(v)
    ratio = sinhc(length)
    # The new height is t/N, N = cosh(T) - cos(a) sinh(T) with a the angle to the vertical. Steps
    # upward would cancel: cosh - cos sinh = exp(-T) + (1 - cos) sinh, 1 - cos = sin^2/(1 + cos).
    plain = 1 + dot(v, v) * sinhc(length / 2).square() / 2 - up * ratio
    upward = (up > 0) & (length > 0.5)
    total = torch.where(upward, length + up, torch.ones_like(up))
    n = torch.where(upward, torch.exp(-length) + dot(across, across) / total * ratio, plain)
    return torch.cat([x[..., :-1] + t * (across * ratio / n), t / n], dim=-1)


def halfspace_expmap(
    x: Float[Tensor, "*#b d"], u: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """End of the geodesic that leaves x with velocity u, after unit time; the same for every c.

    With v = u/t, T = |v|: height t/N, N = cosh(T) - v_d sinh(T)/T; h + t v_h sinh(T)/(T N).
    """
    out, (x, u) = prepare("UpperHalfSpace.expmap", x, u)
    curvature("UpperHalfSpace.expmap", c, x)
    return exponential(x, u).to(out)


def halfspace_expmap0(u: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """Exponential map at the root, where the metric length of u is |u|."""
    out, (u,) = prepare("UpperHalfSpace.expmap0", u)
    return exponential(_root(u, curvature("UpperHalfSpace.expmap0", c, u), out), u).to(out)


def logarithm(x: Tensor, y: Tensor) -> Tensor:
    """Unchecked logarithmic map in the dtype of its arguments."""
    s = _sinh_half(x, y)
    # D / sinh(D) in terms of s = sinh(D/2); _direction has length sinh(D).
    return _height(x) * (asinhc(s) / torch.hypot(torch.ones_like(s), s)) * _direction(x, y)


def halfspace_logmap(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Velocity at x of the geodesic that reaches y after unit time; the same for every c."""
    out, (x, y) = prepare("UpperHalfSpace.logmap", x, y)
    curvature("UpperHalfSpace.logmap", c, x)
    return logarithm(x, y).to(out)


def halfspace_logmap0(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """Logarithmic map at the root; |u| is the distance to the root."""
    out, (x,) = prepare("UpperHalfSpace.logmap0", x)
    return logarithm(_root(x, curvature("UpperHalfSpace.logmap0", c, x), out), x).to(out)


def halfspace_transp(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], v: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b d"]:
    """Parallel transport of v from x to y; the same for every c.

    In the frames t d/dx it is a rotation from the vertical toward h_y - h_x by twice the angle
    atan(|h_y - h_x| / (t_x + t_y)).
    """
    out, (x, y, v) = prepare("UpperHalfSpace.transp", x, y, v)
    curvature("UpperHalfSpace.transp", c, x)
    t, s = _height(x), _height(y)
    step, total = y[..., :-1] - x[..., :-1], t + s
    # Tangents of the half angle, not its sine and cosine: no term exceeds |v|, so nothing cancels.
    ratio = step / total
    across, up = v[..., :-1], v[..., -1:]
    weight = 2 / (1 + dot(ratio, ratio))
    lean = dot(ratio, across)
    turned = torch.cat(
        [
            across + weight * (up - lean) * ratio,
            up - weight * (dot(ratio, ratio) * up + lean),
        ],
        dim=-1,
    )
    return (s / t * turned).to(out)


def halfspace_projx(x: Float[Tensor, "*b d"], c: Scalar) -> Float[Tensor, "*b d"]:
    """x where its height is positive; else moved to the height exp(-r)/sqrt(c).

    r = 16 in float32, 36 in float64, the radii that the ball can hold.
    """
    out, (x,) = prepare("UpperHalfSpace.projx", x)
    c = curvature("UpperHalfSpace.projx", c, x)
    low = torch.exp(torch.full_like(c, -MAX_BALL_RADIUS[out])) * c.rsqrt()
    t = x[..., -1:]
    return torch.cat([x[..., :-1], torch.where(t <= 0, low.expand_as(t), t)], dim=-1).to(out)


def halfspace_half_aperture(
    x: Float[Tensor, "*b d"], c: Scalar, min_radius: float = 0.1
) -> Float[Tensor, "*b"]:
    """Half aperture asin(min(1, 2K/sinh(r))), r = sqrt(c) dist0(x), of the cone at x, in radians.

    Equal to the hyperboloid's under the isometry.

    Raises:
        ValueError: min_radius is not positive, c <= 0.
    """
    check_min_radius("UpperHalfSpace.half_aperture", min_radius)
    out, (x,) = prepare("UpperHalfSpace.half_aperture", x)
    c = curvature("UpperHalfSpace.half_aperture", c, x)
    s = _sinh_half(_root(x, c, out), x)
    sinh = 2 * s * torch.hypot(torch.ones_like(s), s)
    return aperture(sinh, 2 * min_radius).squeeze(-1).to(out)


def _fine_direction(x: Tensor, y: Tensor) -> Wide:
    """`_direction` in double words, without gradients."""
    t, s = x[..., -1:].detach(), y[..., -1:].detach()
    step = dw.difference(y[..., :-1].detach(), x[..., :-1].detach())
    up = dw.dot(step, step) + dw.difference(s, t) * dw.difference(s, -t)
    height = dw.wide(t, t)
    level = dw.wide(s, s)
    across, up = step / level, up / (height * level * 2.0)
    return Wide(torch.cat([across.high, up.high], -1), torch.cat([across.low, up.low], -1))


def _angle(x: Tensor, y: Tensor, root: Tensor, *, fine: bool = False) -> Tensor:
    """fine: the part across the ray in double words. Next to the axis the angle's gradient has its
    direction, of which one word keeps no more than eps sinh(sqrt(c) d).
    """
    back, ahead = _direction(x, root), _direction(x, y)
    reach = safe_norm(back)
    ray = -safe_divide(back, reach)
    zero = reach == 0  # at the root there is no ray
    along = torch.where(zero, torch.zeros_like(reach), dot(ahead, ray))
    across = tangential(ahead, ray)
    if fine:
        wide_back, wide_ahead = _fine_direction(x, root), _fine_direction(x, y)
        share = dw.dot(wide_ahead, wide_back) / dw.dot(wide_back, wide_back)
        across = grafted((wide_ahead - wide_back * share).value, across)
    across = torch.where(zero, torch.zeros_like(ahead), across)
    return angle_of((along, across))


def halfspace_exterior_angle(
    x: Float[Tensor, "*#b d"], y: Float[Tensor, "*#b d"], c: Scalar
) -> Float[Tensor, "*#b"]:
    """Angle at x between the ray from the root and the geodesic to y, in radians.

    0 with gradient 0 at x = root and x = y.
    """
    out, (x, y) = prepare("UpperHalfSpace.exterior_angle", x, y)
    c = curvature("UpperHalfSpace.exterior_angle", c, x)
    x, y = torch.broadcast_tensors(x, y)
    return _angle(x, y, _root(x, c, out), fine=out == x.dtype).squeeze(-1).to(out)


def halfspace_pairwise_exterior_angle(
    x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"], c: Scalar
) -> Float[Tensor, "*#b n m"]:
    """`halfspace_exterior_angle(x_i, y_j)` for all pairs."""
    out, (x, y) = prepare("UpperHalfSpace.pairwise_exterior_angle", x, y, pairwise=True)
    c = curvature("UpperHalfSpace.pairwise_exterior_angle", c, x)

    def direct(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        return _angle(x, y, _root(x, c, out))

    if traced():
        return direct(x.unsqueeze(-2), y.unsqueeze(-3), c).squeeze(-1).to(out)
    rows = []
    for points in (x, y):
        ray = _direction(_root(points, c, out), points)  # sinh(r) times its unit vector
        sinh = safe_norm(ray)
        rows.append((safe_divide(ray, sinh), sinh, torch.hypot(torch.ones_like(sinh), sinh)))
    return pairwise_angle(rows[0], rows[1], (x, y), direct, out, (c,))
