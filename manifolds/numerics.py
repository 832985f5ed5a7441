"""Stable elementary functions: finite gradients where plain forms give 0/0, no cancellation.

Everything here works in the dtype it is given; `manifolds.arguments` chooses that dtype. Notation:
z >= 0 a scaled length, q = z^2. Functions that end in `c` are divided by their argument (sinhc(z) =
sinh(z)/z) and equal 1 at 0. All support backward twice, `torch.func` and `torch.vmap`.
"""

import functools
import inspect
from typing import Any, TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=type[torch.autograd.Function])

# Largest geodesic radius r = sqrt(c) dist0(x) that a ball coordinate can hold: 1 - tanh(r/2) is
# then about four units in the last place below 1, so rounding a point can't push it off the ball.
MAX_BALL_RADIUS = {torch.float32: 16.0, torch.float64: 36.0}


@functools.lru_cache(maxsize=256)
def rounded(value: float, dtype: torch.dtype) -> float:
    """The number of a dtype that is nearest to `value`."""
    return torch.tensor(value, dtype=dtype).item()


def quick_to_apply(function: F) -> F:
    """An autograd function with a `setup_context`, its signature written down: torch looks it up at
    every call, which takes longer than the work on a batch of points does."""
    setattr(function.forward, "__signature__", inspect.signature(function.forward))  # noqa: B010  # mypy knows no such attribute
    return function


def safe_sqrt(q: Tensor) -> Tensor:
    """sqrt(q) with gradient 0 (not inf) at q = 0; NaN for q < 0."""
    zero = q == 0
    return torch.where(zero, torch.zeros_like(q), torch.where(zero, torch.ones_like(q), q).sqrt())


def safe_divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 with gradient 0 where b = 0."""
    zero = b == 0
    quotient = a / torch.where(zero, torch.ones_like(b), b)
    return torch.where(zero, torch.zeros_like(quotient), quotient)


def dot(x: Tensor, y: Tensor) -> Tensor:
    """<x, y> over the last dimension, which is kept: (..., d), (..., d) -> (..., 1)."""
    return (x * y).sum(-1, keepdim=True)


def power_above(x: Tensor) -> Tensor:
    """A power of two above the largest |x_i| (..., 1), about twice it at most; 1 at 0.

    Scaling by it is exact, and keeps 1e200^2 from becoming inf and 1e-200^2 from becoming 0. It
    stays within what has an inverse.
    """
    size = x.detach().abs().amax(-1, keepdim=True)
    most = 1000 if x.dtype == torch.float64 else 100
    # Not frexp and ldexp: torch.compile makes C++ of them that does not compile (inductor, 2.13).
    power = torch.exp2((size.log2().floor() + 1).clamp(-most, most))
    return torch.where(size == 0, torch.ones_like(size), power)


def safe_norm(x: Tensor) -> Tensor:
    """|x| over the last dimension, which is kept; gradient 0 at x = 0, squares never overflow."""
    scale = power_above(x)
    return scale * safe_sqrt((x / scale).square().sum(-1, keepdim=True))


def safe_hypot(a: Tensor, b: Tensor) -> Tensor:
    """sqrt(a^2 + b^2) with gradient 0 at (0, 0)."""
    zero = (a == 0) & (b == 0)
    return torch.where(
        zero, torch.zeros_like(a), torch.hypot(torch.where(zero, torch.ones_like(a), a), b)
    )


def safe_atan2(a: Tensor, b: Tensor) -> Tensor:
    """Angle of the vector (b, a) in radians, with value and gradient 0 at (0, 0)."""
    zero = (a == 0) & (b == 0)
    return torch.where(
        zero, torch.zeros_like(a), torch.atan2(a, torch.where(zero, torch.ones_like(b), b))
    )


@quick_to_apply
class _Ratio(torch.autograd.Function):
    """f(z)/z for an odd f with f'(0) = 1; its derivative is (f'(z) - f(z)/z)/z, a series near 0.

    The quotient form of the derivative loses eps/z^2 relative, so the series covers z < 1/8.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, kind: str) -> Tensor:
        return _ratio(z, kind)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.kind = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return grads[0] * _ratio_slope(z, ctx.kind), None


_FUNCTION = {
    "sinh": torch.sinh,
    "asinh": torch.asinh,
    "tanh": torch.tanh,
    "atanh": torch.atanh,
    "sin": torch.sin,
}
_DERIVATIVE = {
    "sinh": torch.cosh,
    "asinh": lambda z: 1 / torch.hypot(torch.ones_like(z), z),
    "tanh": lambda z: 1 / torch.cosh(z).square(),
    "atanh": lambda z: 1 / ((1 - z) * (1 + z)),
    "sin": torch.cos,
}
# Taylor coefficients a_1, a_2, ... of f(z)/z = 1 + a_1 z^2 + a_2 z^4 + ...; eight of them leave
# less than one unit in the last place of float64 at z = 1/8.
_SERIES = {
    "sinh": [1 / 6, 1 / 120, 1 / 5040, 1 / 362880, 1 / 39916800],
    "asinh": [
        -1 / 6,
        3 / 40,
        -5 / 112,
        35 / 1152,
        -63 / 2816,
        231 / 13312,
        -143 / 10240,
        6435 / 557056,
    ],
    "tanh": [
        -1 / 3,
        2 / 15,
        -17 / 315,
        62 / 2835,
        -1382 / 155925,
        21844 / 6081075,
        -929569 / 638512875,
        6404582 / 10854718875,
    ],
    "atanh": [1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11, 1 / 13, 1 / 15, 1 / 17],
    "sin": [-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800],
}


def _ratio(z: Tensor, kind: str) -> Tensor:
    zero = z == 0
    filled = torch.where(zero, torch.ones_like(z), z)
    return torch.where(zero, torch.ones_like(z), _FUNCTION[kind](filled) / filled)


def _ratio_slope(z: Tensor, kind: str) -> Tensor:
    near = z.abs() < 0.125
    inner = torch.where(near, z, torch.zeros_like(z))
    q = inner.square()
    series = torch.zeros_like(z)
    for power, coefficient in reversed(list(enumerate(_SERIES[kind], start=1))):
        series = series * q + 2 * power * coefficient
    series = inner * series
    outer = torch.where(near, torch.full_like(z, 0.5), z)
    return torch.where(
        near, series, (_DERIVATIVE[kind](outer) - _FUNCTION[kind](outer) / outer) / outer
    )


def sinhc(z: Tensor) -> Tensor:
    """sinh(z)/z, 1 at 0."""
    return _Ratio.apply(z, "sinh")


def asinhc(z: Tensor) -> Tensor:
    """asinh(z)/z, 1 at 0."""
    return _Ratio.apply(z, "asinh")


def tanhc(z: Tensor) -> Tensor:
    """tanh(z)/z, 1 at 0."""
    return _Ratio.apply(z, "tanh")


def atanhc(z: Tensor) -> Tensor:
    """atanh(z)/z, 1 at 0; z < 1."""
    return _Ratio.apply(z, "atanh")


def sinc(z: Tensor) -> Tensor:
    """sin(z)/z (no factor pi), 1 at 0."""
    return _Ratio.apply(z, "sin")


# --- double-word ("two-float") sums: a value as hi + lo, lo below the last place of hi ---


def two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """a + b as rounded sum and exact error (Knuth)."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def two_product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """a * b as rounded product and exact error (Dekker: torch has no fused multiply-add)."""
    product = a * b
    a_hi, a_lo = _split(a)
    b_hi, b_lo = _split(b)
    return product, ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo


def _split(a: Tensor) -> tuple[Tensor, Tensor]:
    factor = 134217729.0 if a.dtype == torch.float64 else 4097.0  # 2^27 + 1, 2^12 + 1
    shifted = a * factor
    high = shifted - (shifted - a)
    return high, a - high


class _Deficit(torch.autograd.Function):
    """1 - c|x|^2 over the last dimension (kept) in double words; plain derivative -2cx, -|x|^2."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, c: Tensor) -> Tensor:
        total, low = two_product(x, x)
        error = low.sum(-1, keepdim=True)
        while total.shape[-1] > 1:
            half = total.shape[-1] // 2
            odd = total[..., 2 * half :]
            total, lost = two_sum(total[..., :half], total[..., half : 2 * half])
            error = error + lost.sum(-1, keepdim=True)
            total = torch.cat([total, odd], dim=-1)
        total, error = two_sum(total, error)
        scaled, lost = two_product(total, c.expand_as(total))
        rest, tail = two_sum(torch.ones_like(scaled), -scaled)
        return rest + (tail - lost - c * error)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, c = ctx.saved_tensors
        return -2 * c * x * grads[0], -(x.square().sum(-1, keepdim=True) * grads[0]).sum()


def deficit(x: Tensor, c: Tensor) -> Tensor:
    """X = 1 - c|x|^2 (..., 1), exact to a few units in its last place up to the rim of the ball.

    A plain 1 - c|x|^2 keeps only eps/X digits (none at radius 16 in float32, 36 in float64). NaN
    where X <= 0: such a point is off the ball.
    """
    gap = _Deficit.apply(x, c)
    return torch.where(gap > 0, gap, torch.full_like(gap, float("nan")))
