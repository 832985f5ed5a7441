"""`geomclip train --dry-run`: what a run is made of and what it will take, without its data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from geomclip.cli.output import Output, table
from geomclip.cli.progress import duration
from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig
from geomclip.train.hardware import UTILISATION, parse_hardware

if TYPE_CHECKING:
    from geomclip.train.dryrun import DryRun


@dataclass(frozen=True)
class DryRunOptions:
    """What a dry run is asked; the others need --dry-run."""

    dry_run: bool = False
    """Build everything, take steps on synthetic data, print parameters, memory, speed and what the
    full run will take; reads no data and writes nothing."""
    micro_batch: int = 0
    """Pairs of the dry run's step; 0 grows them until a step takes a second."""
    hardware: str = ""
    """What to estimate the full run for, NAMExCOUNT, such as h100x8; an unknown name lists all."""
    utilisation: float = UTILISATION
    """Share of its peak that the hardware is taken to reach."""
    price_per_hour: float | None = None
    """Price of one of them for an hour; without it no cost is told."""

    def check(self) -> None:
        """Raises RequestError for what no dry run can have, or what is no use without one."""
        for name in ("micro_batch", "hardware", "utilisation", "price_per_hour"):
            if not self.dry_run and getattr(self, name) != getattr(DryRunOptions, name):
                raise RequestError(f"--{name.replace('_', '-')} is for a dry run", "Add --dry-run.")
        if self.micro_batch < 0:
            raise RequestError(f"--micro-batch is {self.micro_batch}", "Give 1 or more.")
        if self.price_per_hour is not None and not 0 <= self.price_per_hour < float("inf"):
            raise RequestError(f"--price-per-hour is {self.price_per_hour:g}", "Give 0 or more.")
        if self.price_per_hour is not None and not self.hardware:
            raise RequestError("--price-per-hour has no --hardware", "Say of what: h100x8.")
        if self.hardware:
            parse_hardware(self.hardware)


def run(config: TrainConfig, options: DryRunOptions, output: Output) -> None:
    """Measure, estimate, report."""
    from geomclip.train.dryrun import dry_run

    output.note("Building everything and taking a few steps ...")
    found = dry_run(
        config,
        pairs=options.micro_batch,
        hardware=parse_hardware(options.hardware) if options.hardware else None,
        utilisation=options.utilisation,
        price=options.price_per_hour,
    )
    if found.measured.device != config.device:
        output.note(f"There is no {config.device} here: measured on {found.measured.device}.")
    output.result(found.to_dict(), show(found))


def show(found: "DryRun") -> Table:
    """The table for people."""
    measured, parts = found.measured, found.parameters
    rows = [("parameters", f"{parts.total:,}")]
    for name, count in parts.towers.items():
        rows.append((f"  {name} tower", f"{count:,}"))
        if parts.projections[name]:
            rows.append((f"  {name} projection", f"{parts.projections[name]:,}"))
    rows.append(("  scalars", ", ".join(parts.scalars)))
    rows += [
        ("measured", f"{measured.pairs} pairs on {measured.device}, {measured.precision}"),
        ("  step", f"{measured.seconds:.3g} s, {measured.samples_per_second:,.3g} samples/s"),
        ("  peak memory", _bytes(measured.peak_bytes)),
        ("    weights, moments", _bytes(measured.state_bytes)),
        ("    gradients, activations", _bytes(measured.step_bytes)),
        ("full run", f"{found.steps:,} steps x {found.batch_size:,} = {found.samples:,} samples"),
        ("  towers, a pair", f"{found.flops_per_pair / 1e9:,.3g} GFLOP, contexts full"),
        ("  on this machine", f"about {_long(found.seconds_here)}, the loader not counted"),
        ("  pairs at once, a device", f"{found.pairs_at_once:,}"),
        ("  memory, a device", _estimated(found)),
    ]
    if found.hardware is not None and found.seconds is not None:
        peak = found.hardware.peak(measured.precision) / 1e12
        assumed = f"{found.utilisation:g} of {peak:,.3g} TFLOP/s each ({measured.precision})"
        rows.append((f"  on {found.hardware}", f"about {_long(found.seconds)}, if at {assumed}"))
    if found.cost is not None:
        rows.append(("  cost", f"about {found.cost:,.2f}"))
    out = table(f"{found.geometry}, dry run", ("", ""), rows)
    out.columns[1].justify = "left"  # sentences, not numbers
    return out


def _estimated(found: "DryRun") -> str:
    if found.memory_bytes is None:
        return "unknown: the measured sizes do not tell"
    text = f"about {_bytes(found.memory_bytes)}"
    if found.hardware is None:
        return text
    text += f" of {_bytes(found.hardware.device.memory)}"
    if found.fits:
        return f"{text}: fits"
    if found.accumulate is None:
        return f"{text}: does not fit, however small its parts"
    return f"{text}: does not fit; --accumulate {found.accumulate} does"


def _bytes(count: int) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**28 else f"{count / 2**20:.3g} MiB"


def _long(seconds: float) -> str:
    return duration(seconds) if seconds < 2 * 86400 else f"{seconds / 86400:,.1f} days"
