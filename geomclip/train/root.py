"""The root of geometries without an origin: the normalised mean of what the model embeds.

Pictures without augmentation, the first text of each record, all of its keywords, its first box: of
every modality as many points as there are records.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from geomclip.data.record import BadImage, BadRecord, Box, Corpus, Record, decode_image
from geomclip.data.shards import ShardError, ShardSource
from geomclip.data.transforms import on_white
from geomclip.data.views import keywords
from geomclip.evaluate.features import inference
from geomclip.model import ContrastiveModel
from geomclip.roots import PointSum
from geomclip.train.world import World

# Seconds between two notes of how far a pass over shards has come.
INTERVAL = 30.0


@dataclass(frozen=True)
class Rooted:
    """What a root is the mean of."""

    records: int
    """Records whose points were counted."""
    of: int
    """Records of the training set."""
    bad: int = 0
    """Records that could not be used."""

    def to_dict(self) -> dict[str, int]:
        """The three numbers."""
        return asdict(self)


def rooted_in_mean(model: ContrastiveModel) -> bool:
    """Whether the root of a model's geometry has to be computed from data."""
    return model.geometry.spec.root == "mean"


def update_root(
    model: ContrastiveModel, corpus: Corpus, world: World, *, batch_size: int = 256
) -> Rooted | None:
    """Set `geometry.root` from every record of `corpus`, of which each process embeds its part.

    Geometries that are rooted in the origin are left alone, and give None.
    """
    if not rooted_in_mean(model):
        return None
    total = PointSum(model.dim, model.pixel_mean.device)
    # Renditions share their name: each is encoded once and counted as often as it is shown.
    cache: dict[tuple[str, str], Tensor] = {}
    mine = range(world.rank, len(corpus), world.size)
    with inference(model):
        for i in range(0, len(mine), batch_size):
            _add(model, corpus.subset(list(mine[i : i + batch_size])), total, cache)
    model.geometry.set_root_sum_(total.over(world.sum_))
    return Rooted(len(corpus), len(corpus))


def update_root_streamed(
    model: ContrastiveModel,
    sources: Sequence[ShardSource],
    world: World,
    *,
    weights: Sequence[float] = (),
    batch_size: int = 256,
    note: Callable[[str], None] | None = None,
) -> Rooted | None:
    """`update_root` in one pass over all shards, of which each process reads its part.

    It costs reading, decoding and embedding the whole training set once. What can't be read is
    counted; sources with weights count by them, whatever their sizes.

    Args:
        note: told every half minute how far the pass has come.
    """
    if not rooted_in_mean(model):
        return None
    device = model.pixel_mean.device
    totals = [PointSum(model.dim, device) for _ in sources]
    whole = sum(int(source.sizes.sum()) for source in sources)
    done, bad, last = 0, 0, time.monotonic()
    with inference(model):
        for source, total in zip(sources, totals, strict=True):
            shards = range(world.rank, len(source.sizes), world.size)
            for corpus, skipped in _read(source, shards, model, batch_size):
                if len(corpus):
                    _add(model, corpus, total, {})
                done, bad = done + len(corpus), bad + skipped
                if note is not None and time.monotonic() - last >= INTERVAL:
                    last = time.monotonic()
                    note(f"root: {done:,} of about {whole // world.size:,} records embedded")
    counts = world.total(done, bad)
    joined = [total.over(world.sum_) for total in totals]
    model.geometry.set_root_sum_(PointSum.mixed(joined, list(weights)))
    return Rooted(int(counts[0]), whole, int(counts[1]))


def _add(
    model: ContrastiveModel,
    corpus: Corpus,
    total: PointSum,
    cache: dict[tuple[str, str], Tensor],
) -> None:
    """Count the points of all modalities of some records in."""
    device = model.pixel_mean.device
    place = {item: row for row, item in enumerate(model.items)}
    for name, modality in model.modalities.items():
        if modality.reads == "image":
            points = model.encode(on_white(corpus.images).to(device), name)
        elif modality.reads == "box":
            crops = torch.stack([crops[0] for crops in corpus.crops])
            points = model.encode(on_white(crops).to(device), name)
        elif modality.kind == "tokens":
            texts = [(name, text) for text in texts_of(corpus, modality.reads)]
            new = [key for key in dict.fromkeys(texts) if key not in cache]
            if new:
                found = model.encode([text for _, text in new], name)
                cache |= dict(zip(new, found, strict=True))
            points = torch.stack([cache[key] for key in texts])
        else:
            rows = torch.tensor([place[item] for item in corpus.ids])
            points = model.encode(rows.to(device), name)
        total.add(points)


def texts_of(corpus: Corpus, reads: str) -> list[str]:
    """What a modality of texts reads of records when nothing is drawn."""
    if reads == "keywords":
        return [keywords(texts) if texts else "" for texts in corpus.texts]
    if reads == "phrase":
        return [boxes[0].text for boxes in corpus.boxes]
    return corpus.names


def _read(
    source: ShardSource, shards: Sequence[int], model: ContrastiveModel, batch_size: int
) -> Iterator[tuple[Corpus, int]]:
    """The records of some shards, decoded, in batches, each with how many could not be used."""
    wanted = {modality.reads for modality in model.modalities.values()}
    boxes = bool(wanted & {"box", "phrase"})
    good: list[tuple[Record, Tensor, Tensor]] = []
    bad = 0
    for shard in shards:
        count = 0
        try:
            for item in source.read(shard, 0):
                count += 1
                found = _decoded(item, model.image_size, boxes)
                bad += found is None
                if found is not None:
                    good.append(found)
                if len(good) == batch_size:
                    yield _corpus(good), bad
                    good, bad = [], 0
        except ShardError:  # the training stream names it
            bad += max(0, int(source.sizes[shard]) - count)
    yield _corpus(good), bad


def _decoded(
    item: Record | BadRecord, size: int, boxes: bool
) -> tuple[Record, Tensor, Tensor] | None:
    if isinstance(item, BadRecord):
        return None
    try:
        image = decode_image(item.image, size)
        cut = [decode_image(item.image, size, box=box) for box in item.boxes[:1] if boxes]
    except BadImage:
        return None
    return item, image, torch.stack(cut) if cut else image.new_empty(0, 4, size, size)


def _corpus(rows: list[tuple[Record, Tensor, Tensor]]) -> Corpus:
    empty = torch.empty(0, 4, 1, 1, dtype=torch.uint8)
    first: list[tuple[Box, ...]] = [record.boxes[: len(crops)] for record, _, crops in rows]
    return Corpus(
        images=torch.stack([image for _, image, _ in rows]) if rows else empty,
        ids=[record.id for record, _, _ in rows],
        texts=[record.texts for record, _, _ in rows],
        paths=[record.path for record, _, _ in rows],
        sources=[record.source for record, _, _ in rows],
        boxes=first,
        crops=[crops for _, _, crops in rows],
    )
