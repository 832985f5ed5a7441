"""High-precision numbers and vectors.

Exact results lie in the span of the arguments, and rotations about the root change nothing. So a
few vectors in hundreds of dimensions are replaced by their coordinates in an orthonormal basis of
their span (`Span`), which integer arithmetic finds exactly; only those are computed with.

mpmath (the `test` extra) is imported by the functions that need it, so `import manifolds` never
loads it.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeAlias

from torch import Tensor

Number: TypeAlias = Any
"""An mpmath.mpf."""
Vector: TypeAlias = list[Any]
"""Coordinates, each an mpmath.mpf."""

DIGITS = 140
"""Ambient products at radius 40 lose 35 digits, distances of 1e-20 another 40; 60 are left over."""


def mpmath() -> ModuleType:
    """The mpmath module.

    Raises:
        ImportError: it is not installed; names the extra.
    """
    try:
        import mpmath as module
    except ImportError:
        raise ImportError(
            "manifolds.accuracy: the reference needs mpmath, which is not installed; "
            'install the extra: pip install "geomclip[test]"'
        ) from None
    return module


@contextmanager
def digits(count: int = DIGITS) -> Iterator[None]:
    """Runs its block with `count` decimal digits."""
    with mpmath().workdps(count):
        yield


def number(x: Number) -> Number:
    """The exact value of a float."""
    return mpmath().mpf(x)


def dot(x: Vector, y: Vector) -> Number:
    """<x, y>."""
    return mpmath().fdot(x, y)


def length(x: Vector) -> Number:
    """|x|."""
    return mpmath().sqrt(dot(x, x))


def scaled(a: Number, x: Vector) -> Vector:
    """a x."""
    return [a * p for p in x]


def combine(a: Number, x: Vector, b: Number, y: Vector) -> Vector:
    """a x + b y."""
    return [a * p + b * q for p, q in zip(x, y, strict=True)]


def minus(x: Vector, y: Vector) -> Vector:
    """x - y."""
    return [p - q for p, q in zip(x, y, strict=True)]


# --- coordinates in the span of a few vectors ---


def integers(x: Tensor) -> tuple[list[int], int]:
    """The coordinates of x (d,) as integers times 2^exponent, exactly."""
    pairs = [math.frexp(v) for v in x.tolist()]
    lowest = min((e for m, e in pairs if m), default=0) - 53
    return [int(m * 2**53) << (e - 53 - lowest) if m else 0 for m, e in pairs], lowest


class Span:
    """An orthonormal basis of the span of some vectors (d,), by Cholesky of their products."""

    def __init__(self, vectors: list[Tensor]) -> None:
        self._integers = [integers(v) for v in vectors]
        self._pivots: list[tuple[int, Vector]] = []
        for i, own in enumerate(self._integers):
            part, rest = self._resolve(own)
            square = self._product(own, own)
            if rest > square * mpmath().mpf(10) ** -90:
                self._pivots.append((i, [*part, mpmath().sqrt(rest)]))
        self.dim = max(1, len(self._pivots))
        self.vectors = [self.locate(v)[:-1] for v in vectors]
        """Coordinates (dim,) of the vectors."""

    @staticmethod
    def _product(a: tuple[list[int], int], b: tuple[list[int], int]) -> Number:
        total = sum(p * q for p, q in zip(a[0], b[0], strict=True))
        return mpmath().ldexp(mpmath().mpf(total), a[1] + b[1])

    def _resolve(self, own: tuple[list[int], int]) -> tuple[Vector, Number]:
        """Coordinates along the pivots so far, and the square of what is left."""
        part: Vector = []
        for i, row in self._pivots:
            product = self._product(own, self._integers[i])
            known = dot(part, row[: len(part)]) if part else number(0)
            part.append((product - known) / row[len(part)])
        return part, self._product(own, own) - dot(part, part) if part else (
            self._product(own, own)
        )  # fmt: skip

    def locate(self, x: Tensor) -> Vector:
        """Coordinates (dim + 1,) of x; the last is its length outside the span."""
        part, rest = self._resolve(integers(x))
        part += [number(0)] * (self.dim - len(part))
        return [*part, mpmath().sqrt(max(number(0), rest))]


class PairSpan:
    """`Span` for products of two: a basis for each factor, coordinates one after the other.

    The first factor has `WIDTH` of them, zeros where its basis is shorter.
    """

    WIDTH = 4

    def __init__(self, first: list[Tensor], second: list[Tensor]) -> None:
        self._sizes = [len(first[-1]), len(second[-1])]
        self._spans = Span(first), Span(second)
        skip = len(second) - len(first)
        pairs = zip(self._spans[0].vectors, self._spans[1].vectors[skip:], strict=True)
        self.vectors = [[*self._padded(a), *b] for a, b in pairs]
        """Coordinates of the vectors; those that only the second list has, before, are left out."""

    def _padded(self, x: Vector) -> Vector:
        return [*x, *([number(0)] * (self.WIDTH - len(x)))]

    def locate(self, x: Tensor) -> Vector:
        """Coordinates of x; the last is its length outside the bases."""
        one, two = (s.locate(p) for s, p in zip(self._spans, x.split(self._sizes), strict=True))
        return [*self._padded(one[:-1]), *two[:-1], length([one[-1], two[-1]])]
