"""Data from a path: which reader it takes, and what becomes training and validation.

Decoded pictures are held in memory (4 bytes a pixel: a million of 32 x 32 take 4 GB), or streamed.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch

from geomclip.data.config import DataConfig
from geomclip.data.emoji import load_emoji
from geomclip.data.files import IMAGE_SUFFIXES, Item, is_url
from geomclip.data.fit import LETTERBOX, Fit
from geomclip.data.read_benchmark import is_benchmark, read_benchmark
from geomclip.data.read_coco import read_coco
from geomclip.data.read_csv import NOT_UTF8, read_csv
from geomclip.data.read_folder import read_folder
from geomclip.data.read_parquet import PARQUET_SUFFIX, read_parquet
from geomclip.data.read_tar import TAR_SUFFIXES, read_tars
from geomclip.data.record import BadRecord, Corpus, Record
from geomclip.data.shard_files import expand
from geomclip.data.splits import EvalSplit, Splits, split_by_hash, with_validation
from geomclip.data.streaming import is_streamed, open_source, take_sample, validation_of
from geomclip.errors import RequestError

log = logging.getLogger(__name__)

Format = Literal["csv", "folder", "tar", "parquet", "json", "benchmark"]

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
TEMPLATES = ("{}", "a picture of {}", "a photo of {}")

_FORMATS = (
    "Known are csv/tsv, folders of pictures, webdataset tars, parquet, COCO and Karpathy json, and "
    "CLIP_benchmark's folders."
)


def load(
    config: DataConfig,
    image_size: int,
    *,
    fit: Fit = LETTERBOX,
    progress: Callable[[int], None] | None = None,
) -> Splits:
    """The data set that `config` names: the embedded emoji (source "emoji") or the user's own.

    Args:
        fit: how the pictures that are held in memory become square; streamed ones are letterboxed.
        progress: called after every record with the number read so far.
    """
    if config.source == "emoji":
        if config.stream == "always" or config.resample:
            raise RequestError(
                "the embedded emoji set is not streamed", "Leave --data.stream and resample out."
            )
        return load_emoji(image_size, protocol=config.protocol, fit=fit)
    if "emoji" in config.sources:
        raise RequestError(
            f'"emoji" in {config.source}: the embedded set is not mixed with others',
            "Name data of your own alone.",
        )
    files = [files_of(source) for source in config.sources]
    if is_streamed(config, files):
        return load_streamed(config, files, image_size, fit=fit, progress=progress)
    return load_source(config, image_size, fit=fit, progress=progress)


def check_comparable(config: DataConfig) -> None:
    """Whether a comparison can be made on these data, which are not read.

    Raises RequestError for a path that is no data, and for a stream without validation data.
    """
    files = [files_of(source) for source in config.sources]
    if is_streamed(config, files) and not config.val_data:
        raise RequestError(
            f"{config.source} is streamed, and nothing of a stream is held out to compare on",
            "Give --data.val-data PATH.",
        )


def load_streamed(
    config: DataConfig,
    files: list[tuple[Format, list[str]]],
    image_size: int,
    *,
    fit: Fit = LETTERBOX,
    progress: Callable[[int], None] | None = None,
) -> Splits:
    """The user's data as sources to stream from, with a sample of them in memory.

    Nothing is held out: validation is `config.val_data`, read into memory, or there is none.

    Args:
        files: kind and shards of each of `config.sources`.
    """
    names = [name_of(source) for source in config.sources]
    if len(set(names)) < len(names):
        names = [f"{name}-{i}" for i, name in enumerate(names, 1)]
    sources = tuple(
        open_source(kind, name, shards, replace(config, source=source, weights=()), progress)
        for name, source, (kind, shards) in zip(names, config.sources, files, strict=True)
    )
    corpus, bad = take_sample(sources, config, image_size, fit)
    if bad:
        log.warning(
            "%s: %d of the first %d records can't be used; the first: %s: %s",
            config.source, len(bad), len(bad) + len(corpus), bad[0].where, bad[0].reason,
        )  # fmt: skip
    evaluation = {}
    if config.val_data:
        pool, _ = _decode(validation_of(config), image_size, fit, None)
        evaluation["validation"] = EvalSplit("validation", pool, torch.arange(len(pool)))
    pictures = sum(int(source.sizes.sum()) for source in sources)
    return Splits(
        train=corpus,
        evaluation=evaluation,
        name="+".join(source.name for source in sources),
        levels=_levels(corpus, config),
        templates=TEMPLATES,
        description=f"{pictures:,} pictures of {', '.join(config.sources)}, streamed",
        streamed=sources,
    )


def load_source(
    config: DataConfig,
    image_size: int,
    *,
    fit: Fit = LETTERBOX,
    progress: Callable[[int], None] | None = None,
) -> Splits:
    """Read and decode the user's data; training set and the split "validation".

    Validation is `config.val_data`, else the split `config.val_split` where the data name splits
    (the other of val and test is not read), else the ids whose hash falls into
    `config.val_fraction`. Rows that can't be used raise RequestError with their number; under
    `config.skip_bad` they are left out, and a warning is logged that counts them.

    Args:
        progress: called after every record with the number read so far.
    """
    corpus, split_of = _decode(config, image_size, fit, progress)
    name = name_of(config.source)
    about: dict[str, Any] = {
        "name": name,
        "levels": _levels(corpus, config),
        "templates": TEMPLATES,
        "description": f"{len(corpus):,} pictures of {config.source}",
    }
    if config.val_data:
        other = replace(config, source=config.val_data, val_data="")
        validation, _ = _decode(other, image_size, fit, progress)
        return with_validation(corpus, validation, **about)
    held_out = [i for i, id in enumerate(corpus.ids) if split_of[id] == config.val_split]
    if not held_out:
        return split_by_hash(corpus, config.val_fraction, **about)
    out = set(held_out)
    train = [i for i in range(len(corpus)) if i not in out]
    return with_validation(corpus.subset(train), corpus.subset(held_out), **about)


def read_source(config: DataConfig) -> Iterator[Record | BadRecord]:
    """The records of `config.source`, undecoded, with what is wrong beside them; every id once.

    Raises RequestError where the source as a whole can't be used.
    """
    for item in read_items(config):
        yield item if isinstance(item, BadRecord) else item[0]


def read_items(
    config: DataConfig, *, only: Collection[str] = (), repeats: bool = False
) -> Iterator[Item]:
    """As `read_source`, with the name of the split beside each record.

    Args:
        only: splits that are wanted; a format that can pass over the others does.
        repeats: keep captions that a picture has twice, in json and CLIP_benchmark's folders.
    """
    first: dict[str, str] = {}
    parts = (
        _read(replace(config, source=part, weights=()), only, repeats) for part in config.sources
    )
    for item in chain.from_iterable(parts):
        if isinstance(item, tuple):
            record = item[0]
            if record.id in first:
                item = BadRecord(
                    record.source, f"duplicate id: {record.id} (first: {first[record.id]})"
                )
            else:
                first[record.id] = record.source
        yield item


def sniff(source: str) -> Format:
    """The format of a path, from its name and what lies there. Raises RequestError for others."""
    if not source:
        raise RequestError("the path of the data is empty", "Give --data PATH, or leave it out.")
    lower = source.lower()
    if lower.endswith(PARQUET_SUFFIX) and not source.startswith("pipe:"):
        return "parquet"
    if source.startswith("pipe:") or is_url(source) or lower.endswith(TAR_SUFFIXES):
        return "tar"
    path = Path(source)
    if is_benchmark(path):
        return "benchmark"
    if path.is_dir():
        if _shards_in(path, TAR_SUFFIXES):
            return "tar"
        return "parquet" if _shards_in(path, (PARQUET_SUFFIX,)) else "folder"
    if not path.exists():
        raise RequestError(
            f"{source}: there is no such file or folder", f"Check the path. {_FORMATS}"
        )
    if lower.endswith(TABLE_SUFFIXES):
        return "csv"
    if lower.endswith(".json"):
        return "json"
    if lower.endswith((".jsonl", ".arrow", ".zip")):
        way = (
            "Unpack it."
            if lower.endswith(".zip")
            else "Write it as csv with the columns filepath and title."
        )
        raise RequestError(f"{source}: {path.suffix} is not read", f"{way} {_FORMATS}")
    raise RequestError(f"{source}: not a known kind of data", _FORMATS)


def name_of(source: str) -> str:
    """A short name of the data for results: the last part of the path without suffix or pattern,
    and not a number alone."""
    for part in (Path(source).name, Path(source).parent.name):
        name = part.split(".")[0].split("{")[0].strip("-_*")
        if name and not name.isdigit():
            return name
    return "data"


def describe_bad(bad: list[BadRecord], total: int) -> tuple[str, str]:
    """The two lines of the error for bad rows: the first; their number and the way out."""
    what = f"{bad[0].where}: {bad[0].reason}"
    count = f"{len(bad):,} of {total:,} rows {'is' if len(bad) == 1 else 'are'} bad"
    if bad[0].reason.startswith("not UTF-8"):
        return what, f"{count}. {NOT_UTF8}"
    return what, f"{count}; --data.skip-bad leaves them out, `geomclip data check` lists them."


def _read(config: DataConfig, only: Collection[str], repeats: bool) -> Iterator[Item]:
    path = Path(config.source)
    kind, shards = files_of(config.source)
    try:
        if kind == "csv":
            yield from read_csv(path, config)
        elif kind == "json":
            yield from read_coco(path, config, only, repeats=repeats)
        elif kind == "folder":
            yield from read_folder(path, config)
        elif kind == "benchmark":
            yield from read_benchmark(path, config, only, repeats=repeats)
        elif kind == "parquet":
            yield from read_parquet(shards, config)
        else:
            yield from read_tars(shards, config)
    except OSError as error:
        raise RequestError(
            f"{error.filename or path} can't be read: {error.strerror or error}",
            "Check its permissions.",
        ) from error
    except LookupError as error:
        if "unknown encoding" not in str(error):
            raise
        raise RequestError(str(error), "utf-8, latin-1, cp1252 and utf-16 are usual.") from None


def files_of(source: str) -> tuple[Format, list[str]]:
    """The kind of a source, and its shards where it is made of any."""
    kind = sniff(source)
    if kind not in ("tar", "parquet"):
        return kind, []
    path = Path(source)
    if path.is_dir():
        return kind, _shards_in(path, TAR_SUFFIXES if kind == "tar" else (PARQUET_SUFFIX,))
    return kind, expand(source)


def _shards_in(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """The tars or tables at the top of a folder, where it holds some and no pictures."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise RequestError(
            f"{folder} can't be listed: {error.strerror}", "Check its permissions."
        ) from None
    if any(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
        return []
    return [str(folder / name) for name in names if name.lower().endswith(suffixes)]


def _decode(
    config: DataConfig, image_size: int, fit: Fit, progress: Callable[[int], None] | None
) -> tuple[Corpus, dict[str, str]]:
    """The decoded records of one source and the split of each id."""
    split_of: dict[str, str] = {}
    wanted = ("", "train", config.val_split)
    total = 0

    def records() -> Iterable[Record | BadRecord]:
        nonlocal total
        for item in read_items(config):
            if isinstance(item, BadRecord):
                total += 1
                yield item
            elif item[1] in wanted:
                total += 1
                split_of[item[0].id] = item[1]
                yield item[0]

    # All are read before the first bad one is an error: whoever mends one wants to know how many
    # there are.
    corpus, bad = Corpus.from_records(
        records(), image_size, fit=fit, on_bad="skip", progress=progress
    )
    if bad and not (config.skip_bad and len(corpus)):
        raise RequestError(*describe_bad(bad, total))
    if not len(corpus):
        raise RequestError(f"{config.source} holds no records", f"Check the path. {_FORMATS}")
    if bad:
        what, _ = describe_bad(bad, total)
        log.warning(
            "%s: left out %d of %d rows; the first: %s", config.source, len(bad), total, what
        )
    return corpus, split_of


def _levels(corpus: Corpus, config: DataConfig) -> tuple[str, ...]:
    """Names of the label path's entries: the columns', or class, or level_1, ... from the top."""
    depth = max((len(path) for path in corpus.paths), default=0)
    if config.label_columns:
        return config.label_columns
    return ("class",) if depth == 1 else tuple(f"level_{i}" for i in range(1, depth + 1))
