"""The manifolds from their textbook definitions, in high precision.

Nothing here is shared with the code under test. The hyperboloid works in ambient Minkowski
coordinates with arcosh of the product, the ball by Möbius addition, the sphere by arccos of the
inner product: forms that lose every digit in floating point and none here. Points are chart
coordinates (d space components on the hyperboloid), tangent vectors too. Manifolds made of these:
`composed`.

Sources: Ratcliffe, Foundations of Hyperbolic Manifolds, chapter 3; Ungar, Analytic Hyperbolic
Geometry, chapter 3 (gyrations); Ganea et al., arXiv 1805.10112 and 1804.01882 (ball, cones).
"""

from typing import Protocol, runtime_checkable

from manifolds.accuracy.exact import (
    Number,
    Vector,
    combine,
    dot,
    length,
    minus,
    mpmath,
    number,
    scaled,
)


@runtime_checkable
class Model(Protocol):
    """What a reference offers; c is its curvature magnitude."""

    c: Number

    def radius(self, x: Vector) -> Number:
        """sqrt(c) times the distance to the root."""

    def dist(self, x: Vector, y: Vector) -> Number: ...

    def dist_gradient(self, x: Vector, y: Vector) -> Vector:
        """Partial derivatives of dist for x; 0 at x = y."""

    def norm(self, x: Vector, u: Vector) -> Number: ...

    def expmap(self, x: Vector, u: Vector) -> Vector: ...

    def logmap(self, x: Vector, y: Vector) -> Vector: ...

    def transp(self, x: Vector, y: Vector, v: Vector) -> Vector: ...

    def root(self, dim: int) -> Vector: ...


def angle_between(u: Vector, v: Vector) -> Number:
    """Angle in [0, pi] of two vectors of Euclidean space; 0 if one is 0."""
    both = length(u) * length(v)
    if both == 0:
        return number(0)
    cosine = dot(u, v) / both
    return mpmath().acos(max(number(-1), min(number(1), cosine)))


class Flat:
    """Euclidean space."""

    def __init__(self, c: Number) -> None:
        self.c = number(0)

    def root(self, dim: int) -> Vector:
        return [number(0)] * dim

    def radius(self, x: Vector) -> Number:
        return length(x)

    def dist(self, x: Vector, y: Vector) -> Number:
        return length(minus(x, y))

    def dist_gradient(self, x: Vector, y: Vector) -> Vector:
        d = self.dist(x, y)
        return scaled(1 / d if d else d, minus(x, y))

    def norm(self, x: Vector, u: Vector) -> Number:
        return length(u)

    def expmap(self, x: Vector, u: Vector) -> Vector:
        return combine(number(1), x, number(1), u)

    def logmap(self, x: Vector, y: Vector) -> Vector:
        return minus(y, x)

    def transp(self, x: Vector, y: Vector, v: Vector) -> Vector:
        return v

    def exterior_angle(self, x: Vector, y: Vector) -> Number:
        return angle_between(x, minus(y, x))

    def half_aperture(self, x: Vector, min_radius: float) -> Number:
        return aperture(min_radius, length(x))


class Round:
    """The sphere of radius R = 1/sqrt(c); points are taken by their direction."""

    def __init__(self, c: Number) -> None:
        self.c = number(c)
        self.size = 1 / mpmath().sqrt(self.c)

    def root(self, dim: int) -> Vector:
        return [self.size] + [number(0)] * (dim - 1)

    def radius(self, x: Vector) -> Number:
        return self.dist(self.root(len(x)), x) / self.size

    def dist(self, x: Vector, y: Vector) -> Number:
        return number(0) if x == y else self.size * angle_between(x, y)

    def dist_gradient(self, x: Vector, y: Vector) -> Vector:
        sizes = length(x) * length(y)
        cosine = dot(x, y) / sizes
        if x == y or cosine**2 >= 1:
            return scaled(number(0), x)
        # d/dx of cos = y/(|x||y|) - cos x/|x|^2
        factor = -self.size / mpmath().sqrt(1 - cosine**2)
        return combine(factor / sizes, y, -factor * cosine / dot(x, x), x)

    def norm(self, x: Vector, u: Vector) -> Number:
        return length(u)

    def expmap(self, x: Vector, u: Vector) -> Vector:
        z = length(u) / self.size
        return combine(mpmath().cos(z), x, mpmath().sin(z) / z if z else number(1), u)

    def logmap(self, x: Vector, y: Vector) -> Vector:
        x, y = scaled(1 / length(x), x), scaled(1 / length(y), y)
        across = combine(number(1), y, -dot(x, y), x)
        size = length(across)
        return scaled(self.dist(x, y) / size if size else size, across)

    def transp(self, x: Vector, y: Vector, v: Vector) -> Vector:
        x, y = scaled(1 / length(x), x), scaled(1 / length(y), y)
        return combine(
            number(1), v, -dot(y, v) / (1 + dot(x, y)), combine(number(1), x, number(1), y)
        )


class Hyperboloid:
    """<x, x>_L = -1/c in Minkowski space; the chart is the space part, time follows."""

    def __init__(self, c: Number) -> None:
        self.c = number(c)

    def root(self, dim: int) -> Vector:
        return [number(0)] * dim

    def time(self, x: Vector) -> Number:
        return mpmath().sqrt(1 / self.c + dot(x, x))

    def product(self, x: Vector, y: Vector) -> Number:
        """-c<x, y>_L of points, the hyperbolic cosine of their distance; 1 at x = y."""
        if x == y:
            return number(1)
        return max(number(1), self.c * (self.time(x) * self.time(y) - dot(x, y)))

    def lift(self, x: Vector, u: Vector) -> Number:
        """Time component of the ambient vector tangent at x with space part u."""
        return dot(x, u) / self.time(x)

    def radius(self, x: Vector) -> Number:
        return mpmath().asinh(mpmath().sqrt(self.c) * length(x))

    def dist(self, x: Vector, y: Vector) -> Number:
        return mpmath().acosh(self.product(x, y)) / mpmath().sqrt(self.c)

    def dist_gradient(self, x: Vector, y: Vector) -> Vector:
        cosh = self.product(x, y)
        if cosh == 1:
            return scaled(number(0), x)
        # d arcosh(b) = db / sqrt(b^2 - 1), and dx_t = x.dx / x_t
        factor = mpmath().sqrt(self.c / (cosh**2 - 1))
        return combine(factor * self.time(y) / self.time(x), x, -factor, y)

    def norm(self, x: Vector, u: Vector) -> Number:
        return mpmath().sqrt(max(number(0), dot(u, u) - self.lift(x, u) ** 2))

    def expmap(self, x: Vector, u: Vector) -> Vector:
        z = mpmath().sqrt(self.c) * self.norm(x, u)
        return combine(mpmath().cosh(z), x, mpmath().sinh(z) / z if z else number(1), u)

    def logmap(self, x: Vector, y: Vector) -> Vector:
        cosh = self.product(x, y)
        if cosh == 1:
            return scaled(number(0), x)
        factor = mpmath().acosh(cosh) / mpmath().sqrt(cosh**2 - 1)
        return combine(factor, y, -factor * cosh, x)

    def transp(self, x: Vector, y: Vector, v: Vector) -> Vector:
        inner = dot(y, v) - self.time(y) * self.lift(x, v)
        factor = self.c * inner / (1 + self.product(x, y))
        return combine(number(1), v, factor, combine(number(1), x, number(1), y))

    def exterior_angle(self, x: Vector, y: Vector) -> Number:
        inward, step = self.logmap(x, self.root(len(x))), self.logmap(x, y)
        sizes = self.norm(x, inward) * self.norm(x, step)
        if sizes == 0:
            return number(0)
        inner = dot(inward, step) - self.lift(x, inward) * self.lift(x, step)
        return mpmath().acos(max(number(-1), min(number(1), -inner / sizes)))

    def half_aperture(self, x: Vector, min_radius: float) -> Number:
        """MERU (arXiv 2304.09172): asin(2K / (sqrt(c)|x|))."""
        return aperture(2 * number(min_radius), mpmath().sqrt(self.c) * length(x))


class Ball:
    """c|x|^2 < 1 with the metric 4/(1 - c|x|^2)^2, by Möbius addition."""

    def __init__(self, c: Number) -> None:
        self.c = number(c)
        self.root_c = mpmath().sqrt(self.c)

    def root(self, dim: int) -> Vector:
        return [number(0)] * dim

    def gap(self, x: Vector) -> Number:
        return 1 - self.c * dot(x, x)

    def radius(self, x: Vector) -> Number:
        return 2 * mpmath().atanh(self.root_c * length(x))

    def dist(self, x: Vector, y: Vector) -> Number:
        step = minus(x, y)
        cosh = 1 + 2 * self.c * dot(step, step) / (self.gap(x) * self.gap(y))
        return mpmath().acosh(cosh) / self.root_c

    def dist_gradient(self, x: Vector, y: Vector) -> Vector:
        step, gap = minus(x, y), self.gap(x)
        size2 = dot(step, step)
        if size2 == 0:
            return scaled(number(0), x)
        excess = 2 * self.c * size2 / (gap * self.gap(y))  # cosh - 1
        factor = excess / mpmath().sqrt(excess * (excess + 2)) / self.root_c
        return combine(factor * 2 / size2, step, factor * 2 * self.c / gap, x)

    def norm(self, x: Vector, u: Vector) -> Number:
        return 2 * length(u) / self.gap(x)

    def add(self, x: Vector, y: Vector) -> Vector:
        """x (+) y."""
        xx, yy, xy = dot(x, x), dot(y, y), dot(x, y)
        bottom = 1 + 2 * self.c * xy + self.c**2 * xx * yy
        return combine((1 + 2 * self.c * xy + self.c * yy) / bottom, x, self.gap(x) / bottom, y)

    def expmap(self, x: Vector, u: Vector) -> Vector:
        size = length(u)
        if size == 0:
            return list(x)
        reach = mpmath().tanh(self.root_c * self.norm(x, u) / 2) / self.root_c
        return self.add(x, scaled(reach / size, u))

    def logmap(self, x: Vector, y: Vector) -> Vector:
        step = self.add(scaled(number(-1), x), y)
        size = length(step)
        if size == 0:
            return step
        reach = self.gap(x) / self.root_c * mpmath().atanh(self.root_c * size)
        return scaled(reach / size, step)

    def transp(self, x: Vector, y: Vector, v: Vector) -> Vector:
        """lambda(x)/lambda(y) gyr[y, -x] v, with gyr[a, b]v = -(a (+) b) (+) (a (+) (b (+) v))."""
        size = length(v)
        if size == 0:
            return v
        small = scaled(1 / (4 * self.root_c * size), v)  # gyrations are linear; v lies in the ball
        back = scaled(number(-1), x)
        turned = self.add(scaled(number(-1), self.add(y, back)), self.add(y, self.add(back, small)))
        return scaled(self.gap(y) / self.gap(x) * 4 * self.root_c * size, turned)

    def exterior_angle(self, x: Vector, y: Vector) -> Number:
        return angle_between(x, self.add(scaled(number(-1), x), y))

    def half_aperture(self, x: Vector, min_radius: float) -> Number:
        """Ganea et al. (arXiv 1804.01882): asin(K (1 - c|x|^2) / (sqrt(c)|x|))."""
        return aperture(min_radius, self.root_c * length(x) / self.gap(x))


def aperture(min_radius: Number, radius: Number) -> Number:
    """asin(min(1, min_radius/radius))."""
    if radius <= min_radius:
        return mpmath().pi / 2
    return mpmath().asin(min_radius / radius)
