"""Processes that train together: what they exchange, how they fail, stop, and go on with others."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from launching import finish, launch

from geomclip.errors import RequestError
from geomclip.train import train
from geomclip.train.checkpoint import checkpoints
from geomclip.train.config import TrainConfig
from geomclip.train.interrupt import stop_requests
from geomclip.train.log import read_metrics
from geomclip.train.world import World, find_device

HELPERS = Path(__file__).parents[1] / "helpers"
SMALL = Path(__file__).with_name("small_run.py")


def curve(out: Path) -> list[tuple[int, float, float]]:
    return [(r["step"], r["loss"], r["grad_norm"]) for r in read_metrics(out / "metrics.jsonl")]


def close(ours: list[tuple[int, float, float]], theirs: list[tuple[int, float, float]]) -> None:
    """The same steps; loss and gradient norm to what float32 makes of another order of sums."""
    assert [step for step, _, _ in ours] == [step for step, _, _ in theirs]
    for (step, *a), (_, *b) in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, rel=2e-3), step
        if step == 1:
            assert a == pytest.approx(b, rel=2e-6)


def test_one_process_exchanges_with_nobody() -> None:
    world, tensor = World(), torch.tensor([1.0, 2.0])
    assert world.main and world.total(2, 0.5, True) == [2.0, 0.5, 1.0]
    assert world.share(lambda: "made") == "made" and world.collect(3) == [3]
    assert world.first("") == "" and world.first("SIGINT") == "SIGINT"
    assert world.mean({"a": 0.1}) == {"a": 0.1} and world.mean({}) == {}
    world.average_([tensor])
    assert world.sum_(tensor) is tensor and tensor.tolist() == [1.0, 2.0]


def test_one_gpu_for_several_processes_is_refused() -> None:
    with pytest.raises(
        RequestError, match=r"'cuda:0' is one GPU for 2 processes\n.*--device cuda:"
    ):
        find_device("cuda:0", 2)


def test_a_batch_that_can_not_be_shared_is_refused() -> None:
    assert TrainConfig(batch_size=96, accumulate=4).pairs(8) == 12
    with pytest.raises(
        RequestError, match=r"100 does not divide into 3 processes x 2 acc.*\n.* 96"
    ):
        TrainConfig(batch_size=100, accumulate=2).pairs(3)
    with pytest.raises(RequestError, match="batch_size 1: a pair is contrasted with the others"):
        TrainConfig(batch_size=1).check_batch(1)
    with pytest.raises(RequestError, match=r"10 does not divide into 1 process x 4 accumulated"):
        TrainConfig(batch_size=10, accumulate=4)


def test_later_signals_are_ignored_where_torchrun_repeats_them() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests(patient=True) as stop:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        assert stop.signal == "SIGINT"
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_to_fail_speaks_for_all() -> None:
    (waited, told), (failed, said) = finish(launch(2, [HELPERS / "failing.py", "refuses"]))
    assert (failed, said.strip()) == (2, "RequestError | row 7 is no picture | Repair it.")
    assert (waited, told.strip()) == (1, "FailedElsewhere | rank 1: row 7 is no picture |")


def test_a_killed_process_ends_the_others() -> None:
    (waited, told), (killed, _) = finish(launch(2, [HELPERS / "failing.py", "dies"]))
    assert killed == -signal.SIGKILL and waited == 1
    (line,) = told.strip().splitlines()
    assert line.startswith("GeomclipError | rank 0 lost the connection to another process")
    assert "start the run again with --resume" in line


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]) -> Path:
    """The run of `reference`, by two processes in a ring."""
    out = tmp_path_factory.mktemp("runs") / "pair"
    ends = finish(launch(2, [SMALL, out, json.dumps(settings | {"exchange": "ring"})]))
    assert ends == [(0, ""), (0, "")]
    return out


def test_two_processes_train_as_one(
    pair: Path, reference: Any, weights: Callable[..., Any]
) -> None:
    close(curve(pair), curve(reference.out))
    summary = json.loads((pair / "finished.json").read_text())
    assert summary["step"] == 30 and summary["parameters"] == reference.parameters
    # BatchNorm saw all pictures of a step.
    name = "encoders.image.bn.running_mean"
    torch.testing.assert_close(
        weights(pair)[name], weights(reference.out)[name], rtol=1e-3, atol=1e-3
    )


def test_one_process_goes_on_where_two_stopped(
    tmp_path: Path, pair: Path, small: SimpleNamespace, splits: Any, settings: dict[str, Any]
) -> None:
    half = tmp_path / "half"
    shutil.copytree(pair, half)
    (half / "finished.json").unlink()
    shutil.rmtree(half / "checkpoints" / "step-000030")
    train(small.config(**settings, accumulate=1), half, resume=True, splits=splits)
    # Steps 1, 4, ..., 20 are those of two processes.
    assert curve(half)[:6] == curve(pair)[:6] and curve(half)[6:] != curve(pair)[6:]
    close(curve(half), curve(pair))


def test_a_signal_to_any_process_stops_all_and_two_go_on(
    tmp_path: Path, pair: Path, settings: dict[str, Any],
    weights: Callable[..., Any], same: Callable[..., bool],
) -> None:  # fmt: skip
    """Bit for bit the run that nothing happened to."""
    out = tmp_path / "run"
    command = [SMALL, out, json.dumps(settings | {"exchange": "ring"})]
    calls = launch(2, [*command, "--hold", 4])
    deadline = time.monotonic() + 300
    while len(read_metrics(out / "metrics.jsonl")) < 2:
        assert time.monotonic() < deadline and all(call.poll() is None for call in calls)
        time.sleep(0.02)
    calls[1].send_signal(signal.SIGTERM)
    Path(f"{out}.go").touch()
    ends = finish(calls)
    assert [code for code, _ in ends] == [130, 130]
    assert any("stopped by SIGTERM at step" in err and "--resume --out" in err for _, err in ends)
    saved = checkpoints(out)[-1]
    assert 4 <= int(saved.name.removeprefix("step-")) < 30
    assert finish(launch(2, [*command, "--resume"])) == [(0, ""), (0, "")]
    assert curve(out) == curve(pair)
    assert same(weights(out), weights(pair))


@pytest.mark.slow
def test_four_processes_train_as_one(
    tmp_path: Path, reference: Any, settings: dict[str, Any]
) -> None:
    out = tmp_path / "four"
    assert finish(launch(4, [SMALL, out, json.dumps(settings)])) == [(0, "")] * 4
    close(curve(out), curve(reference.out))
