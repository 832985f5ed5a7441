"""References made of others: the half-space by inversion to the ball, a product by its factors.

Source: Ratcliffe, Foundations of Hyperbolic Manifolds, chapter 4.
"""

from manifolds.accuracy.exact import (
    Number,
    PairSpan,
    Vector,
    combine,
    dot,
    length,
    minus,
    mpmath,
    number,
    scaled,
)
from manifolds.accuracy.reference import Ball, Flat, Hyperboloid, Model, Round, aperture


class HalfSpace:
    """Heights t > 0, t first, with the metric |dx|^2/(c t^2); maps by inversion to the ball.

    The inversion of radius sqrt(2) about the point of height -1 takes the unit half-space to the
    unit ball, (1, 0, ..., 0) to its centre, and is its own inverse (Ratcliffe, section 4.5).

    height: of the root; 1/sqrt(c), or what a tensor holds of it.
    """

    def __init__(self, c: Number, height: Number | None = None) -> None:
        self.c = number(c)
        self.root_c = mpmath().sqrt(self.c)
        self.height = 1 / self.root_c if height is None else number(height)
        self.ball = Ball(number(1))

    def root(self, dim: int) -> Vector:
        return [self.height] + [number(0)] * (dim - 1)

    def radius(self, x: Vector) -> Number:
        return self.root_c * self.dist(self.root(len(x)), x)

    def dist(self, x: Vector, y: Vector) -> Number:
        step = minus(x, y)
        return mpmath().acosh(1 + dot(step, step) / (2 * x[0] * y[0])) / self.root_c

    def dist_gradient(self, x: Vector, y: Vector) -> Vector:
        step = minus(x, y)
        excess = dot(step, step) / (2 * x[0] * y[0])  # cosh - 1
        if excess == 0:
            return scaled(number(0), x)
        factor = 1 / mpmath().sqrt(excess * (excess + 2)) / self.root_c
        found = scaled(factor / (x[0] * y[0]), step)
        found[0] -= factor * excess / x[0]
        return found

    def norm(self, x: Vector, u: Vector) -> Number:
        return length(u) / (self.root_c * x[0])

    def invert(self, x: Vector) -> Vector:
        """The inversion."""
        arm = [x[0] + 1, *x[1:]]
        moved = scaled(2 / dot(arm, arm), arm)
        return [moved[0] - 1, *moved[1:]]

    def push(self, x: Vector, u: Vector) -> Vector:
        """Its derivative at x applied to u: a reflection, scaled."""
        arm = [x[0] + 1, *x[1:]]
        size2 = dot(arm, arm)
        return scaled(2 / size2, combine(number(1), u, -2 * dot(arm, u) / size2, arm))

    def unit(self, x: Vector) -> Vector:
        """x in the unit ball; the dilation that takes the root to height 1 is an isometry."""
        return self.invert(scaled(1 / self.height, x))

    def unit_vector(self, x: Vector, u: Vector) -> Vector:
        """A tangent vector at x, in the unit ball."""
        return self.push(scaled(1 / self.height, x), scaled(1 / self.height, u))

    def expmap(self, x: Vector, u: Vector) -> Vector:
        end = self.ball.expmap(self.unit(x), self.unit_vector(x, u))
        return scaled(self.height, self.invert(end))

    def logmap(self, x: Vector, y: Vector) -> Vector:
        if x == y:
            return scaled(number(0), x)
        p = self.unit(x)
        return scaled(self.height, self.push(p, self.ball.logmap(p, self.unit(y))))

    def transp(self, x: Vector, y: Vector, v: Vector) -> Vector:
        p, q = self.unit(x), self.unit(y)
        turned = self.ball.transp(p, q, self.unit_vector(x, v))
        return scaled(self.height, self.push(q, turned))

    def exterior_angle(self, x: Vector, y: Vector) -> Number:
        if x in (y, self.root(len(x))):
            return number(0)
        return self.ball.exterior_angle(self.unit(x), self.unit(y))

    def half_aperture(self, x: Vector, min_radius: float) -> Number:
        """The hyperboloid's asin(2K / sinh(r))."""
        return aperture(2 * number(min_radius), mpmath().sinh(self.radius(x)))


class Pair:
    """The product of a hyperboloid and a sphere, both of this c: vectors one after the other.

    As `PairSpan` locates them.
    """

    split = PairSpan.WIDTH

    def __init__(self, c: Number) -> None:
        self.c = number(c)
        self.factors: tuple[Model, Model] = Hyperboloid(c), Round(c)

    def parts(self, *vectors: Vector) -> list[tuple[Model, list[Vector]]]:
        """Each factor with its part of the vectors."""
        first, second = self.factors
        return [
            (first, [v[: self.split] for v in vectors]),
            (second, [v[self.split :] for v in vectors]),
        ]

    def joined(self, op: str, *vectors: Vector) -> Vector:
        """A map of the factors, part by part."""
        return [k for m, parts in self.parts(*vectors) for k in getattr(m, op)(*parts)]

    def root(self, dim: int) -> Vector:
        first, second = self.factors
        return [*first.root(self.split), *second.root(dim - self.split)]

    def radius(self, x: Vector) -> Number:
        return mpmath().sqrt(self.c) * self.dist(self.root(len(x)), x)

    def dist(self, x: Vector, y: Vector) -> Number:
        return length([m.dist(*parts) for m, parts in self.parts(x, y)])

    def dist_gradient(self, x: Vector, y: Vector) -> Vector:
        d = self.dist(x, y)
        return [
            (m.dist(*parts) / d if d else d) * k
            for m, parts in self.parts(x, y)
            for k in m.dist_gradient(*parts)
        ]

    def norm(self, x: Vector, u: Vector) -> Number:
        return length([m.norm(*parts) for m, parts in self.parts(x, u)])

    def expmap(self, x: Vector, u: Vector) -> Vector:
        return self.joined("expmap", x, u)

    def logmap(self, x: Vector, y: Vector) -> Vector:
        return self.joined("logmap", x, y)

    def transp(self, x: Vector, y: Vector, v: Vector) -> Vector:
        return self.joined("transp", x, y, v)


MODELS: dict[str, type] = {
    "euclidean": Flat,
    "sphere": Round,
    "lorentz": Hyperboloid,
    "poincare": Ball,
    "halfspace": HalfSpace,
    "product": Pair,
}
"""The reference of each manifold, by the names of `manifolds.MANIFOLDS`, and of a product."""
