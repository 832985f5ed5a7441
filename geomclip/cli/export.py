"""`geomclip export SOURCE OUT --to LAYOUT`: a model, or what it embeds, for other tools."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from geomclip.cli.options import Common, CommonFlags, parse
from geomclip.cli.output import Output

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

# What writes a model: module and function, imported when called.
MODELS = {
    "hf": ("geomclip.loaders.to_hf", "write_hf"),
    "openclip": ("geomclip.loaders.to_openclip", "write_openclip"),
}


@dataclass(frozen=True)
class ExportOptions:
    """Write a model in the layout of another tool."""

    source: tyro.conf.Positional[Path]
    """Run folder, Hugging Face folder, or checkpoint of open_clip, the EuCLIP fork or MERU."""
    out: tyro.conf.Positional[Path]
    """Folder to write; it must not exist, or be empty."""
    to: Literal["hf", "openclip"] = "hf"
    """`hf` is what transformers' from_pretrained reads, `openclip` what open_clip does."""
    geometry: str | None = None
    """Geometry of a checkpoint that does not say it."""
    tokenizer: Path | None = None
    """Vocabulary of a checkpoint that has none beside it."""
    quick_gelu: bool | None = None
    """Whether the towers have OpenAI's activation, of a checkpoint that does not say."""
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, load, write."""
    options = parse(ExportOptions, argv, prog="geomclip export")
    output = Output(options.common)
    values = export(options)
    output.result(values, f"{values['geometry']} model written to {options.out} ({options.to})")
    return 0


def export(options: ExportOptions) -> dict[str, Any]:
    """Write the model; what was written, as plain values."""
    from geomclip.loaders import load

    model = load(
        options.source,
        geometry=options.geometry,
        tokenizer=options.tokenizer,
        quick_gelu=options.quick_gelu,
    )
    module, name = MODELS[options.to]
    write: Callable[[ContrastiveModel, Path], list[str]]
    write = getattr(importlib.import_module(module), name)
    files = write(model, options.out)
    return {
        "source": str(options.source),
        "out": str(options.out),
        "to": options.to,
        "geometry": model.geometry.name,
        "files": files,
    }
