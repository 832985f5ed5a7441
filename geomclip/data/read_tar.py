"""Webdataset shards in img2dataset's layout: tars of 000000012.jpg, .txt (the caption), .json.

webdataset opens addresses and groups the members of a tar; what is in them is decoded here. Its own
`.decode()` unpickles what a shard says it should, and is never called.
"""

import glob
import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from geomclip.data.config import DataConfig
from geomclip.data.files import IMAGE_SUFFIXES, Item, captions_of, clean, is_url, labels_of
from geomclip.data.record import BadRecord, Record
from geomclip.errors import RequestError

# A typing slip in a brace pattern names more shards than anybody has.
MAX_SHARDS = 100_000
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


def expand(source: str) -> list[str]:
    """The shards of a path, an address or a pipe: braces expanded, and wildcards in paths.

    Raises RequestError with the missing shards, where they are files.
    """
    from braceexpand import braceexpand

    try:
        shards = list(islice(braceexpand(source), MAX_SHARDS + 1))
    except ValueError:
        raise RequestError(
            f"{source}: the braces don't close", "Write {00000..00041}.tar."
        ) from None
    if len(shards) > MAX_SHARDS:
        raise RequestError(f"{source} names more than {MAX_SHARDS:,} shards", "Shorten the range.")
    if _is_remote(source):
        return shards
    files: list[str] = []
    for shard in shards:
        files += sorted(glob.glob(shard)) if "*" in shard or "?" in shard else [shard]
    missing = [file for file in files if not Path(file).is_file()]
    if missing or not files:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise RequestError(
            f"{source}: {len(missing)} of {len(files)} shards don't exist: {names}"
            if files
            else f"{source} matches no file",
            "Check the range in the braces and the folder.",
        )
    return files


def read_tars(shards: list[str], config: DataConfig) -> Iterator[Item]:
    """The records of the shards; a damaged shard gives what can be read and then a BadRecord.

    Ids are "shard/key": keys start anew in every shard in many collections. `pipe:` shards run a
    shell command, and only where `config.allow_pipe` is set.
    """
    names = [Path(shard).name for shard in shards]
    unique = len(set(names)) == len(names)
    for shard, name in zip(shards, names, strict=True):
        count = 0
        prefix = (name if unique else shard).split(".tar")[0]
        try:
            with _open(shard, config) as stream:
                for sample in _samples(shard, stream):
                    count += 1
                    yield _record(sample, shard, f"{prefix}/{sample['__key__']}", config)
        except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
            if isinstance(error, RequestError):
                raise
            yield BadRecord(
                shard, f"the shard can't be read to its end: {_why(error)} (after {count} samples)"
            )
        else:
            if not count:
                yield BadRecord(shard, "the shard is empty")
            elif not _has_end_mark(shard):
                yield BadRecord(shard, f"the shard is cut off: no end mark (after {count} samples)")


def _is_remote(source: str) -> bool:
    return source.startswith("pipe:") or is_url(source)


def _open(shard: str, config: DataConfig) -> Any:  # a file, or webdataset's Pipe
    # Slow to import, and its command-running openers are locked before first use.
    from webdataset import utils
    from webdataset.gopen import Pipe, gopen

    utils.enforce_security = True
    if shard.startswith("pipe:"):
        if not config.allow_pipe:
            raise RequestError(
                f'"{shard}" would run a shell command', "Add --data.allow-pipe if you trust it."
            )
        # 141: the reader closed before the command was done, which is no failure.
        return Pipe(shard[5:], mode="rb", shell=True, ignore_status=[141])
    if is_url(shard):
        return gopen(shard)
    return open(shard, "rb")


def _why(error: Exception) -> str:
    """An error's own words: webdataset appends streams and addresses to them."""
    text = str(error.args[0] if error.args else error).split(" @ ")[0]
    code = re.search(r"exit (\d+) \(read\)", text)
    return f"its command failed with exit code {code[1]}" if code else text


def _has_end_mark(shard: str) -> bool:
    """Whether a plain tar on disk ends with the block of zeros that its writer puts there last.

    tarfile takes the end of the file for the end of the archive, so that a shard cut between two
    members would otherwise pass for whole.
    """
    if _is_remote(shard) or not shard.lower().endswith(".tar"):
        return True
    with open(shard, "rb") as file:
        file.seek(-512, 2)
        return not file.read().strip(b"\0")


def _samples(shard: str, stream: Any) -> Iterator[dict[str, Any]]:
    """webdataset's groups of a tar's members: {"__key__": ..., "jpg": bytes, "txt": bytes}."""
    from webdataset import tariterators

    members = tariterators.tar_file_expander([{"url": shard, "stream": stream}])
    yield from tariterators.group_by_keys(members)


def _record(sample: dict[str, Any], shard: str, id: str, config: DataConfig) -> Item:
    where = f"{shard}: {sample['__key__']}"
    parts = {name: value for name, value in sample.items() if not name.startswith("__")}
    images = [name for name in parts if f".{name.rsplit('.', 1)[-1]}" in IMAGE_SUFFIXES]
    if not images:
        return BadRecord(where, f"no picture: it holds only {', '.join(parts)}")
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
    return Record(id, parts[images[0]], captions, path, where), ""
