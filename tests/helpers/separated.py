"""Pairs of unit vectors at given cosines."""

import torch
from torch import Tensor


def separated(features: str, d: int, apart: Tensor) -> tuple[Tensor, Tensor]:
    """x, y (n, d) float64, |x| = |y| = 1 and <x_i, y_i> at most 1 - apart_i (n,), by little.

    features: "normal", or "signs" for coordinates that are all ± one number.
    """
    generator = torch.Generator().manual_seed(0)
    n = len(apart)
    if features == "signs":
        x = torch.randint(0, 2, (n, d), generator=generator, dtype=torch.float64) * 2 - 1
        flips = torch.rand(n, d, generator=generator).argsort(1) < (apart / 2 * d).ceil()[:, None]
        return x / d**0.5, torch.where(flips, -x, x) / d**0.5
    x, other = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    x = torch.nn.functional.normalize(x, dim=-1)
    other = torch.nn.functional.normalize(other - (other * x).sum(1, keepdim=True) * x, dim=-1)
    cosine = (1 - apart)[:, None]
    return x, cosine * x + (1 - cosine.square()).sqrt() * other
