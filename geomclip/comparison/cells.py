"""Cells of a study: small models, trained and evaluated one after the other in this process.

A cell is kept as one dict with the settings it was trained with, by which a study that is started
again knows what it has.
"""

import dataclasses
import functools
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geomclip.comparison.measure import final_radius, threads
from geomclip.comparison.plan import PlannedRun
from geomclip.data.config import DataConfig
from geomclip.train.config import TrainConfig
from geomclip.train.run import FREE

if TYPE_CHECKING:
    from geomclip.data.splits import Splits
    from geomclip.evaluate import Evaluation
    from geomclip.model import ContrastiveModel

Line = dict[str, Any]

# What is kept of the last step.
KEPT = ("loss", "contrastive", "logit_scale", "c", "alpha_image", "alpha_text", "aperture")


@dataclass(frozen=True, eq=False)
class Trained:
    """A cell's model with what it was asked, for a study that measures more of it."""

    run: PlannedRun
    model: "ContrastiveModel"
    splits: "Splits"
    evaluation: "Evaluation"
    records: list[Line]
    """The lines of metrics.jsonl."""


def settings(config: TrainConfig) -> Line:
    """What a configuration has other than TrainConfig's defaults, flat: `model.image.width`."""

    def flat(values: Line, prefix: str = "") -> Line:
        out: Line = {}
        for name, value in values.items():
            if isinstance(value, dict):
                out |= flat(value, f"{prefix}{name}.")
            else:
                out[prefix + name] = list(value) if isinstance(value, tuple) else value
        return out

    default = flat(dataclasses.asdict(TrainConfig()))
    return {k: v for k, v in flat(dataclasses.asdict(config)).items() if v != default[k]}


def key(configured: Line) -> str:
    """What two cells have in common whose settings are the same but for those that change no
    number, such as the steps between checkpoints."""
    return json.dumps({k: v for k, v in configured.items() if k not in FREE}, sort_keys=True)


def train_cell(
    run: PlannedRun,
    more: Callable[[Trained], Line] = lambda trained: {},
    folder: Path | None = None,
) -> Line:
    """Train a run, evaluate it; the cell.

    Args:
        more: further entries of the cell.
        folder: the run folder, where a run that was begun is continued; one that is removed at the
            end when not given.

    Raises what `train` raises.
    """
    from geomclip.evaluate import evaluate
    from geomclip.train import train
    from geomclip.train.log import read_metrics
    from geomclip.train.run import METRICS, has_run, load_run

    config = run.config
    splits = splits_of(config.data, config.model.image.image_size)
    with threads(config.threads), tempfile.TemporaryDirectory() as temporary:
        out = folder or Path(temporary) / "run"
        done = train(config, out, splits=splits, resume=has_run(out))
        model, records = load_run(out), read_metrics(out / METRICS)
        start = time.process_time()
        found = evaluate(model, splits, min_radius=final_radius(config))
        further = more(Trained(run, model, splits, found, records))
        spent = time.process_time() - start
    return {
        "geometry": run.variant.geometry,
        "entailment": run.variant.entailment,
        "seed": run.seed,
        "step": done.step,
        "metrics": {f"{row.split}/{row.metric}": round(row.value, 6) for row in found.rows},
        "last": {name: done.last[name] for name in KEPT if name in done.last},
        "parameters": done.parameters,
        "train_cpu_seconds": round(done.cpu_seconds, 2),
        "evaluation_cpu_seconds": round(spent, 2),
        **further,
        "settings": settings(config),
    }


@functools.cache
def splits_of(data: DataConfig, side: int) -> "Splits":
    """The data, read once."""
    from geomclip.data import load

    return load(data, side)


def complete(
    runs: Sequence[PlannedRun],
    have: Mapping[str, Line],
    do: Callable[[PlannedRun], Line],
    keep: Callable[[Line], None],
    tell: Callable[[str], None] = lambda text: None,
    seconds: float = float("inf"),
) -> dict[str, Line]:
    """The cells by their `key`, those of `have` and those that are made now.

    Args:
        have: finished cells by their key.
        do: makes a cell.
        keep: gets each new cell as soon as it is made.
        tell: gets a line of text after each, with the time that the rest will take.
        seconds: after so many no further cell is begun.
    """
    lines = dict(have)
    missing = [run for run in runs if key(settings(run.config)) not in lines]
    begun = time.monotonic()
    for i, run in enumerate(missing, 1):
        if time.monotonic() - begun > seconds:
            break
        line = do(run)
        keep(line)
        lines[key(line["settings"])] = line
        spent = line["train_cpu_seconds"] + line["evaluation_cpu_seconds"]
        left = (time.monotonic() - begun) / i * (len(missing) - i)
        tell(
            f"{i} of {len(missing)}: {line.get('name', run.name)}: {spent:.1f} CPU seconds; "
            f"about {left / 60:.0f} minutes left"
        )
    return lines
