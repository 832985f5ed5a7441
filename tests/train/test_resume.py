"""Killed or interrupted and resumed, a run ends with the bits of one that nothing happened to."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from geomclip.errors import Interrupted, RequestError
from geomclip.train import train
from geomclip.train.checkpoint import checkpoints
from geomclip.train.log import TIMING, read_metrics


def untimed(out: Path) -> list[dict[str, Any]]:
    records = read_metrics(out / "metrics.jsonl")
    return [{k: v for k, v in record.items() if k not in TIMING} for record in records]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_and_resumed_is_the_same_run(
    tmp_path: Path, reference: Any, small: SimpleNamespace, splits: Any, settings: dict[str, Any],
    start: Callable[..., Any], weights: Callable[..., Any], same: Callable[..., bool],
) -> None:  # fmt: skip
    out = tmp_path / "run"
    process = start(out, json.dumps(settings), "--hold", 16)
    log = out / "metrics.jsonl"
    wait_for(lambda: any(r["step"] == 16 for r in read_metrics(log)), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "finished.json").exists()
    assert [p.name for p in checkpoints(out)] == ["step-000010"]
    assert [r["step"] for r in read_metrics(log)][-1] == 16

    resumed: list[dict[str, Any]] = []
    result = train(
        small.config(**settings), out, resume=True, splits=splits, progress=resumed.append
    )
    assert resumed[0]["step"] == 12
    assert same(weights(out), weights(reference.out))
    assert untimed(out) == untimed(reference.out)
    assert [p.name for p in checkpoints(out)] == ["step-000020", "step-000030"]
    times = [r["seconds"] for r in read_metrics(log)]
    assert times == sorted(times)
    assert result.seconds >= times[-1]


def test_ctrl_c_saves_and_says_how_to_go_on(
    tmp_path: Path, reference: Any, small: SimpleNamespace, splits: Any, settings: dict[str, Any],
    start: Callable[..., Any], weights: Callable[..., Any], same: Callable[..., bool],
) -> None:  # fmt: skip
    out = tmp_path / "a run"
    process = start(out, json.dumps(settings), "--hold", 4)
    wait_for(lambda: len(read_metrics(out / "metrics.jsonl")) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=300)
    assert process.returncode == 130
    what, how = text.strip().split("\n")
    saved = checkpoints(out)[-1]
    assert "SIGINT" in what and str(saved) in what
    assert how == f"  Continue with geomclip train --resume --out '{out}'."
    assert 4 <= int(saved.name.removeprefix("step-")) < 30

    train(small.config(**settings), out, resume=True, splits=splits)
    assert same(weights(out), weights(reference.out))
    assert untimed(out) == untimed(reference.out)


def test_sigterm_between_checkpoints_too(
    tmp_path: Path, reference: Any, small: SimpleNamespace, splits: Any, settings: dict[str, Any],
    weights: Callable[..., Any], same: Callable[..., bool],
) -> None:  # fmt: skip
    """Step 12 has a log line and no checkpoint; 20 has both, and is then saved once."""
    out = tmp_path / "run"
    for step in (12, 20):
        resume = step != 12

        def terminate(record: dict[str, Any], step: int = step) -> None:
            if record["step"] == step:
                signal.raise_signal(signal.SIGTERM)

        with pytest.raises(Interrupted, match=f"SIGTERM at step {step} of 30"):
            train(small.config(**settings), out, resume=resume, splits=splits, progress=terminate)
        assert checkpoints(out)[-1].name == f"step-{step:06d}"
    train(small.config(**settings), out, resume=True, splits=splits)
    assert same(weights(out), weights(reference.out))
    assert untimed(out) == untimed(reference.out)


def test_killed_before_the_first_checkpoint_starts_anew(
    tmp_path: Path, reference: Any, small: SimpleNamespace, splits: Any, settings: dict[str, Any],
    weights: Callable[..., Any], same: Callable[..., bool],
) -> None:  # fmt: skip
    # What a kill leaves then: configuration, tokenizer, some lines and a half-written checkpoint.
    out = tmp_path / "run"
    (out / "checkpoints" / ".tmp-step-000010").mkdir(parents=True)
    (out / "checkpoints" / ".tmp-step-000010" / "model.safetensors").write_bytes(b"half")
    for name in ("config.toml", "tokenizer.json", "metrics.jsonl"):
        shutil.copy(reference.out / name, out)
    train(small.config(**settings), out, resume=True, splits=splits)
    assert same(weights(out), weights(reference.out))
    assert untimed(out) == untimed(reference.out)
    assert not list(out.rglob(".tmp-*"))


def test_a_finished_run_is_returned_as_it_is(
    reference: Any, small: SimpleNamespace, splits: Any, settings: dict[str, Any]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in reference.out.rglob("*")}
    result = train(small.config(**settings), reference.out, resume=True, splits=splits)
    assert result.to_dict() == reference.to_dict()
    assert {p: p.stat().st_mtime_ns for p in reference.out.rglob("*")} == before


def test_other_settings_are_named(
    reference: Any, small: SimpleNamespace, splits: Any, settings: dict[str, Any]
) -> None:
    changes = settings | {"steps": 60, "lr": 0.1}
    with pytest.raises(RequestError, match=r"steps is 60, was 30; lr is 0\.1, was 0\.005\n"):
        train(small.config(**changes), reference.out, resume=True, splits=splits)
    nested = small.config(**settings, data=type(small.config().data)(source="other"))
    with pytest.raises(RequestError, match=r"data\.source is 'other', was 'emoji'"):
        train(nested, reference.out, resume=True, splits=splits)


def test_how_often_to_save_may_change(
    reference: Any, small: SimpleNamespace, splits: Any, settings: dict[str, Any]
) -> None:
    config = small.config(**settings, checkpoint_every=7, keep_checkpoints=1)
    assert train(config, reference.out, resume=True, splits=splits).step == 30


def test_a_folder_in_use_is_refused_with_the_way_out(
    tmp_path: Path, reference: Any, small: SimpleNamespace, splits: Any
) -> None:
    config = small.config()
    with pytest.raises(RequestError, match=r"holds a run \(finished\)\n.*--resume.*another --out"):
        train(config, reference.out, splits=splits)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RequestError, match="is not empty"):
        train(config, tmp_path, splits=splits)
    with pytest.raises(RequestError, match="is a file"):
        train(config, tmp_path / "notes.txt", splits=splits)
    with pytest.raises(RequestError, match=r"no run to resume.*\n.*Leave --resume out"):
        train(config, tmp_path / "new", resume=True, splits=splits)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_killed_before_its_first_file_is_no_run(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    (out / ".tmp-config.toml").write_text("geom")
    assert train(small.config(steps=1), out, splits=splits).step == 1
    assert not list(out.rglob(".tmp-*"))
