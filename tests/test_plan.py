"""Which runs a comparison has, and how long it says it takes. No training here."""

import dataclasses

import pytest

from geomclip.comparison.calibrate import EVALUATION_STEPS, FIXED_SECONDS, STEPS, Timing
from geomclip.comparison.children import check_folders
from geomclip.comparison.plan import cores, default_jobs, plan_runs, request_of, with_steps
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError
from geomclip.results import Variant
from geomclip.train.config import recipe, to_toml


def test_names_and_order():
    runs = plan_runs(["clip", "euclip"], [0.2, 0.0], seeds=2, first_seed=5)
    assert [run.name for run in runs] == [
        "clip-seed5", "clip-seed6", "euclip-seed5", "euclip-seed6",
        "euclip-ent0.2-seed5", "euclip-ent0.2-seed6",
    ]  # fmt: skip
    assert runs[-1].variant == Variant("euclip", 0.2)
    assert runs[-1].config.entailment == 0.2 and runs[-1].config.seed == 6


def test_every_run_has_the_same_length_towers_and_data():
    runs = plan_runs(["clip", "euclip", "meru"], [0.0, 0.2], data=DataConfig(val_fraction=0.2))
    assert len({run.config.steps for run in runs}) == 1
    assert len({run.config.model for run in runs}) == 1
    assert len({run.config.batch_size for run in runs}) == 1
    assert {run.config.data.val_fraction for run in runs} == {0.2}
    longest = max(recipe(g).steps for g in ("clip", "euclip", "meru"))
    assert runs[0].config.steps >= longest


def test_overrides_lie_over_every_recipe():
    runs = plan_runs(["clip", "meru"], overrides={"lr": 0.5, "model": {"embed_dim": 6}}, steps=7)
    assert {(r.config.lr, r.config.model.embed_dim, r.config.steps) for r in runs} == {(0.5, 6, 7)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"geometries": []}, "no geometry"),
        ({"geometries": ["klip"]}, 'no geometry "klip"'),
        ({"geometries": ["euclip", "euclidean-squared"]}, "named twice"),
        ({"geometries": ["clip"], "entailment": [0.2]}, "no entailment cones"),
        ({"geometries": ["euclip"], "entailment": [-0.1]}, "entailment weights"),
        ({"geometries": ["euclip"], "entailment": []}, "entailment weights"),
        ({"geometries": ["clip"], "seeds": 0}, "seeds is 0"),
        ({"geometries": ["clip"], "steps": -3}, "-3"),
        ({"geometries": ["clip"], "overrides": {"seed": 3}}, "overrides holds seed"),
        ({"geometries": ["clip"], "overrides": {"speed": 3}}, "speed"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(arguments, words):
    with pytest.raises(RequestError, match=words):
        plan_runs(**arguments)


def test_no_steps_are_not_the_recipes_steps():
    with pytest.raises(RequestError, match="steps is 0"):
        plan_runs(["clip"], steps=0)


def test_jobs():
    three = plan_runs(["clip", "euclip", "meru"])
    assert default_jobs(three) == min(3, cores() + 1)
    assert default_jobs(plan_runs(["clip"])) == 1
    assert default_jobs(plan_runs(["clip", "meru"], overrides={"device": "cuda"})) == 1


def test_a_request_is_told_from_another():
    runs = plan_runs(["clip", "meru"], steps=100)
    assert request_of(runs, None) != request_of(with_steps(runs, 101), None)
    # With minutes the steps are an outcome, no part of what was asked for.
    assert request_of(runs, 5.0) == request_of(with_steps(runs, 101), 5.0)
    assert request_of(runs, 5.0) != request_of(runs, 6.0)


def test_timing_adds_up():
    timing = Timing(start=10.0, step=0.5, end=2.0, jobs=3)
    evaluation = FIXED_SECONDS + 3 * EVALUATION_STEPS * 0.5 / 2
    assert timing.seconds(3, 100) == pytest.approx(62 + evaluation)
    assert timing.seconds(6, 100) == pytest.approx(124 + timing.evaluation(6))


@pytest.mark.parametrize("runs", [1, 3, 9])
def test_the_steps_that_fit_do_fit_and_one_more_does_not(runs):
    timing = Timing(start=7.0, step=0.21, end=1.0, jobs=3)
    steps = timing.steps_within(600.0, runs)
    assert timing.seconds(runs, steps) <= 600 < timing.seconds(runs, steps + 1)


def test_in_too_little_time_a_few_steps_are_made():
    timing = Timing(start=20.0, step=0.5, end=1.0, jobs=3)
    least = timing.seconds(3, STEPS)
    assert timing.steps_within(12.0, 3) == timing.steps_within(least, 3) == STEPS
    assert timing.steps_within(least + 0.5, 3) == STEPS + 1


def test_a_folder_of_another_request_is_refused(tmp_path):
    (run,) = plan_runs(["clip"], steps=10)
    folder = tmp_path / run.name
    folder.mkdir()
    config = dataclasses.replace(run.config, lr=0.25)
    (folder / "config.toml").write_text(to_toml(config))
    with pytest.raises(RequestError, match=r"other settings: lr is .* was 0.25"):
        check_folders([run], tmp_path, resume=True)
    with pytest.raises(RequestError, match="already holds a run"):
        check_folders([run], tmp_path, resume=False)


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (run,) = plan_runs(["clip"], steps=10)
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / "thesis.tex").write_text("years of work")
    with pytest.raises(RequestError, match="not empty"):
        check_folders([run], tmp_path, resume=True)
    assert (tmp_path / run.name / "thesis.tex").exists()


def test_what_a_process_left_before_it_began_is_cleared(tmp_path):
    (run,) = plan_runs(["clip"], steps=10)
    (tmp_path / run.name / "checkpoints").mkdir(parents=True)
    (tmp_path / run.name / ".tmp-config.toml").write_text("half")
    check_folders([run], tmp_path, resume=True)
    assert not (tmp_path / run.name).exists()
