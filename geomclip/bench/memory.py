"""Peak memory of one step over its inputs, each in a process of its own.

    python -m geomclip.bench.memory '{"case": {...}, "competitor": "geomclip"}'

prints {"bytes": ...}. On a CPU it is what the peak of the resident set (VmHWM, Linux) grows by over
the process that holds the inputs; on CUDA torch's own count of allocated memory. A step on small
inputs, or on inputs of the same size where something is compiled for it, comes first: libraries,
thread pools and compilers do not count.
"""

import ctypes
import gc
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from geomclip.bench.config import Case
from geomclip.bench.timing import Step

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
WARM = 600  # rows of the small inputs
SAME_SIZE = ("compiled",)
TIMEOUT = 900


class Unmeasured(RuntimeError):
    """A peak that could not be measured; the text says why."""


def high_water(status: str) -> int:
    """Bytes of VmHWM in the text of /proc/self/status.

    Raises:
        Unmeasured: the text has no such line.
    """
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise Unmeasured("this system does not count the peak of the resident set (VmHWM)")


def _release() -> None:
    """Gives free memory back to the system, so that the step can't have it for nothing."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        pass  # not glibc: the peak may come out a little too small


def resident_peak(step: Step) -> int:
    """Bytes by which a step lets the resident set of this process grow at most.

    Raises:
        Unmeasured: not on Linux, or /proc does not allow it.
    """
    _release()
    try:
        CLEAR.write_text("5")  # VmHWM = resident set
        before = high_water(STATUS.read_text())
        step()
        return high_water(STATUS.read_text()) - before
    except OSError as error:
        raise Unmeasured(f"the peak of the resident set can't be reset here ({error})") from error


def device_peak(step: Step, device: str) -> int:
    """Bytes of torch's allocator by which a step grows at most on a CUDA device."""
    import torch

    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def peak(case: Case, competitor: str) -> int:
    """Bytes over the inputs that one step needs, in this process.

    Raises:
        Unmeasured: the competitor can't run here, or the peak can't be read.
    """
    from geomclip.bench.runner import prepare_process, workload

    prepare_process(case)
    rows = min(WARM, case.n, case.m)
    warm = case if competitor in SAME_SIZE else replace(case, n=rows, m=rows)
    for now in (warm, case):
        load = workload(now, (competitor,))
        if competitor not in load.steps:
            raise Unmeasured(load.notes.get(competitor, f"no {competitor} here"))
        if now is warm:
            load.steps[competitor]()
            if warm is case:
                break
            del load
    step = load.steps[competitor]
    if case.device.startswith("cuda"):
        return device_peak(step, case.device)
    return resident_peak(step)


def fresh_peak(case: Case, competitor: str) -> int:
    """`peak` in a process of its own.

    Raises:
        Unmeasured: the process failed; with its last line.
    """
    request = json.dumps({"case": case.setting(), "competitor": competitor})
    command = [sys.executable, "-m", "geomclip.bench.memory", request]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unmeasured(str(error)) from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise Unmeasured("killed, out of memory" if done.returncode == -9 else reason)
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])


def main(argv: list[str]) -> int:
    """The process of `fresh_peak`."""
    request: dict[str, Any] = json.loads(argv[0])
    try:
        found = peak(Case(**request["case"]), request["competitor"])
    except Unmeasured as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"bytes": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
