"""Which text is the best at every point of many ways, without scoring every text at every point.

Where a way is straight in the coordinates in which the score is linear, so is the score of a text
along it:

    p_w = a(w) X + b(w) R         Euclidean space and the sphere as they are, hyperbolic ones as
                                  vectors of the ambient space, up to a factor of w alone
    score(p_w, t) ~ a <X, T> + b <R, T> - h(T)

h is |T|^2 / 2 where Euclidean distances decide, else 0. So the best texts are the upper envelope of
lines: each leads on one stretch of the way or nowhere, and a way is halved only where its ends
differ. Everything is float64.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.geometry import Geometry
from manifolds import Euclidean, Lorentz, Manifold, PoincareBall, Sphere
from manifolds.maps import convert, to_ambient

# Products that are held at a time, and scores that are looked at together: some megabytes, which
# stay near the processor.
HELD = 1 << 24
BLOCK = 1 << 18
# Beyond this radius, in units of 1/sqrt(c), ambient products no longer tell near points apart.
FARTHEST = 10.0


def reaches(
    geometry: Geometry, start: Tensor, end: Tensor, pool: Tensor, *, published: bool
) -> bool:
    """Whether the ways from `start` to `end` are straight as above, and float64 is enough."""
    m = geometry.manifold
    if isinstance(m, Euclidean | Sphere):
        return True
    if not isinstance(m, Lorentz | PoincareBall):
        return False
    # A line in the tangent space at the origin is a geodesic where it goes to the origin.
    if published and bool(end.any()):
        return False
    farthest = max(m.dist0(x).max().item() for x in (start, end, pool))
    return farthest * float(m.c.detach()) ** 0.5 <= FARTHEST


@torch.no_grad()
def winners(
    geometry: Geometry,
    start: Float[Tensor, "n d"],
    end: Float[Tensor, "#n d"],
    pool: Float[Tensor, "t d"],
    steps: int,
    *,
    published: bool,
) -> Int[Tensor, "n steps"]:
    """Rows of the pool of the largest score at each step, the first of equal points; w goes from 1
    at the start to 0.

    Args:
        start, end, pool: points for which `reaches` holds. n t numbers are held.
        steps: at least 2.
    """
    m = geometry.manifold
    texts, first = _distinct(pool)
    t = _ambient(m, texts)
    # a + b = 1 in Euclidean space, so that h may go with both ends.
    h = t.square().sum(-1) / 2 if isinstance(m, Euclidean) and geometry.spec.logit != "dot" else 0.0
    if isinstance(m, Lorentz | PoincareBall):
        t[:, 0] *= -1  # <x, y>_L is the plain product with the time turned
    moving, resting = (_ambient(m, x) @ t.T - h for x in (start, end))
    a, b = _weights(m, start, end, steps, published=published)
    return first[_halved(a, b, moving, resting.expand_as(moving))]


def _distinct(pool: Tensor) -> tuple[Tensor, Tensor]:
    """Points that differ, and the first row of each."""
    seen: dict[bytes, int] = {}
    for i, row in enumerate((pool + 0.0).numpy(force=True)):  # -0 and 0 are one number
        seen.setdefault(row.tobytes(), i)
    first = torch.tensor(list(seen.values()), device=pool.device)
    return pool[first], first


def _ambient(m: Manifold, x: Tensor) -> Tensor:
    x = x.double()
    if isinstance(m, Euclidean | Sphere):
        return x
    c = m.c.detach().double()
    return to_ambient(convert(x, c, "poincare", "lorentz") if isinstance(m, PoincareBall) else x, c)


def _weights(
    m: Manifold, x: Tensor, end: Tensor, steps: int, *, published: bool
) -> tuple[Tensor, Tensor]:
    """a and b (n, steps), up to a positive factor at each step."""
    w = torch.linspace(1, 0, steps, dtype=torch.float64, device=x.device).expand(len(x), -1)
    if isinstance(m, Euclidean) or (isinstance(m, Sphere) and published):
        return w, 1 - w
    angle = (m.dist(x, end).double() * m.c.detach().double().sqrt())[:, None]
    f = torch.sin if isinstance(m, Sphere) else torch.sinh
    # Where both ends are one point any weights do.
    whole = f(angle)
    return tuple(torch.where(whole > 0, f(v * angle) / whole, v) for v in (w, 1 - w))  # type: ignore[return-value]


def _halved(a: Tensor, b: Tensor, moving: Tensor, resting: Tensor) -> Int[Tensor, "n steps"]:
    """The place of the largest a_k moving + b_k resting of every row at every step k."""
    n, steps = a.shape
    best = torch.full((n, steps), -1, device=a.device)

    def look(rows: Tensor, k: Tensor) -> None:
        for i, at in zip(rows.split(size), k.split(size), strict=True):
            scores = moving[i].mul_(a[i, at, None]).addcmul_(b[i, at, None], resting[i])
            best[i, at] = scores.argmax(-1)

    size = max(1, BLOCK // moving.shape[1])
    rows = torch.arange(n, device=a.device)
    low, high = torch.zeros_like(rows), torch.full_like(rows, steps - 1)
    look(rows, low)
    look(rows, high)
    while len(rows):
        apart = (best[rows, low] != best[rows, high]) & (high - low > 1)
        rows, low, high = rows[apart], low[apart], high[apart]
        middle = (low + high) // 2
        look(rows, middle)
        rows = rows.repeat(2)
        low, high = torch.cat([low, middle]), torch.cat([middle, high])
    # What was not looked at lies between two steps of the same text.
    seen = torch.where(best >= 0, torch.arange(steps, device=a.device), 0).cummax(1).values
    return best.gather(1, seen)
