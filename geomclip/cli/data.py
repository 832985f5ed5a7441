"""`geomclip data check PATH`: all that is wrong with a data set, by row, at once.

`geomclip data sizes PATH`: how many samples each shard holds.
"""

import json
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from geomclip.cli.options import Common, CommonFlags, guard_pipes, parse, replace, spell_out
from geomclip.cli.output import Output
from geomclip.cli.progress import counting
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError


@dataclass(frozen=True)
class CheckOptions:
    """Read every row and decode every picture; exit code 2 where something is wrong."""

    path: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PATH")]
    """csv/tsv, image folder, webdataset tars, parquet, COCO/Karpathy json, or `emoji`."""
    data: DataConfig = field(default_factory=DataConfig)
    examples: int = 5
    """Rows quoted of each kind of fault."""
    common: CommonFlags = field(default_factory=Common)


@dataclass(frozen=True)
class SizesOptions:
    """Count the samples of webdataset tars and print them as json, for --data.sizes: streaming
    remote shards needs them. Local shards need none."""

    path: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PATH")]
    """Tars by brace pattern, address or pipe."""
    allow_pipe: bool = False
    """Allow shards named "pipe:COMMAND", which run a shell command."""
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """The data command that is named first."""
    commands = {"check": run_check, "sizes": run_sizes}
    if argv and argv[0] in commands:
        return commands[argv[0]](argv[1:])
    if argv and argv[0] in ("-h", "--help"):
        print(
            "usage: geomclip data check PATH [options]\n       geomclip data sizes PATH [options]"
        )
        return 0
    raise RequestError(
        f'there is no data command "{argv[0] if argv else ""}"',
        "geomclip data check PATH, or geomclip data sizes PATH.",
    )


def run_sizes(argv: list[str]) -> int:
    """Parse, count, print."""
    options = parse(SizesOptions, argv, prog="geomclip data sizes")
    output = Output(options.common)

    from geomclip.data.sources import files_of
    from geomclip.data.streaming import count_shards

    kind, shards = files_of(options.path)
    if kind != "tar":
        raise RequestError(f"{options.path}: {kind} has no sizes file", "Only tars need one.")
    config = DataConfig(source=options.path, allow_pipe=options.allow_pipe)
    with counting(output, f"counting {len(shards)} shards") as count:
        sizes = count_shards(shards, config, progress=count)
    output.result(sizes, json.dumps(sizes, indent=0))
    return 0


def run_check(argv: list[str]) -> int:
    """Parse, check, report."""
    argv = spell_out(argv)
    options = parse(CheckOptions, argv, prog="geomclip data check")
    if options.data.val_data:
        raise RequestError(
            "one path is checked at a time", f"geomclip data check {options.data.val_data}"
        )
    config = guard_pipes(replace(options.data, source=options.path), argv)
    output = Output(options.common)

    from geomclip.data.check import check

    with counting(output, f"checking {config.source}") as count:
        report = check(config, examples=options.examples, progress=count)
    output.result(report.to_dict(), "\n".join(_lines(report)))
    if report.ok or (config.skip_bad and report.good):
        return 0
    bad = report.rows - report.good
    raise RequestError(
        f"{report.source}: {bad:,} of {report.rows:,} rows {'is' if bad == 1 else 'are'} bad",
        "Mend them, or leave them out of training with --data.skip-bad.",
    )


def _lines(report) -> list[str]:  # type: ignore[no-untyped-def]  # CheckReport loads torch
    """The report as text."""
    lines = [
        f"{report.source}: {report.format}, {report.rows:,} rows, {report.good:,} usable",
        f"  {report.captions:,} captions; {report.labelled:,} rows with a label path",
    ]
    named = {name: n for name, n in report.splits.items() if name}
    if named:
        lines.append("  splits: " + ", ".join(f"{name} {n:,}" for name, n in named.items()))
    for problem in report.problems:
        lines.append(f"{problem.kind}: {problem.count:,}")
        lines += [f"  {bad.where}: {bad.reason}" for bad in problem.examples]
        if problem.count > len(problem.examples):
            lines.append(f"  and {problem.count - len(problem.examples):,} more")
    return lines
