"""compare() for real: processes that train, a report, resume, interruption, failure."""

import csv
import fcntl
import json
import os
import shlex
import shutil
import signal
import sys
from types import SimpleNamespace

import comparing
import holding
import pytest
import torch

from geomclip.cli.compare import CompareOptions, read_overrides
from geomclip.cli.options import parse, spell_out
from geomclip.compare import compare
from geomclip.comparison.children import REQUESTS, run_children, start
from geomclip.comparison.measure import extremes
from geomclip.comparison.plan import plan_runs, request_of
from geomclip.data.config import DataConfig
from geomclip.errors import Interrupted, RequestError
from geomclip.evaluate.retrieval import Retrieved
from geomclip.results import read_results, write_file
from geomclip.train import run as run_folder

STEPS = 20
NAMES = ["clip", "euclip"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    table = comparing.write_table(tmp_path_factory.mktemp("emoji"))
    return DataConfig(str(table), label_columns=("group", "subgroup"), val_fraction=0.3)


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    """A comparison of two geometries over 20 steps, with the events it told."""
    events = []
    comparison = compare(
        NAMES, steps=STEPS, data=data, out=tmp_path_factory.mktemp("comparison"),
        overrides=comparing.OVERRIDES, progress=events.append,
    )  # fmt: skip
    return SimpleNamespace(comparison=comparison, out=comparison.out, events=events, data=data)


def test_it_says_first_how_long_it_takes_and_then_how_far_it_is(done):
    told = [event for event in done.events if "message" not in event]
    assert told[0]["expected_seconds"] > 0
    assert told[0]["runs"] == ["clip-seed0", "euclip-seed0"]
    for name in told[0]["runs"]:
        steps = [event for event in told if event.get("run") == name]
        assert [e["step"] for e in steps] == [1, *range(2, STEPS + 1, 2)]
        assert all(e["steps"] == STEPS and e["chance"] > 0 and e["loss"] > 0 for e in steps)
        assert steps[-1]["eta_seconds"] == 0


def test_it_leaves_results_report_and_run_folders(done):
    with (done.out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["geometry"] for row in rows} == {"clip", "euclip"}
    metrics = {g: {r["metric"] for r in rows if r["geometry"] == g} for g in NAMES}
    assert {"i2t_r1", "t2i_r10", "zeroshot_group_acc", "root_tau", "train_cpu_seconds"} <= metrics[
        "clip"
    ]
    assert "cone_own_group" in metrics["euclip"] - metrics["clip"]
    assert read_results(done.out / "results.json").rows == done.comparison.results.rows
    for name in NAMES:
        assert run_folder.finished(done.out / f"{name}-seed0")["step"] == STEPS
    page = (done.out / "report.html").read_text(encoding="utf-8")
    assert "EuCLIP" in page and len(page) < 10_000_000
    assert not (done.out / REQUESTS / "calibration").exists()


def test_the_command_it_names_asks_for_the_same(done):
    words = shlex.split(done.comparison.results.settings["command"])
    assert words[:2] == ["geomclip", "compare"]
    options = parse(CompareOptions, spell_out(words[2:]), prog="geomclip compare")
    assert options.geometry_names() == NAMES and options.steps == STEPS
    assert options.data == done.data
    assert read_overrides(options) == json.loads(json.dumps(comparing.OVERRIDES))


def test_the_table_has_both_geometries(done):
    head = done.comparison.table().splitlines()[0]
    assert head.split()[:2] == ["CLIP", "EuCLIP"]
    assert "pictures" not in done.comparison.to_dict()["gallery"]


def test_the_gallery_shows_the_same_pictures_for_every_geometry(done):
    gallery = done.comparison.results.gallery
    assert len(gallery["items"]) == 10
    for item in gallery["items"]:
        assert set(item["found"]) == set(NAMES)
        for found in item["found"].values():
            right = [place for place, top in enumerate(found["top"], 1) if top["right"]]
            assert right == ([found["rank"]] if found["rank"] <= 5 else [])


def test_the_spaces_are_measured_drawn_and_walked_through(done):
    results = done.comparison.results
    metrics = {r.metric for r in results.rows if (r.geometry, r.split) == ("euclip", "validation")}
    assert {"root_tau_texts", "root_auc", "modality_accuracy", "ancestor_ap"} < metrics
    assert set(results.runs[0].errors["validation"]) > {"root_tau", "root_auc", "ancestor_ap"}
    assert results.left_out == {} and set(results.traversals) == set(NAMES)
    again = read_results(done.out / "results.json")
    assert again.spaces == results.spaces and again.traversals == results.traversals
    for item, strip in zip(
        results.gallery["items"], results.traversals["clip"]["strips"], strict=True
    ):
        atlas, panel = results.spaces["atlas"], results.spaces["atlas"]["panels"][0]
        row = next(
            int(i) for i in panel["traversals"]
            if atlas["captions"][int(i)] == item["name"]
        )  # fmt: skip
        steps = panel["traversals"][str(row)]
        assert [name for name, _ in strip] == [
            "[ROOT]" if i < 0 else atlas["captions"][i] for i in steps
        ]


def test_the_worst_are_the_farthest_down_and_the_best_lead_by_most():
    found = Retrieved(
        torch.tensor([1, 7, 1, 3, 7]), torch.zeros(5, 2, dtype=torch.long),
        torch.tensor([[2.0, 1.0], [1.0, 0.0], [5.0, 1.0], [0.0, 0.0], [1.0, 1.0]]),
    )  # fmt: skip
    assert extremes(found) == {"best": [2, 0], "worst": [1, 4, 3]}


def test_a_process_of_its_own_changes_no_number(done, data, tmp_path):
    from geomclip.train import train

    (run,) = plan_runs(["euclip"], steps=STEPS, data=data, overrides=comparing.OVERRIDES)
    train(run.config, tmp_path / "alone")
    weights = [p / "model.safetensors" for p in (tmp_path / "alone", done.out / "euclip-seed0")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_second_call_takes_finished_runs_as_they_are(done, data, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(done.out, out)
    events = []
    again = compare(
        NAMES,
        steps=STEPS,
        data=data,
        out=out,
        overrides=comparing.OVERRIDES,
        progress=events.append,
    )
    assert again.results.rows == done.comparison.results.rows
    assert not any("step" in event for event in events)
    (first,) = [event for event in events if "runs" in event]
    assert first["finished"] == first["runs"] == ["clip-seed0", "euclip-seed0"]
    with pytest.raises(RequestError, match="other settings: steps is 21, was 20"):
        compare(NAMES, steps=STEPS + 1, data=data, out=out, overrides=comparing.OVERRIDES)
    with pytest.raises(RequestError, match="already holds a run"):
        compare(NAMES, steps=STEPS, data=data, out=out, overrides=comparing.OVERRIDES, resume=False)


def test_damaged_run_folders_are_named_on_a_page_that_still_opens(done, data, tmp_path):
    shutil.copytree(done.out, tmp_path / "c")
    before = (tmp_path / "c" / "report.html").read_text(encoding="utf-8")

    def again(told):
        return compare(
            NAMES, steps=STEPS, data=data, out=tmp_path / "c",
            overrides=comparing.OVERRIDES, progress=told.append,
        ).results  # fmt: skip

    log = tmp_path / "c" / "clip-seed0" / "metrics.jsonl"
    log.write_text('{"step": 1, "lo\n' + log.read_text())
    os.truncate(tmp_path / "c" / "euclip-seed0" / "model.safetensors", 1000)
    told = []
    found = again(told)
    assert [run.name for run in found.runs] == ["clip-seed0"]
    assert "metrics.jsonl line 1 is damaged" in found.runs[0].notes[0]
    assert "euclip-seed0 is left out" in found.left_out["runs"]
    assert {"message": found.left_out["runs"]} in told
    after = (tmp_path / "c" / "report.html").read_text(encoding="utf-8")
    for words in ("euclip-seed0 is left out", "line 1 is damaged", "hold no readable log"):
        assert words in after and words not in before
    log.with_name("model.safetensors").unlink()
    with pytest.raises(RequestError, match="there is no such file"):
        again([])
    assert (tmp_path / "c" / "report.html").read_text(encoding="utf-8") == after


def test_minutes_keep_their_steps_on_a_second_call(done, data, tmp_path):
    out = tmp_path / "minutes"
    shutil.copytree(done.out, out)
    runs = plan_runs(NAMES, steps=STEPS, data=data, overrides=comparing.OVERRIDES)
    begun = {"request": request_of(runs, 7.0), "steps": STEPS}
    write_file(out / REQUESTS / "comparison.json", json.dumps(begun))
    again = compare(NAMES, minutes=7.0, data=data, out=out, overrides=comparing.OVERRIDES)
    assert again.results.settings["steps"] == STEPS


def test_an_interrupted_comparison_goes_on_where_it_stopped(done, data, tmp_path, monkeypatch):
    (run,) = plan_runs(["clip"], steps=STEPS, data=data, overrides=comparing.OVERRIDES)
    seen = []

    def stop_early(run, record, elapsed):
        if not seen:
            os.kill(os.getpid(), signal.SIGINT)
        seen.append(record["step"])

    # In place of `python -m geomclip`, a program that waits at the first step for the signal.
    held = tmp_path / "held"
    held.write_text(
        f'#!/bin/sh\nshift 2\nexec {shlex.join([sys.executable, holding.__file__])} 1 "$@"\n'
    )
    held.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(held))
        with pytest.raises(Interrupted, match="0 of 1 runs are finished"):
            run_children([run], tmp_path, 1, stop_early)
    assert run_folder.finished(tmp_path / run.name) is None
    assert run_folder.has_run(tmp_path / run.name)
    run_children([run], tmp_path, 1, lambda *news: seen.append(news[1]["step"]))
    assert run_folder.finished(tmp_path / run.name)["step"] == STEPS and seen[-1] == STEPS
    weights = [p / run.name / "model.safetensors" for p in (tmp_path, done.out)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_failed_run_is_told_in_its_own_words(data, tmp_path):
    (run,) = plan_runs(["clip"], steps=2, data=DataConfig(str(tmp_path / "gone.csv")))
    with pytest.raises(RequestError, match=r"clip-seed0 failed \(exit code 2\): .*gone.csv"):
        run_children([run], tmp_path / "out", 1, lambda *news: None)
    log = tmp_path / "out" / REQUESTS / "clip-seed0.log"
    assert "gone.csv" in log.read_text()


def test_a_run_in_other_hands_is_left_alone(tmp_path):
    (run,) = plan_runs(["clip"], steps=2)
    lock = tmp_path / REQUESTS / "clip-seed0.lock"
    lock.parent.mkdir()
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RequestError, match="still being trained by another process"):
            start(run, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 3, "minutes": 1.0}, "both set the length"),
        ({"minutes": 0.0}, "minutes is 0"),
        ({"jobs": 0}, "jobs is 0"),
    ],
)
def test_contradictions_are_refused(arguments, words, tmp_path):
    with pytest.raises(RequestError, match=words):
        compare(NAMES, out=tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists()
