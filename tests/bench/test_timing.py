"""Spreads, ratios and turns, with a stopwatch that says what it is told."""

import pytest

from geomclip.bench.timing import INERT, SHORTEST, Spread, alternate, clock, ratios, watch


def test_a_spread_is_median_and_range():
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread.of([1.0, 2.0]).median == 1.5
    assert str(Spread(1.234, 0.5, 2.0)) == "1.23 [0.50-2.00]"


def test_ratios_are_of_one_round_each():
    # A round twice as slow for both changes times, not ratios; a quotient of medians would be 1.5.
    assert ratios([2.0, 6.0, 4.0], [1.0, 3.0, 4.0]) == Spread(2.0, 1.0, 2.0)
    with pytest.raises(ValueError):
        ratios([1.0], [1.0, 2.0])


def test_competitors_take_turns_and_change_the_first():
    order = []
    seconds = alternate(
        {name: lambda name=name: order.append(name) for name in "abc"},
        3,
        lambda step: (step(), INERT)[1],
    )
    assert "".join(order) == "abcbcacab"
    assert seconds == {"a": [INERT] * 3, "b": [INERT] * 3, "c": [INERT] * 3}


def test_short_steps_come_once_for_nothing_and_are_repeated():
    calls = 0

    def step():
        nonlocal calls
        calls += 1

    def stopwatch(turn):
        before = calls
        turn()
        slow = 3 if before in (0, 9) else 1  # the first step of a turn, after others
        return (calls - before) * slow * SHORTEST / 24

    seconds = alternate({"a": step}, 2, stopwatch)
    assert seconds == {"a": [SHORTEST / 24] * 2}
    assert calls == 2 * (1 + 8)


def test_the_clock_fits_what_works():
    assert clock("cpu", 1) == "CPU seconds" and clock("cpu", 2) == "wall seconds"
    assert clock("cuda:0", 1) == "GPU seconds"
    spin = watch("cpu", 1)(lambda: sum(range(300_000)))
    assert spin > 0
