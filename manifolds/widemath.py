"""Elementary functions in double words, float64 only, each with its derivative; about 28 digits.

All are analytic in z = t^2: cosh t, sinh(t)/t, tanh(t)/t and, with t = sinh(D/2), D/sinh D. They
are for numbers, one a row; no gradients.

Source: argument reduction and Taylor series as in Hida, Li and Bailey (2007).
"""

import math
from fractions import Fraction

import torch
from torch import Tensor

from manifolds.doubleword import Wide, select, wide

_LN2 = (0.6931471805599453, 2.3190468138462996e-17)


def _words(values: list[Fraction]) -> list[tuple[float, float]]:
    return [(float(v), float(v - Fraction(float(v)))) for v in values]


_COUNT = 14
_EXP = _words([Fraction(1, math.factorial(k)) for k in range(12)])
_COSH = _words([Fraction(1, math.factorial(2 * k)) for k in range(_COUNT)])
_SINHC = _words([Fraction(1, math.factorial(2 * k + 1)) for k in range(_COUNT)])
_SINHC_SLOPE = _words([Fraction(k + 1, math.factorial(2 * k + 3)) for k in range(_COUNT)])
# D/sinh D = sum of (-4)^k (k!)^2/(2k + 1)! z^k
_ARC = [Fraction((-4) ** k * math.factorial(k) ** 2, math.factorial(2 * k + 1)) for k in range(10)]
_ARC_SLOPE = _words([(k + 1) * a for k, a in enumerate(_ARC[1:])])
_ARC_WORDS = _words(_ARC)


def _series(z: Wide, coefficients: list[tuple[float, float]]) -> Wide:
    total = _constant(coefficients[-1], z.high)
    for word in reversed(coefficients[:-1]):
        total = total * z + _constant(word, z.high)
    return total


def _constant(word: tuple[float, float], like: Tensor) -> Wide:
    return Wide(torch.full_like(like, word[0]), torch.full_like(like, word[1]))


def _inside(small: Tensor, z: Wide, other: float) -> Wide:
    """z where `small`, another number elsewhere: what is not chosen must not overflow."""
    return select(small, z, wide(other, z.high))


def exp(a: Wide) -> Wide:
    """e^a; 0 or infinite beyond 800, as in one word."""
    beyond = a.high.abs() > 800
    a = select(beyond, wide(a.high.clamp(-800, 800), a.high), a)
    turns = (a.high / _LN2[0]).round()
    rest = a - _constant(_LN2, a.high).times(turns)
    total = _series(Wide(rest.high / 64, rest.low / 64), _EXP)
    for _ in range(6):
        total = total * total
    half = (turns / 2).floor()
    for power in (half, turns - half):  # in two steps, so that neither factor overflows
        total = total.scaled(torch.exp2(power))
    return total


def _large(z: Wide) -> tuple[Tensor, Wide, Wide, Wide]:
    """Where z is not small; sqrt(z), e^t, e^-t there, of t = 1 elsewhere."""
    large = z.high >= 0.25
    root = _inside(large, z, 1.0).sqrt()
    grown = exp(root)
    return large, root, grown, 1.0 / grown


def cosh_sinhc(z: Wide) -> tuple[tuple[Wide, Wide], tuple[Wide, Wide]]:
    """cosh t and sinh(t)/t of z = t^2, each with its derivative for z."""
    large, root, up, down = _large(z)
    near = _inside(~large, z, 0.0)
    cosh = select(large, (up + down) * 0.5, _series(near, _COSH))
    sinhc = select(large, (up - down) * 0.5 / root, _series(near, _SINHC))
    far = (cosh - sinhc) / (_inside(large, z, 1.0) * 2.0)
    return (cosh, sinhc * 0.5), (sinhc, select(large, far, _series(near, _SINHC_SLOPE)))


def tanhc(z: Wide) -> tuple[Wide, Wide]:
    """tanh(t)/t of z = t^2, and its derivative for z."""
    large, root, _, _ = _large(z)
    near = _inside(~large, z, 0.0)
    cosh, sinhc = _series(near, _COSH), _series(near, _SINHC)
    short = sinhc / cosh
    short_slope = (_series(near, _SINHC_SLOPE) - short * sinhc * 0.5) / cosh
    down = exp(root * -2.0)  # e^-2t: nothing here overflows
    bottom = down + 1.0
    long = (1.0 - down) / bottom / root
    square = down * 4.0 / bottom / bottom  # 1 - tanh^2 t
    long_slope = (square - long) / (_inside(large, z, 1.0) * 2.0)
    return select(large, long, short), select(large, long_slope, short_slope)


def arc(q: Wide) -> tuple[Wide, Wide]:
    """D/sinh D of q = sinh^2(D/2), and its derivative for q."""
    large = q.high >= 1e-3
    inner = _inside(large, q, 1.0)
    root = inner.sqrt()
    start = torch.asinh(root.high)
    up = exp(wide(start, start))
    down = 1.0 / up
    # One step of Newton's method for sinh(D/2) = sqrt(q).
    half = (root - (up - down) * 0.5) / ((up + down) * 0.5) + wide(start, start)
    above = inner + 1.0
    far = half / root / above.sqrt()
    slope = ((1.0 - (inner * 2.0 + 1.0) * far) / above) / (inner * 2.0)
    near = _inside(~large, q, 0.0)
    value = select(large, far, _series(near, _ARC_WORDS))
    return value, select(large, slope, _series(near, _ARC_SLOPE))
