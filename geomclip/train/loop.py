"""The training loop: a batch, a loss, an update. Everything else stands in its own file."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from geomclip import __version__
from geomclip.data.sources import load
from geomclip.data.splits import Splits
from geomclip.data.stream import open_stream
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import Interrupted
from geomclip.losses import (
    entailment_loss,
    info_nce,
    linear_schedule,
    warmup_weight,
)
from geomclip.model import ContrastiveModel, build_model
from geomclip.train import run
from geomclip.train.card import model_card
from geomclip.train.checkpoint import Progress, checkpoints, load_checkpoint, save_checkpoint
from geomclip.train.config import TrainConfig
from geomclip.train.failures import diverged, is_finite, saving, step_errors
from geomclip.train.files import disk_errors
from geomclip.train.interrupt import stop_requests
from geomclip.train.log import Clock, MetricsLog, Window, read_metrics
from geomclip.train.optim import build_optimizer, set_lr
from geomclip.train.root import update_root
from geomclip.train.schedule import lr_factor
from geomclip.train.setup import find_device, find_tokenizer, reproducible
from geomclip.train.telemetry import count_far, describe, describe_cones


@dataclass(frozen=True)
class TrainResult:
    """A finished run."""

    out: Path
    """The run folder."""
    step: int
    """Optimizer steps done."""
    seconds: float
    """Wall seconds of training, over all sessions."""
    cpu_seconds: float
    """CPU seconds of training, over all sessions."""
    parameters: int
    """Number of parameters."""
    last: dict[str, Any]
    """The last record of metrics.jsonl."""
    versions: dict[str, str]
    """What the run was made with."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**dataclasses.asdict(self), "out": str(self.out)}


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    progress: Callable[[dict[str, Any]], None] | None = None,
    splits: Splits | None = None,
) -> TrainResult:
    """Train a model as `config` says and leave a run folder at `out`.

    On a CPU the result is a function of the configuration alone, bit for bit, however often the run
    was stopped and resumed.

    Args:
        resume: continue from the newest complete checkpoint; a finished run is returned as it is.
        progress: receives every record that goes to metrics.jsonl.
        splits: the data, where it is loaded already; `config.data` says what it is.

    Raises:
        RequestError: data, device or run folder do not allow it, or a checkpoint does not fit.
        GeomclipError: loss or gradient became NaN or infinite, or the disk is full.
        Interrupted: SIGINT or SIGTERM came; the step was finished and saved.
    """
    out = Path(out)
    device = find_device(config.device)
    run.check_folder(out, config, resume=resume)
    if resume and (summary := run.finished(out)) is not None:
        return TrainResult(out, **summary)
    if splits is None:
        splits = load(config.data, config.model.image.image_size)
    with reproducible(config, device):
        return _train(config, out, splits, device, progress)


def _train(
    config: TrainConfig,
    out: Path,
    splits: Splits,
    device: torch.device,
    progress: Callable[[dict[str, Any]], None] | None,
) -> TrainResult:
    tokenizer = find_tokenizer(config, out, splits)
    stream = open_stream(config, splits, tokenizer)
    model = build_model(config, tokenizer).to(device).train()
    geometry, parameters = model.geometry, list(model.parameters())
    optimizer = build_optimizer(model, geometry, config)
    with disk_errors(f"{out} can't be written", "Choose another --out."):
        run.begin(out, config)
        run.save_tokenizer(tokenizer, out)
        saved = checkpoints(out)
        at = load_checkpoint(saved[-1], model, optimizer) if saved else Progress()
        log = MetricsLog(out / run.METRICS, after=at.step)
    if saved:
        stream.load_state_dict(at.data)
    window, clock = Window(at.window), Clock(at.step, at.seconds, at.cpu_seconds)

    with contextlib.closing(log), contextlib.closing(stream), stop_requests() as stop:
        while at.step < config.steps:
            set_lr(optimizer, lr_factor(at.step, config.steps, config.warmup))
            weight, min_radius = entailment_schedule(config, at.step)
            batch = stream.next()
            with step_errors(config, out, at.step + 1):
                image, text = model(batch.pixels.to(device), batch.ids.to(device))
            contrastive = info_nce(geometry, image, text)
            loss = contrastive
            if weight > 0:
                entailment = entailment_loss(geometry.manifold, text, image, min_radius)
                loss = contrastive + weight * entailment
            optimizer.zero_grad()
            loss.backward()
            norm = clip_grad_norm_(parameters, config.clip_norm or math.inf)
            far = count_far(geometry, image, text)
            if not math.isfinite(loss.item()) or not math.isfinite(norm.item()):
                what = "gradient" if math.isfinite(loss.item()) else "loss"
                raise diverged(config, out, geometry, what, at.step + 1, far / (2 * len(image)))

            due = (at.step + 1) % config.log_every == 0 or at.step + 1 in (1, config.steps)
            cones = describe_cones(geometry, image, text, min_radius) if due else {}
            optimizer.step()
            touched = geometry.apply_bounds_()
            at.step += 1
            window.add(
                {"loss": loss.item(), "contrastive": contrastive.item(), "grad_norm": norm.item()}
                | {"far": float(far)}
                | {f"bound/{name}": 1.0 for name in touched}
                | {f"data/{name}": float(n) for name, n in stream.take_counts().items()}
            )
            if due:
                record = describe(config, at.step, window, geometry, clock)
                record |= cones | {"entailment_weight": weight, "min_radius": min_radius}
                record["lr"] = optimizer.param_groups[0]["lr"]
                with saving(out, "writing metrics.jsonl"):
                    log.write(record)
                window.clear()
                if progress is not None:
                    progress(record)

            stopping = bool(stop.signal) and at.step < config.steps
            if stopping or at.step % config.checkpoint_every == 0 or at.step == config.steps:
                if not is_finite(model):
                    raise diverged(config, out, geometry, "update", at.step, far / (2 * len(image)))
                with step_errors(config, out, at.step):
                    update_root(model, splits.train)
                at.seconds, at.cpu_seconds = clock.seconds(), clock.cpu_seconds()
                at.window, at.data = window.sums, stream.state_dict()
                with saving(out, f"writing the checkpoint of step {at.step}"):
                    path = save_checkpoint(out, model, optimizer, at, keep=config.keep_checkpoints)
            if stopping:
                raise Interrupted(
                    f"stopped by {stop.signal} at step {at.step} of {config.steps}, saved: {path}",
                    f"Continue with {run.resume_command(out)}.",
                )
    return _finish(config, out, splits, model, tokenizer, at)


def entailment_schedule(config: TrainConfig, step: int) -> tuple[float, float]:
    """(weight of the entailment loss, cone constant K) at a step, counted from 0."""
    weight = warmup_weight(
        step, config.steps, config.entailment, config.entailment_start, config.entailment_full
    )
    if config.final_min_radius is None:
        return weight, config.min_radius
    end = config.final_min_radius
    return weight, linear_schedule(step, config.steps, config.min_radius, end)


def _finish(
    config: TrainConfig,
    out: Path,
    splits: Splits,
    model: ContrastiveModel,
    tokenizer: Tokenizer,
    at: Progress,
) -> TrainResult:
    """Write the run folder; finished.json comes last."""
    summary: dict[str, Any] = {
        "step": at.step,
        "seconds": at.seconds,
        "cpu_seconds": at.cpu_seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "last": read_metrics(out / run.METRICS)[-1],
        "versions": {"geomclip": __version__, "torch": torch.__version__},
    }
    card = model_card(
        config,
        data=splits.name,
        description=splits.description,
        images=len(splits.train),
        parameters=summary["parameters"],
        summary=summary,
        folder=out.name,
    )
    with saving(out, "writing the finished run"):
        run.save_run(model, config, tokenizer, out, card=card)
        run.write_finished(out, summary)
    return TrainResult(out, **summary)
