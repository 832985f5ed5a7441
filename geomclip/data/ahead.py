"""The next batch, made while the last one is trained on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from geomclip.data.stream import Batch


class Ahead:
    """Makes the batches of steps that mostly follow each other, one step ahead in a thread.

    Tensor operations leave the interpreter free, so that a second core or the wait for a GPU does
    the work; on one core it takes the time it took before.

    Args:
        make: the batch of a step, a pure function of it. What it raises is raised for that step.
    """

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make
        self._thread: ThreadPoolExecutor | None = None
        self._next: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> Batch:
        """The batch of a step; that of the step after it is begun."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="next-batch")
        if self._next is None or self._next[0] != step:
            self._next = step, self._thread.submit(self._make, step)
        batch = self._next[1].result()
        self._next = step + 1, self._thread.submit(self._make, step + 1)
        return batch

    def close(self) -> None:
        """Wait for what is being made, and end the thread."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._thread = self._next = None
