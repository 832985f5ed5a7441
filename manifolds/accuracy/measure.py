"""The error of an implementation in a regime, in units of eps.

What errors are relative to (|.| is Euclidean length in the chart):

    distances, maps at the root, logmap, transp, gradients, Hessian products   |error| / |exact|
    apertures, angles in general position                                      error / exact
    angles near the axis (kinds axis, behind, on axis)                         error, radians
    expmap on the hyperbolic manifolds      sqrt(c) dist(computed, exact) / (1 + r_x + T + sinh r_y)

r_x, r_y, T are the radii of x and of the end y and the length of the step in units of 1/sqrt(c):
eps (r_x + T) is the rounding of a radius, eps sinh(r_y) the way that y moves when its coordinates
are rounded (on the hyperboloid across the radius, on the ball along it). On the hyperboloid
g <= 1 in the chart, so an error relative to |exact| bounds the metric length of the error by the
same multiple of what rounding the exact vector's coordinates does. Where the exact result is 0,
the error is absolute; NaN, and a point off the ball, count as infinite.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

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
    vector,
)
from manifolds.accuracy.reference import MODELS
from manifolds.accuracy.regimes import DIMENSIONS, EPS, Regime
from manifolds.accuracy.sampling import Place, pairs, steps, vectors

Operation = Callable[..., Tensor]
"""(c, *arguments (k, d), **options) -> values (k,) or vectors (k, d), differentiable."""

Slopes = list[tuple[list[Vector], list[Number]]]
"""For each argument: directions (none: the axes), and the derivatives along them."""
ON_AXIS = ("axis", "behind", "on axis")


@dataclass(frozen=True)
class Batch:
    """Arguments (k, d) of one place, and a cotangent for vector results."""

    place: Place
    arguments: tuple[Tensor, ...]
    weights: Tensor
    direction: Tensor
    """What Hessians are multiplied with."""


def batches(regime: Regime) -> Iterator[Batch]:
    """The arguments of a regime: every curvature and dimension.

    High precision is slow in many dimensions, so 64 has every other row, 512 one; which, depends
    on c.
    """
    dtype = getattr(torch, regime.dtype)
    for i, c in enumerate(regime.curvatures):
        for dim in DIMENSIONS:
            text = f"{regime.quantity}/{regime.manifold}/{regime.kind}/{regime.r}/{c}/{dim}"
            generator = torch.Generator().manual_seed(seed_of(text))
            place = Place(regime.manifold, c, dim, dtype)
            arguments = _arguments(regime, place, generator)
            count = len(arguments[0])
            rows = {2: range(count), 64: range(i % 2, count, 2), 512: range(i + 1, i + 2)}[dim]
            weights, direction = (
                torch.randn(arguments[0].shape, dtype=torch.float64, generator=generator).to(dtype)
                for _ in range(2)
            )
            keep = list(rows)
            yield Batch(place, tuple(a[keep] for a in arguments), weights[keep], direction[keep])


def seed_of(text: str) -> int:
    """The same small number for the same text in every process."""
    value = 0
    for character in text:
        value = (value * 131 + ord(character)) % 2147483629
    return value


def _arguments(regime: Regime, place: Place, generator: torch.Generator) -> tuple[Tensor, ...]:
    if regime.quantity == "expmap":
        return steps(place, regime.kind, regime.r, generator)
    if regime.quantity == "half_aperture":
        return pairs(place, "root", regime.r, generator)[1:]
    x, y = pairs(place, regime.kind, regime.r, generator)
    if regime.quantity == "transp":
        return x, y, vectors(place, x, generator)
    if regime.quantity == "expmap0":
        return (root_steps(place, regime.r, generator),)
    if regime.quantity in ("dist0", "logmap0"):
        return (y,)
    return x, y


def root_steps(place: Place, r: float, generator: torch.Generator) -> Tensor:
    """Tangent vectors at the root of metric length r."""
    u = torch.randn(6, place.dim, dtype=torch.float64, generator=generator)
    if place.manifold == "sphere":
        u[:, 0] = 0.0
    length = r * place.size / (2 if place.manifold == "poincare" else 1)
    return (length * u / u.norm(dim=-1, keepdim=True)).to(place.dtype)


# --- exact results ---


def options(regime: Regime) -> dict[str, float]:
    """Keyword arguments of the quantity: the K of a half aperture, from the kind "K=0.1"."""
    if regime.quantity != "half_aperture":
        return {}
    return {"min_radius": float(regime.kind.removeprefix("K="))}


def exact(regime: Regime, c: float, arguments: list[Vector]) -> Number | Vector:
    """The quantity in high precision."""
    model = MODELS[regime.manifold](c)
    root = model.root(len(arguments[0]))
    quantity = regime.quantity.removeprefix("pairwise_")
    if quantity == "half_aperture":
        return model.half_aperture(arguments[0], **options(regime))
    if quantity.endswith("0"):
        return getattr(model, quantity[:-1])(root, *arguments)
    return getattr(model, quantity)(*arguments)


def _directions(arguments: list[Vector], extra: list[Vector]) -> list[Vector]:
    """Orthonormal directions: the axes of a plane, else the span of all vectors at hand."""
    dim = len(arguments[0])
    if dim <= 2:
        return [[number(float(i == j)) for j in range(dim)] for i in range(dim)]
    basis: list[Vector] = []
    for v in [*arguments, *extra]:
        size = length(v)
        for b in basis * 2:
            v = combine(number(1), v, -dot(v, b), b)
        if length(v) > size * mpmath().mpf(10) ** -40:
            basis.append(scaled(1 / length(v), v))
    return basis


def slopes(
    regime: Regime, exact_value: Callable[[list[Vector]], Number], arguments: list[Vector],
    extra: list[Vector], size: Number,
) -> Slopes:
    """Of each argument: directions, and the exact derivatives along them of a number."""
    found: Slopes = []
    start = exact_value(arguments)
    # On the axis, where the one-sided derivative of an angle is not 0, its gradient is.
    both_sides = regime.kind in ("on axis", "coincident")
    for i, argument in enumerate(arguments):
        h = (length(argument) or size) * mpmath().mpf(10) ** -50

        def at(t: Number, v: Vector, i: int = i) -> Number:
            moved = combine(number(1), arguments[i], t, v)
            return exact_value([*arguments[:i], moved, *arguments[i + 1 :]])

        directions = _directions(arguments, extra)
        if both_sides:
            numbers = [(at(h, v) - at(-h, v)) / (2 * h) for v in directions]
        else:
            numbers = [(at(h, v) - start) / h for v in directions]
        found.append((directions, numbers))
    return found


def exact_gradients(
    regime: Regime, c: float, arguments: list[Vector], weights: Vector
) -> Slopes:
    """Derivatives of the quantity (of a vector: of its product with the weights)."""
    model = MODELS[regime.manifold](c)
    if regime.quantity.removeprefix("pairwise_") == "dist":
        x, y = arguments
        return [([], model.dist_gradient(x, y)), ([], model.dist_gradient(y, x))]

    def value(arguments: list[Vector]) -> Number:
        found = exact(regime, c, arguments)
        return dot(found, weights) if isinstance(found, list) else found

    vectors = isinstance(exact(regime, c, arguments), list)
    size = 1 / mpmath().sqrt(number(c))
    return slopes(regime, value, arguments, [weights] if vectors else [], size)


# --- errors ---


def value_error(regime: Regime, batch: Batch, row: int, got: Tensor, wanted: object) -> float:
    """Error of one row's value, in units of eps."""
    eps = EPS[regime.dtype]
    if not bool(got.isfinite().all()):
        return math.inf
    if not isinstance(wanted, list):
        error = abs(number(got.item()) - wanted)
        absolute = wanted == 0 or regime.kind in ON_AXIS
        return float(error if absolute else error / abs(wanted)) / eps
    computed = vector(got)
    if regime.quantity == "expmap" and regime.manifold in ("lorentz", "poincare"):
        return _displacement(regime, batch, row, computed, wanted) / eps
    size = length(wanted)
    return float(length(minus(computed, wanted)) / (size or 1)) / eps


def _displacement(
    regime: Regime, batch: Batch, row: int, computed: Vector, wanted: Vector
) -> float:
    model = MODELS[regime.manifold](batch.place.c)
    if regime.manifold == "poincare" and model.gap(computed) <= 0:
        return math.inf
    x, u = (vector(a[row]) for a in batch.arguments)
    root_c = mpmath().sqrt(model.c)
    reach = model.radius(x) + root_c * model.norm(x, u) + mpmath().sinh(model.radius(wanted))
    return float(root_c * model.dist(computed, wanted) / (1 + reach))


def gradient_error(
    regime: Regime, grads: list[Tensor], wanted: Slopes
) -> float:
    """Largest relative error of the gradients of one row, over its arguments, in units of eps."""
    worst = 0.0
    for grad, (directions, numbers) in zip(grads, wanted, strict=True):
        if not bool(grad.isfinite().all()):
            return math.inf
        computed = vector(grad)
        if directions:
            computed = [dot(computed, v) for v in directions]
        size = length(numbers)
        worst = max(worst, float(length(minus(computed, numbers)) / (size or 1)))
    return worst / EPS[regime.dtype]


def evaluate(regime: Regime, batch: Batch, operation: Operation, second: bool) -> tuple[Tensor, ...]:
    """Values, then the gradients of their sum (of vectors: weighted) for each argument; with
    `second` the Hessian product for the first argument as the only gradient."""
    arguments = [a.clone().requires_grad_() for a in batch.arguments]
    value = operation(batch.place.c, *arguments, **options(regime))
    total = (value * batch.weights).sum() if value.ndim == 2 else value.sum()
    grads = torch.autograd.grad(total, arguments, create_graph=second, materialize_grads=True)
    if second:
        product = (grads[0] * batch.direction).sum()
        grads = torch.autograd.grad(product, arguments[:1], materialize_grads=True)
    return value.detach(), *grads


def hessian_product(regime: Regime, c: float, arguments: list[Vector], v: Vector) -> Vector:
    """H v of dist for its first argument, by differences of the exact gradient."""
    model = MODELS[regime.manifold](c)
    x, y = arguments
    h = length(x) / length(v) * mpmath().mpf(10) ** -35
    ahead = model.dist_gradient(combine(number(1), x, h, v), y)
    behind = model.dist_gradient(combine(number(1), x, -h, v), y)
    return scaled(1 / (2 * h), minus(ahead, behind))


def errors(
    group: list[Regime], operations: dict[str, Operation]
) -> dict[str, dict[str, float]]:
    """Largest errors in units of eps, by implementation and part, of regimes that share points.

    An implementation that fails with an exception has an infinite error.
    """
    regime, parts = group[0], [g.part for g in group]
    worst = {name: dict.fromkeys(parts, 0.0) for name in operations}
    for batch in batches(regime):
        c = batch.place.c
        computed = {}
        for name, operation in operations.items():
            try:
                computed[name] = evaluate(regime, batch, operation, "second" in parts)
            except (RuntimeError, ValueError, AssertionError):
                worst[name] = dict.fromkeys(parts, math.inf)
        for row in range(len(batch.arguments[0])):
            arguments = [vector(a[row]) for a in batch.arguments]
            wanted, gradient = None, None
            if "value" in parts:
                wanted = exact(regime, c, arguments)
            if "gradient" in parts:
                gradient = exact_gradients(regime, c, arguments, vector(batch.weights[row]))
            if "second" in parts:
                product = hessian_product(regime, c, arguments, vector(batch.direction[row]))
                gradient = [([], product)]
            for name, (value, *grads) in computed.items():
                found = worst[name]
                if wanted is not None:
                    error = value_error(regime, batch, row, value[row], wanted)
                    found["value"] = max(found["value"], error)
                if gradient is not None:
                    part = "second" if "second" in parts else "gradient"
                    error = gradient_error(regime, [g[row] for g in grads], gradient)
                    found[part] = max(found[part], error)
    return worst
