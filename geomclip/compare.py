"""Train several geometries on the same data under the same budget, evaluate them, report.

    comparison = compare(["clip", "euclip", "meru"], out=Path("runs/compare"))
    print(comparison.table())

In the folder: one run folder a model, results.json, results.csv, report.html; `requests/` has each
child's configuration and what it wrote to stderr.
"""

import dataclasses
import json
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w

from geomclip import __version__
from geomclip.comparison import calibrate as calibration
from geomclip.comparison import measure, spaces
from geomclip.comparison.children import REQUESTS, check_folders, run_children
from geomclip.comparison.plan import (
    PlannedRun,
    cores,
    default_jobs,
    plan_runs,
    request_of,
    with_steps,
)
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError
from geomclip.results import Results, finite, write_file, write_results
from geomclip.train import run as run_folder

Progress = Callable[[dict[str, Any]], None]

REPORT = "report.html"


@dataclass(frozen=True)
class Comparison:
    """A finished comparison."""

    results: Results
    out: Path

    def table(self) -> str:
        """The numbers as text: measures down, geometries across."""
        from geomclip.viz.text import text_table

        return text_table(self.results)

    def report(self, path: Path | str) -> None:
        """Write the report page to `path`. Raises GeomclipError when it can't be written."""
        from geomclip.viz.report import write_report

        write_report(self.results, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """The contents of results.json without the pictures and the explorer's points."""
        return {**finite(self.results.light()), "out": str(self.out)}

    def _repr_html_(self) -> str:
        """Shown by notebooks: the report, in a frame of its own."""
        from geomclip.viz.pages import frame
        from geomclip.viz.report import render

        return frame(render(self.results), 1000)


def compare(
    geometries: Sequence[str] = ("clip", "euclip", "meru"),
    *,
    entailment: Sequence[float] = (0.0,),
    seeds: int = 1,
    first_seed: int = 0,
    steps: int | None = None,
    minutes: float | None = None,
    data: DataConfig | None = None,
    out: Path | str = Path("runs/compare"),
    jobs: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = True,
    progress: Progress | None = None,
) -> Comparison:
    """Train, evaluate and report; see the module's head for what lies in `out` afterwards.

    Args:
        entailment: weights of the entailment loss; those above 0 for geometries with cones only.
        steps: of every run; the recipes' when neither this nor `minutes` is given.
        minutes: time for all of it together, from which the steps follow, equal for every run.
        data: what to train on; the embedded emoji set by default.
        jobs: runs at a time. No number depends on it.
        overrides: settings of TrainConfig laid over every recipe.
        resume: take finished runs in `out` as they are and continue begun ones; otherwise a
            folder with runs in it is refused.
        progress: gets {"expected_seconds", "runs", "finished"}, then {"run", "step", "steps",
            "loss", "chance", "samples_per_second", "eta_seconds"} for every logged step,
            {"message"} in between.

    Raises:
        RequestError: the request can't be met, or `out` holds runs of another one.
        GeomclipError: a run failed; what the others have done is kept.
        Interrupted: SIGINT or SIGTERM; the same call continues.
    """
    out, tell = Path(out), progress or _silent
    if steps is not None and minutes is not None:
        raise RequestError("compare: steps and minutes both set the length", "Give one of them.")
    if minutes is not None and not 0 < minutes < float("inf"):
        raise RequestError(f"compare: minutes is {minutes}", "Give a time above 0.")
    if jobs is not None and jobs < 1:
        raise RequestError(f"compare: jobs is {jobs}", "Give 1 or more.")
    runs = plan_runs(
        geometries, entailment, seeds=seeds, first_seed=first_seed,
        steps=steps, data=data, overrides=overrides,
    )  # fmt: skip
    jobs = jobs or default_jobs(runs)
    runs = _settle(runs, out, jobs, minutes, resume, tell)
    kept = _keep_overrides(overrides or {}, out)
    run_children(runs, out, min(jobs, len(runs)), lambda *news: tell(_event(*news)))
    settings = {
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command(runs, geometries, entailment, seeds, first_seed, kept),
        "geometries": list(geometries),
        "entailment": [float(w) for w in entailment],
        "seeds": seeds,
        "first_seed": first_seed,
        "steps": runs[0].config.steps,
        "minutes": minutes,
        "jobs": jobs,
        "data": dataclasses.asdict(runs[0].config.data),
        "overrides": dict(overrides or {}),
    }
    tell({"message": f"Evaluating {len(runs)} run{'s' if len(runs) > 1 else ''}."})
    comparison = Comparison(_measure(runs, out, settings, first_seed), out)
    if "runs" in comparison.results.left_out:
        tell({"message": comparison.results.left_out["runs"]})
    write_results(comparison.results, out)
    comparison.report(out / REPORT)
    return comparison


def _silent(event: dict[str, Any]) -> None:
    pass


def _settle(
    runs: list[PlannedRun],
    out: Path,
    jobs: int,
    minutes: float | None,
    resume: bool,
    tell: Progress,
) -> list[PlannedRun]:
    """Fix the number of steps, check the folders, and say how long it will take."""
    request = request_of(runs, minutes)
    path = out / REQUESTS / "comparison.json"
    timing = None
    if minutes is not None:
        # A second start with the same request must not time the machine anew and get other steps.
        before = _read_json(path) if resume else {}
        if before.get("request") == json.loads(json.dumps(request)):
            runs = with_steps(runs, int(before["steps"]))
        else:
            check_folders(with_steps(runs, 1), out, resume=False)
            timing = _time(runs, out, jobs, tell)
            steps = timing.steps_within(60 * minutes, len(runs))
            runs = with_steps(runs, steps)
            if (least := timing.seconds(len(runs), steps) / 60) > minutes:
                tell({"message": too_short(minutes, least, len(runs), steps)})
    check_folders(runs, out, resume=resume)
    write_file(path, json.dumps({"request": request, "steps": runs[0].config.steps}, indent=1))
    left = [run for run in runs if run_folder.finished(out / run.name) is None]
    expected: float | None = None
    if left:
        timing = timing or _time(left, out, jobs, tell)
        expected = timing.seconds(len(left), runs[0].config.steps)
    names = [run.name for run in runs]
    finished = [name for name in names if name not in {run.name for run in left}]
    tell({"expected_seconds": expected, "runs": names, "finished": finished})
    return runs


def too_short(minutes: float, least: float, runs: int, steps: int) -> str:
    """What is said of a time in which the least number of steps can't be done."""
    return (
        f"{minutes:g} minutes are too short for {runs} runs: starting and evaluating them, with "
        f"{steps} steps each, takes about {least:.1f}."
    )


def _keep_overrides(overrides: Mapping[str, Any], out: Path) -> Path | None:
    """The settings laid over the recipes as a file that `--config` reads; None without any."""
    if not overrides:
        return None
    path = out / REQUESTS / "overrides.toml"
    write_file(path, tomli_w.dumps(dict(overrides)))
    return path


def _time(runs: list[PlannedRun], out: Path, jobs: int, tell: Progress) -> calibration.Timing:
    tell({"message": "Timing a few steps, to tell how long it will take."})
    return calibration.calibrate(runs, out, jobs)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _event(run: PlannedRun, record: dict[str, Any], elapsed: float) -> dict[str, Any]:
    """A line of metrics.jsonl as a progress event. The loss is the contrastive one, which chance
    is to be compared with."""
    config = run.config
    speed = record.get("samples_per_second") or 0.0
    left = (config.steps - record["step"]) * config.batch_size
    return {
        **record,
        "loss": record["contrastive"],
        "run": run.name,
        "steps": config.steps,
        "eta_seconds": left / speed if speed > 0 else None,
    }


def _measure(runs: list[PlannedRun], out: Path, settings: dict[str, Any], seed: int) -> Results:
    from geomclip import data

    config = runs[0].config
    splits = data.load(config.data, config.model.image.image_size)
    pairs, lost = [], {}
    for run in runs:
        try:
            pairs.append((run, measure.evaluate_run(run, out / run.name, splits)))
        except RequestError as error:
            lost[run.name] = error
    if not pairs:
        raise next(iter(lost.values()))
    runs, evaluations = [run for run, _ in pairs], [found for _, found in pairs]
    gallery = measure.gallery_of(splits, runs, evaluations, seed)
    order = measure.order_of(splits.evaluation[gallery["split"]], seed)
    found = spaces.look(splits, runs, evaluations, out, gallery, order)
    measured = tuple(row for run, e in pairs for row in measure.rows_of(run, out / run.name, e))
    return Results(
        settings=settings,
        environment=environment(config.device),
        data=measure.data_of(splits, evaluations),
        rows=(*measured, *found.rows),
        references=(*measure.references_of(evaluations), *found.references),
        runs=tuple(
            measure.run_result(run, out / run.name, e, found.errors.get(run.name))
            for run, e in pairs
        ),
        gallery=gallery,
        spaces=found.spaces,
        traversals=found.traversals,
        left_out=found.left_out | _missing(lost),
    )


def _missing(lost: Mapping[str, RequestError]) -> dict[str, str]:
    """Runs whose folders are damaged, as the report speaks of them."""
    said = (f"{name} is left out: {error.what}." for name, error in lost.items())
    return {"runs": " ".join(said)} if lost else {}


def environment(device: str) -> dict[str, Any]:
    """Versions and machine: what has to be the same for the same numbers."""
    import geoopt
    import numpy
    import torch

    return {
        "geomclip": __version__,
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "geoopt": geoopt.__version__,
        "NumPy": numpy.__version__,
        "System": f"{platform.system()} {platform.machine()}",
        "Cores": cores(),
        "Device": device,
    }


def command(
    runs: Sequence[PlannedRun],
    geometries: Sequence[str],
    entailment: Sequence[float],
    seeds: int,
    first_seed: int,
    overrides: Path | None,
) -> str:
    """What to type for the same comparison; `overrides` is the file of settings it was given."""
    config = runs[0].config
    words = ["geomclip", "compare", "--geometries", ",".join(geometries)]
    words += ["--entailment", ",".join(f"{w:g}" for w in entailment), "--seeds", str(seeds)]
    words += ["--seed", str(first_seed), "--steps", str(config.steps)]
    words += ["--config", str(overrides)] if overrides else []
    for field in dataclasses.fields(DataConfig):
        value = getattr(config.data, field.name)
        if value == field.default:
            continue
        flag = "--data" if field.name == "source" else f"--data.{field.name.replace('_', '-')}"
        if value is not True:
            values = map(str, value) if isinstance(value, tuple) else [str(value)]
            words += [flag, *values]
        else:
            words.append(flag)
    return shlex.join(words)
