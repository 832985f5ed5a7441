"""Embeddings of a data set under a model: `geomclip.embed(model, data)`.

A picture is a row of "image"; every distinct text is one row of "text", paired with all pictures
that have it; every node of the label tree is one row of "label". Texts are encoded as they stand
unless prompt templates are given.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from geomclip.data.config import DataConfig
from geomclip.data.record import BadImage, BadRecord, Corpus, Record, decode_image
from geomclip.embeddings import LABEL, Embeddings
from geomclip.errors import RequestError
from geomclip.evaluate.features import image_points, text_points
from geomclip.model import ContrastiveModel

Captions = Literal["all", "first"]


@dataclass(frozen=True, eq=False)
class Block:
    """Encoded pictures with what is known of them; `bad` were left out."""

    image: Float[Tensor, "n d"]
    ids: list[str]
    texts: list[tuple[str, ...]]
    paths: list[tuple[str, ...]]
    bad: list[BadRecord]


def embed(
    model: ContrastiveModel,
    data: Corpus | Iterable[Record | BadRecord] | DataConfig | str | Path,
    *,
    captions: Captions | None = None,
    skip_bad: bool = False,
    batch_size: int = 256,
    levels: Sequence[str] = (),
    templates: tuple[str, ...] = ("{}",),
    source: str = "",
    progress: Callable[[int], None] = lambda count: None,
) -> Embeddings:
    """The embeddings of a data set, in memory; `geomclip embed` shares the work over processes.

    Args:
        data: pictures in memory, records, or what `--data` takes; "emoji" is its held-out part.
        captions: "all" texts of a record, or the "first"; by default the first of emoji, whose
            others are keywords, and all of other data.
        skip_bad: leave out records that can't be used, instead of stopping at the first.
        templates: prompts with one "{}" that the points of texts and labels are prototypes of.
        progress: called with the number of pictures so far.

    Raises:
        RequestError: data that can't be used, or that hold no picture.
        GeomclipError: the model gives points that are not finite.
    """
    if isinstance(data, str | Path):
        data = DataConfig(source=str(data))
    if isinstance(data, DataConfig):
        from geomclip.encode_parts import corpus_or_records, level_names

        captions = captions or ("first" if data.source == "emoji" else "all")
        skip_bad, source = skip_bad or data.skip_bad, source or data.source
        levels = levels or level_names(data)
        data = corpus_or_records(data)
    blocks = list(encode(model, data, skip_bad=skip_bad, batch_size=batch_size, progress=progress))
    return join(
        model, blocks, captions=captions or "all", batch_size=batch_size, levels=levels,
        templates=templates, source=source,
    )  # fmt: skip


def encode(
    model: ContrastiveModel,
    data: Corpus | Iterable[Record | BadRecord],
    *,
    skip_bad: bool = False,
    batch_size: int = 256,
    progress: Callable[[int], None] = lambda count: None,
) -> Iterator[Block]:
    """Blocks of `batch_size` encoded pictures. Raises as `embed`."""
    check_modalities(model)
    count = 0
    for corpus, bad in _batches(data, model, batch_size):
        if bad and not skip_bad:
            raise RequestError(
                f"{bad[0].where}: {bad[0].reason}",
                "Repair or remove it; --skip-bad leaves such records out and counts them.",
            )
        points = image_points(model, corpus.images, batch_size)
        count += len(corpus)
        yield Block(points.cpu(), corpus.ids, corpus.texts, corpus.paths, bad)
        progress(count)


def check_modalities(model: ContrastiveModel) -> None:
    """Raises RequestError for a model that does not encode pictures and texts."""
    names = model.geometry.modalities
    if not {"image", "text"} <= set(names):
        raise RequestError(
            f"the model encodes {', '.join(names)}; data sets are embedded by an encoder called "
            "image and one called text",
            "Encode them yourself, and pass the points to geomclip.Embeddings.",
        )


def join(
    model: ContrastiveModel,
    blocks: Sequence[Block],
    *,
    captions: Captions,
    batch_size: int = 256,
    levels: Sequence[str] = (),
    templates: tuple[str, ...] = ("{}",),
    source: str = "",
) -> Embeddings:
    """The embeddings of encoded pictures: their texts and labels are encoded here.

    Raises RequestError where there is no picture.
    """
    ids = [name for block in blocks for name in block.ids]
    if not ids:
        raise RequestError(f"{source or 'data'}: holds no picture that can be used", "Check it.")
    rows: dict[str, int] = {}
    pairs: dict[tuple[int, int], None] = {}
    texts_of = [texts for block in blocks for texts in block.texts]
    for i, texts in enumerate(texts_of):
        for text in texts[:1] if captions == "first" else texts:
            if text:
                pairs[i, rows.setdefault(text, len(rows))] = None
    paths = [path for block in blocks for path in block.paths]
    nodes = list(dict.fromkeys(p[: k + 1] for p in paths for k in range(len(p))))
    wanted = [*rows, *(node[-1] for node in nodes)]
    encoded = text_points(model, wanted, templates, batch_size)
    empty = text_points(model, [""], batch_size=batch_size).points[0]
    points = {"image": torch.cat([block.image for block in blocks])}
    if rows:
        points["text"] = encoded.of(list(rows)).cpu()
    if nodes:
        points[LABEL] = encoded.of([node[-1] for node in nodes]).cpu()
    by_modality: dict[str, list[tuple[str, ...]]] = {"image": paths, LABEL: nodes} if nodes else {}
    depth = max(map(len, paths))
    return Embeddings(
        points,
        frozen(model),
        texts=list(rows),
        paths=by_modality,
        ids={"image": ids},
        pairs=torch.tensor(list(pairs), dtype=torch.long) if rows else None,
        empty=empty.cpu(),
        levels=levels if len(levels) == depth else [f"level {i + 1}" for i in range(depth)],
        source=source,
    )


def frozen(model: ContrastiveModel):  # type: ignore[no-untyped-def]  # a Geometry
    """The model's geometry as a copy on the CPU that learns nothing."""
    from geomclip.geometry_record import describe, rebuild

    return rebuild(describe(model.geometry), "the model")


def _batches(
    data: Corpus | Iterable[Record | BadRecord], model: ContrastiveModel, batch_size: int
) -> Iterator[tuple[Corpus, list[BadRecord]]]:
    """Decoded pictures, and the records among them that couldn't be."""
    if isinstance(data, Corpus):
        for start in range(0, len(data), batch_size):
            yield data.subset(range(start, min(start + batch_size, len(data)))), []
        return
    size = model.image_size
    images: list[UInt8[Tensor, "4 s s"]] = []
    good: list[Record] = []
    bad: list[BadRecord] = []
    for record in data:
        try:
            if isinstance(record, BadRecord):
                bad.append(record)
            else:
                images.append(decode_image(record.image, size, model.fit))
                good.append(record)
        except BadImage as error:
            bad.append(BadRecord(record.where, str(error)))
        if len(good) == batch_size or (bad and not good):
            yield _corpus(images, good, size), bad
            images, good, bad = [], [], []
    if good or bad:
        yield _corpus(images, good, size), bad


def _corpus(images: list[Tensor], records: list[Record], size: int) -> Corpus:
    empty = torch.empty(0, 4, size, size, dtype=torch.uint8)
    return Corpus(
        images=torch.stack(images) if images else empty,
        ids=[r.id for r in records],
        texts=[r.texts for r in records],
        paths=[r.path for r in records],
        sources=[r.source for r in records],
    )
