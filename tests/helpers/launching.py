"""Starts the processes of a distributed program as torchrun would, on one machine."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(world: int, command: Sequence[object], **options: Any) -> list[subprocess.Popen[str]]:
    """`world` processes of `python COMMAND`, by rank, with one thread each."""
    port = str(free_port())
    calls = []
    for rank in range(world):
        found = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world}
        environment = {**os.environ, **{name: str(value) for name, value in found.items()}}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command_line = [sys.executable, *map(str, command)]
        calls.append(subprocess.Popen(command_line, env=environment, **streams, **options))
    return calls


def finish(calls: Sequence[subprocess.Popen[str]], timeout: float = 300) -> list[tuple[int, str]]:
    """(exit code, stderr) of every process, by rank; none is left behind."""
    try:
        return [(p.returncode, err) for p in calls for _, err in [p.communicate(timeout=timeout)]]
    finally:
        for call in calls:
            if call.poll() is None:
                call.kill()
                call.wait()
