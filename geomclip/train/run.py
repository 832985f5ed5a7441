"""The run folder: how a run begins, what a finished one holds, how a model is read back from it.

config.toml  config.json  model.safetensors  tokenizer.json  preprocessor_config.json  README.md
items.json (what the rows of a table of items stand for, where there is one)
metrics.jsonl  checkpoints/step-000400/  finished.json (written last: the run is complete)
"""

import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geomclip import __version__
from geomclip.errors import RequestError
from geomclip.train.checkpoint import WEIGHTS, checkpoints, load_weights, weights_bytes
from geomclip.train.config import TrainConfig, from_toml, to_toml
from geomclip.train.files import (
    TEMPORARY,
    clear_temporaries,
    require_writable,
    write_bytes,
    write_text,
)

if TYPE_CHECKING:
    from geomclip.data.tokenizer import Tokenizer
    from geomclip.model import ContrastiveModel

CONFIG = "config.toml"
TOKENIZER = "tokenizer.json"
ITEMS = "items.json"
METRICS = "metrics.jsonl"
FINISHED = "finished.json"

# Settings that change no number of a run but by rounding, and so may change when it is resumed, on
# other or fewer devices.
FREE = (
    "checkpoint_every", "keep_checkpoints", "device", "threads", "accumulate",
    "grad_checkpointing", "compile", "exchange", "report_to", "data.workers", "data.max_bad_share",
)  # fmt: skip


def resume_command(out: Path) -> str:
    """What to type to continue the run in `out`."""
    return f"geomclip train --resume --out {shlex.quote(str(out))}"


def has_run(out: Path) -> bool:
    """Whether a run was begun in this folder."""
    return (out / CONFIG).is_file()


def read_config(out: Path) -> TrainConfig:
    """The configuration of the run in `out`. Raises RequestError where there is none."""
    if not has_run(out):
        raise RequestError(f"{out} holds no run (no {CONFIG})", "Check the path of the run folder.")
    return from_toml(out / CONFIG)


def finished(out: Path) -> dict[str, Any] | None:
    """The summary of a finished run; None for one that is not. Raises RequestError for a damaged
    one."""
    path = out / FINISHED
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError as error:
        raise RequestError(
            f"{path} is damaged, no JSON",
            "Remove it and start the run again: it goes on from its last checkpoint.",
        ) from error


def check_folder(out: Path, config: TrainConfig, *, resume: bool) -> None:
    """Whether a run with this configuration may start, or continue, in `out`. Leaves nothing there.

    Raises:
        RequestError: a start into a folder that holds something, or that can't be written; a
            resume without a run, or with other settings.
    """
    if out.exists() and not out.is_dir():
        raise RequestError(f"{out} is a file, not a folder", "Choose another --out.")
    if not resume:
        if has_run(out):
            done = "finished" if finished(out) else f"at {_newest(out)}"
            raise RequestError(
                f"{out} already holds a run ({done})",
                "Continue it with --resume, or choose another --out.",
            )
        if out.exists() and not _abandoned(out):
            raise RequestError(f"{out} is not empty", "Choose another --out.")
        require_writable(out)
        return
    if not has_run(out):
        raise RequestError(
            f"there is no run to resume in {out}", "Leave --resume out to start one."
        )
    before = _flat(dataclasses.asdict(read_config(out)))
    now = _flat(dataclasses.asdict(config))
    changed = [
        f"{name} is {now.get(name)!r}, was {before.get(name)!r}"
        for name in now | before  # a table such as scalar_lrs may lack some
        if now.get(name) != before.get(name) and name not in FREE
    ]
    if changed:
        raise RequestError(
            f"{out} was started with other settings: {'; '.join(changed)}",
            "Resume with the same settings, or start a new run with another --out.",
        )


def begin(out: Path, config: TrainConfig) -> None:
    """Create the folder and write config.toml; remove what a killed process left half-written."""
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    clear_temporaries(out)
    clear_temporaries(out / "checkpoints")
    write_text(out / CONFIG, to_toml(config))


def save_tokenizer(tokenizer: "Tokenizer", out: Path) -> None:
    """tokenizer.json, whole or absent."""
    temporary = out / f".tmp-{TOKENIZER}"
    try:
        tokenizer.save(temporary)
        write_bytes(out / TOKENIZER, temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)


def save_items(items: Sequence[str], out: Path) -> None:
    """items.json, whole or absent; without items there is none."""
    if items:
        write_text(out / ITEMS, json.dumps(list(items), ensure_ascii=False) + "\n")


def load_items(out: Path) -> list[str]:
    """The names in items.json; none without one. Raises RequestError where it is damaged."""
    path = out / ITEMS
    if not path.is_file():
        return []
    try:
        return [str(item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise RequestError(f"{path} is no list of names: {error}", "Copy it again.") from None


def save_run(
    model: "ContrastiveModel", config: TrainConfig, tokenizer: "Tokenizer", out: Path, *, card: str
) -> None:
    """Write what `load_run` and other programs read, each file whole or absent. Raises OSError."""
    write_text(out / CONFIG, to_toml(config))
    write_text(out / "config.json", _json(model_config(model, config)))
    write_text(out / "preprocessor_config.json", _json(preprocessor(model)))
    save_tokenizer(tokenizer, out)
    save_items(model.items, out)
    write_text(out / "README.md", card)
    write_bytes(out / WEIGHTS, weights_bytes(model))


def load_run(source: Path) -> "ContrastiveModel":
    """The model of a finished run folder or of one checkpoint, in evaluation mode, on the CPU.

    Raises:
        RequestError: no run there, an unfinished one, or weights that do not fit the configuration.
    """
    from geomclip.data.tokenizer import Tokenizer
    from geomclip.model import build_model

    source = Path(source)
    out = source.parent.parent if source.parent.name == "checkpoints" else source
    config = read_config(out)
    if source == out and finished(out) is None:
        saved = checkpoints(out)
        or_pass = f", or pass {saved[-1]}" if saved else ""
        raise RequestError(
            f"{out} holds an unfinished run (at {_newest(out)})",
            f"Finish it with {resume_command(out)}{or_pass}.",
        )
    tokenizer = Tokenizer.load(out / TOKENIZER)
    model = build_model(config, tokenizer, load_items(out))
    load_weights(source / WEIGHTS, model)
    return model.eval()


def model_config(model: "ContrastiveModel", config: TrainConfig) -> dict[str, Any]:
    """config.json: model and geometry in plain values, for programs that do not read TOML."""
    geometry = model.geometry
    return {
        "model_type": "geomclip",
        "architectures": ["ContrastiveModel"],
        "geomclip_version": __version__,
        "projection_dim": model.dim,
        "geometry": {
            "name": geometry.name,
            **dataclasses.asdict(geometry.spec),
            "modalities": list(geometry.modalities),
            "scalars": geometry.scalars(),
        },
        "modalities": {name: dataclasses.asdict(m) for name, m in config.modalities.items()},
        "model": dataclasses.asdict(config.model),
        "vocab_size": model.tokenizer.vocab_size if model.tokenizer else None,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def preprocessor(model: "ContrastiveModel") -> dict[str, Any]:
    """preprocessor_config.json, in Hugging Face's names where they have one.

    `do_normalize` is for other programs; our model takes pixels in [0, 1] and normalises inside.
    """
    from geomclip.loaders.preprocessing import preprocessing_of, to_hf

    return to_hf(preprocessing_of(model), model.image_size)


def write_finished(out: Path, summary: dict[str, Any]) -> None:
    """finished.json, the last file of a run."""
    write_text(out / FINISHED, _json(summary))


def _abandoned(out: Path) -> bool:
    """Whether nothing is in the folder but what a process leaves that is killed as it begins."""
    files = (p for p in out.rglob("*") if not p.is_dir())
    return not any(not p.name.startswith(TEMPORARY) for p in files)


def _newest(out: Path) -> str:
    saved = checkpoints(out)
    return saved[-1].name if saved else "its beginning, no checkpoint yet"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
    return flat


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
