"""`geomclip compare`: train several geometries under equal budgets, evaluate, write the report."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geomclip.cli.options import (
    Common,
    CommonFlags,
    comma_list,
    guard_pipes,
    parse,
    replace,
    spell_out,
)
from geomclip.cli.output import Output
from geomclip.cli.progress import RunProgress
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError
from geomclip.names import CHOICES, canonical, known
from geomclip.train.config import from_toml
from geomclip.train.layers import BASE, NOTHING, read_layers

FLAGS = {
    "geometry": "--geometries",
    "entailment": "--entailment",
    "seed": "--seed",
    "steps": "--steps",
    "data": "--data",
}


@dataclass(frozen=True)
class CompareOptions:
    """Train CLIP, EuCLIP and MERU on the same data with the same towers; write a report."""

    geometries: str = "clip,euclip,meru"
    """Names separated by commas, of: clip, elliptic, euclip, meru, euclidean, poincare, ..."""
    entailment: str = "0"
    """Weights of the entailment loss, such as 0,0.2; above 0 only geometries with cones run."""
    seeds: int = 1
    """Runs of each, with different seeds; three show a spread."""
    seed: int = 0
    """The first seed."""
    steps: int | None = None
    """Optimizer steps of a run; the recipe's when neither this nor --minutes is given."""
    minutes: float | None = None
    """Minutes for the whole comparison, in place of --steps; ten steps of a run are the least."""
    data: DataConfig = field(default_factory=DataConfig)
    out: Path = Path("runs/compare")
    """Folder of the report and the runs."""
    jobs: int | None = None
    """Runs at a time; as many as pay off when not given."""
    resume: bool = True
    """Continue an interrupted comparison in --out."""
    config: Path | None = None
    """TOML file of settings laid over the recipe of every geometry, such as batch_size = 32."""
    device: str | None = None
    """Torch device; the recipes' (cpu) when not given."""
    open: bool = False
    """Open the report in the browser at the end."""
    common: CommonFlags = field(default_factory=Common)

    def check(self) -> None:
        """Raises RequestError for a value that no comparison can have."""
        self.geometry_names()
        self.entailment_weights()
        for name, value in {"seeds": self.seeds, "steps": self.steps, "jobs": self.jobs}.items():
            if value is not None and value < 1:
                raise RequestError(f"--{name} is {value}", f"Give --{name} 1 or more.")
        if self.minutes is not None and not (0 < self.minutes < math.inf):
            raise RequestError(f"--minutes is {self.minutes:g}", "Give a time above 0.")
        if self.minutes is not None and self.steps is not None:
            raise RequestError("--steps and --minutes both set the length of a run", "Give one.")

    def geometry_names(self) -> list[str]:
        """--geometries as a list. Raises RequestError for an unknown or repeated one."""
        names = comma_list(self.geometries, "--geometries")
        for name in names:
            if not known(name):
                raise RequestError(f'--geometries: there is no "{name}"', CHOICES)
        rows = [canonical(name) for name in names]
        for i, row in enumerate(rows):
            if row in rows[:i]:
                raise RequestError(
                    f"--geometries: {names[rows.index(row)]} and {names[i]} are the same geometry",
                    "Name each once.",
                )
        return names

    def entailment_weights(self) -> list[float]:
        """--entailment as numbers. Raises RequestError for what is none, or negative."""
        weights = []
        for text in comma_list(self.entailment, "--entailment"):
            try:
                weight = float(text)
            except ValueError:
                weight = math.nan
            if not 0 <= weight < math.inf:
                raise RequestError(f'--entailment: "{text}" is no weight', "Such as 0,0.2.")
            weights.append(weight)
        return weights


def read_overrides(options: CompareOptions) -> dict[str, Any]:
    """The settings of --config and --device. Raises RequestError with the file and its fault."""
    values: dict[str, Any] = {}
    if options.config is not None:
        from_toml(options.config)  # the file's own faults, with its name
        layers = read_layers(options.config)
        values = layers.merged()
        if layers.alone:
            raise RequestError(
                f'{options.config}: {BASE} = "{NOTHING}" is for single runs; a comparison lays '
                "the file over the recipe of every geometry",
                "Use geomclip train, or a file without a base.",
            )
        for flag in ("geometry", "entailment", "seed", "steps", "data"):
            if flag in values:
                raise RequestError(
                    f"{options.config}: {flag} is not for a file that all geometries share",
                    f"Take it out and use the flag of compare ({FLAGS[flag]}).",
                )
    return values | ({"device": options.device} if options.device else {})


def run(argv: list[str]) -> int:
    """Parse, compare, report."""
    argv = spell_out(argv)
    options = parse(CompareOptions, argv, prog="geomclip compare")
    options.check()
    options = replace(options, data=guard_pipes(options.data, argv))
    output = Output(options.common)

    from geomclip.compare import REPORT, compare

    overrides = read_overrides(options)
    if options.data.source != "emoji":
        from geomclip.data.sources import check_comparable

        # Before any process is started, which would only report the same.
        check_comparable(options.data)
    with RunProgress(output) as view:
        comparison = compare(
            options.geometry_names(),
            entailment=options.entailment_weights(),
            seeds=options.seeds,
            first_seed=options.seed,
            steps=options.steps,
            minutes=options.minutes,
            data=options.data,
            out=options.out,
            jobs=options.jobs,
            overrides=overrides,
            resume=options.resume,
            progress=view,
        )
    report = options.out / REPORT
    output.result(comparison.to_dict(), comparison.table())
    output.note(f"Report: {report}")
    if options.open:
        import webbrowser

        webbrowser.open(report.resolve().as_uri())
    return 0
