"""Standard errors from the data themselves: bootstrap and jackknife.

The bootstrap draws n of n things with replacement, again and again, and looks how far a statistic
moves (Efron 1979). Of means and quantiles that distribution is known without drawing. The block
jackknife leaves out one of b blocks at a time (Quenouille 1956); it also takes off the bias of
order 1/n that a curved statistic has, which no resampling with replacement does.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.statistics import Measured

REPLICATES = 200
# More things than this are resampled m out of n, and the error scaled by sqrt(m / n).
LARGEST = 50_000
BLOCKS = 20


def mean(values: Float[Tensor, "n"]) -> Measured:
    """The mean; its bootstrap error is s / sqrt(n), s the standard deviation. NaN without values.

    None as the error of a single value.
    """
    n = len(values)
    wide = values.double()
    error = wide.std().item() / math.sqrt(n) if n > 1 else None
    return Measured(wide.mean().item(), error, n)


def quantile(values: Float[Tensor, "n"], p: float = 0.5, seed: int = 0) -> Measured:
    """A quantile, interpolated linearly; its error is that of the bootstrap.

    The k-th of n draws from n values is the value at a Beta(k, n - k + 1) share of them, so that
    no sample has to be drawn.
    """
    n = len(values)
    ordered = values.double().sort().values
    at = p * (n - 1)
    low = math.floor(at)
    value = ordered[low].lerp(ordered[min(low + 1, n - 1)], at - low).item()
    if n < 2:
        return Measured(value, None, n)
    k = p * (n - 1) + 1
    generator = torch.Generator().manual_seed(seed)
    # A Beta variate from two Gamma ones, which torch draws from a generator of its own choice only:
    # Wilson and Hilferty's cube of a normal is as exact as 2000 draws can tell for k above 5, and
    # the quantiles of fewer values are not known better than that.
    gammas = [_gamma(a, 2000, generator) for a in (k, n - k + 1)]
    rank = (gammas[0] / (gammas[0] + gammas[1]) * n).floor().long().clamp_max(n - 1)
    return Measured(value, ordered[rank].std().item(), n)


def _gamma(a: float, count: int, generator: torch.Generator) -> Tensor:
    z = torch.randn(count, generator=generator, dtype=torch.float64)
    return a * (1 - 1 / (9 * a) + z / (3 * math.sqrt(a))).clamp_min(1e-6) ** 3


def bootstrap(
    statistic: Callable[[Tensor], float], n: int, *, replicates: int = REPLICATES, seed: int = 0
) -> Measured:
    """A statistic of rows 0..n-1 with its bootstrap error.

    Args:
        statistic: takes rows (m,), repeated ones too; called with all of them for the value.
    """
    value = statistic(torch.arange(n))
    if n < 2:
        return Measured(value, None, n)
    m = min(n, LARGEST)
    generator = torch.Generator().manual_seed(seed)
    drawn = [statistic(torch.randint(n, (m,), generator=generator)) for _ in range(replicates)]
    error = torch.tensor(drawn, dtype=torch.float64).std().item() * math.sqrt(m / n)
    return Measured(value, error, n)


def mean_over_tuples(
    values: Float[Tensor, "q"],
    members: Int[Tensor, "q k"],
    n: int,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Measured:
    """Mean of a value of pairs, triples, ... of n things, which share members and so are not
    independent: things are drawn, and a tuple counts as often as all of its members together.

    Args:
        values: of q tuples.
        members: the things, 0..n-1, in each.
    """
    wide = values.double()
    value = wide.mean().item()
    if n < 2:
        return Measured(value, None, n)
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(replicates):
        often = torch.bincount(torch.randint(n, (n,), generator=generator), minlength=n).double()
        weight = often[members].prod(1)
        total = weight.sum().item()
        if total > 0:
            drawn.append((weight @ wide).item() / total)
    error = torch.tensor(drawn, dtype=torch.float64).std().item() if len(drawn) > 1 else None
    return Measured(value, error, n)


def jackknife(whole: float, left_out: Sequence[float], n: int) -> Measured:
    """A statistic without its bias of order 1/n, from its values without one block each.

        value = b whole - (b - 1) mean(left_out)
        error = sqrt((b - 1) / b sum (left_out - mean(left_out))^2)

    Args:
        whole: of all n things.
        left_out: without the k-th of b equal blocks, drawn at random.
    """
    b = len(left_out)
    if b < 2:
        return Measured(whole, None, n)
    values = torch.tensor(left_out, dtype=torch.float64)
    middle = values.mean()
    error = ((b - 1) / b * (values - middle).square().sum()).sqrt().item()
    return Measured(b * whole - (b - 1) * middle.item(), error, n)


def blocks(n: int, count: int = BLOCKS, seed: int = 0) -> list[Tensor]:
    """The rows 0..n-1 in `count` blocks drawn at random, of equal size to within one row; fewer
    blocks where there are fewer than two rows for each."""
    count = max(1, min(count, n // 2))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return list(order.tensor_split(count))


def auc(a: Float[Tensor, "n"], b: Float[Tensor, "m"]) -> Measured:
    """P(a > b) + P(a = b) / 2 of a value of each set; the error by its projections on each (DeLong
    et al. 1988)."""

    def above(x: Tensor, y: Tensor) -> Tensor:
        ordered = y.sort().values
        low = torch.searchsorted(ordered, x, right=False)
        high = torch.searchsorted(ordered, x, right=True)
        return (low + high).double() / (2 * len(y))

    parts = [above(a, b), above(b, a)]
    variance = sum(part.var().item() / len(part) for part in parts if len(part) > 1)
    return Measured(parts[0].mean().item(), math.sqrt(variance), len(a) + len(b))
