"""What a run leaves in its folder while it trains: written by rank 0, waited for by all."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from geomclip.model import ContrastiveModel
from geomclip.train import run
from geomclip.train.checkpoint import (
    Progress,
    checkpoint_path,
    checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from geomclip.train.config import TrainConfig
from geomclip.train.failures import saving
from geomclip.train.files import disk_errors
from geomclip.train.log import MetricsLog
from geomclip.train.trackers import Tracker, open_trackers
from geomclip.train.world import World

if TYPE_CHECKING:
    from geomclip.data.tokenizer import Tokenizer


class Journal:
    """The metrics, trackers and checkpoints of a run; every process has one and calls it in step.

    Args:
        progress: receives every record that goes to metrics.jsonl, in rank 0.
    """

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        world: World,
        progress: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.config, self.out, self.world, self.progress = config, out, world, progress
        self._log: MetricsLog | None = None
        self._trackers: list[Tracker] = []
        self._last = 0

    def begin(
        self, model: ContrastiveModel, optimizer: torch.optim.Optimizer, tokenizer: "Tokenizer"
    ) -> Progress:
        """Make the folder ready and take up the newest checkpoint; returns where the run stands.

        Raises:
            GeomclipError: the folder can't be written, or a checkpoint does not fit.
        """
        with disk_errors(f"{self.out} can't be written", "Choose another --out."):
            if self.world.main:
                run.begin(self.out, self.config)
                run.save_tokenizer(tokenizer, self.out)
                run.save_items(model.items, self.out)
            # One process looks: on a network disk two might see different things.
            saved = self.world.share(lambda: checkpoints(self.out)[-1:])
            at = load_checkpoint(saved[0], model, optimizer) if saved else Progress()
            if self.world.main:
                self._log = MetricsLog(self.out / run.METRICS, after=at.step)
                self._trackers = open_trackers(
                    self.config, self.out, history=self._log.history, logged=self._log.logged
                )
        return at

    def write(self, record: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl and tell the trackers. Raises GeomclipError (full disk)."""
        if self._log is None:
            return
        with saving(self.out, "writing metrics.jsonl"):
            self._log.write(record)
            for tracker in self._trackers:
                tracker.write(record)
        self._last = record["step"]
        if self.progress is not None:
            self.progress(record)

    def save(self, model: ContrastiveModel, optimizer: torch.optim.Optimizer, at: Progress) -> Path:
        """Write a checkpoint, on disk when this returns. Raises GeomclipError (disk full, ...)."""
        if self.world.main:
            with saving(self.out, f"writing the checkpoint of step {at.step}"):
                # Before the checkpoint: what is resumed from it never lacks points before it.
                for tracker in self._trackers:
                    tracker.flush()
                save_checkpoint(self.out, model, optimizer, at, keep=self.config.keep_checkpoints)
        self.world.wait()
        return checkpoint_path(self.out, at.step)

    def close(self) -> None:
        """No more lines."""
        if self._log is not None:
            self._log.close()
        for tracker in self._trackers:
            tracker.close(complete=self._last == self.config.steps)
