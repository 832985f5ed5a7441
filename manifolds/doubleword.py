"""Double-word ("two-float") arithmetic on tensors: a number as an unevaluated sum high + low.

Twice the digits of the dtype, about 1e-32 in float64, with the range unchanged. It is for the few
numbers that decide how far two points lie apart or where a geodesic turns; float32 input never
needs it, since float64 holds those. No gradients: see `grafted`. Zero divided by zero is 0, as in
`numerics.safe_divide`.

Sources: Dekker (Numerische Mathematik 18, 1971); Hida, Li and Bailey, Library for double-double
and quad-double arithmetic (2007).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from manifolds.numerics import power_above, two_product, two_sum


@dataclass(frozen=True)
class Wide:
    """high + low, |low| at most half a unit in the last place of high."""

    high: Tensor
    low: Tensor

    @property
    def value(self) -> Tensor:
        """Rounded to one word."""
        return self.high + self.low

    def __neg__(self) -> "Wide":
        return Wide(-self.high, -self.low)

    def __add__(self, other: "Wide | Tensor | float") -> "Wide":
        other = wide(other, self.high)
        high, low = two_sum(self.high, other.high)
        return _normal(high, low + (self.low + other.low))

    def __sub__(self, other: "Wide | Tensor | float") -> "Wide":
        return self + -wide(other, self.high)

    def __mul__(self, other: "Wide | Tensor | float") -> "Wide":
        if isinstance(other, Tensor):
            return self.times(other)
        other = wide(other, self.high)
        high, low = two_product(self.high, other.high)
        return _normal(high, low + (self.high * other.low + self.low * other.high))

    def times(self, other: Tensor) -> "Wide":
        """Times a tensor; torch.compile can't follow Wide * Tensor, where both have a product."""
        high, low = two_product(self.high, other)
        return _normal(high, low + self.low * other)

    def __truediv__(self, other: "Wide | Tensor | float") -> "Wide":
        other = wide(other, self.high)
        zero = other.high == 0
        other = Wide(torch.where(zero, torch.ones_like(other.high), other.high), other.low)
        first = self.high / other.high
        rest = self - other.times(first)
        second = rest.high / other.high
        third = (rest - other.times(second)).high / other.high
        quotient = _normal(*two_sum(first, second)) + wide(third, third)
        return Wide(_zeroed(quotient.high, zero), _zeroed(quotient.low, zero))

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: "Wide | Tensor | float") -> "Wide":
        return -self + other

    def __rtruediv__(self, other: "Wide | Tensor | float") -> "Wide":
        return wide(other, self.high) / self

    def sqrt(self) -> "Wide":
        """Square root, 0 at 0."""
        root = self.high.sqrt()
        positive = torch.where(root == 0, torch.ones_like(root), root)
        rest = self - Wide(*two_product(root, root))
        return _normal(root, _zeroed(rest.value / (2 * positive), root == 0))

    def scaled(self, power: Tensor) -> "Wide":
        """Times a power of two, which is exact."""
        return Wide(self.high * power, self.low * power)


def wide(a: "Wide | Tensor | float", like: Tensor) -> Wide:
    """A number as a double word with low = 0; a double word as it is."""
    if isinstance(a, Wide):
        return a
    high = a if isinstance(a, Tensor) else torch.full_like(like, a)
    return Wide(high, torch.zeros_like(high))


def select(condition: Tensor, a: Wide, b: Wide) -> Wide:
    """torch.where."""
    return Wide(torch.where(condition, a.high, b.high), torch.where(condition, a.low, b.low))


def _normal(high: Tensor, low: Tensor) -> Wide:
    total = high + low
    return Wide(total, low - (total - high))


def _zeroed(a: Tensor, where: Tensor) -> Tensor:
    return torch.where(where, torch.zeros_like(a), a)


def difference(x: Tensor, y: Tensor) -> Wide:
    """x - y, exactly."""
    return Wide(*two_sum(x, -y))


def dot(x: Wide | Tensor, y: Wide | Tensor) -> Wide:
    """<x, y> over the last dimension, which is kept; error about eps^2 <|x|, |y|>."""
    a, b = wide(x, x) if isinstance(x, Tensor) else x, wide(y, y) if isinstance(y, Tensor) else y
    product, error = two_product(a.high, b.high)
    if isinstance(x, Wide):
        error = error + a.low * b.high
    if isinstance(y, Wide):
        error = error + a.high * b.low
    error = error.sum(-1, keepdim=True)
    while product.shape[-1] > 1:
        half = product.shape[-1] // 2
        odd = product[..., 2 * half :]
        product, lost = two_sum(product[..., :half], product[..., half : 2 * half])
        error = error + lost.sum(-1, keepdim=True)
        product = torch.cat([product, odd], dim=-1)
    return _normal(*two_sum(product, error))


def norm(x: Tensor) -> Wide:
    """|x| (..., 1); squares neither overflow nor underflow."""
    power = power_above(x)
    scaled = x / power
    return dot(scaled, scaled).sqrt().scaled(power)


def across(v: Tensor, x: Tensor) -> Wide:
    """v minus its part along x (all of v where x is 0), relative to itself; 0 only along x.

    With x_p the longest coordinate of x, v - (v_p/x_p) x differs from it by a part along x that is
    at most sqrt(d) times longer, and its coordinates (v x_p - x v_p)/x_p lose nothing: double words
    hold products of numbers.
    """
    power = power_above(v)
    unit, small = x / power_above(x), v / power
    index = unit.abs().argmax(-1, keepdim=True)
    own, other = unit.gather(-1, index), small.gather(-1, index)
    zero = own == 0
    own = torch.where(zero, torch.ones_like(own), own)
    rest = Wide(*two_product(small, own)) - Wide(*two_product(unit, other))
    rest = (rest - (dot(rest, unit) / dot(unit, unit)).times(unit)) / wide(own, own)
    # Where even the low words underflow, nothing is left to see.
    nothing = rest.high.abs() < torch.finfo(x.dtype).tiny / torch.finfo(x.dtype).eps
    return Wide(_zeroed(rest.high, nothing), _zeroed(rest.low, nothing)).scaled(power)


class _Grafted(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, plain: Tensor) -> Tensor:
        return torch.where(value.isfinite(), value, plain)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0]


def grafted(value: Tensor, plain: Tensor) -> Tensor:
    """`value` with the derivatives of `plain`, the same quantity in one word.

    Where splitting a number left the range of the dtype (above 1e291 in float64), `plain`.
    """
    return _Grafted.apply(value.detach(), plain)
