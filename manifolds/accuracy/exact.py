"""Vectors of high-precision numbers.

mpmath (the `test` extra) is imported by the functions that need it, so `import manifolds` never
loads it.
"""

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


def number(x: float) -> Number:
    """The exact value of a float."""
    return mpmath().mpf(x)


def vector(x: Tensor) -> Vector:
    """The exact coordinates of a tensor (d,)."""
    return [mpmath().mpf(v) for v in x.tolist()]


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
