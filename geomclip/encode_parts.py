"""Embedding a data set by many processes, in parts that survive a kill.

    PLAN = OUT.parts/plan.json        what is embedded by what, in how many parts
    OUT.parts/00012.safetensors       records 12 k to 13 k, whole or absent

Process r of w takes the parts r, r + w, ... that are not there yet; the first process joins them,
encodes texts and labels, writes OUT and removes the parts. Neither the parts nor OUT depend on the
number of processes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from geomclip.data.config import DataConfig
from geomclip.data.record import BadRecord, Corpus, Record
from geomclip.data.shards import JoinedShards, RecordShards, ShardError, ShardSource
from geomclip.embeddings import Embeddings
from geomclip.encode import Block, Captions, encode, join
from geomclip.errors import RequestError
from geomclip.model import ContrastiveModel
from geomclip.train.files import disk_errors, replacing, write_text
from geomclip.train.world import World

if TYPE_CHECKING:
    from geomclip.data.sources import Format

# Records of a part: minutes of work, a few megabytes of points.
PART = 4096


def corpus_or_records(config: DataConfig) -> "Corpus | Iterator[Record | BadRecord]":
    """What to embed of a data set that fits one process: of emoji the pool of its held-out
    rendition, of others all records."""
    if config.source == "emoji":
        from geomclip.data.emoji import read_rendition

        return read_rendition("twemoji" if config.protocol == "final" else "noto-v1")
    from geomclip.data.sources import read_source

    return read_source(config)


def level_names(config: DataConfig) -> tuple[str, ...]:
    """Names of the elements of label paths, most general first, where the data give some."""
    if config.source == "emoji":
        from geomclip.data.emoji import LEVELS

        return LEVELS
    return config.label_columns


def open_records(config: DataConfig, progress: Callable[[int], None]) -> ShardSource:
    """All records of a data set by their place. Raises RequestError where it can't be used."""
    from geomclip.data.sources import files_of, name_of
    from geomclip.data.streaming import open_source

    if config.source == "emoji":
        return RecordShards("emoji", list(corpus_or_records(config)))  # type: ignore[arg-type]
    parts: list[ShardSource] = []
    for source in config.sources:
        one = dataclasses.replace(config, source=source, weights=())
        kind, shards = files_of(source)
        if kind in ("tar", "parquet"):
            parts.append(open_source(kind, name_of(source), shards, one, progress))
        else:
            parts.append(_listed(one, kind))
    return JoinedShards(parts) if len(parts) > 1 else parts[0]


def _listed(config: DataConfig, kind: "Format") -> RecordShards:
    from geomclip.data.sources import describe_bad, name_of, read_source

    items = list(read_source(config))
    bad = [item for item in items if isinstance(item, BadRecord)]
    if bad and not config.skip_bad:
        raise RequestError(*describe_bad(bad, len(items)))
    return RecordShards(name_of(config.source), items)  # type: ignore[arg-type]


def embed_to(
    model: ContrastiveModel,
    config: DataConfig,
    out: Path,
    world: World,
    *,
    source: str,
    captions: Captions,
    batch_size: int = 256,
    part: int = PART,
    opening: Callable[[int], None] = lambda count: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Embeddings | None:
    """Embed `config`'s data into the file `out`, continuing what is in `out`.parts. All processes
    call it; the first returns the embeddings, the others None.

    Args:
        source: what the embeddings are called.
        part: records of a part.
        progress: called with the pictures that this process has done, and has to do.

    Raises:
        RequestError: data that can't be used, or parts of another model or other data.
        GeomclipError: a file can't be written, or points are not finite.
    """
    records = open_records(config, opening)
    total = int(records.sizes.sum())
    folder = out.with_name(out.name + ".parts")
    plan = {
        "version": 1,
        "data": dataclasses.asdict(config),
        "records": total,
        "part": part,
        "model": fingerprint(model),
    }
    if world.main:
        _begin(folder, plan)
    world.wait()
    parts = range(-(-total // part))
    mine = [k for k in parts[world.rank :: world.size] if not _file(folder, k).is_file()]
    todo = sum(min(part, total - k * part) for k in mine)
    done = 0
    for k in mine:
        rows = range(k * part, min((k + 1) * part, total))

        def count(n: int, before: int = done) -> None:
            progress(before + n, todo)

        blocks = list(
            encode(
                model, read_range(records, rows), skip_bad=config.skip_bad, batch_size=batch_size,
                progress=count,
            )
        )  # fmt: skip
        _write(_file(folder, k), blocks)
        done += len(rows)
        progress(done, todo)
    world.wait()
    if not world.main:
        world.wait()
        return None
    blocks = [_read(_file(folder, k)) for k in parts]
    bad = [problem for block in blocks for problem in block.bad]
    if bad:
        import logging

        logging.getLogger(__name__).warning(
            "%s: left out %d of %d records; the first: %s: %s",
            config.source, len(bad), total, bad[0].where, bad[0].reason,
        )  # fmt: skip
    embeddings = join(
        model, blocks, captions=captions, batch_size=batch_size, levels=level_names(config),
        source=source,
    )  # fmt: skip
    embeddings.write(out)
    for k in parts:
        _file(folder, k).unlink()
    (folder / "plan.json").unlink()
    folder.rmdir()
    world.wait()
    return embeddings


def read_range(source: ShardSource, rows: range) -> Iterator[Record | BadRecord]:
    """The records at some places of a source, in order; where a shard breaks, a BadRecord for
    each of its rest."""
    ends = np.cumsum(source.sizes)
    at = rows.start
    while at < rows.stop:
        shard = int(np.searchsorted(ends, at, side="right"))
        start = at - (int(ends[shard - 1]) if shard else 0)
        until = min(rows.stop, int(ends[shard]))
        try:
            for record in source.read(shard, start):
                if at == until:
                    break
                yield record
                at += 1
            reason = "the shard holds fewer records than were counted"
        except ShardError as error:
            reason = str(error)
        for _ in range(at, until):
            yield BadRecord(source.where(shard), reason)
        at = until


def fingerprint(model: ContrastiveModel) -> str:
    """A hash of the weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    text = json.dumps(plan, indent=2, ensure_ascii=False) + "\n"
    path = folder / "plan.json"
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        now = json.loads(text)
        changed = [key for key in now if before.get(key) != now[key]]
        if changed:
            raise RequestError(
                f"{folder} holds parts of other embeddings (another {', '.join(changed)})",
                "Remove the folder to begin anew, or choose another --out.",
            )
        return
    with disk_errors(f"{folder} can't be written", "Choose another --out."):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.safetensors"


def _write(path: Path, blocks: list[Block]) -> None:
    from safetensors.torch import save_file

    rows = {
        "ids": [name for b in blocks for name in b.ids],
        "texts": [texts for b in blocks for texts in b.texts],
        "paths": [p for b in blocks for p in b.paths],
        "bad": [[p.where, p.reason] for b in blocks for p in b.bad],
    }
    data = torch.frombuffer(bytearray(json.dumps(rows).encode()), dtype=torch.uint8)
    image = torch.cat([b.image for b in blocks])
    with (
        disk_errors(f"{path} can't be written", "Free some space and start it again."),
        replacing(path) as temporary,
    ):
        save_file({"image": image, "rows": data}, temporary)


def _read(path: Path) -> Block:
    from safetensors.torch import load_file

    arrays = load_file(path)
    rows = json.loads(arrays["rows"].numpy().tobytes())
    return Block(
        image=arrays["image"],
        ids=rows["ids"],
        texts=[tuple(t) for t in rows["texts"]],
        paths=[tuple(p) for p in rows["paths"]],
        bad=[BadRecord(*p) for p in rows["bad"]],
    )
