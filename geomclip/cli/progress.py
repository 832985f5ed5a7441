"""Progress of runs: one bar a run on a terminal, a line every ten seconds elsewhere.

Fed with event dicts: first {"expected_seconds": s, "runs": [names], "finished": [those of them that
need no training]}, then {"run": name, "step",
"steps", "loss", "chance", "samples_per_second", "eta_seconds"}, with "stuck" and what it is about
where the trainer tells them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from geomclip.cli.output import Output

# Seconds between two lines of a run where there is no terminal.
INTERVAL = 10.0


class RunProgress:
    """Draws the events of one or several runs; a context manager."""

    def __init__(
        self,
        output: Output,
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.output = output
        self.interval = interval
        self.clock = clock
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}
        self._warned: set[tuple[str, str]] = set()

    def __enter__(self) -> "RunProgress":
        if self.output.console.is_terminal and not self.output.quiet:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[count]}", justify="right"),
                TextColumn("{task.fields[state]}"),
                console=self.output.console,
                refresh_per_second=4,
                expand=True,
            )
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def __call__(self, event: dict[str, Any]) -> None:
        """Draw one event."""
        if "expected_seconds" in event:
            finished = event.get("finished", [])
            self._begin(event.get("runs", []), event["expected_seconds"], finished)
        if "message" in event:
            self.output.note(str(event["message"]))
        if "run" in event and "step" in event:
            self._step(str(event["run"]), event)

    def _begin(
        self, runs: Sequence[str], seconds: float | int | None, finished: Sequence[str]
    ) -> None:
        count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
        if seconds is None:
            self.output.note(f"{count}: {', '.join(runs)}; all are trained already.")
        else:
            about = duration(float(seconds))
            self.output.note(f"{count}: {', '.join(runs)}; this takes about {about}.")
        width = max(map(len, runs), default=0)
        for run in runs:
            self._task(run.ljust(width), run, finished=run in finished)

    def _task(self, description: str, run: str, *, finished: bool = False) -> None:
        if self._bars is not None and run not in self._tasks:
            self._tasks[run] = self._bars.add_task(
                description,
                total=1,
                completed=int(finished),
                count="",
                state="trained before" if finished else "waiting",
            )

    def _step(self, run: str, event: dict[str, Any]) -> None:
        step, steps = int(event["step"]), int(event["steps"])
        if self._bars is not None:
            self._task(run, run)
            count = f"{step}/{steps}"
            self._bars.update(
                self._tasks[run], completed=step, total=steps, count=count, state=state(event)
            )
        elif not self.output.quiet:
            now = self.clock()
            last = self._last_line.get(run)
            if last is None or now - last >= self.interval or step >= steps:
                self._last_line[run] = now
                self.output.note(f"{run}  step {step}/{steps}  {state(event)}")
        self._warn(run, event)

    def _warn(self, run: str, event: dict[str, Any]) -> None:
        """Say once a run and a thing that it has stood still for long: the loss at chance, a scalar
        at its bound, the cones as half-spaces.
        """
        for name, steps in (event.get("stuck") or {}).items():
            if (run, name) not in self._warned:
                self._warned.add((run, name))
                self.output.warn(f"{run}: {_stuck(name, steps, event)}")


def _stuck(name: str, steps: int, event: dict[str, Any]) -> str:
    if name == "contrastive":
        loss, chance = event["contrastive"], event["chance"]
        return (
            f"for {steps} steps the contrastive loss {loss:.3f} has not been below chance "
            f"{chance:.3f}; try another --lr"
        )
    if name == "cones":
        return (
            f"for {steps} steps {event['saturated']:.0%} of the texts' cones have been half-spaces "
            "(cone collapse), which order nothing; try a smaller --min-radius, or --c-min"
        )
    side = (event.get("at_bound") or {}).get(name, "")
    return f"{name} has been at its {side} bound for {steps} steps; {_unstick(name, side)}"


def _unstick(name: str, side: str) -> str:
    """What to do about a scalar at its bound."""
    if name == "logit_scale":
        if side == "lower":
            return "try a smaller --min-logit-scale, or none"
        return (
            "logits may be no sharper; if the loss has stopped falling, try a smaller --scalar-lr"
        )
    if name.startswith("alpha_"):
        return "try a larger --alpha-max, or none"
    if side == "lower":
        return "the space would be flatter: try a smaller --c-min, or hold c with --no-learn-c"
    return "the space would be more curved: try a larger --c-max, or hold c with --no-learn-c"


def state(event: dict[str, Any]) -> str:
    """The numbers of an event on one line."""
    parts = [f"loss {event['loss']:.3f}"]
    if event.get("chance") is not None:
        parts[0] += f" (chance {event['chance']:.2f})"
    if event.get("samples_per_second") is not None:
        parts.append(f"{event['samples_per_second']:,.0f} samples/s")
    if event["step"] >= event["steps"]:
        parts.append("done")
    elif event.get("eta_seconds") is not None:
        parts.append(f"{clock_time(float(event['eta_seconds']))} left")
    return "  ".join(parts)


def clock_time(seconds: float) -> str:
    """0:07, 12:30, 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    tail = f"{whole % 60:02d}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def duration(seconds: float) -> str:
    """40 seconds, 6 minutes, 2.5 hours."""
    if seconds < 90:
        return f"{max(1, round(seconds))} second{'s' if round(seconds) > 1 else ''}"
    if seconds < 5400:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


@contextmanager
def counting(output: Output, what: str) -> Iterator[Callable[[int], None]]:
    """A counter for long reads: gives a callable that takes the number of records so far."""
    if output.quiet:
        yield lambda count: None
        return
    if output.console.is_terminal:
        with output.console.status(f"{what} ...") as status:

            def show(count: int) -> None:
                if count % 100 == 0:
                    status.update(f"{what}: {count:,}")

            yield show
        return
    last = time.monotonic()

    def line(count: int) -> None:
        nonlocal last
        if time.monotonic() - last >= INTERVAL:
            last = time.monotonic()
            output.note(f"{what}: {count:,}")

    yield line
