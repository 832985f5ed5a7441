"""metrics.jsonl: cut, appended, and never half a line."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geomclip.train.log import Clock, MetricsLog, Window, read_metrics


def write(path: Path, *steps: int) -> None:
    path.write_text("".join(json.dumps({"step": s}) + "\n" for s in steps))


def steps(path: Path) -> list[int]:
    return [record["step"] for record in read_metrics(path)]


def test_a_missing_file_has_no_records(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_lines_after_the_checkpoint_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 1, 10, 20, 30)
    log = MetricsLog(path, after=20)
    assert steps(path) == [1, 10, 20]
    log.write({"step": 30})
    log.close()
    assert steps(path) == [1, 10, 20, 30]


def test_half_a_line_is_not_read_and_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 1, 10)
    with path.open("a") as file:
        file.write('{"step": 2')
    assert steps(path) == [1, 10]
    MetricsLog(path, after=10).close()
    assert path.read_text().endswith('{"step": 10}\n')


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    # The limit on the file's size falls into the middle of a line.
    path = tmp_path / "metrics.jsonl"
    script = f"""
import resource
from pathlib import Path
from geomclip.train.log import MetricsLog
log = MetricsLog(Path({str(path)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    for step in range(10):
        log.write({{"step": step, "text": "x" * 20}})
except OSError as error:
    raise SystemExit(7)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == 7
    assert steps(path) == [0, 1]
    assert path.read_bytes().count(b"\n") == 2


def test_a_window_gives_means_and_counts() -> None:
    window = Window()
    window.add({"loss": 1.0, "bound/c": 1.0})
    window.add({"loss": 4.0})
    assert window.mean("loss") == 2.5
    assert window.total("bound/") == {"c": 1}
    window.clear()
    window.add({"loss": 7.0})
    assert window.mean("loss") == 7.0
    assert window.total("bound/") == {}


def test_a_window_continues_from_what_was_saved() -> None:
    first = Window()
    first.add({"loss": 1.0})
    second = Window(json.loads(json.dumps(first.sums)))
    second.add({"loss": 2.0})
    assert second.mean("loss") == 1.5


def test_the_clock_continues() -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    clock = Clock(100, 50.0, 40.0)
    assert 0 <= clock.seconds() - 50 <= time.perf_counter() - wall + 1e-9
    assert 0 <= clock.cpu_seconds() - 40 <= time.process_time() - cpu + 1e-9
    assert clock.steps_per_second(110) > 0


def test_signals_are_requests_once() -> None:
    from geomclip.train.interrupt import stop_requests

    # A shell starts its background jobs with SIGINT ignored; "as ever" is then to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.signal == "SIGINT"
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
