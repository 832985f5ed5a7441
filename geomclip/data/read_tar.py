"""Webdataset shards in img2dataset's layout: tars of 000000012.jpg, .txt (the caption), .json.

Members are grouped by the name before the first dot, as webdataset does. What is in them is decoded
here, and only pictures, texts and json are read at all: a pickle in a shard stays what it is.
"""

import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geomclip.data.boxes import boxes_of
from geomclip.data.config import DataConfig
from geomclip.data.files import IMAGE_SUFFIXES, Item, captions_of, clean, labels_of
from geomclip.data.record import BadRecord, Box, Record
from geomclip.data.shard_files import CommandFailed, is_remote, local_path, open_shard, way_out, why
from geomclip.errors import RequestError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")

# A header may claim any size; no picture or caption is larger.
MAX_MEMBER = 256 << 20

# What a damaged or vanished shard raises.
READ_ERRORS = (tarfile.TarError, EOFError, OSError, zlib.error, ValueError)

_KEY = re.compile(r"((?:.*/|)[^./]+)\.([^/]*)")


@dataclass
class Sample:
    """The members of one key: what is read of them, the names of all, and what is wrong."""

    key: str
    parts: dict[str, bytes] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    problem: str = ""


def read_tars(shards: list[str], config: DataConfig) -> Iterator[Item]:
    """The records of the shards; a damaged shard gives what can be read and then a BadRecord.

    Ids are "shard/key": keys start anew in every shard in many collections.
    """
    for shard, prefix in zip(shards, prefixes(shards), strict=True):
        count = 0
        try:
            with open_shard(shard, config) as stream:
                for sample in samples(stream, seekable=not is_remote(shard)):
                    count += 1
                    yield record(sample, shard, prefix, config)
        except READ_ERRORS as error:
            if isinstance(error, RequestError):
                raise
            yield BadRecord(
                shard, f"the shard can't be read to its end: {why(error)} (after {count} samples)"
            )
        else:
            if not count:
                yield BadRecord(shard, "the shard is empty")
            elif not has_end_mark(shard):
                yield BadRecord(shard, f"the shard is cut off: no end mark (after {count} samples)")


def prefixes(shards: list[str]) -> list[str]:
    """What the ids of each shard begin with: its name, or all of its path where names repeat."""
    names = [Path(shard).name for shard in shards]
    unique = len(set(names)) == len(names)
    return [(n if unique else s).split(".tar")[0] for s, n in zip(shards, names, strict=True)]


def samples(stream: Any, *, seekable: bool, start: int = 0) -> Iterator[Sample]:
    """The samples of an open tar from the `start`-th on; those before it are passed unread."""
    current, number = Sample(""), -1
    with _open_tar(stream, seekable) as tar:
        for member, key, suffix in _members(tar):
            if number < 0 or key != current.key:
                if number >= start:
                    yield current
                current, number = Sample(key), number + 1
            if number < start:
                continue
            if suffix in current.names:
                current.problem = f"two members of one name: {key}.{suffix}"
            current.names.append(suffix)
            if suffix not in ("txt", "json", "cls") and not is_image(suffix):
                continue
            if member.size > MAX_MEMBER:
                current.problem = f"too large: {suffix} of {member.size:,} bytes"
                continue
            data = tar.extractfile(member)
            assert data is not None  # _members gives regular files alone
            current.parts[suffix] = data.read()
    if number >= start:
        yield current


def count_samples(shard: str, config: DataConfig) -> tuple[int, str]:
    """The number of samples in a tar by its headers alone, and what ended the count early.

    A sample that is cut off counts: it has its place in the order, and is found bad there. Raises
    RequestError where the shard may not, or can't, be opened at all, or doesn't come to its end
    because what reads the address failed.
    """
    count, last = 0, None
    try:
        with open_shard(shard, config) as stream, _open_tar(stream, not is_remote(shard)) as tar:
            for _, key, _ in _members(tar):
                count += key != last
                last = key
    except READ_ERRORS as error:
        if isinstance(error, RequestError):
            raise
        if isinstance(error, CommandFailed):  # of the connection, not of the shard
            what = f"{shard} can't be counted: {why(error)} (after {count} samples)"
            raise RequestError(what, way_out(shard)) from error
        return count, why(error)
    return count, ""


def _open_tar(stream: Any, seekable: bool) -> tarfile.TarFile:
    if not seekable:
        return tarfile.open(fileobj=stream, mode="r|*")
    return tarfile.open(fileobj=stream, mode="r:*")


def _members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str, str]]:
    """The regular files of a tar with key and suffix; webdataset's own notes (__x__) are none."""
    for member in tar:
        match = _KEY.fullmatch(member.name)
        if member.isreg() and match and not re.match(r"__[^/]*__($|/)", member.name):
            yield member, match[1], match[2].lower()
        # tarfile keeps every header that it has seen.
        tar.members = []  # type: ignore[attr-defined]


def is_image(suffix: str) -> bool:
    """Whether a member of this suffix is a picture."""
    return f".{suffix.rsplit('.', 1)[-1]}" in IMAGE_SUFFIXES


def has_end_mark(shard: str) -> bool:
    """Whether a plain tar on disk ends with the block of zeros that its writer puts there last.

    tarfile takes the end of the file for the end of the archive, so that a shard cut between two
    members would otherwise pass for whole.
    """
    if is_remote(shard) or not shard.lower().endswith(".tar"):
        return True
    with local_path(shard).open("rb") as file:
        file.seek(-512, 2)
        return not file.read().strip(b"\0")


def record(sample: Sample, shard: str, prefix: str, config: DataConfig) -> Item:
    """The record of a sample, or what is wrong with it."""
    where, parts = f"{shard}: {sample.key}", sample.parts
    if sample.problem:
        return BadRecord(where, sample.problem)
    images = [name for name in parts if is_image(name)]
    if not images:
        return BadRecord(where, f"no picture: it holds only {', '.join(sample.names)}")
    try:
        about = json.loads(parts["json"]) if "json" in parts else {}
    except (ValueError, RecursionError) as error:
        return BadRecord(where, f"its json can't be read: {error}")
    captions: tuple[str, ...] = ()
    if "txt" in parts and not config.caption_column:
        try:
            captions = clean(parts["txt"].decode(config.encoding).splitlines())
        except UnicodeDecodeError as error:
            return BadRecord(
                where, f"its caption is not {config.encoding}: {error.reason} at byte {error.start}"
            )
    captions = captions or captions_of(about, config.caption_column)
    if not captions:
        return BadRecord(where, "no caption: neither a .txt nor a caption in the .json")
    path = labels_of(about, config.label_columns)
    if path is None:
        return BadRecord(
            where, f"no label path: its json lacks one of {', '.join(config.label_columns)}"
        )
    boxes: tuple[Box, ...] = ()
    if config.boxes and not (boxes := boxes_of(about)):
        return BadRecord(where, "no box: its json has neither ref_exps nor noun_chunks with one")
    return Record(f"{prefix}/{sample.key}", parts[images[0]], captions, path, where, boxes), ""
