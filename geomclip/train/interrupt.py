"""Ctrl-C and SIGTERM as a request to stop after the step in hand."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopRequest:
    """`signal` names what asked for the stop; empty while nothing did."""

    signal: str = ""


@contextlib.contextmanager
def stop_requests(*, patient: bool = False) -> Iterator[StopRequest]:
    """While open, the first SIGINT or SIGTERM only sets the request; a second one acts as ever.

    With `patient` later ones are ignored too: under torchrun Ctrl-C reaches a process twice, from
    the terminal and from torchrun, which kills those that do not end.

    Outside the main thread signals can't be caught, and the request stays unset.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            # None stands for a handler that was not installed from Python; it can't be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def ask(number: int, frame: FrameType | None) -> None:
        request.signal = request.signal or signal.Signals(number).name
        if not patient:
            restore()

    for number in SIGNALS:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        restore()
