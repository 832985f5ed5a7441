"""Where the table measures: pairs of points, tangent vectors and steps of each kind.

r is the geodesic radius in units of 1/sqrt(c). Everything is rounded to the dtype under test before
anything is computed from it, so the reference sees the same numbers as the code. Batches have
shape (k, d), one row for each separation (or step length).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SEPARATIONS = (1e-1, 1e-2, 1e-4, 1e-6, 1e-8, 1e-12)
"""Relative to |x| (on the ball next to its boundary: to 1 - c|x|^2)."""


@dataclass(frozen=True)
class Place:
    """One manifold at one curvature, dimension and dtype."""

    manifold: str
    c: float
    dim: int
    dtype: torch.dtype

    @property
    def size(self) -> float:
        """Length of the unit that r counts: 1/sqrt(c); 1 on Euclidean."""
        return 1.0 if self.manifold == "euclidean" else 1 / math.sqrt(self.c)


def factors(place: Place) -> tuple[Place, Place]:
    """The factors of a product."""
    first, second = (Place(m, place.c, place.dim, place.dtype) for m in ("lorentz", "sphere"))
    return first, second


def chart_radius(place: Place, r: float) -> float:
    """|x| of a point at geodesic radius r (on the sphere: 1/sqrt(c) for every r)."""
    scale = {"lorentz": math.sinh, "poincare": lambda r: math.tanh(r / 2), "sphere": lambda r: 1.0}
    return place.size * scale.get(place.manifold, lambda r: r)(r)


def rounded(place: Place, x: Tensor) -> Tensor:
    """x in the dtype under test; on the sphere of length 1/sqrt(c), on the ball inside it."""
    if place.manifold == "sphere":
        x = place.size * x / x.norm(dim=-1, keepdim=True)
    x = x.to(place.dtype)
    if place.manifold != "poincare":
        return x
    # Two units in the last place inside: further out a point could round onto the boundary.
    edge = place.size * (1 - 4 * torch.finfo(place.dtype).eps)
    norm = x.double().norm(dim=-1, keepdim=True)
    return torch.where(norm > edge, (x.double() * (edge / norm)).to(place.dtype), x)


def frame(place: Place, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Orthonormal u, w (count, d); the first row's u is the first axis, all of whose multiples are
    exact, on the half-space the vertical one. On a line w is 0."""
    u = torch.randn(count, place.dim, dtype=torch.float64, generator=generator)
    w = torch.randn(count, place.dim, dtype=torch.float64, generator=generator)
    if place.manifold != "sphere":
        u[0] = 0.0
        u[0, -1 if place.manifold == "halfspace" else 0] = 1.0
    u = u / u.norm(dim=-1, keepdim=True)
    w = w - (w * u).sum(-1, keepdim=True) * u
    return u, w / w.norm(dim=-1, keepdim=True)


def at_radius(place: Place, r: Tensor, direction: Tensor) -> Tensor:
    """Points at radii r (k, 1) in unit directions (k, d) at the root."""
    if place.manifold == "halfspace":
        # The height is 1/N, N = cosh(r) - cos sinh(r) with the angle to the vertical.
        across, up = direction[:, :-1], direction[:, -1:]
        n = torch.exp(-r) + (1 - up) * r.sinh()
        return place.size * torch.cat([across * r.sinh() / n, 1 / n], dim=-1)
    scale = [chart_radius(place, v) for v in r.flatten().tolist()]
    return torch.tensor(scale, dtype=torch.float64).reshape(-1, 1) * direction


def step_scale(place: Place, r: float) -> float:
    """The length to which separations are relative."""
    radius = chart_radius(place, r)
    if place.manifold == "poincare":
        return min(radius, place.size / math.cosh(r / 2) ** 2)
    return radius


def origin(place: Place, count: int) -> Tensor:
    """The root, count times."""
    x = torch.zeros(count, place.dim, dtype=torch.float64)
    if place.manifold in ("sphere", "halfspace"):
        x[:, 0 if place.manifold == "sphere" else -1] = place.size
    return x


def pairs(place: Place, kind: str, r: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x, y (k, d) of a kind:

    radial, tangential, general: near pairs, at each of SEPARATIONS;
    far: angles of 0.1 to 3 radians at the root, radii r and 0.3 r to r; opposite: through the root;
    perpendicular: y where the geodesic that leaves x across the radius goes;
    root: x at the root; origin: y there; short: |x| = 1e-6 |y|; antipodal: near -x (sphere);
    axis: y beyond x, off the ray by each of SEPARATIONS; behind: y between root and x, so too;
    on axis: y = 2x; coincident: y = x. On a product each factor has its own.
    """
    if place.manifold == "product":
        one, two = (pairs(p, kind, r, generator) for p in factors(place))
        return torch.cat([one[0], two[0]], -1), torch.cat([one[1], two[1]], -1)
    count = len(SEPARATIONS)
    u, w = frame(place, count, generator)
    apart = torch.tensor(SEPARATIONS, dtype=torch.float64)[:, None]
    radius = chart_radius(place, r)

    def at(r: Tensor, direction: Tensor) -> Tensor:
        return at_radius(place, r, direction)

    x = rounded(place, at(torch.full((count, 1), r, dtype=torch.float64), u)).double()
    shares = torch.linspace(0.3, 1.0, count, dtype=torch.float64)[:, None]
    turns = torch.tensor([0.1, 0.5, 1.0, 2.0, 2.9, 3.0], dtype=torch.float64)[:, None]
    if kind == "radial":
        # Inward next to the largest radius that the ball's dtype can hold.
        sign = -1 if place.manifold == "poincare" and r >= 8 else 1
        y = at(r * (1 + sign * apart), u)
    elif kind == "tangential":
        y = x + step_scale(place, r) * apart * w
    elif kind == "general":
        noise = torch.randn(count, place.dim, dtype=torch.float64, generator=generator)
        scale = x[:, -1:] if place.manifold == "halfspace" else step_scale(place, r)
        y = x + scale * apart * noise / math.sqrt(place.dim)
    elif kind == "far":
        y = at(r * shares, turns.cos() * u + turns.sin() * w)
    elif kind == "opposite":
        y = at(r * shares, -u)
    elif kind == "perpendicular":
        # cosh(r_y) = cosh(r) cosh(s), and tan(turn) = tanh(s)/sinh(r), after a way s.
        way = torch.linspace(0.5, min(r, 5.0), count, dtype=torch.float64)[:, None]
        turn = torch.atan2(way.tanh(), torch.full_like(way, math.sinh(r)))
        y = at(torch.acosh(math.cosh(r) * way.cosh()), turn.cos() * u + turn.sin() * w)
    elif kind == "root":
        x, y = origin(place, count), x
    elif kind == "origin":
        y = origin(place, count)
    elif kind == "short":
        x, y = 1e-6 * (turns.cos() * x + turns.sin() * radius * w), x
    elif kind == "antipodal":
        y = -x + radius * apart.clamp_min(1e-5) * w
    elif kind in ("axis", "behind") and place.manifold == "halfspace":
        way = torch.full_like(apart, 1.5 * r if kind == "axis" else 0.5 * r)
        y = at(way, apart.cos() * u + apart.sin() * w)
    elif kind == "axis":
        reach = chart_radius(place, 1.5 * r if 1.5 * r <= 40 else r * (1 + 1 / 64))
        y = reach * u + min(reach, step_scale(place, 1.5 * r)) * apart * w
    elif kind == "behind":
        reach = chart_radius(place, 0.5 * r)
        y = reach * u + reach * apart * w
    elif kind == "on axis":
        x = x / 4
        y = 2 * rounded(place, x).double()
    elif kind == "coincident":
        y = x
    else:
        raise ValueError(f"pairs: no kind {kind!r}")
    return rounded(place, x), rounded(place, y)


def vectors(place: Place, x: Tensor, generator: torch.Generator) -> Tensor:
    """Tangent vectors (k, d) at x of metric length 1: radial, across the radius, general, in
    turn."""
    if place.manifold == "product":
        parts = zip(factors(place), x.split(place.dim, -1), strict=True)
        return torch.cat([vectors(p, part, generator) for p, part in parts], -1)
    base = x.double()
    norm = base.norm(dim=-1, keepdim=True)
    noise = torch.randn(base.shape, dtype=torch.float64, generator=generator)
    other = torch.randn(base.shape, dtype=torch.float64, generator=generator)
    unit = torch.where(norm > 0, base, other)
    unit = unit / unit.norm(dim=-1, keepdim=True)
    noise = noise - (noise * unit).sum(-1, keepdim=True) * unit
    noise = noise / noise.norm(dim=-1, keepdim=True)
    turn = (torch.arange(len(x), dtype=torch.float64) * math.pi / 4)[:, None]
    along, across = turn.cos(), turn.sin()
    if place.manifold == "sphere":
        return noise.to(place.dtype)
    if place.manifold == "halfspace":  # any direction: all are alike, the chart is conformal
        return (base[:, -1:] / place.size * (along * unit + across * noise)).to(place.dtype)
    stretch = torch.ones_like(norm)
    if place.manifold == "lorentz":
        stretch = torch.hypot(stretch, norm / place.size)
    if place.manifold == "poincare":
        size = (1 - norm / place.size) * (1 + norm / place.size) / 2
        return (size * (along * unit + across * noise)).to(place.dtype)
    return (along * stretch * unit + across * noise).to(place.dtype)


def steps(place: Place, kind: str, r: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points x at radius r and steps u (k, d) of a kind:

    short: general directions, lengths 1e-12 to 1e-1; long: general directions, lengths 0.5 to 5;
    inward: at the root, to the root, beyond it; inward off: the same, off by an angle that changes
    where the geodesic goes; outward; zero.
    Lengths count 1/sqrt(c).
    """
    if place.manifold == "product":
        one, two = (steps(p, kind, r, generator) for p in factors(place))
        return torch.cat([one[0], two[0]], -1), torch.cat([one[1], two[1]], -1)
    count = len(SEPARATIONS)
    u, w = frame(place, count, generator)
    radii = torch.full((count, 1), r, dtype=torch.float64)
    x = rounded(place, at_radius(place, radii, u))
    turns = torch.tensor([0.3, 1.0, 1.5, 2.0, 2.5, 3.0], dtype=torch.float64)[:, None]
    shares = torch.tensor([0.3, 0.7, 0.9, 1.0, 1.1, 1.3], dtype=torch.float64)[:, None]
    if kind == "short":
        way, turn = torch.tensor(SEPARATIONS, dtype=torch.float64)[:, None], turns
    elif kind == "long":
        way, turn = torch.linspace(0.5, 5.0, count, dtype=torch.float64)[:, None], turns
    elif kind == "inward":
        way, turn = r * shares, torch.full_like(shares, math.pi)
    elif kind == "inward off":
        way, turn = (
            r * shares,
            math.pi
            - torch.tensor([0.1, 1.0, 3.0, 0.3, 1.0, 10.0]).double()[:, None] * math.exp(-r),
        )
    elif kind == "outward":
        way, turn = torch.linspace(0.1, 0.5, count, dtype=torch.float64)[:, None] * r, 0 * turns
    elif kind == "zero":
        way, turn = 0 * turns, turns
    else:
        raise ValueError(f"steps: no kind {kind!r}")
    along, across = way * turn.cos(), way * turn.sin()
    if place.manifold == "sphere":
        step = way * w
    elif place.manifold == "lorentz":
        step = along * math.cosh(r) * u + across * w
    elif place.manifold == "poincare":
        step = (along * u + across * w) / (2 * math.cosh(r / 2) ** 2)
    elif place.manifold == "halfspace":
        step = x.double()[:, -1:] / place.size * outward_step(radii, u, w, along, across)
    else:
        step = along * u + across * w
    return x, (place.size * step).to(place.dtype)


def outward_step(r: Tensor, u: Tensor, w: Tensor, along: Tensor, across: Tensor) -> Tensor:
    """On the half-space, in units of the height: steps along the radius at r u and across it."""
    sideways, up = u[:, :-1], u[:, -1:]
    n, slope = torch.exp(-r) + (1 - up) * r.sinh(), (1 - up) * r.cosh() - torch.exp(-r)
    ray = torch.cat([sideways / n, -slope / n], dim=-1)  # the geodesic's velocity over its height
    ray = ray / ray.norm(dim=-1, keepdim=True)
    off = w - (w * ray).sum(-1, keepdim=True) * ray
    return along * ray + across * off / off.norm(dim=-1, keepdim=True)
