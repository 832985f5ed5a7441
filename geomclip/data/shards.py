"""What can be streamed: a source is a list of shards of known sizes, each read from any record on.

Sources are plain data, so that a worker process gets its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from geomclip.data.config import DataConfig
from geomclip.data.read_tar import READ_ERRORS, prefixes, record, samples
from geomclip.data.record import BadRecord, Record
from geomclip.data.shard_files import is_remote, open_shard, why
from geomclip.errors import RequestError


class ShardError(Exception):
    """A shard can't be opened or read on; the message is the reason."""


@runtime_checkable
class ShardSource(Protocol):
    """A data set in shards."""

    name: str
    attempts: int
    """How often a read is begun before a shard is given up: more than once over a network."""

    @property
    def sizes(self) -> np.ndarray:
        """(s,) records of each shard."""

    def where(self, shard: int) -> str:
        """What messages call a shard."""

    def read(self, shard: int, start: int) -> Iterator[Record | BadRecord]:
        """The records of a shard from `start` on, undecoded. Raises ShardError where it breaks."""


@dataclass
class TarShards:
    """Webdataset tars, `counts[i]` samples in the i-th."""

    name: str
    shards: list[str]
    counts: list[int]
    config: DataConfig
    attempts: int = 1
    _prefixes: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._prefixes = prefixes(self.shards)
        if any(map(is_remote, self.shards)):
            self.attempts = 3

    @property
    def sizes(self) -> np.ndarray:
        return np.array(self.counts, dtype=np.int64)

    def where(self, shard: int) -> str:
        return self.shards[shard]

    def read(self, shard: int, start: int) -> Iterator[Record | BadRecord]:
        name = self.shards[shard]
        try:
            with open_shard(name, self.config) as stream:
                for sample in samples(stream, seekable=not is_remote(name), start=start):
                    item = record(sample, name, self._prefixes[shard], self.config)
                    yield item if isinstance(item, BadRecord) else item[0]
        except READ_ERRORS as error:
            if isinstance(error, RequestError):
                raise
            raise ShardError(f"the shard can't be read to its end: {why(error)}") from error


@dataclass
class RecordShards:
    """Records that are listed in memory, with their pictures on disk; each is a shard of its own,
    so that the shuffled order of shards is a full shuffle."""

    name: str
    records: list[Record]
    attempts: int = 1

    @property
    def sizes(self) -> np.ndarray:
        return np.ones(len(self.records), dtype=np.int64)

    def where(self, shard: int) -> str:
        return self.records[shard].where

    def read(self, shard: int, start: int) -> Iterator[Record | BadRecord]:
        yield self.records[shard]


@dataclass
class JoinedShards:
    """Several sources as one, each record once an epoch."""

    parts: list[ShardSource]

    def __post_init__(self) -> None:
        self.name = "+".join(part.name for part in self.parts)
        self.attempts = max(part.attempts for part in self.parts)
        self._ends = np.cumsum([len(part.sizes) for part in self.parts])

    @property
    def sizes(self) -> np.ndarray:
        return np.concatenate([part.sizes for part in self.parts])

    def where(self, shard: int) -> str:
        part, own = self._find(shard)
        return part.where(own)

    def read(self, shard: int, start: int) -> Iterator[Record | BadRecord]:
        part, own = self._find(shard)
        return part.read(own, start)

    def _find(self, shard: int) -> tuple[ShardSource, int]:
        k = int(np.searchsorted(self._ends, shard, side="right"))
        return self.parts[k], shard - (int(self._ends[k - 1]) if k else 0)
