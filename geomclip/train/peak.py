"""Peak memory of a step, from all that it takes and gives back, for other numbers of pairs too.

The tensors that a step makes and drops are the same for 2 pairs and for 4, in the same order; each
size is a constant (a weight's gradient) plus a part for each pair (an activation). So two traces
tell the trace of any number of pairs, and its peak: which of the two kinds makes it may change.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch.profiler import ProfilerActivity, profile

Trace = list[int]

# Takings and givings of the longest round that is looked for.
_REPEATED = 16


def memory_trace(step: Callable[[], object], device: torch.device) -> Trace:
    """Bytes that a step takes (> 0) and gives back (< 0) on a device, in order, as torch counts.

    It must give back nothing that was there before: of such blocks torch has not kept the size.
    """
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with _silent(), profile(activities=kinds, profile_memory=True) as found:
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    events = found.profiler.kineto_results.events()
    memory = [
        event
        for event in events
        if event.name() == "[memory]" and event.device_type().name.lower() == device.type
    ]
    return without_repeats(
        event.nbytes() for event in sorted(memory, key=lambda event: event.start_ns())
    )


def without_repeats(trace: Iterable[int]) -> Trace:
    """A trace in which what is taken and given back again and again stands once: operations that go
    through a batch picture by picture do that. Its peak is the same.

    >>> without_repeats([8, 4, -4, 4, -4, 4, -4, -8])
    [8, 4, -4, -8]
    """
    kept: Trace = []
    for size in trace:
        kept.append(size)
        for length in range(2, min(_REPEATED, len(kept) // 2) + 1):
            last = kept[-length:]
            if last == kept[-2 * length : -length] and not sum(last):
                del kept[-length:]
                break
    return kept


def peak(trace: Sequence[float | int]) -> float | int:
    """The most that was taken at a time, over what was there before."""
    return max(itertools.accumulate(trace), default=0)


def peak_by_pairs(traces: Mapping[int, Trace]) -> Callable[[int], float | int] | None:
    """The peak of a step by its number of pairs, from traces of several: the two largest neighbours
    among them that show the same sequence (some operations take another way at another size). None
    where no two do.
    """
    sizes = sorted(traces)
    for m, n in reversed(list(itertools.pairwise(sizes))):
        one, other = traces[m], traces[n]
        if len(one) == len(other) and all(a * b > 0 for a, b in zip(one, other, strict=True)):
            slopes = [(b - a) / (n - m) for a, b in zip(one, other, strict=True)]
            return lambda pairs, m=m, one=one: peak(  # type: ignore[misc]
                [a + (pairs - m) * s for a, s in zip(one, slopes, strict=True)]
            )
    return None


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The profiler's library tells stderr of its beginning and end unless told otherwise."""
    name = "KINETO_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ[name] = "99"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
