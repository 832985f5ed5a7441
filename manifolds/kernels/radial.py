"""The scores as functions of u (`spaces`), elementwise: values and slopes.

    identity u      shifted 1 + u     root sqrt(u)
    arcosh D with cosh D = 1 + u      arcosh2 D^2
    arc theta with cos theta = 1 - u  arc2 theta^2

v = 2 - u is passed where it is known to more digits than u (near antipodes).
"""

import torch
from torch import Tensor

FUNCTIONS = ("identity", "shifted", "root", "arcosh", "arcosh2", "arc", "arc2")


def value(function: str, u: Tensor, v: Tensor | None = None) -> Tensor:
    """F(u)."""
    if function == "identity":
        return u
    if function == "shifted":
        return u + 1
    if function == "root":
        return u.sqrt()
    if function in ("arc", "arc2"):
        angle = torch.atan2(u.sqrt(), (2 - u if v is None else v).sqrt()).mul_(2)
        return angle.square_() if function == "arc2" else angle
    # Two roots: u (u + 2) overflows long before the result does.
    result = (u + 2).sqrt_().mul_(u.sqrt()).add_(u).log1p_()
    return result.square_() if function == "arcosh2" else result


def slope(function: str, u: Tensor, score: Tensor, v: Tensor | None = None) -> Tensor:
    """dF/du, given score = F(u); 0 where F has a kink (u = 0, antipodes)."""
    if function in ("identity", "shifted"):
        return torch.ones_like(u)
    if function == "root":
        return _zero_at_kink(u.rsqrt().mul_(0.5))
    if function in ("arc", "arc2"):
        first = u.rsqrt().mul_((2 - u if v is None else v).rsqrt())
    else:
        first = u.rsqrt().mul_((u + 2).rsqrt_())
    first = _zero_at_kink(first)
    if function in ("arc2", "arcosh2"):
        # 2 F / sin or sinh; F itself is the square of the length here.
        first = first * score.sqrt() * 2
    return first


def _zero_at_kink(slope: Tensor) -> Tensor:
    return slope.masked_fill_(slope.isinf(), 0)
