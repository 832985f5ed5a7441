"""Training runs as child processes, `python -m geomclip train`, several at a time, one thread each.

Every process writes what it would write alone, so the numbers do not depend on how many go at once.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from geomclip.comparison.plan import PlannedRun
from geomclip.errors import GeomclipError, Interrupted, RequestError
from geomclip.results import write_file
from geomclip.train import run as run_folder
from geomclip.train.config import to_toml
from geomclip.train.interrupt import stop_requests

# Where the requests, logs and locks of the children lie, beside the run folders.
REQUESTS = "requests"

# Seconds between two looks at the children.
POLL = 0.1

# Seconds that a child has to finish its step and write a checkpoint.
PATIENCE = 120.0

# Lines of a failed child's stderr that its error quotes.
QUOTED = 4

Record = dict[str, Any]


@dataclass
class Child:
    """A running process with what it has told so far."""

    run: PlannedRun
    folder: Path
    process: subprocess.Popen[bytes]
    lock: IO[bytes]
    log: Path
    started: float = field(default_factory=time.monotonic)
    offset: int = 0

    def news(self) -> list[Record]:
        """Lines that metrics.jsonl has gained; one still being written waits for the next look."""
        path = self.folder / run_folder.METRICS
        try:
            with path.open("rb") as file:
                # A resumed run first cuts off what its checkpoint does not know.
                self.offset = min(self.offset, os.fstat(file.fileno()).st_size)
                file.seek(self.offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def error(self) -> GeomclipError:
        """What went wrong, in the child's own words."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        quoted = " | ".join(line.strip() for line in lines[-QUOTED:]) or "it said nothing"
        code = self.process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        kind = RequestError if code == 2 else GeomclipError
        return kind(
            f"{self.run.name} failed ({how}): {quoted}",
            f"All it wrote stands in {self.log}. The other runs are kept: the same command "
            "continues them.",
        )


def run_children(
    runs: Sequence[PlannedRun],
    out: Path,
    jobs: int,
    on_record: Callable[[PlannedRun, Record, float], None],
) -> None:
    """Train all runs, at most `jobs` at a time, each in the folder of its name under `out`.

    Finished runs are left alone, begun ones continued. `on_record` gets each new line of a run's
    metrics, and the seconds since its process started.

    Raises:
        RequestError: a folder holds another run, or is being trained by another process.
        GeomclipError: a run failed; the others were stopped at their next step, and saved.
        Interrupted: SIGINT or SIGTERM; all runs were stopped and saved.
    """
    waiting = [run for run in runs if run_folder.finished(out / run.name) is None]
    children: list[Child] = []
    with stop_requests() as stop:
        try:
            while waiting or children:
                while waiting and len(children) < jobs and not stop.signal:
                    children.append(start(waiting.pop(0), out))
                time.sleep(POLL)
                for child in list(children):
                    done = child.process.poll() is not None
                    for record in child.news():
                        on_record(child.run, record, time.monotonic() - child.started)
                    if done:
                        children.remove(child)
                        child.lock.close()
                        if stop.signal:
                            continue
                        if child.process.returncode != 0:
                            raise child.error()
                if stop.signal:
                    _stop(children)
                    raise _interrupted(runs, out, stop.signal)
        finally:
            _stop(children)


def check_folders(runs: Sequence[PlannedRun], out: Path, *, resume: bool) -> None:
    """Whether every run may start or continue. Raises RequestError; writes nothing but clears
    folders that a killed process left without a run in them."""
    if out.exists() and not out.is_dir():
        raise RequestError(f"{out} is a file, not a folder", "Choose another --out.")
    for run in runs:
        folder = out / run.name
        if _abandoned(folder):
            shutil.rmtree(folder)
        begun = run_folder.has_run(folder)
        if begun and not resume:
            raise RequestError(
                f"{folder} already holds a run", "Choose another --out, or remove that folder."
            )
        run_folder.check_folder(folder, run.config, resume=begun)


def start(run: PlannedRun, out: Path) -> Child:
    """Start the process of a run. Raises RequestError when another process is at it."""
    folder, requests = out / run.name, out / REQUESTS
    request = requests / f"{run.name}.toml"
    write_file(request, to_toml(run.config))
    lock = _lock(requests / f"{run.name}.lock", run.name)
    log = requests / f"{run.name}.log"
    command = [sys.executable, "-m", "geomclip", "train", "--config", str(request)]
    command += ["--out", str(folder), "--quiet"]
    if run_folder.has_run(folder):
        command.append("--resume")
    if run.config.data.allow_pipe:
        command.append("--data.allow-pipe")
    threads = str(run.config.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            env=environment,
            # Ctrl-C in the terminal reaches this process alone, which then asks each child once: a
            # second SIGINT would cut a checkpoint short.
            start_new_session=True,
            # The child keeps the lock for as long as it lives, even if this process is killed.
            pass_fds=(lock.fileno(),),
        )
    return Child(run, folder, process, lock, log)


def _lock(path: Path, name: str) -> IO[bytes]:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RequestError(
            f"{name} is still being trained by another process",
            "Wait for that process or stop it, or choose another --out.",
        ) from None
    return file


def _abandoned(folder: Path) -> bool:
    """A folder in which a process died before it had written its configuration."""
    if not folder.is_dir() or run_folder.has_run(folder):
        return False
    found = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".tmp-")]
    return not found


def _stop(children: list[Child]) -> None:
    """Ask each process to save and stop, and wait until it has."""
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    for child in children:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        child.lock.close()
    children.clear()


def _interrupted(runs: Sequence[PlannedRun], out: Path, signal_name: str) -> Interrupted:
    done = sum(run_folder.finished(out / run.name) is not None for run in runs)
    return Interrupted(
        f"stopped by {signal_name}: {done} of {len(runs)} runs are finished, the others are saved "
        f"in {out}",
        "The same command continues where they stopped.",
    )
