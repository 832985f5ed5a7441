"""What stands still is counted step by step, and told after 200 steps of it."""

import json
import math

import pytest
import torch

from geomclip.geometry import build_geometry
from geomclip.train.streaks import WARN_AFTER, Streaks

CHANCE = math.log(16)


def steps(streaks: Streaks, count: int, loss: float) -> None:
    geometry = build_geometry("clip", 8)
    for _ in range(count):
        streaks.step(geometry, loss, CHANCE)


@pytest.mark.parametrize(
    ("loss", "flat"), [(3.0, True), (CHANCE, True), (0.998 * CHANCE, True), (2.7, False)]
)
def test_a_loss_that_sits_at_chance_is_told_after_200_steps(loss: float, flat: bool) -> None:
    streaks = Streaks()
    steps(streaks, WARN_AFTER - 1, loss)
    assert streaks.record() == {"stuck": {}, "flat": False}
    steps(streaks, 1, loss)
    assert streaks.record() == {"stuck": {"contrastive": 200} if flat else {}, "flat": flat}
    json.dumps(streaks.record(), allow_nan=False)


def test_one_step_below_chance_begins_anew() -> None:
    streaks = Streaks()
    steps(streaks, 199, 3.0)
    steps(streaks, 1, 1.0)
    steps(streaks, 199, 3.0)
    assert streaks.record()["stuck"] == {}
    steps(streaks, 1, 3.0)
    assert streaks.record()["stuck"] == {"contrastive": 200}


def test_scalars_at_their_bounds_are_counted_each() -> None:
    meru = build_geometry("meru", 8)
    streaks = Streaks()
    with torch.no_grad():
        meru.manifold.log_c.fill_(math.log(0.1))
    for _ in range(150):
        streaks.step(meru, 1.0, CHANCE)
    with torch.no_grad():
        meru.logit_scale.fill_(math.log(100))
    for _ in range(200):
        streaks.step(meru, 1.0, CHANCE)
    assert streaks.record()["stuck"] == {"c": 350, "logit_scale": 200}
    with torch.no_grad():
        meru.manifold.log_c.fill_(0.0)
    streaks.step(meru, 1.0, CHANCE)
    assert streaks.record()["stuck"] == {"logit_scale": 201}


def test_cones_that_are_half_spaces_are_counted_by_lines() -> None:
    streaks = Streaks()
    collapsed = {"saturated": 0.7, "entailment_weight": 0.2}
    for step in (1, 10, 110, 210):
        streaks.line(collapsed, step)
    assert streaks.record()["stuck"] == {"cones": 210}
    streaks.line(collapsed | {"saturated": 0.2}, 220)
    assert streaks.record()["stuck"] == {}
    # Without the entailment loss nobody asked for cones; the sphere has none.
    for record in (collapsed | {"entailment_weight": 0.0}, {"entailment_weight": 0.0}):
        streaks.line(record, 900)
        assert streaks.record()["stuck"] == {}


def test_counts_go_on_where_they_were() -> None:
    whole, first = Streaks(), Streaks()
    for streaks in (whole, first):
        steps(streaks, 120, 3.0)
        streaks.line({"saturated": 1.0, "entailment_weight": 1.0}, 120)
    second = Streaks(first.counts)
    for streaks in (whole, second):
        steps(streaks, 90, 3.0)
        streaks.line({"saturated": 1.0, "entailment_weight": 1.0}, 210)
    assert whole.record() == second.record() == {
        "stuck": {"cones": 210, "contrastive": 210}, "flat": True
    }  # fmt: skip
