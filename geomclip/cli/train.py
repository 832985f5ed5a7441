"""`geomclip train`: one run. Flags lie over the TOML file, which lies over the recipe."""

import contextlib
import io
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from geomclip.cli import dryrun
from geomclip.cli.dryrun import DryRunOptions
from geomclip.cli.options import Common, CommonFlags, guard_pipes, parse, peek, replace, spell_out
from geomclip.cli.output import Output
from geomclip.cli.progress import RunProgress, clock_time, counting
from geomclip.errors import RequestError
from geomclip.names import CHOICES, known
from geomclip.train.config import TrainConfig, from_toml, recipe
from geomclip.train.layers import read_layers
from geomclip.train.overfit import overfit_settings, verdict


@dataclass(frozen=True)
class TrainOptions:
    """Train one model. `--data PATH` is short for `--data.source PATH`, and so for the others."""

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    config: Path | None = None
    """TOML file of settings; flags override it."""
    out: Path | None = None
    """Run folder; runs/GEOMETRY by default."""
    resume: bool = False
    """Continue the run in the run folder."""
    dry: Annotated[DryRunOptions, tyro.conf.arg(name="")] = field(default_factory=DryRunOptions)
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, train, report; of several processes rank 0 speaks, or the first that fails."""
    rank = int(os.environ.get("RANK", "0"))
    with contextlib.redirect_stderr(sys.stderr if rank == 0 else io.StringIO()):
        options = parse_options(argv)
    out = options.out or Path("runs") / options.settings.geometry
    output = Output(options.common if rank == 0 else replace(options.common, quiet=True))
    if options.dry.dry_run:
        dryrun.run(options.settings, options.dry, output)
        return 0
    result = train(options.settings, out, options.resume, output)
    if rank > 0:
        return 0
    last = result.last
    output.note(
        f"{result.step} steps in {clock_time(result.seconds)}, loss {last['loss']:.3f} "
        f"(chance {last['chance']:.2f}), {result.parameters:,} parameters"
    )
    if options.settings.overfit:
        output.note(verdict(last["contrastive"], last["chance"], options.settings.overfit))
    else:
        output.note(f"Next: geomclip evaluate {out}")
    output.result(result.to_dict(), str(out))
    return 0


def parse_options(argv: list[str]) -> TrainOptions:
    """The options of a command line, with recipe and TOML file under its flags."""
    argv = spell_out(argv)
    default = TrainOptions(settings=base_config(argv))
    options = parse(TrainOptions, argv, prog="geomclip train", default=default)
    options.dry.check()
    data = guard_pipes(options.settings.data, argv)
    settings = overfit_settings(replace(options.settings, data=data))
    return replace(options, settings=settings)


def base_config(argv: list[str]) -> TrainConfig:
    """What the flags lie over: the run's own settings under --resume, else recipe and TOML."""
    file, geometry = peek(argv, "--config"), peek(argv, "--geometry")
    if "--resume" in argv:
        out = Path(peek(argv, "--out") or Path("runs") / (geometry or TrainConfig.geometry))
        saved = out / "config.toml"
        if not saved.is_file():
            raise RequestError(
                f"there is no run to resume in {out}", "Leave --resume out to start one."
            )
        base = from_toml(saved)
        return from_toml(Path(file), base) if file else base
    if geometry is not None and not known(geometry):
        raise RequestError(f'--geometry: there is no "{geometry}"', CHOICES)
    first = from_toml(Path(file)) if file else TrainConfig()
    if file and read_layers(Path(file)).alone:
        return first
    entailment = _number(peek(argv, "--entailment"), first.entailment)
    base = recipe(geometry or first.geometry, entailment=entailment)
    return from_toml(Path(file), base) if file else base


def train(config: TrainConfig, out: Path, resume: bool, output: Output):  # type: ignore[no-untyped-def]  # TrainResult loads torch
    """Read the data and train, with progress on `output`."""
    from geomclip.data.sources import load
    from geomclip.train import run as run_folder
    from geomclip.train.loop import train
    from geomclip.train.trackers import check_trackers
    from geomclip.train.world import joined

    with joined(config.device) as world:
        # Before the data are read, which can take long.
        config.check_batch(world.size)
        check_trackers(config)
        world.share(lambda: run_folder.check_folder(out, config, resume=resume))
        splits = None
        if not (resume and world.share(lambda: run_folder.finished(out))):
            with counting(output, f"reading {config.data.source}") as count:
                splits = load(config.data, config.model.image.image_size, progress=count)
            output.note(f"{splits.name}: {splits.pictures:,} pictures to train on")
        with RunProgress(output) as view:

            def progress(record: dict[str, Any]) -> None:
                if "message" in record:
                    return view(record)
                left = (config.steps - record["step"]) * config.batch_size
                speed = record.get("samples_per_second") or 0.0
                eta = left / speed if speed > 0 else None
                view({**record, "run": out.name, "steps": config.steps, "eta_seconds": eta})

            return train(config, out, resume=resume, progress=progress, splits=splits)


def _number(text: str | None, otherwise: float) -> float:
    try:
        return otherwise if text is None else float(text)
    except ValueError:  # tyro says what is wrong with it
        return otherwise
