"""What a difference between runs allows one to say: mean, spread over seeds, standard errors.

Two sources of chance stand behind a number of a comparison, and neither replaces the other:

- the run: weights, data order and augmentation follow from the seed. The spread s over k seeds
  gives the mean a standard error s / sqrt(k); one seed gives none.
- the items: a share of n test items has a binomial standard error, and asking the same items again
  under more seeds does not make it smaller.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Two-sided 95 % quantile of the normal distribution.
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A metric of one geometry over its seeds.

    `spread` is the sample standard deviation over seeds (None with one seed), `item_error` the
    standard error over the test items: binomial for a share of `items` of them, its own for another
    mean over them, None where it is not known.
    """

    mean: float
    spread: float | None
    seeds: int
    item_error: float | None
    items: int | None = None

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain values, for JSON."""
        return {
            "mean": self.mean,
            "spread": self.spread,
            "seeds": self.seeds,
            "item_error": self.item_error,
        }


@dataclass(frozen=True)
class Measured:
    """One number found in a set of n things, and what another set of n such things would change.

    Args:
        value: the number.
        error: its standard error; None where it is no estimate (a count, a setting).
        n: how many things it was found in.
    """

    value: float
    error: float | None
    n: int

    @property
    def low(self) -> float | None:
        """Lower end of the 95 % interval, value - 1.96 error."""
        return None if self.error is None else self.value - Z95 * self.error

    @property
    def high(self) -> float | None:
        """Upper end of the 95 % interval."""
        return None if self.error is None else self.value + Z95 * self.error

    def to_dict(self) -> dict[str, float | int | None]:
        """value, error, low, high and n."""
        return {
            "value": self.value,
            "error": self.error,
            "low": self.low,
            "high": self.high,
            "n": self.n,
        }


def share(hits: int, n: int) -> Measured:
    """hits / n with `binomial_error`. Raises ValueError unless 0 <= hits <= n and n >= 1."""
    return Measured(hits / n if n else math.nan, binomial_error(hits / max(n, 1), n), n)


def binomial_error(share: float, items: int) -> float:
    """Standard error of a share p of n items, after two more hits and two more misses.

    sqrt(q (1 - q) / (n + 4)) with q = (p n + 2) / (n + 4) (Agresti and Coull 1998). The plain
    sqrt(p (1 - p) / n) is 0 at p = 0 and p = 1, as if no hits in ten items proved that there are
    none; for many items and hits the two agree.

    Raises ValueError unless 0 <= p <= 1 and n >= 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"binomial_error: a share lies between 0 and 1, got {share}")
    if items < 1:
        raise ValueError(f"binomial_error: needs at least one item, got {items}")
    adjusted = (share * items + 2) / (items + 4)
    return math.sqrt(adjusted * (1 - adjusted) / (items + 4))


def spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1 in the denominator); None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def estimate(values: Sequence[float], items: int | None = None) -> Estimate:
    """Mean and spread of one value per seed; `items` is the number of test items behind a share.

    Raises ValueError without values.
    """
    if not values:
        raise ValueError("estimate: no values; give one per seed")
    mean = math.fsum(values) / len(values)
    error = None if items is None else binomial_error(mean, items)
    return Estimate(mean, spread(values), len(values), error, items)


def welch_margin(a: Estimate, b: Estimate) -> float | None:
    """Half width of the 95 % interval of the difference of two means over seeds (Welch's t).

    t_{0.975, nu} sqrt(s_a^2/k_a + s_b^2/k_b), with Welch-Satterthwaite's nu. None when either has
    one seed.
    """
    if a.spread is None or b.spread is None:
        return None
    va, vb = a.spread**2 / a.seeds, b.spread**2 / b.seeds
    if va + vb == 0:
        return 0.0
    nu = (va + vb) ** 2 / (va**2 / (a.seeds - 1) + vb**2 / (b.seeds - 1))
    from scipy.special import stdtrit

    return float(stdtrit(nu, 0.975)) * math.sqrt(va + vb)


def item_margin(a: Estimate, b: Estimate) -> float | None:
    """Half width of the 95 % interval of the difference that the choice of test items allows.

    1.96 sqrt(e_a^2 + e_b^2), as if the two had been asked different items. They are asked the same
    ones and tend to fail on the same, so this interval is rather too wide than too narrow. None
    when either has no error over items.

    The binomial error belongs to q = (p n + 2) / (n + 4), and differences of q are n / (n + 4) of
    those of p: the error of a share is made (n + 4) / n of it. Of 7 items 2 and 5 hits would lie
    outside otherwise, whose exact test (Fisher's) has p = 0.29.
    """
    if a.item_error is None or b.item_error is None:
        return None
    wider = [(e.items + 4) / e.items if e.items else 1.0 for e in (a, b)]
    return Z95 * math.hypot(wider[0] * a.item_error, wider[1] * b.item_error)


def beats(a: Estimate, b: Estimate) -> bool:
    """Whether a's mean lies above b's by more than seeds and items give by chance (95 % each).

    Always False with one seed: what another seed would have given is unknown.
    """
    seeds, items = welch_margin(a, b), item_margin(a, b)
    difference = a.mean - b.mean
    return seeds is not None and difference > seeds and (items is None or difference > items)


def ahead_on_these_items(a: Estimate, b: Estimate) -> bool:
    """Whether a lies above b by more than the choice of test items gives by chance (95 %).

    A statement about these very runs, not about their geometries: see `beats`.
    """
    margin = item_margin(a, b)
    return margin is not None and a.mean - b.mean > margin
