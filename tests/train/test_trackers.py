"""TensorBoard and wandb hold what metrics.jsonl holds, once, however often a run was resumed."""

import importlib.util
import json
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from geomclip.errors import RequestError
from geomclip.train import train
from geomclip.train.config import TrainConfig
from geomclip.train.log import read_metrics
from geomclip.train.trackers import Series, check_trackers, open_trackers

LOG = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tensorboard", "wandb")),
    reason="needs the extra log",
)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of its event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def rows(folder: Path) -> list[dict[str, Any]]:
    """What wandb has written for its server, in the order of its sessions."""
    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for record in records(file):
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                names = [item.key or ".".join(item.nested_key) for item in items]
                values = [json.loads(item.value_json) for item in items]
                found.append(dict(zip(names, values, strict=True)))
    return found


def records(file: Path) -> list[Any]:
    """The records of a file. Without a server wandb's own process writes on after `finish`; the
    record of the end is the sign that all is there.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    deadline = time.monotonic() + 300
    while True:
        found = [Record.FromString(data) for data in leveldb_log(file.read_bytes()[7:])]
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        assert time.monotonic() < deadline, f"{file} has no end"
        time.sleep(0.02)


def leveldb_log(data: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format: blocks of 32 KiB, of chunks with a checksum, a
    length and a kind (1 whole, 2 first, 3 middle, 4 last). wandb's own 7 bytes are cut off before
    but count for the first block.
    """
    place, whole = 7, b""
    data = bytes(7) + data
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        if place + 7 + length > len(data):  # not yet written to its end
            return
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def test_lines_become_flat_numbers_and_what_is_named_no_more_is_0() -> None:
    series = Series()
    line = {"step": 4, "loss": 2.0, "flat": True, "losses": {"chains": 0.5}, "stuck": {}}
    bound = {"at_bound": {"c": "lower", "logit_scale": "upper"}, "bounds": {"c": 3}}
    assert series(line | bound) == {
        "loss": 2.0, "flat": 1.0, "losses/chains": 0.5,
        "at_bound/c": -1.0, "at_bound/logit_scale": 1.0, "bounds/c": 3.0,
    }  # fmt: skip
    assert series({"step": 8, "loss": float("nan"), "at_bound": {"c": "upper"}, "bounds": {}}) == {
        "at_bound/c": 1.0, "at_bound/logit_scale": 0.0, "bounds/c": 0.0
    }  # fmt: skip


@LOG
def test_a_run_reports_every_number_and_a_resumed_one_none_twice(
    tmp_path: Path, small: SimpleNamespace, splits: Any, offline: None
) -> None:
    config = small.config(
        geometry="meru", entailment=0.2, steps=12, checkpoint_every=4, log_every=2,
        report_to="tensorboard,wandb",
    )  # fmt: skip
    out = tmp_path / "run"

    class Stop(Exception):
        pass

    def stop(record: dict[str, Any]) -> None:
        if record["step"] == 10:  # two lines after the checkpoint that it will resume from
            raise Stop

    with pytest.raises(Stop):
        train(config, out, splits=splits, progress=stop)
    train(config, out, splits=splits, resume=True)
    records = read_metrics(out / "metrics.jsonl")
    steps = [r["step"] for r in records]
    assert steps == [1, 2, 4, 6, 8, 10, 12]

    shown = curves(out / "tensorboard")
    for name in ("loss", "beta", "c", "alpha_text", "exterior_angle", "satisfied", "saturated"):
        assert [s for s, _ in shown[name]] == steps, name
        assert [v for _, v in shown[name]] == pytest.approx([r[name] for r in records], rel=1e-6)
    for name in ("image", "text", "scalars/c", "scalars/logit_scale", "scalars/alpha_image"):
        expected = [r["grad_norms"][name] for r in records]
        assert [v for _, v in shown[f"grad_norms/{name}"]] == pytest.approx(expected, rel=1e-6)

    sent = rows(out)
    assert [row["_step"] for row in sent] == steps
    assert [row["loss"] for row in sent] == [r["loss"] for r in records]
    assert sent[-1]["grad_norms/text"] == records[-1]["grad_norms"]["text"]
    # The interrupted session's file made room for the one that holds all.
    (file,) = out.glob("wandb/offline-run-*/run-*.wandb")
    assert file.name == f"run-{(out / 'wandb_id').read_text().strip()}.wandb"


@LOG
def test_who_is_asked_for_later_gets_the_lines_from_before(
    tmp_path: Path, small: SimpleNamespace, offline: None
) -> None:
    config = small.config(report_to="tensorboard,wandb")
    history = [{"step": s, "loss": 1 / s} for s in (1, 2, 4)]
    for tracker in open_trackers(config, tmp_path, history=history, logged=6):
        tracker.write({"step": 6, "loss": 1 / 6})
        tracker.close(complete=False)
    assert [s for s, _ in curves(tmp_path / "tensorboard")["loss"]] == [1, 2, 4, 6]
    assert [(row["_step"], row["loss"]) for row in rows(tmp_path)] == [
        (1, 1.0), (2, 0.5), (4, 0.25), (6, 1 / 6)
    ]  # fmt: skip


@LOG
def test_what_was_uploaded_is_not_sent_again(
    tmp_path: Path, small: SimpleNamespace, offline: None
) -> None:
    config = small.config(report_to="wandb")
    (first,) = open_trackers(config, tmp_path, history=[], logged=0)
    lines = [{"step": s, "loss": 1 / s} for s in (1, 2, 4, 6)]
    for line in lines:
        first.write(line)
    first.close(complete=False)
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    records(file)
    file.with_name(f"{file.name}.synced").touch()  # as `wandb sync` does
    time.sleep(1.1)  # sessions are told apart by the second that they begin in
    (second,) = open_trackers(config, tmp_path, history=lines[:2], logged=6)
    for line in [*lines[2:], {"step": 8, "loss": 0.1}]:
        second.write(line)
    second.close(complete=False)
    assert [row["_step"] for row in rows(tmp_path)] == [1, 2, 4, 6, 8]


def test_a_missing_package_is_answered_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(RequestError, match="the package wandb is not installed") as caught:
        train(TrainConfig(report_to="wandb"), tmp_path / "run")
    assert "pip install 'geomclip[log]'" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_folder_called_wandb_is_no_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / "wandb").mkdir()
    with pytest.raises(RequestError, match="the package wandb is not installed"):
        check_trackers(TrainConfig(report_to="wandb"))


@pytest.mark.parametrize("text", ["tensorbord", "wandb,wandb", "tensorboard,", "a,b"])
def test_what_is_no_tracker_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is no tracker, or named twice"):
        TrainConfig(report_to=text)
