"""Measures a case: times of all competitors in turns, then each one's memory."""

import gc
import importlib.metadata
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from geomclip.bench import loss, memory, pairwise, rowwise
from geomclip.bench.config import Case
from geomclip.bench.result import OURS, Result
from geomclip.bench.timing import Spread, Step, alternate, clock, ratios, watch
from geomclip.bench.workload import Error, Workload
from geomclip.errors import RequestError
from manifolds.kernels import library

Progress = Callable[[str], None]
OWN = (OURS, "floor")  # whose failure is one of the benchmark, not a note


def prepare_process(case: Case) -> None:
    """Threads, device and precision of products. Raises RequestError for an absent device."""
    torch.set_num_threads(case.threads)
    if case.device.startswith("cuda"):
        index = torch.device(case.device).index or 0
        if index >= torch.cuda.device_count():
            raise RequestError(
                f"there is no device {case.device}: torch sees {torch.cuda.device_count()} GPUs",
                "Leave --device out to measure the CPU.",
            )
        # Competitors in the precision asked for: tf32 stands against tf32, bf16x3 too.
        wanted = "ieee" if case.precision == "float32" else "tf32"
        torch.backends.cuda.matmul.fp32_precision = wanted
    elif case.device != "cpu":
        raise RequestError(f"--device {case.device} is not measured here", "Give cpu or cuda.")


def workload(case: Case, names: tuple[str, ...]) -> Workload:
    """The competitors of a pairwise or loss case."""
    return (pairwise if case.subject == "pairwise" else loss).prepare(case, names)


def time_case(case: Case, names: tuple[str, ...], progress: Progress) -> Iterator[Result]:
    """Times of all competitors in a case, in turns; who can't take part gets a note."""
    prepare_process(case)
    if case.subject == "rowwise":
        for op, load in rowwise.prepare(case, names):
            yield from _timed(case, op, load, load.steps, progress, errors=True)
        return
    load = workload(case, names)
    if load.forward:
        yield from _timed(case, "forward", load, load.forward, progress, errors=False)
    yield from _timed(case, "forward + backward", load, load.steps, progress, errors=True)


def _timed(
    case: Case,
    what: str,
    load: Workload,
    steps: dict[str, Step],
    progress: Progress,
    *,
    errors: bool,
) -> Iterator[Result]:
    able, found = {}, dict[str, Error | None]()
    for name, step in steps.items():
        progress(f"{case}: {name}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # others' own deprecations
                # The first call builds and compiles; where its errors are known, it is the one.
                found[name] = load.errors(name) if errors else None
                if found[name] is None:
                    step()
        except Exception as error:
            if name in OWN:
                raise
            load.notes[name] = f"fails: {_first_line(error)}"
        else:
            able[name] = step
        gc.collect()
    seconds = alternate(
        able,
        case.rounds,
        watch(case.device, case.threads),
        lambda name: progress(f"{case}, {what}: {name}"),
    )
    floor = seconds.get("floor")
    for name, values in seconds.items():
        ours = seconds.get(OURS)
        yield Result(
            case,
            what,
            name,
            seconds=Spread.of(values),
            over_floor=ratios(values, floor) if floor else None,
            ours_over=ratios(ours, values) if ours else None,
            error=found[name],
            repaired=load.repaired if name == OURS else None,
        )
    for name, note in load.notes.items():
        yield Result(case, what, name, note=note)


def memory_case(case: Case, names: tuple[str, ...], progress: Progress) -> Iterator[Result]:
    """Peaks of competitors over the inputs, each in a fresh process."""
    for name in names:
        progress(f"{case}, memory: {name}")
        try:
            size = memory.fresh_peak(case, name)
        except memory.Unmeasured as reason:
            yield Result(case, "memory", name, note=str(reason))
        else:
            yield Result(case, "memory", name, bytes=size)


def system(case: Case) -> dict[str, Any]:
    """What the numbers of a case were measured on."""
    names = ("torch", "geoopt", "hypll")
    return {
        "hardware": _hardware(case.device),
        "memory_gib": round(_memory() / 2**30) if _memory() else None,
        "cores": os.cpu_count(),
        "clock": clock(case.device, case.threads),
        "kernels": library.live(),
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        **{name: _version(name) for name in names},
    }


def _hardware(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:160]
