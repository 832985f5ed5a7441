"""SOURCE of the commands: a file of embeddings, or a model with data to embed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from geomclip.cli.options import guard_pipes, replace
from geomclip.cli.output import Output
from geomclip.cli.progress import counting
from geomclip.data.config import DataConfig
from geomclip.errors import RequestError

if TYPE_CHECKING:
    from geomclip.embeddings import Embeddings
    from geomclip.model import ContrastiveModel

# Read by Embeddings.read; a .safetensors may be one or a checkpoint.
TABLES = (".npz", ".npy", ".parquet", ".csv")


@dataclass(frozen=True)
class SourceOptions:
    """How a SOURCE is read. Of a model the embeddings are made, of --data or of what it was not
    trained on."""

    data: DataConfig = field(default_factory=DataConfig)
    geometry: str = ""
    """Of a SOURCE that does not say how its distance is measured: clip, elliptic, euclip, meru, or
    any other name of a geometry."""
    c: float | None = None
    """Curvature magnitude of that geometry for an embeddings file, where it learns one: the space
    curves as -c."""
    tokenizer: Path | None = None
    """Vocabulary of a checkpoint that has none beside it."""
    quick_gelu: bool | None = None
    """OpenAI's activation, of a checkpoint that does not say."""
    features: bool = False
    """The rows of an embeddings file are raw features (not normalised, before the exponential
    map); the geometry makes points of them."""
    device: str = "cpu"
    """Torch device of a model."""
    threads: int = 0
    """CPU threads; torch's own choice at 0."""
    batch_size: int = 256
    """Pictures or texts that a model encodes at a time."""


def is_embeddings(source: Path) -> bool:
    """Whether `source` is a file of embeddings, and no model.

    Raises RequestError where there is nothing.
    """
    if not source.exists():
        raise RequestError(f"{source}: there is no such file or folder", "Check the path.")
    if source.is_dir():
        return False
    if source.suffix.lower() != ".safetensors":
        return source.suffix.lower() in TABLES
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source, "pt") as file:
            # A weight's name has dots; an array of embeddings is called image or image_features.
            ours = "geomclip" in (file.metadata() or {})
            return ours or not any("." in name for name in file.keys())
    except SafetensorError as error:
        raise RequestError(f"{source}: no safetensors file ({error})", "Check it.") from error


def own_data(source: Path, argv: list[str]) -> DataConfig | None:
    """The data that the run in `source` was trained for, where it is a run and the command line
    names no other; commands in them are not allowed by the run's own file."""
    from geomclip.train.config import from_toml

    folder = source.parent.parent if source.parent.name == "checkpoints" else source
    named = any(token.partition("=")[0] == "--data.source" for token in argv)
    if named or not (folder / "config.toml").is_file():
        return None
    return guard_pipes(from_toml(folder / "config.toml").data, argv)


def open_model(source: Path, options: SourceOptions) -> "ContrastiveModel":
    """The model of a SOURCE on the device, in evaluation mode.

    Raises RequestError for a file of embeddings, or what `geomclip.load` doesn't read.
    """
    import torch

    from geomclip.loaders import load
    from geomclip.train.world import find_device

    if options.threads > 0:
        torch.set_num_threads(options.threads)
    if is_embeddings(source):
        raise RequestError(
            f"{source} holds embeddings, and no model that could encode anything",
            "Pass a run folder or a checkpoint.",
        )
    if options.c is not None or options.features:
        raise RequestError(
            f"{source} is a model, which knows its curvature and lifts its own features",
            "Leave --c and --features out.",
        )
    model = load(
        source,
        geometry=options.geometry or None,
        tokenizer=options.tokenizer,
        quick_gelu=options.quick_gelu,
    )
    return model.to(find_device(options.device))


def open_embeddings(
    source: Path, options: SourceOptions, output: Output, argv: list[str]
) -> "Embeddings":
    """The embeddings of a SOURCE: read, or made of --data, or of the data that a run held out.

    Raises RequestError where that can't be done.
    """
    import torch

    from geomclip.embeddings import Embeddings
    from geomclip.encode import embed

    if options.threads > 0:
        torch.set_num_threads(options.threads)
    if is_embeddings(source):
        with counting(output, f"reading {source}"):
            return Embeddings.read(
                source, options.geometry or None, options.c, features=options.features
            )
    model = open_model(source, options)
    held_out = own_data(source, argv)
    if held_out is not None and held_out.source != "emoji":
        from geomclip.data.sources import load as load_data

        with counting(output, f"reading {held_out.source}") as count:
            splits = load_data(held_out, model.image_size, fit=model.fit, progress=count)
        if not splits.evaluation:
            raise RequestError(
                f"{source}: nothing of its data ({held_out.source}) was held out",
                "Name what to embed with --data PATH.",
            )
        pool = next(iter(splits.evaluation.values())).pool
        with counting(output, "embedding the held-out pictures") as count:
            return embed(
                model, pool, batch_size=options.batch_size, levels=splits.levels,
                source=str(source), progress=count,
            )  # fmt: skip
    data = held_out or guard_pipes(options.data, argv)
    with counting(output, f"embedding {data.source}") as count:
        return embed(model, data, batch_size=options.batch_size, source=str(source), progress=count)


def with_data(options: SourceOptions, argv: list[str]) -> SourceOptions:
    """The options without a permission to run commands that this command line does not give."""
    return replace(options, data=guard_pipes(options.data, argv))
