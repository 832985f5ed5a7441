"""A program that stands still at a step until a signal comes, on a slow machine as on a fast one.

As a script it is `geomclip ARGS`, held after the log's line of STEP:

    python holding.py STEP ARGS...
"""

import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any


class Hold:
    """Called with every line of the log, in the main thread: waits from `step` on for a signal to
    this process, or for the file `go` where it is another that gets one."""

    def __init__(self, step: int, go: Path | None = None) -> None:
        self.step, self.go = step, go
        self.arrived, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())

    def __call__(self, record: dict[str, Any]) -> None:
        while record["step"] >= self.step and not (self.go and self.go.exists()):
            if select.select([self.arrived], [], [], 0.01)[0]:
                return


def main(argv: list[str]) -> int:
    from geomclip.cli.main import main
    from geomclip.train.log import MetricsLog

    hold, write = Hold(int(argv[0])), MetricsLog.write

    def write_and_hold(log: MetricsLog, record: dict[str, Any]) -> None:
        write(log, record)
        hold(record)

    MetricsLog.write = write_and_hold  # type: ignore[method-assign]
    return main(argv[1:])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
