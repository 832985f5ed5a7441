"""The worker's side of streamed data: lanes read, decoded and augmented.

A record that can't be used is counted and named, and another of its window takes its place, half a
window away: the batch stays full, and positions stay the same for everybody.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from geomclip.data.fit import LETTERBOX, Fit
from geomclip.data.order import LaneOrder, Mixture, Run
from geomclip.data.record import BadImage, BadRecord, Record, decode_image
from geomclip.data.shards import ShardError, ShardSource
from geomclip.data.stream import Batch
from geomclip.data.transforms import Draws, mirror_safe
from geomclip.data.views import Views
from geomclip.errors import GeomclipError
from geomclip.train.config import TrainConfig


@dataclass
class Part:
    """What a worker gives to a batch: rows of its lanes, or the error that ends the run."""

    batch: Batch | None = None
    bad: list[BadRecord] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """Records by the name of their source."""
    error: GeomclipError | None = None


class LaneReader:
    """One lane of one source: the record at a position, in a window held undecoded.

    Args:
        size: side of the decoded pictures.
        fit: how they become square.
    """

    def __init__(
        self, source: ShardSource, order: LaneOrder, lane: int, size: int, fit: Fit = LETTERBOX
    ) -> None:
        self.source, self.order, self.lane = source, order, lane
        self.size, self.fit = size, fit
        self._windows: dict[int, list[Record | BadRecord]] = {}
        # The shard that is being read, the record that comes next, and the open iterator.
        self._open: tuple[int, int, Iterator[Record | BadRecord]] | None = None

    def at(self, position: int) -> tuple[Record, UInt8[Tensor, "4 s s"], BadRecord | None]:
        """The record and its picture; where it is bad, its substitute and what was wrong.

        Raises GeomclipError where nothing of the lane's epoch can be used.
        """
        number, place = self.order.window_of(self.lane, position)
        for passed in [n for n in self._windows if n < number]:
            del self._windows[passed]
        records = self._window(number)
        found = self._decode(records[place])
        if not isinstance(found, BadRecord):
            return (*found, None)
        bad = found
        for ahead in range(self.order.per_epoch):
            records = self._window(number + ahead)
            for i in range(len(records)):
                found = self._decode(records[(place + len(records) // 2 + i) % len(records)])
                if not isinstance(found, BadRecord):
                    return (*found, bad)
        raise GeomclipError(
            f"{self.source.name}: none of {self.order.length:,} records in a row can be used; "
            f"the first: {bad.where}: {bad.reason}",
            "`geomclip data check` lists what is wrong.",
        )

    def close(self) -> None:
        """Close the shard that is open."""
        if self._open is not None:
            close = getattr(self._open[2], "close", None)
            if close is not None:
                close()
        self._open = None

    def _window(self, number: int) -> list[Record | BadRecord]:
        """The records of a window, permuted."""
        if number not in self._windows:
            records: list[Record | BadRecord] = []
            for run in self.order.runs(self.lane, number):
                records += self._read(run)
            order = self.order.permutation(self.lane, number)
            self._windows[number] = [records[i] for i in order]
        return self._windows[number]

    def _read(self, run: Run) -> list[Record | BadRecord]:
        """Exactly the records of a run; those that a broken shard owes are BadRecords."""
        records: list[Record | BadRecord] = []
        reason = ""
        for _ in range(self.source.attempts):
            at = run.start + len(records)
            if self._open is None or self._open[:2] != (run.shard, at):
                self.close()
                self._open = run.shard, at, iter(self.source.read(run.shard, at))
            iterator = self._open[2]
            try:
                while at < run.stop:
                    records.append(next(iterator))
                    at += 1
                self._open = run.shard, at, iterator
                return records
            except StopIteration:
                reason = f"the shard ends early: it has {at:,} records"
            except ShardError as error:
                reason = str(error)
            self.close()
        name = self.source.where(run.shard)
        lost = range(run.start + len(records), run.stop)
        return records + [BadRecord(f"{name}: record {i}", reason) for i in lost]

    def _decode(self, item: Record | BadRecord) -> tuple[Record, Tensor] | BadRecord:
        if isinstance(item, BadRecord):
            return item
        try:
            return item, decode_image(item.image, self.size, self.fit)
        except BadImage as error:
            return BadRecord(item.where, str(error))


class LaneBatches(IterableDataset[Part]):
    """The rows that some lanes give to each batch, for ever; in a worker, those of its lanes.

    Args:
        lanes: the lanes of this process.
        position: the batch that comes first.
        drawn: (lanes of all processes, sources) records taken from each source before it.
    """

    def __init__(
        self,
        sources: Sequence[ShardSource],
        orders: Sequence[LaneOrder],
        mixture: Mixture,
        config: TrainConfig,
        views: Views,
        *,
        lanes: range,
        position: int,
        drawn: np.ndarray,
    ) -> None:
        self.sources, self.orders, self.mixture = list(sources), list(orders), mixture
        self.config, self.views = config, views
        self.lanes, self.position, self.drawn = lanes, position, drawn

    def __iter__(self) -> Iterator[Part]:
        worker = get_worker_info()
        lanes = self.lanes
        if worker is not None:
            # As many as differ by one at most, in order: parts join to the rows of the process.
            ends = [len(lanes) * i // worker.num_workers for i in range(worker.num_workers + 1)]
            lanes = lanes[ends[worker.id] : ends[worker.id + 1]]
        readers = {
            lane: [
                LaneReader(source, order, lane, self.config.model.image.image_size)
                for source, order in zip(self.sources, self.orders, strict=True)
            ]
            for lane in lanes
        }
        drawn, position = self.drawn.copy(), self.position
        try:
            while True:
                sources = self.mixture.draw(position)
                yield self._part(readers, position, sources, drawn)
                drawn += self.mixture.count(sources)
                position += 1
        except GeomclipError as error:
            # Not raised here: what a worker raises arrives as text with its traceback.
            yield Part(error=error)
        finally:
            for lane in readers.values():
                for reader in lane:
                    reader.close()

    def _part(
        self,
        readers: dict[int, list[LaneReader]],
        batch: int,
        sources: np.ndarray,
        drawn: np.ndarray,
    ) -> Part:
        part, views = Part(), self.views
        size = self.config.model.image.image_size
        pictures: dict[str, list[Tensor]] = {"image": [], "box": []}
        records, readings, index, draws = [], [], [], []
        for lane, lane_readers in readers.items():
            # A generator for each lane and batch: no number depends on who takes the lane.
            rng = np.random.default_rng((self.config.seed, 13, batch, lane))
            at = drawn[lane].copy()
            for k in sources[lane]:
                record, picture, bad = lane_readers[k].at(int(at[k]))
                part.seen[self.sources[k].name] += 1
                if bad is not None:
                    part.bad.append(bad)
                reading = views.read(record.texts, record.path, record.boxes, rng)
                pictures["image"].append(picture)
                if views.boxes:
                    pictures["box"].append(
                        decode_image(record.image, size, box=record.boxes[reading.box])
                    )
                records.append(record)
                readings.append(reading)
                index.append(int(at[k]) * self.mixture.lanes + lane)
                at[k] += 1
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            draws.append(views.draw(self.mixture.each, generator))
        paths = [record.path for record in records]
        inputs = views.inputs(
            readings,
            {reads: torch.stack(images) for reads, images in pictures.items() if images},
            {name: Draws.cat([d[name] for d in draws]) for name in views.pictures},
            None,
            mirror_safe([record.texts for record in records], paths),
        )
        part.batch = Batch(inputs, torch.tensor(index), paths)
        return part
