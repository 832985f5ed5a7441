"""Peak memory of a step, from all that it takes and gives back, for other numbers of pairs too.

The operations of a step are the same for 2 pairs and for 4, and what each takes and gives back is
a constant (a weight's gradient) plus a part for each pair (an activation). So two traces tell the
trace of any number of pairs, and its peak: which of the two kinds makes it may change.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True)
class Taken:
    """What one operation does to memory, in bytes."""

    name: str
    """Of the operation."""
    top: int
    """The most that it takes at a time, its scratch included, over what was there before."""
    net: int
    """What it leaves behind; below 0 where it gives back more than it takes."""


Trace = list[Taken]


def memory_trace(step: Callable[[], object], device: torch.device) -> Trace:
    """What the operations of a step do to a device's memory, in order, as torch counts.

    It must give back nothing that was there before: of such blocks torch has not kept the size.
    """
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with _silent(), profile(activities=kinds, profile_memory=True) as found:
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    events = sorted(found.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    return by_operation(
        (event.name(), event.nbytes() if event.name() == "[memory]" else 0)
        for event in events
        if event.name() != "[memory]" or event.device_type().name.lower() == device.type
    )


def by_operation(events: Iterable[tuple[str, int]]) -> Trace:
    """Names of operations, each followed by its events ("[memory]", bytes), as a trace of those
    that have any. What an operation takes and gives back for each picture in turn is one thing.
    """
    trace: Trace = []
    name, sizes = "", list[int]()
    for event, size in [*events, ("", 0)]:
        if event == "[memory]":
            sizes.append(size)
            continue
        if sizes:
            top = max(0, *itertools.accumulate(sizes)) if len(sizes) > 1 else max(0, sizes[0])
            trace.append(Taken(name, top, sum(sizes)))
        name, sizes = event, []
    return trace


def peak(trace: Trace) -> int:
    """The most that was taken at a time, over what was there before."""
    return round(_peak([t.top for t in trace], [t.net for t in trace]))


def peak_by_pairs(traces: Mapping[int, Trace]) -> Callable[[int], float | int] | None:
    """The peak of a step by its number of pairs, from traces of several: the two largest neighbours
    among them of the same operations (some take another way at another size). None where no two
    have them.
    """
    for m, n in reversed(list(itertools.pairwise(sorted(traces)))):
        one, other = traces[m], traces[n]
        if [t.name for t in one] == [t.name for t in other]:
            tops = [(a.top, (b.top - a.top) / (n - m)) for a, b in zip(one, other, strict=True)]
            nets = [(a.net, (b.net - a.net) / (n - m)) for a, b in zip(one, other, strict=True)]

            def grown(pairs: int) -> float | int:
                more = pairs - m  # noqa: B023  # returned before m changes
                return _peak([a + more * s for a, s in tops], [a + more * s for a, s in nets])  # noqa: B023

            return grown
    return None


def _peak(tops: list[float] | list[int], nets: list[float] | list[int]) -> float | int:
    before = itertools.accumulate(nets, initial=0)
    return max((held + top for held, top in zip(before, tops, strict=False)), default=0)


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
