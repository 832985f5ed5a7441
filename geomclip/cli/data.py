"""`geomclip data check PATH`: all that is wrong with a data set, by row, at once."""

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
    """csv/tsv, image folder, webdataset tars, COCO/Karpathy json, or `emoji`."""
    data: DataConfig = field(default_factory=DataConfig)
    examples: int = 5
    """Rows quoted of each kind of fault."""
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, check, report."""
    if not argv or argv[0] != "check":
        if argv and argv[0] in ("-h", "--help"):
            print("usage: geomclip data check PATH [options]")
            return 0
        raise RequestError(
            f'there is no data command "{argv[0] if argv else ""}"', "geomclip data check PATH."
        )
    argv = spell_out(argv[1:])
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
