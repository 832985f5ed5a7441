"""What people see while runs train: bars on a terminal, sparse lines elsewhere, warnings once."""

import io
import json
import logging

import pytest
from rich.console import Console

from geomclip.cli.options import Common
from geomclip.cli.output import Output, finite, table
from geomclip.cli.progress import RunProgress, clock_time, counting, duration, state


class Clock:
    """Time that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def screen(*, terminal: bool = False, quiet: bool = False) -> tuple[Output, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=110, highlight=False)
    return Output(Common(quiet=quiet), console), text


def event(run: str, step: int, steps: int = 100, **more: object) -> dict[str, object]:
    return {
        "run": run,
        "step": step,
        "steps": steps,
        "loss": 3.25,
        "chance": 4.852,
        "samples_per_second": 1234.5,
        "eta_seconds": 75.0,
        **more,
    }


def test_off_a_terminal_a_run_has_a_line_every_ten_seconds():
    output, text = screen()
    clock = Clock()
    with RunProgress(output, clock=clock) as view:
        view({"expected_seconds": 360, "runs": ["clip", "meru"]})
        for second in range(0, 26):
            clock.now = float(second)
            view(event("clip", second + 1))
        view(event("meru", 1))
        clock.now = 26.0
        view(event("clip", 100))
    lines = text.getvalue().splitlines()
    assert lines == [
        "2 runs: clip, meru; this takes about 6 minutes.",
        "clip  step 1/100  loss 3.250 (chance 4.85)  1,234 samples/s  1:15 left",
        "clip  step 11/100  loss 3.250 (chance 4.85)  1,234 samples/s  1:15 left",
        "clip  step 21/100  loss 3.250 (chance 4.85)  1,234 samples/s  1:15 left",
        "meru  step 1/100  loss 3.250 (chance 4.85)  1,234 samples/s  1:15 left",
        "clip  step 100/100  loss 3.250 (chance 4.85)  1,234 samples/s  done",
    ]


def test_a_terminal_shows_a_bar_for_every_run():
    output, text = screen(terminal=True)
    with RunProgress(output) as view:
        view({"expected_seconds": 30, "runs": ["clip", "euclip"]})
        view(event("clip", 50))
        view(event("clip", 100))
    # The last frame starts where the one before was erased.
    clip, euclip = text.getvalue().rsplit("\x1b[2K", 1)[-1].split("\x1b[?25h")[0].splitlines()[:2]
    assert "clip" in clip and "100/100" in clip and "done" in clip and "━" in clip
    assert "euclip" in euclip and "waiting" in euclip


def test_a_run_that_was_trained_before_is_not_shown_as_waiting():
    output, text = screen(terminal=True)
    with RunProgress(output) as view:
        view({"expected_seconds": 60, "runs": ["clip", "euclip"], "finished": ["clip"]})
    clip, euclip = text.getvalue().rsplit("\x1b[2K", 1)[-1].split("\x1b[?25h")[0].splitlines()[:2]
    assert "clip" in clip and "trained before" in clip
    assert "euclip" in euclip and "waiting" in euclip


def test_what_stands_still_is_told_once_even_when_quiet():
    output, text = screen(quiet=True)
    with RunProgress(output) as view:
        view(event("meru", 190, 400, stuck={}, at_bound={"c": "lower"}))
        for step in (200, 210):
            stuck = {"c": step, "contrastive": step}
            view(event("meru", step, 400, contrastive=4.85, stuck=stuck, at_bound={"c": "lower"}))
        stuck = {"c": 220, "logit_scale": 201, "cones": 205}
        bounds = {"c": "lower", "logit_scale": "upper"}
        view(event("meru", 220, 400, stuck=stuck, at_bound=bounds, saturated=0.75))
        view(event("euclip", 200, 400, stuck={"cones": 200}, saturated=1.0))
    lines = text.getvalue().splitlines()
    collapse = "(cone collapse), which order nothing; try a smaller --min-radius, or --c-min"
    assert lines == [
        "warning: meru: c has been at its lower bound for 200 steps; the space would be flatter: "
        "try a smaller --c-min, or hold c with --no-learn-c",
        "warning: meru: for 200 steps the contrastive loss 4.850 has not been below chance 4.852; "
        "try another --lr",
        "warning: meru: logit_scale has been at its upper bound for 201 steps; logits may be no "
        "sharper; if the loss has stopped falling, try a smaller --scalar-lr",
        f"warning: meru: for 205 steps 75% of the texts' cones have been half-spaces {collapse}",
        f"warning: euclip: for 200 steps 100% of the texts' cones have been half-spaces {collapse}",
    ]


def test_quiet_draws_nothing():
    output, text = screen(quiet=True, terminal=True)
    with RunProgress(output) as view, counting(output, "reading") as count:
        view({"expected_seconds": 30, "runs": ["clip"]})
        view(event("clip", 100))
        count(100)
    assert text.getvalue() == ""


def test_what_library_code_logs_reaches_stderr():
    output, text = screen(quiet=True)
    logging.getLogger("geomclip.data.sources").warning("left out %d of %d rows", 3, 10)
    logging.getLogger("geomclip.data.sources").info("detail")
    assert text.getvalue() == "warning: left out 3 of 10 rows\n"
    assert output.quiet


def test_brackets_in_names_are_text():
    output, text = screen()
    output.note("runs/[red]/x")
    assert text.getvalue() == "runs/[red]/x\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0:00"), (7.4, "0:07"), (750.0, "12:30"), (3723.0, "1:02:03"), (-1.0, "0:00")],
)
def test_clock_time(seconds, text):
    assert clock_time(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 second"), (40.0, "40 seconds"), (360.0, "6 minutes"), (9000.0, "2.5 hours")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_state_without_the_optional_numbers():
    assert state({"loss": 1.0, "step": 1, "steps": 2}) == "loss 1.000"


def test_json_has_neither_nan_nor_objects(capsys):
    values = {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": None, 2: True}}
    assert finite(values) == {"a": None, "b": [None, 1.5], "c": {"d": None, "2": True}}
    Output(Common(json=True)).result(values, "text")
    assert json.loads(capsys.readouterr().out) == finite(values)
    Output(Common()).result(values, "text")
    assert capsys.readouterr().out == "text\n"


def test_a_table_in_a_pipe_is_not_cut(capsys):
    name = "n" * 150
    Output(Common()).result({}, table("t", ["metric", "x"], [[name, "0.5"]]))
    assert name in capsys.readouterr().out
