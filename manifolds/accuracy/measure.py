"""The error of an implementation in a regime, in units of eps.

What errors are relative to (|.| is Euclidean length in the chart):

    distances, their Hessian products, gradients of numbers, vectors           |error| / |exact|
    apertures, angles in general position                                      error / exact
    angles near the axis (kinds axis, behind, on axis)                         error, radians
    gradients of maps        max over arguments |error| |argument| / max of |exact| |argument|
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
from typing import Any

import torch
from torch import Tensor

from manifolds.accuracy.composed import MODELS
from manifolds.accuracy.exact import (
    Number,
    PairSpan,
    Span,
    Vector,
    combine,
    dot,
    length,
    minus,
    mpmath,
    number,
    scaled,
)
from manifolds.accuracy.regimes import DIMENSIONS, EPS, Regime
from manifolds.accuracy.sampling import Place, pairs, steps, vectors
from manifolds.halfspace import root_height

Operation = Callable[..., Tensor]
"""(c, *arguments (k, d), **options) -> values (k,) or vectors (k, d), differentiable."""

VECTORS = ("expmap0", "logmap0", "expmap", "logmap", "transp")
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

    Of a kind's rows, 64 and 512 dimensions have every third; which, depends on c.
    """
    dtype = getattr(torch, regime.dtype)
    for i, c in enumerate(regime.curvatures):
        for dim in DIMENSIONS:
            text = f"{regime.quantity}/{regime.manifold}/{regime.kind}/{regime.r}/{c}/{dim}"
            generator = torch.Generator().manual_seed(seed_of(text))
            place = Place(regime.manifold, c, dim, dtype)
            arguments = _arguments(regime, place, generator)
            count = len(arguments[0])
            rows = range(count) if dim == 2 else range(i % 3, count, 3)
            weights, direction = (
                torch.randn(arguments[0].shape, dtype=torch.float64, generator=generator).to(dtype)
                for _ in range(2)
            )
            keep = list(rows)
            kept = tuple(a[keep] for a in arguments)
            yield Batch(place, kept, weights[keep], direction[keep])


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


def reference(regime: Regime, c: float) -> Any:
    """The manifold in high precision. The half-space's root is what the dtype holds of it."""
    if regime.manifold != "halfspace":
        return MODELS[regime.manifold](c)
    height = root_height(torch.tensor(c, dtype=torch.float64), getattr(torch, regime.dtype))
    return MODELS["halfspace"](c, height.item())


def exact(regime: Regime, c: float, arguments: list[Vector]) -> Number | Vector:
    """The quantity in high precision."""
    model = reference(regime, c)
    root = model.root(len(arguments[0]))
    quantity = regime.quantity.removeprefix("pairwise_")
    if quantity == "half_aperture":
        return model.half_aperture(arguments[0], **options(regime))
    if quantity.endswith("0"):
        return getattr(model, quantity[:-1])(root, *arguments)
    return getattr(model, quantity)(*arguments)


def derivatives(
    value: Callable[[list[Vector]], Number], arguments: list[Vector], size: Number
) -> list[Vector]:
    """Exact derivatives of a number for each argument."""
    found = []
    start = value(arguments)
    for i, argument in enumerate(arguments):
        h = (length(argument) or size) * mpmath().mpf(10) ** -50

        def moved(k: int, h: Number, i: int = i) -> Number:
            changed = list(arguments[i])
            changed[k] += h
            return value([*arguments[:i], changed, *arguments[i + 1 :]])

        axes = range(len(argument))
        found.append([(moved(k, h) - start) / h for k in axes])
    return found


def exact_gradients(
    regime: Regime, c: float, arguments: list[Vector], weights: Vector
) -> list[Vector]:
    """Derivatives of the quantity (of a vector: of its product with the weights)."""
    model = reference(regime, c)
    if regime.quantity.endswith("dist"):
        x, y = arguments
        return [model.dist_gradient(x, y), model.dist_gradient(y, x)]
    if regime.quantity.endswith("exterior_angle") and (
        len(arguments[0]) == 1 or arguments[0] in (arguments[1], model.root(len(arguments[0])))
    ):
        # On one line through the root, where an angle has a kink, its gradient is 0 by convention.
        return [scaled(number(0), a) for a in arguments]

    def value(arguments: list[Vector]) -> Number:
        found = exact(regime, c, arguments)
        return dot(found, weights) if isinstance(found, list) else found

    return derivatives(value, arguments, 1 / mpmath().sqrt(number(c)))


# --- errors ---


def relative(computed: Vector, wanted: Vector) -> float:
    """|computed - wanted|/|wanted|, not relative where wanted is 0; computed has one coordinate
    more, which should be 0."""
    error = length(minus(computed, [*wanted, number(0)]))
    return float(error / (length(wanted) or 1))


def value_error(
    regime: Regime,
    c: float,
    span: Span | PairSpan,
    arguments: list[Vector],
    got: Tensor,
    wanted: Any,
) -> float:
    """Error of one row's value, in units of eps."""
    eps = EPS[regime.dtype]
    if not bool(got.isfinite().all()):
        return math.inf
    if not isinstance(wanted, list):
        error = abs(number(got.item()) - wanted)
        absolute = wanted == 0 or regime.kind in ON_AXIS
        return float(error if absolute else error / abs(wanted)) / eps
    computed = span.locate(got)
    if regime.quantity == "expmap" and regime.manifold in ("lorentz", "poincare", "halfspace"):
        return _displacement(regime, c, arguments, computed, [*wanted, number(0)]) / eps
    return relative(computed, wanted) / eps


def _displacement(
    regime: Regime, c: float, arguments: list[Vector], computed: Vector, wanted: Vector
) -> float:
    model = reference(regime, c)
    if regime.manifold == "poincare" and model.gap(computed) <= 0:
        return math.inf
    if regime.manifold == "halfspace" and computed[0] <= 0:
        return math.inf
    x, u = arguments
    root_c = mpmath().sqrt(model.c)
    reach = model.radius(x) + root_c * model.norm(x, u) + mpmath().sinh(model.radius(wanted))
    return float(root_c * model.dist(computed, wanted) / (1 + reach))


def gradient_error(
    regime: Regime,
    span: Span | PairSpan,
    arguments: list[Vector],
    grads: list[Tensor],
    wanted: list[Vector],
) -> float:
    """Largest relative error of the gradients of one row, over its arguments, in units of eps."""
    eps = EPS[regime.dtype]
    if not all(bool(g.isfinite().all()) for g in grads):
        return math.inf
    pairs = list(zip([span.locate(g) for g in grads], wanted, strict=True))
    if regime.quantity not in VECTORS:
        return max(relative(g, w) for g, w in pairs) / eps
    # Of a map's arguments some may hardly matter: each counts with its own length.
    largest = max(length(a) for a in arguments)
    sizes = [length(a) or largest for a in arguments]
    errors = [length(minus(g, [*w, number(0)])) * s for (g, w), s in zip(pairs, sizes, strict=True)]
    return float(max(errors) / max(length(w) * s for w, s in zip(wanted, sizes, strict=True))) / eps


def evaluate(
    regime: Regime, batch: Batch, operation: Operation, second: bool
) -> tuple[Tensor, ...]:
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
    model = reference(regime, c)
    x, y = arguments
    h = length(x) / length(v) * mpmath().mpf(10) ** -35
    ahead = model.dist_gradient(combine(number(1), x, h, v), y)
    behind = model.dist_gradient(combine(number(1), x, -h, v), y)
    return scaled(1 / (2 * h), minus(ahead, behind))


def errors(group: list[Regime], operations: dict[str, Operation]) -> dict[str, dict[str, float]]:
    """Largest errors in units of eps, by implementation and part, of regimes that share points.

    An implementation that fails with an exception has an infinite error.
    """
    regime, parts = group[0], [g.part for g in group]
    second, vector = "second" in parts, regime.quantity in VECTORS and "gradient" in parts
    worst = {name: dict.fromkeys(parts, 0.0) for name in operations}
    for batch in batches(regime):
        c = batch.place.c
        computed = {}
        for name, operation in operations.items():
            try:
                computed[name] = evaluate(regime, batch, operation, second)
            except (RuntimeError, ValueError, AssertionError):
                worst[name] = dict.fromkeys(parts, math.inf)
        for row in range(len(batch.arguments[0])):
            span, arguments, extra = located(regime, batch, row, vector=vector, second=second)
            wanted, gradient = None, None
            if "value" in parts:
                wanted = exact(regime, c, arguments)
            if "gradient" in parts:
                gradient = exact_gradients(regime, c, arguments, extra)
            if second:
                gradient = [hessian_product(regime, c, arguments, extra)]
            for name, (value, *grads) in computed.items():
                found = worst[name]
                if wanted is not None:
                    error = value_error(regime, c, span, arguments, value[row], wanted)
                    found["value"] = max(found["value"], error)
                if gradient is not None:
                    part = "second" if second else "gradient"
                    error = gradient_error(
                        regime, span, arguments, [g[row] for g in grads], gradient
                    )
                    found[part] = max(found[part], error)
    return worst


def located(
    regime: Regime, batch: Batch, row: int, *, vector: bool, second: bool
) -> tuple[Span | PairSpan, list[Vector], Vector]:
    """A row's span; its arguments, and its weights (direction if second), in it. On the sphere and
    the half-space the first axis is the root's."""
    arguments = [a[row] for a in batch.arguments]
    first = []
    if regime.manifold in ("sphere", "halfspace"):
        first = [torch.zeros_like(arguments[0])]
        first[0][0 if regime.manifold == "sphere" else -1] = 1.0
    # Every vector more makes the exact derivatives slower; only the last one may be needed.
    extra = batch.direction[row] if second else batch.weights[row]
    given = [*arguments, *([extra] if second or vector else [])]
    if regime.manifold == "product":
        one, two = zip(*(v.chunk(2) for v in given), strict=True)
        axis = torch.zeros_like(two[0])
        axis[0] = 1.0
        pair = PairSpan(list(one), [axis, *two])
        return pair, pair.vectors[: len(arguments)], pair.vectors[-1]
    span = Span([*first, *given])
    vectors = span.vectors[len(first) :]
    return span, vectors[: len(arguments)], vectors[-1]
