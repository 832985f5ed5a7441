"""`geomclip viz SOURCE [SOURCE ...]`: the disk explorer as one offline html file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from geomclip.cli.analyze import short_names
from geomclip.cli.options import Common, CommonFlags, comma_list, parse, spell_out
from geomclip.cli.output import Output, table
from geomclip.cli.progress import counting
from geomclip.cli.source import (
    SourceOptions,
    is_embeddings,
    open_embeddings,
    own_data,
    with_data,
)
from geomclip.errors import RequestError
from geomclip.train.files import require_writable

if TYPE_CHECKING:
    from geomclip.embeddings import Embeddings

Method = Literal["tangent-pca", "horopca", "mds", "co-sne", "umap", "none"]


@dataclass(frozen=True)
class VizOptions:
    """An interactive picture of one space, or of several side by side: drag it, search it, click a
    sample to see its ancestors, the way to the root and its entailment cone."""

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE ...")]
    """Embeddings (.safetensors, .npz, .npy, .parquet, .csv), run folders, checkpoints."""
    source: Annotated[SourceOptions, tyro.conf.arg(name="")] = field(default_factory=SourceOptions)
    method: Method = "tangent-pca"
    """How points come to two dimensions."""
    radial: bool = True
    """Keep the distance to the root exactly; only directions come from the method."""
    names: str = ""
    """What the spaces are called, as CLIP,MERU; by their geometries when empty."""
    max_points: int = 20_000
    """A random sample is shown where there are more."""
    min_radius: float = 0.1
    """K of the entailment cones, at first."""
    thumbs: int = 48
    """Side of the small pictures in pixels; 0 for none. They are read from the data of the SOURCE,
    of embeddings from --data."""
    title: str = ""
    """Heading of the page."""
    seed: int = 0
    """Of the sample and the method."""
    out: Path | None = None
    """The file to write; disk.html beside or in the first SOURCE by default."""
    open: bool = False
    """Open the page in the browser."""
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, reduce, write, report."""
    argv = spell_out(argv, VizOptions)
    options = parse(VizOptions, argv, prog="geomclip viz")
    _check(options)
    output = Output(options.common)
    first = options.sources[0]
    path = options.out or (first if first.is_dir() else first.parent) / "disk.html"
    if path.is_dir():
        raise RequestError(f"{path} is a folder", "Name a file: --out disk.html.")
    if path.suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"--out {path} is no page", "Name it .html.")
    require_writable(path.parent)
    spaces = [
        open_embeddings(source, with_data(options.source, argv), output, argv)
        for source in options.sources
    ]
    from geomclip.viz.disk import disk

    thumbs = _thumbs(options, spaces[0], output, argv) if options.thumbs else {}
    names = comma_list(options.names, "--names") if options.names else _names(options, spaces)
    with counting(output, f"reducing by {options.method}"):
        made = disk(
            *spaces,
            names=names,
            method=options.method,
            radial=options.radial,
            max_points=options.max_points,
            min_radius=options.min_radius,
            thumbs=thumbs,
            page=path,
            title=options.title,
            seed=options.seed,
        )
    made.save(path)
    rows = [
        (name, f"{r.kept.distance:.3f}", f"{r.kept.neighbours:.3f}", f"{r.kept.root_order:.3f}")
        for name, r in made.reductions.items()
    ]
    header = ("kept in two dimensions", "distance", "neighbours", "root order")
    output.result({"path": str(path), **made.to_dict()}, table("", header, rows))
    for note in made.notes:
        output.note(note)
    output.note(f"Written to {path}")
    if options.open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    return 0


def _check(options: VizOptions) -> None:
    if not options.sources:
        raise RequestError("there is no SOURCE", "geomclip viz embeddings.safetensors")
    if options.max_points < 3:
        raise RequestError(f"--max-points is {options.max_points}", "Give 3 or more.")
    if not 0 < options.min_radius < float("inf"):
        raise RequestError(f"--min-radius is {options.min_radius:g}", "Give more than 0.")
    if not 0 <= options.thumbs <= 256:
        raise RequestError(f"--thumbs is {options.thumbs}", "Give 0 to 256 pixels.")


def _names(options: VizOptions, spaces: list["Embeddings"]) -> list[str]:
    """By geometry; by source where two have the same."""
    kinds = [space.geometry.name for space in spaces]
    return [] if len(set(kinds)) == len(kinds) else short_names(options.sources)


def _thumbs(
    options: VizOptions, space: "Embeddings", output: Output, argv: list[str]
) -> dict[str, Any]:
    from geomclip.encode_parts import corpus_or_records
    from geomclip.viz.sheet import thumbnails

    first = options.sources[0]
    named = any(token.partition("=")[0] == "--data.source" for token in argv)
    if is_embeddings(first) and not named:
        return {}
    data = own_data(first, argv) or with_data(options.source, argv).data
    ids: Any = space.ids
    wanted = ids.get(space.modalities[0], [])
    with counting(output, f"reading pictures of {data.source}"):
        found, bad = thumbnails(corpus_or_records(data), wanted, options.thumbs)
    if bad:
        output.warn(f"{len(bad):,} pictures can't be read, the first: {bad[0]}")
    if missing := len(set(wanted) - set(found)):
        output.warn(f"{missing:,} of {len(set(wanted)):,} samples have no picture in {data.source}")
    return found
