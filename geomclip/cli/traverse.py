"""`geomclip traverse SOURCE [IMAGE]`: the texts met from a picture to the root, or to another."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from geomclip.cli.options import Common, CommonFlags, comma_list, parse, spell_out
from geomclip.cli.output import Output, finite
from geomclip.cli.progress import counting
from geomclip.cli.source import (
    SourceOptions,
    is_embeddings,
    open_embeddings,
    open_model,
    own_data,
    with_data,
)
from geomclip.errors import RequestError
from geomclip.train.files import require_writable

if TYPE_CHECKING:
    from torch import Tensor

    from geomclip.data.pool import TextPool
    from geomclip.embeddings import Embeddings
    from geomclip.geometry import Geometry
    from geomclip.model import ContrastiveModel
    from geomclip.traverse import Traversal, TraversalStatistics


@dataclass(frozen=True)
class TraverseOptions:
    """Walk from IMAGE to the root of the space, or to another picture, and list the texts that are
    nearest on the way. Without IMAGE: from every picture of --data, with the distribution of the
    number of captions met (figure 5 of arXiv 2409.13079)."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
    """Run folder, checkpoint, or (without IMAGE) a file of embeddings."""
    image: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[IMAGE]")] = None
    """Picture to start from; every picture of --data when left out."""
    to: Path | None = None
    """Picture where the way ends; the root when not given."""
    options: Annotated[SourceOptions, tyro.conf.arg(name="")] = field(default_factory=SourceOptions)
    others: tuple[Path, ...] = ()
    """Further SOURCEs beside the first, on the same data."""
    texts: Path | None = None
    """File of the texts that may be met, one a line, in place of --pool."""
    pool: str = ""
    """Texts that may be met, joined by commas: captions, labels, nouns, adjectives (of the data),
    words (700 nouns and 200 adjectives of WordNet). All but nouns and adjectives when empty; words
    alone where no data are at hand."""
    steps: int = 50
    """Points of a way."""
    path: Literal["published", "geodesic"] = "published"
    """Interpolate in the tangent space at the origin (sphere: a line, normalised), or along the
    geodesic."""
    min_radius: float = 0.0
    """K of the cones: above 0, a text counts only where the point lies in its cone."""
    root: Literal["own", "mean", "empty"] = "own"
    """The geometry's root, the mean of the embeddings at hand, or the text ""."""
    limit: int = 0
    """Pictures to start from, at most, evenly spaced; all at 0."""
    out: Path | None = None
    """Page with pictures to write (.html)."""
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, walk, report."""
    argv = spell_out(argv, TraverseOptions)
    options = parse(TraverseOptions, argv, prog="geomclip traverse")
    if options.min_radius < 0 or options.steps < 2 or options.limit < 0:
        raise RequestError(
            f"--min-radius {options.min_radius:g}, --steps {options.steps}, --limit "
            f"{options.limit}: out of range",
            "K is 0 or more, a way has at least 2 points, a limit is 0 or more.",
        )
    if options.out is not None:
        require_writable(options.out.parent)
    output = Output(options.common)
    if options.image is not None:
        return run_single(options, output, argv)
    if options.to is not None:
        raise RequestError("--to needs a picture to start from", "Give IMAGE after SOURCE.")
    return run_batch(options, output, argv)


# ---- one picture


def run_single(options: TraverseOptions, output: Output, argv: list[str]) -> int:
    """From IMAGE to the root or to --to."""
    import torch

    from geomclip.evaluate.features import image_points, text_points
    from geomclip.traverse import traverse

    assert options.image is not None
    if options.others:
        raise RequestError("--others goes without IMAGE", "Give --data, or one SOURCE at a time.")
    chosen = with_data(options.options, argv)
    files = [path for path in (options.image, options.to) if path is not None]
    model = open_model(options.source, chosen)
    pictures = torch.stack([_picture(path, model) for path in files])
    pool = _pool_of_data(options, chosen, argv, output)
    with counting(output, f"encoding {len(pool):,} texts"):
        encoded = text_points(model, [*pool.prompts, ""], batch_size=chosen.batch_size)
    points = encoded.of(pool.prompts)
    x = image_points(model, pictures)
    root = _root(options, model.geometry, torch.cat([points, x]), encoded.of([""])[0])
    found = traverse(
        model.geometry, x[:1], pool.texts, points, end=x[1:] if options.to else None,
        root=root, steps=options.steps, path=options.path, min_radius=options.min_radius,
    )  # fmt: skip
    values = _about(options, model.geometry, len(pool)) | {
        "image": str(options.image),
        "to": None if options.to is None else str(options.to),
        "way": found[0].to_dict()["met"],
    }
    if options.out is not None:
        from geomclip.viz.traversal import Strip, thumbnail

        shown = [thumbnail(picture) for picture in pictures]
        strip = Strip(
            options.image.name, shown[0], shown[1] if options.to else "", found[0], pool.kinds
        )
        _write(options, output, [strip], {}, values)
    output.result(values, "\n".join(m.text for m in found[0].met))
    return 0


def _picture(path: Path, model: "ContrastiveModel") -> "Tensor":
    from geomclip.data.record import BadImage, decode_image

    try:
        return decode_image(path, model.image_size, model.fit)
    except BadImage as error:
        raise RequestError(f"{path}: {error}", "Give a picture (PNG, JPEG, ...).") from None


def _pool_of_data(
    options: TraverseOptions, chosen: SourceOptions, argv: list[str], output: Output
) -> "TextPool":
    """The pool with the captions and labels of --data, or of what a run was trained for."""
    from geomclip.data.pool import build_pool, read_pool
    from geomclip.data.record import BadRecord

    if options.texts is not None:
        return read_pool(options.texts)
    named = any(token.partition("=")[0] == "--data.source" for token in argv)
    data = own_data(options.source, argv) or (chosen.data if named else None)
    captions: list[str] = []
    paths: list[tuple[str, ...]] = []
    parts = _parts(options, data is not None)
    if data is not None and parts != ["words"]:
        from geomclip.encode_parts import corpus_or_records

        with counting(output, f"reading the texts of {data.source}") as count:
            for i, record in enumerate(corpus_or_records(data), 1):  # type: ignore[arg-type]
                if not isinstance(record, BadRecord):
                    captions += record.texts[:1] if data.source == "emoji" else record.texts
                    paths.append(record.path)
                count(i)
    return build_pool(parts, captions, paths)


def _parts(options: TraverseOptions, data: bool) -> list[str]:
    if options.pool:
        return comma_list(options.pool, "--pool")
    return ["captions", "labels", "words"] if data else ["words"]


# ---- all pictures


def run_batch(options: TraverseOptions, output: Output, argv: list[str]) -> int:
    """From every picture at hand to the root, for each SOURCE."""
    from geomclip.traverse import traversal_statistics

    statistics: dict[str, TraversalStatistics] = {}
    values: list[dict[str, Any]] = []
    first: list[Any] = []
    for source in (options.source, *options.others):
        e, ways, pool = _walk(source, options, output, argv)
        name = str(source)
        statistics[name] = traversal_statistics([w for _, w in ways], len(pool))
        values.append(
            {"source": name}
            | _about(options, e.geometry, len(pool))
            | statistics[name].to_dict()
            | {"images": {_id(e, row): list(w.names) for row, w in ways}}
        )
        first = first or [(e, ways, pool)]
    result = {"sources": values}
    if options.out is not None:
        _write(options, output, _strips(options, argv, *first[0]), statistics, values[0])
    lines = []
    for name, s in statistics.items():
        lines += [name, *(f"  {r.label}: {r.text}{' %' * r.is_share}" for r in s.rows())]
        lines += [f"  {note}" for note in s.notes()]
        lines.append(
            "  captions met: " + ", ".join(f"{k}: {n}" for k, n in enumerate(s.distribution))
        )
    output.result(result, "\n".join(lines))
    return 0


def _walk(
    source: Path, options: TraverseOptions, output: Output, argv: list[str]
) -> "tuple[Embeddings, list[tuple[int, Traversal]], TextPool]":
    """The embeddings, the ways by the row of their picture, the pool."""
    import torch

    from geomclip.traverse import traverse

    chosen = with_data(options.options, argv)
    e = open_embeddings(source, chosen, output, argv).with_root()
    images = e[e.modalities[0]]
    model = None if is_embeddings(source) else open_model(source, chosen)
    pool, points = _pool_of_embeddings(options, e, model, chosen.batch_size)
    everything = torch.cat([e.points[m] for m in e.modalities[:2]])
    root = _root(options, e.geometry, everything, e.empty)
    n = len(images)
    wanted = min(n, options.limit) if options.limit else n
    rows = [i * n // wanted for i in range(wanted)]
    with counting(output, f"walking from {wanted:,} pictures") as count:
        ways = traverse(
            e.geometry, images[rows], pool.texts, points, root=root, steps=options.steps,
            path=options.path, min_radius=options.min_radius, progress=count,
        )  # fmt: skip
    return e, list(zip(rows, ways, strict=True)), pool


def _pool_of_embeddings(
    options: TraverseOptions,
    e: "Embeddings",
    model: "ContrastiveModel | None",
    batch_size: int,
) -> "tuple[TextPool, Tensor]":
    """The pool and its points; without a model, of the embedded texts and labels alone."""
    import torch

    from geomclip.data.pool import TextPool, build_pool, read_pool
    from geomclip.embeddings import LABEL

    labels = e.label_paths(LABEL) if LABEL in e.points else None
    if model is not None:
        from geomclip.evaluate.features import text_points

        if options.texts is not None:
            pool = read_pool(options.texts)
        else:
            pool = build_pool(_parts(options, True), e.texts, labels or ())
        return pool, text_points(model, pool.prompts, batch_size=batch_size).of(pool.prompts).cpu()
    if options.texts is not None or set(_parts(options, True)) & {"nouns", "adjectives"}:
        raise RequestError(
            f"{options.source} holds embeddings, and no model that could encode other texts",
            "Leave --texts out; --pool may be captions and labels.",
        )
    entries, rows = [], []
    parts = comma_list(options.pool, "--pool") if options.pool else ["captions", "labels"]
    if "captions" in parts and "text" in e.points and e.texts:
        entries += [(text, text, "caption") for text in e.texts]
        rows.append(e["text"])
    if "labels" in parts and labels:
        entries += [(path[-1], path[-1], "label") for path in labels]
        rows.append(e[LABEL])
    if not entries:
        raise RequestError(
            f"{options.source} has no texts and no labels that could be met",
            "Embed data with captions by geomclip embed.",
        )
    pool = TextPool.of(entries)
    # Of equal texts the pool has the first.
    place: dict[str, int] = {}
    for i, (text, _, _) in enumerate(entries):
        place.setdefault(text, i)
    return pool, torch.cat(rows)[[place[text] for text in pool.texts]]


def _root(
    options: TraverseOptions, geometry: "Geometry", everything: "Tensor", empty: "Tensor | None"
) -> "Tensor | None":
    if options.root == "own":
        return None
    if options.root == "mean":
        from geomclip.evaluate.roots import mean_root

        return mean_root(geometry, everything)
    if empty is None:
        raise RequestError(
            'the embeddings do not have the text ""', "Take --root own or --root mean."
        )
    return empty


# ---- output


def _about(options: TraverseOptions, geometry: "Geometry", pool: int) -> dict[str, Any]:
    return {
        "geometry": geometry.name,
        "root": options.root,
        "path": options.path,
        "steps": options.steps,
        "min_radius": options.min_radius,
        "pool": pool,
    }


def _id(e: "Embeddings", row: int) -> str:
    ids = dict(e.ids).get(e.modalities[0])  # type: ignore[arg-type]
    return ids[row] if ids else str(row)


def _strips(
    options: TraverseOptions,
    argv: list[str],
    e: "Embeddings",
    ways: "list[tuple[int, Traversal]]",
    pool: "TextPool",
) -> "list[Any]":
    """The ways with their pictures, where the data still have them."""
    from geomclip.viz.traversal import STRIPS, THUMB, Strip, thumbnail

    chosen: Sequence[tuple[int, Traversal]] = [
        ways[i * len(ways) // min(STRIPS, len(ways))] for i in range(min(STRIPS, len(ways)))
    ]
    names = {_id(e, row) for row, _ in chosen}
    pictures: dict[str, str] = {}
    titles: dict[str, str] = {}
    if not is_embeddings(options.source):
        from geomclip.data.record import BadRecord, decode_image
        from geomclip.encode_parts import corpus_or_records

        data = own_data(options.source, argv) or with_data(options.options, argv).data
        for record in corpus_or_records(data):  # type: ignore[union-attr]
            if not isinstance(record, BadRecord) and record.id in names:
                pictures[record.id] = thumbnail(decode_image(record.image, THUMB))
                titles[record.id] = record.texts[0] if record.texts else record.id
    return [
        Strip(titles.get(name, name), pictures.get(name, ""), "", way, pool.kinds)
        for name, way in ((_id(e, row), way) for row, way in chosen)
    ]


def _write(
    options: TraverseOptions,
    output: Output,
    strips: "list[Any]",
    statistics: "dict[str, TraversalStatistics]",
    about: dict[str, Any],
) -> None:
    from geomclip.train.files import disk_errors, write_text
    from geomclip.viz.traversal import render

    assert options.out is not None
    facts = [(name, str(about[name])) for name in ("geometry", "root", "path", "steps", "pool")]
    facts.append(("cones' K", f"{options.min_radius:g}" if options.min_radius else "no filter"))
    goal = options.to.name if options.to else "the root"
    start = options.image.name if options.image else "every picture"
    page = render(f"From {start} to {goal}", facts, strips, statistics)
    with disk_errors(f"{options.out} can't be written", "Choose another --out."):
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.out, page)
        if statistics:
            write_text(
                options.out.with_suffix(".json"),
                json.dumps(finite({k: s.to_dict() for k, s in statistics.items()}), indent=2)
                + "\n",
            )
    output.note(f"Written to {options.out}")
