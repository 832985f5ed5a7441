"""What float32 matrix products are off by, and what keeps their roundings independent.

A product <x, y> of near points has terms of one sign, so each of its partial sums is rounded in
proportion to what has been summed: after d terms the error is up to `RANDOM` sqrt(d) eps |x||y|, if
the roundings are independent. CPU libraries sum in runs and add these up, which averages.

Equal terms round alike. While a running sum stays between two powers of two every step is off by
the same, up to d/6 eps in all. Points whose features are all ± one number, as those of binary
codes, have such products.

What moves both points of a pair alike leaves their distance alone and makes the terms differ:

    pairwise distances   features are centred anyway; the centre gets `noise`
    sums of logits       points keep their place (levels are theirs), so `turn` turns pairs of
                         coordinates, each pair by an angle of its own, if there are `equal_terms`
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

# Largest of some 10^5 products of normal, uniform and turned ± features, of 64 to 4096 terms.
RANDOM = 0.5
# Terms that MKL sums at once; nothing is known of the order on a GPU.
RUN = 384
# Noise of a centre relative to the features' spread: large enough for its square to differ by many
# units in the last place of a sum even where a feature is 0, and nothing to the lengths.
SHARE = 1 / 16
# Coordinates at either end of a row that are compared: sizes that come from ten values or fewer
# repeat in more than a tenth of them.
SAMPLE = 32
# Sums of fewer terms have no time to go wrong.
MANY = 32


def product_error(d: int, device: torch.device) -> float:
    """What a float32 form p + q - 2 <x, y> of d terms is off by, in eps of p + q."""
    runs = math.ceil(d / RUN) if device.type == "cpu" else 1
    return 1.25 + RANDOM * d**0.5 / max(1, runs)


@lru_cache(maxsize=32)
def noise(d: int, device: torch.device) -> Tensor:
    """Fixed numbers (d,) between -`SHARE` and `SHARE`, float64."""
    uniform = torch.rand(d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ((2 * uniform - 1) * SHARE).to(device)


@lru_cache(maxsize=32)
def _angles(pairs: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of fixed angles."""
    uniform = torch.rand(pairs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    angle = 2 * math.pi * uniform
    return angle.cos().to(device), angle.sin().to(device)


def equal_terms(x: Tensor, y: Tensor) -> bool:
    """Whether x (n, d) and y (m, d) both have rows that take a handful of sizes only."""
    d = x.shape[1]
    if d < MANY or not len(x) or not len(y):
        return False
    count, found = min(SAMPLE, d // 2), []
    for points in (x, y):
        first, last = points[:, :count].abs(), points[:, d - count :].abs()
        repeats = (first == last) & (first != 0)
        found.append((repeats.sum(1) > count // 10).any())
    return bool(found[0] & found[1])


def turn(rows: Tensor, *, back: bool = False) -> Tensor:
    """Turns pairs of coordinates of rows (n, d) in place, or back; the rows."""
    half = rows.shape[1] // 2
    cos, sin = (t.to(rows.dtype) for t in _angles(half, rows.device))
    if back:
        sin = -sin
    a, b = rows[:, :half], rows[:, half : 2 * half]
    turned = a * cos - b * sin
    b.mul_(cos).addcmul_(a, sin)
    a.copy_(turned)
    return rows
