"""Spread, standard errors, and what may be said from them."""

import math

import numpy
import pytest
from scipy import stats

from geomclip import statistics
from geomclip.statistics import ahead_on_these_items, beats, estimate


def test_spread_is_the_sample_standard_deviation():
    values = [0.31, 0.29, 0.36, 0.30]
    assert statistics.spread(values) == pytest.approx(numpy.std(values, ddof=1), rel=1e-14)
    assert statistics.spread([2.0, 4.0]) == pytest.approx(math.sqrt(2))


def test_one_seed_has_no_spread():
    assert statistics.spread([0.4]) is None
    assert estimate([0.4]).spread is None


def test_binomial_error_exact_values():
    # Two hits and two misses more: 50 of 100 become 52 of 104, none of 96 becomes 2 of 100.
    assert statistics.binomial_error(0.5, 100) == pytest.approx(0.5 / math.sqrt(104))
    assert statistics.binomial_error(0.0, 96) == pytest.approx(math.sqrt(0.02 * 0.98 / 100))
    assert statistics.binomial_error(1.0, 96) == pytest.approx(0.014)


def test_binomial_error_tends_to_the_plain_one():
    plain = math.sqrt(0.3 * 0.7 / 1e6)
    assert statistics.binomial_error(0.3, 10**6) == pytest.approx(plain, rel=1e-5)


def test_no_hits_are_no_certainty():
    none, some = estimate([0.0], items=100), estimate([0.02], items=100)
    assert none.item_error > 0
    assert not ahead_on_these_items(some, none)


@pytest.mark.parametrize("n", [5, 7, 12, 40])
def test_hits_of_few_items_are_ahead_only_where_an_exact_test_agrees(n):
    """The fewest hits that count as ahead of b, against Fisher's exact test, which is stricter."""
    from scipy.stats import fisher_exact

    found = []
    for b in range(n):
        low = estimate([b / n], n)
        ahead = (a for a in range(b, n + 1) if ahead_on_these_items(estimate([a / n], n), low))
        if (a := next(ahead, None)) is not None:
            found.append(fisher_exact([[a, n - a], [b, n - b]]).pvalue)
    assert found and max(found) < 0.1


@pytest.mark.parametrize(("share", "items"), [(-0.1, 5), (1.1, 5), (0.5, 0), (math.nan, 5)])
def test_binomial_error_refuses(share, items):
    with pytest.raises(ValueError, match="binomial_error"):
        statistics.binomial_error(share, items)


def test_estimate_refuses_no_values():
    with pytest.raises(ValueError, match="no values"):
        estimate([])


def test_welch_margin_agrees_with_scipy():
    a, b = [0.41, 0.44, 0.40, 0.43], [0.36, 0.30, 0.35]
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    margin = statistics.welch_margin(estimate(a), estimate(b))
    assert margin == pytest.approx((high - low) / 2, rel=1e-9)


def test_one_seed_never_beats():
    high, low = estimate([0.9], items=1000), estimate([0.1], items=1000)
    assert not beats(high, low)
    assert ahead_on_these_items(high, low)


def test_beats_needs_both_the_seeds_and_the_items():
    steady_high, steady_low = [0.50, 0.51, 0.49], [0.40, 0.41, 0.39]
    assert beats(estimate(steady_high, 1500), estimate(steady_low, 1500))
    # The same difference over 50 items is within the binomial error of the items.
    assert not beats(estimate(steady_high, 50), estimate(steady_low, 50))
    # The same difference with a wide spread over seeds is not enough either.
    assert not beats(estimate([0.7, 0.3, 0.5], 1500), estimate([0.6, 0.2, 0.4], 1500))


def test_beats_is_asymmetric_and_irreflexive():
    a, b = estimate([0.50, 0.51], 4000), estimate([0.10, 0.11], 4000)
    assert beats(a, b) and not beats(b, a) and not beats(a, a)


def test_metrics_that_are_no_share_are_judged_by_seeds_alone():
    tau, other = estimate([0.42, 0.43, 0.41]), estimate([0.30, 0.31, 0.29])
    assert beats(tau, other)
    assert not ahead_on_these_items(tau, other)


def test_estimate_survives_json():
    import json

    assert json.loads(json.dumps(estimate([0.5, 0.7], 10).to_dict())) == {
        "mean": pytest.approx(0.6), "spread": pytest.approx(math.sqrt(0.02)), "seeds": 2,
        "item_error": pytest.approx(math.sqrt(8 / 14 * 6 / 14 / 14)),
    }  # fmt: skip
