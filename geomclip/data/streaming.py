"""Which data are streamed, and how they are opened."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geomclip.data.config import DataConfig
from geomclip.data.fit import LETTERBOX, Fit
from geomclip.data.lanes import LaneReader
from geomclip.data.order import LaneOrder
from geomclip.data.read_parquet import ParquetShards
from geomclip.data.read_tar import count_samples
from geomclip.data.record import BadRecord, Corpus, Record, decode_image
from geomclip.data.shard_files import check_pipe, is_remote, local_path, open_shard, way_out, why
from geomclip.data.shards import RecordShards, ShardSource, TarShards
from geomclip.errors import RequestError

log = logging.getLogger(__name__)

# Larger shards are not read into memory unasked.
STREAM_ABOVE = 1 << 30

# Places of a source that its sample is read from.
_SAMPLED_PLACES = 16

Progress = Callable[[int], None] | None


def is_streamed(config: DataConfig, files: Sequence[tuple[str, list[str]]]) -> bool:
    """Whether `config` streams its sources.

    Args:
        files: kind of each source and the shards of those that have any.
    """
    wanted = "data.weights" if config.weights else "data.resample" if config.resample else ""
    if config.stream == "never":
        if wanted:
            raise RequestError(
                f"{wanted} needs streamed data, and data.stream is never",
                "Leave --data.stream out.",
            )
        return False
    if config.stream == "always" or wanted:
        return True
    shards = [shard for _, names in files for shard in names]
    if any(map(is_remote, shards)):
        return True
    return sum(local_path(shard).stat().st_size for shard in shards) > STREAM_ABOVE


def open_tars(
    name: str, shards: list[str], config: DataConfig, progress: Progress = None
) -> TarShards:
    """Tars with their sizes: from the sizes file, or counted where they are files.

    Raises RequestError where the sizes of remote shards are not known, or nothing is in any.
    """
    known = _read_sizes(shards, config)
    sizes = []
    for number, shard in enumerate(shards, 1):
        key = shard.rsplit("/", 1)[-1]
        if known is not None:
            if key not in known:
                raise RequestError(
                    f"the sizes file does not name the shard {key} of {name}",
                    'It is json: {"00000.tar": 9984, ...}; `geomclip data sizes` prints it.',
                )
            sizes.append(known[key])
        else:
            sizes.append(_count(shard, config))
        if progress is not None:
            progress(number)
    if not sum(sizes):
        raise RequestError(f"{name}: no shard holds a sample", "`geomclip data check` says why.")
    return TarShards(name, shards, sizes, config)


def take_sample(
    sources: Sequence[ShardSource], config: DataConfig, image_size: int, fit: Fit = LETTERBOX
) -> tuple[Corpus, list[BadRecord]]:
    """A part of what is streamed, decoded, and the records that couldn't be: all of it where it is
    small, else runs of records from several places, by the sources' weights."""
    totals = [int(source.sizes.sum()) for source in sources]
    weights = np.array(config.weights or totals, dtype=float)
    records: list[Record] = []
    images: list[torch.Tensor] = []
    crops: list[torch.Tensor] = []
    bad: list[BadRecord] = []
    for k, source in enumerate(sources):
        wanted = min(totals[k], max(1, round(config.sample * weights[k] / weights.sum())))
        places = 1 if wanted == totals[k] else min(_SAMPLED_PLACES, wanted)
        each = wanted // places
        order = LaneOrder(
            source.sizes, lanes=places, length=totals[k] // places, window=each, seed=(0, k)
        )
        for place in range(places):
            reader = LaneReader(source, order, place, image_size, fit)
            for position in range(each):
                record, image, problem = reader.at(position)
                if problem is not None:
                    bad.append(problem)
                else:
                    # The first box of each record is enough for the root.
                    boxes = record.boxes[:1] if config.boxes else ()
                    cut = [decode_image(record.image, image_size, fit, box) for box in boxes]
                    crops += [torch.stack(cut)] if cut else []
                    records.append(record)
                    images.append(image)
            reader.close()
    corpus = Corpus(
        images=torch.stack(images),
        ids=[r.id for r in records],
        texts=[r.texts for r in records],
        paths=[r.path for r in records],
        sources=[r.source for r in records],
        boxes=[r.boxes[:1] for r in records] if config.boxes else [],
        crops=crops,
    )
    return corpus, bad


def count_shards(
    shards: Sequence[str], config: DataConfig, progress: Progress = None
) -> dict[str, int]:
    """Samples of each shard by its name, read to its end where it is remote: what a sizes file
    holds. Raises RequestError where two shards share a name."""
    names = [shard.rsplit("/", 1)[-1] for shard in shards]
    if len(set(names)) < len(names):
        raise RequestError("two shards have the same name", "Count each folder by itself.")
    sizes = {}
    for number, (name, shard) in enumerate(zip(names, shards, strict=True), 1):
        sizes[name] = _count(shard, config)
        if progress is not None:
            progress(number)
    return sizes


def _count(shard: str, config: DataConfig) -> int:
    count, problem = count_samples(shard, config)
    if problem:
        log.warning("%s: %s; %d samples are used", shard, problem, count)
    return count


def open_source(
    kind: str, name: str, shards: list[str], config: DataConfig, progress: Progress = None
) -> ShardSource:
    """One source, of which `shards` are the files where it has any.

    Raises RequestError where it can't be used as a whole.
    """
    from geomclip.data.sources import read_items

    if kind == "tar":
        return open_tars(name, shards, config, progress)
    if kind == "parquet":
        return ParquetShards.open(name, shards, config)
    items = list(read_items(config))
    good = [item[0] for item in items if isinstance(item, tuple) and item[1] in ("", "train")]
    bad = [item for item in items if isinstance(item, BadRecord)]
    if not good or len(bad) > config.max_bad_share * len(items):
        what = f"; the first: {bad[0].where}: {bad[0].reason}" if bad else ""
        raise RequestError(
            f"{config.source}: {len(bad):,} of {len(items):,} rows are bad, {len(good):,} are left "
            f"to train on{what}",
            "`geomclip data check` lists them; --data.max-bad-share allows more.",
        )
    if bad:
        log.warning(
            "%s: left out %d of %d rows; the first: %s: %s",
            config.source, len(bad), len(items), bad[0].where, bad[0].reason,
        )  # fmt: skip
    return RecordShards(name, good)


def _read_sizes(shards: list[str], config: DataConfig) -> dict[str, int] | None:
    """Samples by shard; None for files, which are counted."""
    where = config.sizes
    if not where:
        if not is_remote(shards[0]):
            return None
        if shards[0].startswith("pipe:"):
            check_pipe(shards[0], config)
            raise RequestError(
                f"{shards[0]}: the number of samples behind a pipe is not known",
                'Give --data.sizes FILE with {"00000.tar": 9984, ...}, or --data.stream never.',
            )
        where = shards[0].rsplit("/", 1)[0] + "/sizes.json"
    try:
        with open_shard(where, config) as stream:
            values: Any = json.loads(stream.read())
    except (OSError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(
            f"{where} can't be read: {why(error)}",
            "Make one: geomclip data sizes PATH > sizes.json; then give --data.sizes sizes.json."
            + (f" If there is one: {way_out(where)}" if is_remote(where) else ""),
        ) from error
    if not isinstance(values, dict) or not all(type(n) is int and n >= 0 for n in values.values()):
        raise RequestError(f"{where} is no table of sizes", 'It is json: {"00000.tar": 9984, ...}.')
    return {Path(key).name: n for key, n in values.items()}


def validation_of(config: DataConfig) -> DataConfig:
    """The configuration that reads `val_data`, into memory."""
    return replace(
        config, source=config.val_data, val_data="", stream="never", weights=(), resample=False
    )
