"""The learning rate, and the schedules of the entailment loss, at exact values."""

import math

import pytest

from geomclip.train.config import TrainConfig
from geomclip.train.schedule import entailment_schedule, lr_factor


def test_warm_up_is_linear_and_reaches_the_peak() -> None:
    assert [lr_factor(s, 100, 0.1) for s in range(10)] == [(s + 1) / 10 for s in range(10)]


def test_cosine_at_its_quarters() -> None:
    assert lr_factor(10, 90, 1 / 9) == 1.0
    assert lr_factor(30, 90, 1 / 9) == pytest.approx((1 + math.sqrt(0.5)) / 2, abs=1e-15)
    assert lr_factor(50, 90, 1 / 9) == pytest.approx(0.5, abs=1e-15)
    assert lr_factor(70, 90, 1 / 9) == pytest.approx((1 - math.sqrt(0.5)) / 2, abs=1e-15)


def test_cosine_ends_next_to_zero() -> None:
    # One step short of 0: 1 - cos(pi / 1000) over 2.
    assert lr_factor(999, 1000, 0.0) == pytest.approx((math.pi / 1000) ** 2 / 4, rel=1e-5)


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert lr_factor(0, 10, 0.0) == 1.0


def test_all_warm_up_never_falls() -> None:
    factors = [lr_factor(s, 7, 1.0) for s in range(7)]
    assert factors == sorted(factors) and factors[-1] == 1.0


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_run_is_an_error(step: int) -> None:
    with pytest.raises(ValueError, match=rf"\[0, 10\), got {step}"):
        lr_factor(step, 10, 0.1)


def test_a_warm_up_of_more_than_the_run_is_an_error() -> None:
    with pytest.raises(ValueError, match="share of the steps"):
        lr_factor(0, 10, 1.5)


def test_entailment_weight_and_cone_constant_by_step() -> None:
    config = TrainConfig(
        steps=100,
        entailment=0.2,
        entailment_start=0.5,
        entailment_full=0.75,
        min_radius=0.3,
        final_min_radius=0.1,
    )
    at = {step: entailment_schedule(config, step) for step in (0, 50, 60, 75, 99)}
    assert [weight for weight, _ in at.values()] == pytest.approx([0, 0, 0.08, 0.2, 0.2])
    assert [k for _, k in at.values()] == pytest.approx([0.3, 0.2, 0.18, 0.15, 0.102])


def test_the_cone_constant_stays_when_no_end_is_given() -> None:
    config = TrainConfig(steps=100, entailment=0.2)
    assert {entailment_schedule(config, step) for step in range(100)} == {(0.2, 0.1)}
