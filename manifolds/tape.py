"""Reverse-mode derivatives in double words: a formula in numbers, recorded as it is evaluated.

The numbers are products of vectors, one a row (`Tape.product`); the formula has one number as its
result, and its derivatives for the vectors are combinations of vectors:

    d/dx = sum of (d/dp) v over the products p = <x, v>

So a whole map is differentiated at the price of a few products and sums of vectors, and in twice
the digits of its arguments: what a formula loses in one word does not show.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from manifolds import doubleword as dw
from manifolds.doubleword import Wide, select, wide

Pull = Callable[[Wide], Wide]


class Number:
    """A double word (..., 1), and how its derivative reaches what it was made of."""

    def __init__(self, value: Wide, *parents: tuple["Number", Pull]) -> None:
        self.value = value
        self.parents = parents

    def __add__(self, other: "Number | float") -> "Number":
        if not isinstance(other, Number):
            return Number(self.value + other, (self, lambda g: g))
        return Number(self.value + other.value, (self, lambda g: g), (other, lambda g: g))

    def __sub__(self, other: "Number") -> "Number":
        return Number(self.value - other.value, (self, lambda g: g), (other, lambda g: -g))

    def __mul__(self, other: "Number | float") -> "Number":
        if not isinstance(other, Number):
            return Number(self.value * other, (self, lambda g: g * other))
        a, b = self.value, other.value
        return Number(a * b, (self, lambda g: g * b), (other, lambda g: g * a))

    def __truediv__(self, other: "Number") -> "Number":
        below = other.value
        ratio = self.value / below
        return Number(ratio, (self, lambda g: g / below), (other, lambda g: -(g / below * ratio)))

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: float) -> "Number":
        return Number(other - self.value, (self, lambda g: -g))

    def sqrt(self) -> "Number":
        """Square root of a positive number."""
        root = self.value.sqrt()
        return Number(root, (self, lambda g: g / root * 0.5))

    def through(self, value: Wide, slope: Wide) -> "Number":
        """A function of this number, by its value and its derivative."""
        return Number(value, (self, lambda g: g * slope))


def choose(condition: Tensor, a: Number, b: Number) -> Number:
    """a where the condition holds, b elsewhere."""
    zero = wide(0.0, a.value.high)
    return Number(
        select(condition, a.value, b.value),
        (a, lambda g: select(condition, g, zero)),
        (b, lambda g: select(condition, zero, g)),
    )


def share(a: Number, b: Number, below: Number) -> Number:
    """a b/below, in an order in which neither it nor its derivatives overflow on the way."""
    bottom, first = below.value, a.value / below.value
    value = first * b.value
    return Number(
        value,
        (a, lambda g: g / bottom * b.value),
        (b, lambda g: g / bottom * a.value),
        (below, lambda g: -(g / bottom * value)),
    )


@dataclass(frozen=True)
class Vector:
    """A vector (..., d), linear in the arguments: the sum of sign times argument, by name."""

    value: Wide | Tensor
    signs: dict[str, int]

    @property
    def wide(self) -> Wide:
        return self.value if isinstance(self.value, Wide) else wide(self.value, self.value)


@dataclass
class Tape:
    """The products that a formula is made of."""

    _terms: list[tuple[Number, str, Wide | float, Wide | Tensor]] = field(default_factory=list)
    """(product, argument, factor, vector): d product = factor <vector, d argument>."""

    def product(self, a: Vector, b: Vector) -> Number:
        """<a, b>."""
        made = Number(dw.dot(a.value, b.value))
        for own, other in ((a, b), (b, a)):
            self._terms += [(made, n, float(sign), other.value) for n, sign in own.signs.items()]
        return made

    def across(self, v: Vector, x: Vector) -> tuple[Number, Wide]:
        """|T|^2 of the part T of v across x, both arguments themselves; and T.

        Its derivative for x is -2 (<v, x>/|x|^2) T, which has no limit at x = 0: a formula must
        have |x|^2 before it.
        """
        assert isinstance(v.value, Tensor) and isinstance(x.value, Tensor)
        part = dw.across(v.value, x.value)
        made = Number(dw.dot(part, part))
        square = dw.dot(x.value, x.value)
        # Below the range of squares that |x|^2 leaves nothing of it.
        vanishing = square.high < torch.finfo(square.high.dtype).tiny / 2**-64
        square = select(vanishing, wide(1.0, square.high), square)
        turn = dw.dot(v.value, x.value) / square
        turn = select(vanishing, wide(0.0, square.high), turn)
        self._terms += [(made, n, 2.0, part) for n in v.signs]
        self._terms += [(made, n, turn * -2.0, part) for n in x.signs]
        return made, part

    def derivatives(self, result: Number, names: str, c: Number) -> list[Tensor]:
        """Of the result for c (0-dim), then for the arguments (..., d)."""
        found = _sweep(result)
        zero = wide(0.0, result.value.high)
        sums: dict[tuple[str, int], tuple[Wide, Wide | Tensor]] = {}
        for made, name, factor, vector in self._terms:
            share = found.get(id(made), zero) * factor
            key = (name, id(vector))
            if key in sums:
                share = sums[key][0] + share
            sums[key] = (share, vector)
        gradients = [found.get(id(c), zero).value.sum()]
        for name in names:
            total: Wide | None = None
            for (owner, _), (share, vector) in sums.items():
                if owner == name:
                    term = share * vector if isinstance(vector, Wide) else share.times(vector)
                    total = term if total is None else total + term
            assert total is not None
            gradients.append(total.value)
        return gradients


def _sweep(result: Number) -> dict[int, Wide]:
    """Derivatives of the result for every number that it was made of, by id."""
    order: list[Number] = []
    seen: set[int] = set()
    stack = [(result, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack += [(parent, False) for parent, _ in node.parents]
    found = {id(result): wide(1.0, result.value.high)}
    for node in reversed(order):
        own = found[id(node)]
        for parent, pull in node.parents:
            share = pull(own)
            found[id(parent)] = found[id(parent)] + share if id(parent) in found else share
    return found
