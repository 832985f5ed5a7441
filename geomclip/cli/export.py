"""`geomclip export SOURCE OUT --to LAYOUT`: a model, or what it embeds, for other tools."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from geomclip.cli.options import Common, CommonFlags, parse, spell_out
from geomclip.cli.output import Output
from geomclip.cli.source import SourceOptions, open_embeddings, open_model, with_data

# What writes a model, and what writes embeddings: module and function, imported when called.
MODELS = {
    "hf": ("geomclip.loaders.to_hf", "write_hf"),
    "openclip": ("geomclip.loaders.to_openclip", "write_openclip"),
}
EMBEDDINGS = {
    "parquet": ("geomclip.exports", "write_parquet"),
    "faiss": ("geomclip.exports", "write_faiss"),
    "projector": ("geomclip.exports", "write_projector"),
}


@dataclass(frozen=True)
class ExportOptions:
    """Write a model in the layout of another tool, or embeddings for one: those in a file, or of
    --data under a model."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
    """Run folder, Hugging Face folder, checkpoint of open_clip, the EuCLIP fork or MERU, or a file
    of embeddings."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Folder to write; for a model it must not exist, or be empty. Of parquet also a file."""
    to: Literal["hf", "openclip", "parquet", "faiss", "projector"] = "hf"
    """`hf` is what transformers' from_pretrained reads, `openclip` what open_clip does; `parquet` a
    table of points, `faiss` an index a modality, `projector` files for TensorBoard's."""
    options: Annotated[SourceOptions, tyro.conf.arg(name="")] = field(default_factory=SourceOptions)
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, load, write."""
    argv = spell_out(argv)
    options = parse(ExportOptions, argv, prog="geomclip export")
    output = Output(options.common)
    values = export(options, output, argv)
    kind = "model" if options.to in MODELS else "embeddings"
    output.result(values, f"{values['geometry']} {kind} written to {options.out} ({options.to})")
    return 0


def export(options: ExportOptions, output: Output, argv: list[str]) -> dict[str, Any]:
    """Write; what was written, as plain values."""
    chosen = with_data(options.options, argv)
    module, name = (MODELS | EMBEDDINGS)[options.to]
    write: Callable[[Any, Path], list[str]] = getattr(importlib.import_module(module), name)
    if options.to in MODELS:
        made: Any = open_model(options.source, chosen)
    else:
        made = open_embeddings(options.source, chosen, output, argv)
    return {
        "source": str(options.source),
        "out": str(options.out),
        "to": options.to,
        "files": write(made, options.out),
        "geometry": made.geometry.name,
    }
