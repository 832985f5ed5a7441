"""TensorBoard and Weights & Biases: the lines of metrics.jsonl, passed on under the same names.

A resumed run goes on in the same place without a point twice: TensorBoard is told from which step
on it must forget, wandb is spared the lines that it has. Whoever is asked for later gets the lines
from before.
"""

import dataclasses
import importlib.util
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig, to_toml
from geomclip.train.files import remove_folder, write_text

TENSORBOARD = "tensorboard"  # folder of the event files in a run folder
WANDB_ID = "wandb_id"  # file with the id under which wandb knows the run

# Tables of a line that name only what is not 0.
_SPARSE = ("at_bound", "bounds", "stuck", "data")
_SIDES = {"lower": -1.0, "upper": 1.0}


@runtime_checkable
class Tracker(Protocol):
    """Takes the lines of a run, in rank 0."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Take a line of metrics.jsonl."""

    def flush(self) -> None:
        """Have on disk, or on its way, all that was taken."""

    def close(self, *, complete: bool) -> None:
        """No more lines; `complete` where the run went to its end."""


class Series:
    """Lines as flat numbers: `losses/chains`, `grad_norms/image`; -1 and 1 for the lower and the
    upper bound, and 0 where what was named before (a bound, a count) is named no more.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, record: Mapping[str, Any]) -> dict[str, float]:
        """The numbers of a line, without its step. What is not finite is left out."""
        values = dict.fromkeys(self._seen, 0.0)
        for name, value in record.items():
            if isinstance(value, Mapping):
                found = {f"{name}/{key}": _number(v) for key, v in value.items()}
                if name in _SPARSE:
                    self._seen |= found.keys()
            else:
                found = {name: _number(value)}
            values |= {key: v for key, v in found.items() if v is not None}
        values.pop("step", None)
        return values


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _SIDES.get(value)
    number = float(value)
    return number if math.isfinite(number) else None


def check_trackers(config: TrainConfig) -> None:
    """Raises RequestError where a package that `config.report_to` asks for is not installed."""
    for name in config.trackers:
        spec = importlib.util.find_spec(name)
        # A folder of that name beside the program (wandb leaves one) is no package.
        if spec is None or spec.origin is None:
            raise RequestError(
                f"report_to {name}: the package {name} is not installed",
                "Install the extra: pip install 'geomclip[log]'.",
            )


def open_trackers(
    config: TrainConfig, out: Path, *, history: Sequence[Mapping[str, Any]], logged: int
) -> list[Tracker]:
    """The trackers that `config.report_to` names, ready for the next line.

    Args:
        history: the lines of the run so far, up to the step that it goes on from.
        logged: step of the last line that was ever written, which may be later.

    Raises:
        RequestError: wandb can't begin (no account, no connection).
    """
    opened: list[Tracker] = []
    if "tensorboard" in config.trackers:
        opened.append(TensorBoard(config, out / TENSORBOARD, history))
    if "wandb" in config.trackers:
        opened.append(Wandb(config, out, history, logged))
    return opened


class TensorBoard:
    """Event files in a folder: scalars, and the configuration as text."""

    def __init__(
        self, config: TrainConfig, folder: Path, history: Sequence[Mapping[str, Any]]
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        new = not any(folder.glob("events.*"))
        after = history[-1]["step"] if history else 0
        self._series = Series()
        self._writer = SummaryWriter(str(folder), purge_step=None if new else after + 1)
        if new:
            self._writer.add_text("config", f"```\n{to_toml(config)}```")
            for record in history:
                self.write(record)

    def write(self, record: Mapping[str, Any]) -> None:
        """A point of every curve."""
        for name, value in self._series(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def flush(self) -> None:
        """Write out what is held back (two minutes' worth otherwise, lost by a kill)."""
        self._writer.flush()

    def close(self, *, complete: bool) -> None:
        """Close the file."""
        self._writer.close()


class Wandb:
    """A run of Weights & Biases; its project, entity and mode are wandb's own variables
    (WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE=offline), the project `geomclip` where none is set.
    """

    def __init__(
        self, config: TrainConfig, out: Path, history: Sequence[Mapping[str, Any]], logged: int
    ) -> None:
        import wandb

        file = out / WANDB_ID
        new = not file.exists()
        if new:
            write_text(file, secrets.token_hex(8) + "\n")
        try:
            self._run = wandb.init(
                id=file.read_text(encoding="utf-8").strip(),
                resume="allow",
                project=os.environ.get("WANDB_PROJECT", "geomclip"),
                name=os.environ.get("WANDB_NAME", out.name),
                dir=str(out),
                config=dataclasses.asdict(config),
                settings=wandb.Settings(console="off"),
            )
        except wandb.errors.Error as error:
            raise RequestError(
                f"report_to wandb: {' '.join(str(error).split())}",
                "Log in with `wandb login`, set WANDB_MODE=offline, or leave wandb out.",
            ) from error
        self._series = Series()
        self._have = 0 if new else self._reached(out, logged)
        for record in history:
            self.write(record)

    def _reached(self, out: Path, logged: int) -> int:
        """The last step that wandb has of the sessions before: the server knows. Without one a
        killed session has lost its last lines, and nobody can tell which; so its file makes room
        for this one's, which gets all lines again. A file that was uploaded stays.
        """
        if not self._run.offline:
            return self._run.step - 1
        here = Path(self._run.dir).parent.resolve()
        uploaded = False
        for session in (out / "wandb").glob(f"offline-run-*-{self._run.id}"):
            if any(session.glob("*.synced")):
                uploaded = True
            elif session.resolve() != here:
                remove_folder(session)
        return logged if uploaded else 0

    def write(self, record: Mapping[str, Any]) -> None:
        """A point of every curve; nothing for a step that wandb has."""
        values = self._series(record)
        if record["step"] > self._have:
            self._run.log(values, step=record["step"], commit=True)

    def flush(self) -> None:
        """Lines are with wandb's own process already."""

    def close(self, *, complete: bool) -> None:
        """Wait for what is under way, and tell how the run ended."""
        self._run.finish(exit_code=0 if complete else 1)
