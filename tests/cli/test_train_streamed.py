"""Streamed training through the command, in processes of its own: killed, resumed, interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import holding
import pytest
import torch
from launching import finish, launch
from safetensors.torch import load_file
from shards import shards

SETTINGS = """
geometry = "clip"
steps = 16
batch_size = 16
log_every = 1
checkpoint_every = 5
[model]
embed_dim = 8
[model.image]
image_size = 8
width = 4
layers = 1
[model.text]
context_length = 8
vocab_size = 560
width = 16
layers = 1
heads = 2
[data]
stream = "always"
shuffle = 32
workers = 2
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """`geomclip train` over 90 records in five shards: steps 6, 11 and 16 are in new epochs. The
    second shard holds one picture that is none."""
    folder = tmp_path_factory.mktemp("streamed")
    source = shards(folder / "shards", [17, 5, 30, 1, 37])
    data = (folder / "shards" / "001.tar").read_bytes()
    (folder / "shards" / "001.tar").write_bytes(data.replace(b"\x89PNG", b"none", 1))
    (folder / "run.toml").write_text(SETTINGS)
    return ["train", "--config", str(folder / "run.toml"), "--data", source]


def start(base: list[str], out: Path, *more: str, hold: int = 0) -> subprocess.Popen[str]:
    """The command; held from the log's line of the step `hold` on, where that is named."""
    held = [holding.__file__, str(hold)] if hold else ["-m", "geomclip"]
    return subprocess.Popen(
        [sys.executable, *held, *base, "--out", str(out), *more],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], out: Path, step: int) -> None:
    deadline = time.monotonic() + 300
    log = out / "metrics.jsonl"
    while not log.exists() or log.read_bytes().count(b"\n") < step:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def lines(out: Path) -> list[dict[str, object]]:
    """The metrics without what is timed."""
    timed = ("seconds", "cpu_seconds", "samples_per_second")
    read = (json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in record.items() if k not in timed} for record in read]


@pytest.fixture(scope="module")
def whole(base: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    _, err = start(base, out).communicate(timeout=300)
    assert (out / "finished.json").exists(), err
    assert "shards: 90 pictures to train on" in err
    assert "001.tar: 000017: not a picture in a known format" in err
    return out


def test_bad_records_stand_in_the_log(whole: Path) -> None:
    # Every epoch is five batches of 16 of the 90; the bad one is among them or left out.
    bad = sum(record.get("data", {}).get("bad", 0) for record in lines(whole))
    assert 1 <= bad <= 4


def test_killed_within_an_epoch_and_resumed_is_the_same_run(
    base: list[str], whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = start(base, out, hold=8)
    wait_for(process, out, 8)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "finished.json").exists()
    _, err = start(base, out, "--resume", "--workers", "0").communicate(timeout=300)
    assert lines(out) == lines(whole), err
    one, two = (load_file(folder / "model.safetensors") for folder in (out, whole))
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_interrupted_with_its_workers_and_resumed_by_two_processes(
    base: list[str], whole: Path, tmp_path: Path
) -> None:
    """The signal goes to the whole group, as the terminal's Ctrl-C does."""
    out = tmp_path / "run"
    process = start(base, out, hold=6)
    wait_for(process, out, 6)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in err, err
    results = finish(launch(2, ["-m", "geomclip", *base, "--out", out, "--resume"]))
    assert [code for code, _ in results] == [0, 0], results
    ours, theirs = lines(out), lines(whole)
    for one, two in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
        assert one.get("data") == two.get("data")
