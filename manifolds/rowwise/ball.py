"""1 - c|x|^2 of points of the ball from their norms."""

from torch import Tensor

from manifolds.numerics import deficit
from manifolds.rowwise.passes import blocks

# Below this, rounding |x| in float64 shows in float32 results.
RIM = 2.0**-20


def gaps(x: Tensor, norm: Tensor, c: Tensor) -> Tensor:
    """1 - c|x|^2 (n,) of points x (n, d) with these norms; NaN off the ball.

    Next to the rim it is summed in double words, which on a GPU, where looking means waiting, all
    rows are.
    """
    gap = 1 - c * norm.square()
    if x.device.type != "cpu":
        for [own, to], [a] in blocks(1, x, gap):
            to.copy_(deficit(a.copy_(own), c).squeeze(-1))
        return gap
    index = (gap < RIM).nonzero().squeeze(-1)
    if index.numel():
        gap[index] = deficit(x[index].to(gap.dtype), c).squeeze(-1)
    return gap


def factors(norm: Tensor, gap: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """sinh r = 2 sqrt(c)|x|/X and cosh r = (2 - X)/X of points of the ball."""
    return 2 * c.sqrt() * norm / gap, (2 - gap) / gap


__all__ = ["RIM", "factors", "gaps"]
