"""The training loop: a batch, a loss, an update. Everything else stands in its own file."""

import dataclasses
import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geomclip import __version__
from geomclip.data.sources import load
from geomclip.data.splits import Splits
from geomclip.data.stream import Share, in_memory, item_names, open_stream
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import Interrupted
from geomclip.geometry import Geometry
from geomclip.model import ContrastiveModel, build_model
from geomclip.train import run
from geomclip.train.card import model_card
from geomclip.train.checkpoint import Progress
from geomclip.train.config import TrainConfig
from geomclip.train.criterion import Criterion
from geomclip.train.failures import diverged, is_finite, saving, step_errors
from geomclip.train.gradients import Gradients
from geomclip.train.interrupt import stop_requests
from geomclip.train.journal import Journal
from geomclip.train.log import Clock, Window, read_metrics
from geomclip.train.optim import (
    build_optimizer,
    clip_gradients,
    gradient_norms,
    set_lr,
    step_within_bounds,
)
from geomclip.train.overfit import overfit_settings
from geomclip.train.root import update_root, update_root_streamed
from geomclip.train.samples import NOTHING, Samples
from geomclip.train.schedule import lr_factor
from geomclip.train.setup import find_tokenizer, reproducible, seed_step
from geomclip.train.streaks import Streaks
from geomclip.train.telemetry import (
    count_far,
    describe,
    describe_cones,
    describe_norms,
    describe_rates,
)
from geomclip.train.trackers import check_trackers
from geomclip.train.world import World, joined


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
    root: dict[str, int] = dataclasses.field(default_factory=dict)
    """How many records the root is the mean of; empty where it is the origin."""

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
    was stopped and resumed. Several processes (torchrun, or a process group made before) call it
    together and share every batch: their result is that of one, to rounding.

    Args:
        resume: continue from the newest complete checkpoint; a finished run is returned as it is.
        progress: receives every record that goes to metrics.jsonl, in the process of rank 0.
        splits: the data, where it is loaded already; `config.data` says what it is.

    Raises:
        RequestError: data, device or run folder do not allow it, or a checkpoint does not fit.
        GeomclipError: loss or gradient became NaN or infinite, or the disk is full.
        Interrupted: SIGINT or SIGTERM came to any process; the step was finished and saved.
        FailedElsewhere: another process failed first, and raises what happened.
    """
    out, config = Path(out), overfit_settings(config)
    with joined(config.device) as world:
        config.check_batch(world.size)
        check_trackers(config)
        world.share(lambda: run.check_folder(out, config, resume=resume))
        if resume and (summary := world.share(lambda: run.finished(out))) is not None:
            return TrainResult(out, **summary)
        if splits is None:
            splits = load(config.data, config.model.image.image_size)
        with reproducible(config, world.device):
            return _train(config, out, splits, world, progress)


def _train(
    config: TrainConfig,
    out: Path,
    splits: Splits,
    world: World,
    progress: Callable[[dict[str, Any]], None] | None,
) -> TrainResult:
    tokenizer = world.share(lambda: find_tokenizer(config, out, splits))
    stream = open_stream(config, splits, tokenizer, share=Share(world.rank, world.size))
    items = item_names(config, splits) if config.reads_items else []
    model = build_model(config, tokenizer, items).to(world.device).train()
    geometry = model.geometry
    samples, criterion = build_losses(config, geometry, splits, tokenizer)
    criterion = criterion.to(world.device)
    parameters = [*model.parameters(), *criterion.parameters()]
    optimizer = build_optimizer(model, geometry, config, criterion)
    journal = Journal(config, out, world, progress)
    at = journal.begin(model, optimizer, tokenizer)
    if at.step:
        stream.load_state_dict(at.data)
        criterion.load_state_dict(at.losses)
    gradients = Gradients(model, config, world, criterion)
    window, clock = Window(at.window), Clock(at.step, at.seconds, at.cpu_seconds)
    streaks = Streaks(at.streaks)
    stops = stop_requests(patient=world.size > 1)

    with closing(journal), closing(stream), stops as stop:
        while at.step < config.steps:
            set_lr(optimizer, lr_factor(at.step, config.steps, config.warmup))
            seed_step(config.seed, at.step, world.rank)
            batch = stream.next()
            known = samples.known(batch, world.device) if samples else NOTHING
            with step_errors(config, out, at.step + 1):
                terms = gradients(batch.inputs, at.step, known)
            loss, contrastive = terms.loss.item(), terms.contrastive.item()
            due = (at.step + 1) % config.log_every == 0 or at.step + 1 in (1, config.steps)
            grads = gradient_norms(model, criterion) if due else {}
            norm = clip_gradients(parameters, config.clip_norm)
            (far,) = world.total(count_far(geometry, *terms.points.values()))
            far_share = far / (len(terms.points) * config.batch_size)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = "gradient" if math.isfinite(loss) else "loss"
                raise diverged(config, out, geometry, what, at.step + 1, far_share)

            extra: dict[str, Any] = {}
            if due:
                shown = describe_cones(config, geometry, terms, at.step)
                extra |= world.mean(shown | describe_norms(geometry, terms))
                extra |= {"grad_norms": grads, **describe_rates(optimizer)}
            touched = step_within_bounds(optimizer, geometry)
            criterion.commit_()
            at.step += 1
            window.add(
                {"loss": loss, "contrastive": contrastive, "grad_norm": norm, "far": far}
                | {f"bound/{name}": 1.0 for name in touched}
                | {f"loss/{name}": value for name, value in terms.parts.items()}
            )
            streaks.step(geometry, contrastive, criterion.chance())
            if due:
                streaks.line(extra, at.step)
                window.count("data/", world.collect(stream.take_counts()))
                record = describe(config, at.step, window, geometry, clock, criterion)
                journal.write(record | extra | streaks.record())
                window.clear()

            asked = world.first(stop.signal) if at.step < config.steps else ""
            if asked or at.step % config.checkpoint_every == 0 or at.step == config.steps:
                if not is_finite(model, criterion):
                    raise diverged(config, out, geometry, "update", at.step, far_share)
                with step_errors(config, out, at.step):
                    at.root = find_root(
                        config, model, splits, world, progress, last=at.step == config.steps
                    )
                window.count("data/", world.collect(stream.take_counts()))
                at.seconds, at.cpu_seconds = clock.seconds(), clock.cpu_seconds()
                at.window, at.data = window.sums, stream.state_dict()
                at.losses, at.streaks = criterion.state_dict(), streaks.counts
                path = journal.save(model, optimizer, at)
            if asked:
                raise Interrupted(
                    f"stopped by {asked} at step {at.step} of {config.steps}, saved: {path}",
                    f"Continue with {run.resume_command(out)}.",
                )
    summary = world.share(lambda: _finish(config, out, splits, model, tokenizer, at))
    return TrainResult(out, **summary)


def build_losses(
    config: TrainConfig, geometry: Geometry, splits: Splits, tokenizer: Tokenizer
) -> tuple[Samples | None, Criterion]:
    """What the losses ask about the data, None where they ask nothing, and the losses.

    Raises RequestError where the data can't tell what a loss asks for.
    """
    needs = Criterion.needed(config)
    if not needs:
        return None, Criterion(config, geometry)
    length, levels = config.model.text.context_length, len(config.loss.levels)
    samples = Samples(splits, tokenizer, length, needs=needs, levels=levels)
    return samples, Criterion(config, geometry, samples.items)


def find_root(
    config: TrainConfig,
    model: ContrastiveModel,
    splits: Splits,
    world: World,
    progress: Callable[[dict[str, Any]], None] | None = None,
    *,
    last: bool,
) -> dict[str, int]:
    """Set the root of the geometry; what it is the mean of, nothing where it is the origin.

    Args:
        last: whether this is the last checkpoint of the run.
    """
    whole = config.data.root == "all" or (config.data.root == "last" and last)
    if splits.streamed and whole and not config.overfit:
        tell = progress if world.main else None
        note = None if tell is None else lambda text: tell({"message": text})
        found = update_root_streamed(
            model, splits.streamed, world, weights=config.data.weights, note=note
        )
    else:
        found = update_root(model, in_memory(config, splits), world)
        if found is not None and splits.streamed and not config.overfit:
            found = dataclasses.replace(found, of=splits.pictures)
    return {} if found is None else found.to_dict()


def _finish(
    config: TrainConfig,
    out: Path,
    splits: Splits,
    model: ContrastiveModel,
    tokenizer: Tokenizer,
    at: Progress,
) -> dict[str, Any]:
    """Write the run folder, finished.json last, and return what that holds."""
    summary: dict[str, Any] = {
        "step": at.step,
        "seconds": at.seconds,
        "cpu_seconds": at.cpu_seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "last": read_metrics(out / run.METRICS)[-1],
        "root": at.root,
        "versions": {"geomclip": __version__, "torch": torch.__version__},
    }
    card = model_card(
        config,
        data=splits.name,
        description=splits.description,
        images=splits.pictures,
        parameters=summary["parameters"],
        summary=summary,
        folder=out.name,
    )
    with saving(out, "writing the finished run"):
        run.save_run(model, config, tokenizer, out, card=card)
        run.write_finished(out, summary)
    return summary
