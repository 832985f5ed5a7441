"""`geomclip evaluate SOURCE`: retrieval, zero-shot and hierarchy of a trained model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from geomclip.cli.options import Common, CommonFlags, guard_pipes, parse, replace, spell_out
from geomclip.cli.output import Output, finite, table
from geomclip.cli.progress import counting
from geomclip.data.config import DataConfig
from geomclip.train.config import from_toml

FILE = "evaluation.json"


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure a trained model. Without --data it is asked about the data it was trained for."""

    source: tyro.conf.Positional[Path]
    """Run folder, or one checkpoint folder of a run."""
    data: DataConfig = field(default_factory=DataConfig)
    device: str = "cpu"
    """Torch device."""
    threads: int = 0
    """CPU threads; torch's own choice at 0."""
    out: Path | None = None
    """File for the numbers; SOURCE/evaluation.json by default."""
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, evaluate, report."""
    options = parse_options(argv)
    output = Output(options.common)
    values, rows = evaluate(options, output)
    path = options.out or options.source / FILE
    _write(path, values)
    output.note(f"Written to {path}")
    splits = list(dict.fromkeys(split for split, _, _ in rows))
    cells = {(metric, split): value for split, metric, value in rows}
    metrics = dict.fromkeys(metric for _, metric, _ in rows)
    output.result(
        values,
        table(
            f"{options.source}: {values['geometry']}",
            ["metric", *splits],
            [
                [m, *(f"{cells[m, s]:.4f}" if (m, s) in cells else "" for s in splits)]
                for m in metrics
            ],
        ),
    )
    return 0


def parse_options(argv: list[str]) -> EvaluateOptions:
    """The options of a command line; the data of the run where it names none."""
    argv = spell_out(argv)
    options = parse(EvaluateOptions, argv, prog="geomclip evaluate")
    source = options.source
    folder = source.parent.parent if source.parent.name == "checkpoints" else source
    if (folder / "config.toml").is_file() and "--data.source" not in {
        token.partition("=")[0] for token in argv
    }:
        trained = from_toml(folder / "config.toml").data
        options = parse(
            EvaluateOptions,
            argv,
            prog="geomclip evaluate",
            default=EvaluateOptions(source=source, data=trained),
        )
    return replace(options, data=guard_pipes(options.data, argv))


def evaluate(
    options: EvaluateOptions, output: Output
) -> tuple[dict[str, Any], list[tuple[str, str, float]]]:
    """The object of evaluation.json, and its numbers as (split, metric, value)."""
    import torch

    from geomclip.data.sources import load as load_data
    from geomclip.evaluate import evaluate
    from geomclip.loaders import load
    from geomclip.train.setup import find_device

    if options.threads > 0:
        torch.set_num_threads(options.threads)
    device = find_device(options.device)
    model = load(options.source).to(device)
    with counting(output, f"reading {options.data.source}") as count:
        splits = load_data(options.data, model.image_size, progress=count)
    with counting(output, f"evaluating on {splits.name}"):
        evaluation = evaluate(model, splits, train=splits.train)
    values = {
        "source": str(options.source),
        "data": splits.name,
        "geometry": model.geometry.name,
        **evaluation.to_dict(),
    }
    return values, [(row.split, row.metric, row.value) for row in evaluation.rows]


def _write(path: Path, values: dict[str, Any]) -> None:
    import json

    from geomclip.train.files import disk_errors, write_text

    with disk_errors(f"{path} can't be written", "Choose another --out."):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(finite(values), indent=2, ensure_ascii=False) + "\n")
