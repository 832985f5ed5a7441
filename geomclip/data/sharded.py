"""The trainer's side of streamed data: workers, the position, and what is told of bad records."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from geomclip.data.captions import CaptionMix
from geomclip.data.lanes import LaneBatches, Part
from geomclip.data.order import LaneOrder, Mixture
from geomclip.data.record import BadRecord
from geomclip.data.shards import JoinedShards, ShardSource
from geomclip.data.stream import ALL, Batch, Share
from geomclip.data.views import Views
from geomclip.errors import GeomclipError, RequestError
from geomclip.train.config import TrainConfig

if TYPE_CHECKING:
    from geomclip.data.splits import Splits
    from geomclip.data.tokenizer import Tokenizer

log = logging.getLogger(__name__)

MAX_LANES = 64
MAX_WORKERS = 8

# Bad records of each kind that are named; all are counted.
NAMED = 5

# Before so many records a share says nothing.
SHARE_AFTER = 512


class ShardedStream:
    """Batches of the sources in `splits.streamed`, as a `BatchStream`.

    One source, or several without weights, gives every record once an epoch (but for the last that
    do not fill a batch, which are others each time). With weights, every record of a batch comes
    from a source that is drawn with them.

    Raises:
        RequestError: the batch does not fit the data, or processes and lanes do not fit each other.
    """

    def __init__(
        self,
        config: TrainConfig,
        splits: "Splits",
        tokenizer: "Tokenizer",
        *,
        share: Share = ALL,
    ) -> None:
        sources: list[ShardSource] = list(splits.streamed)
        if len(sources) > 1 and not config.data.weights:
            sources = [JoinedShards(sources)]
        size, data = config.batch_size, config.data
        rows = share.rows(size)
        lanes = data.lanes or _lanes(size)
        for what, number in (("batch_size", lanes), ("lanes", share.world)):
            whole = size if what == "batch_size" else lanes
            if whole % number:
                raise RequestError(
                    f"data.lanes {lanes} does not fit: {size} pairs a batch, {share.world} "
                    "processes",
                    "Give --data.lanes a divisor of --batch-size, and a multiple of the processes.",
                )
        each = size // lanes
        self.config, self.sources = config, sources
        self.mixture = Mixture(data.weights or (1.0,), lanes=lanes, each=each, seed=config.seed)
        self.orders = []
        for k, source in enumerate(sources):
            total = int(source.sizes.sum())
            length = total // size * each if len(sources) == 1 else total // lanes
            if not length:
                raise RequestError(
                    f"batch_size {size} is larger than the data ({source.name}: {total:,} records)",
                    f"Give --batch-size {total} or less.",
                )
            window = max(2 * each, data.shuffle // lanes)
            self.orders.append(
                LaneOrder(
                    source.sizes, lanes=lanes, length=length, window=window,
                    seed=(config.seed, k), resample=data.resample,
                )
            )  # fmt: skip
        captions = CaptionMix(config.captions, splits.templates, splits.keywords)
        self.views = Views(config, captions, tokenizer)
        self.lanes = range(rows.start // each, rows.stop // each)
        self.workers = min(_workers(data.workers, share), len(self.lanes))
        self.position = 0
        self.drawn = np.zeros((lanes, len(sources)), dtype=np.int64)
        self._parts: Iterator[Part] | None = None
        self._counts: Counter[str] = Counter()
        self._named: Counter[str] = Counter()
        self._seen = self._bad = 0

    def next(self) -> Batch:
        """This process's rows of the next batch.

        Raises GeomclipError where more than `max_bad_share` of the records can't be used, or a
        worker died.
        """
        if self._parts is None:
            self._parts = self._start()
        try:
            parts = [next(self._parts) for _ in range(self.workers or 1)]
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise GeomclipError(
                f"a data worker died: {str(error).splitlines()[0]}",
                "Often it is out of memory: try fewer --data.workers or a smaller --data.shuffle.",
            ) from error
        for part in parts:
            if part.error is not None:
                raise part.error
            self._take(part)
        self.drawn += self.mixture.count(self.mixture.draw(self.position))
        self.position += 1
        batches = [part.batch for part in parts if part.batch is not None]
        inputs = {n: torch.cat([b.inputs[n] for b in batches]) for n in batches[0].inputs}
        index = torch.cat([b.index for b in batches])
        return Batch(inputs, index, [path for b in batches for path in b.paths])

    def state_dict(self) -> dict[str, Any]:
        """Position, records taken by each lane from each source, and what they were counted in."""
        return {
            "position": self.position,
            "drawn": self.drawn.tolist(),
            "data": self._fingerprint(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken. Raises RequestError where the shards have changed."""
        if state.get("data") != self._fingerprint():
            raise RequestError(
                "the data are not those of the checkpoint: other shards, sizes or lanes",
                "Put the shards back as they were, or start a new run.",
            )
        self.close()
        self.position = state["position"]
        self.drawn = np.array(state["drawn"], dtype=np.int64)

    def take_counts(self) -> dict[str, int]:
        """`bad` records, and records by source where there are several, since the last call."""
        counts = dict(self._counts)
        self._counts.clear()
        return counts

    def close(self) -> None:
        """Stop the workers and close the shards; `next` starts them anew where they were."""
        # The last reference: a loader ends its workers, a generator closes its files.
        self._parts = None

    def _start(self) -> Iterator[Part]:
        dataset = LaneBatches(
            self.sources, self.orders, self.mixture, self.config, self.views,
            lanes=self.lanes, position=self.position, drawn=self.drawn,
        )  # fmt: skip
        if not self.workers:
            return iter(dataset)
        loader = DataLoader(
            dataset, batch_size=None, num_workers=self.workers, worker_init_fn=_begin_worker
        )
        # Unset, tokenizers warns of every fork. It has no threads to use in a worker anyway.
        before = os.environ.get("TOKENIZERS_PARALLELISM")
        os.environ["TOKENIZERS_PARALLELISM"] = before or "false"
        try:
            return iter(loader)
        finally:
            if before is None:
                del os.environ["TOKENIZERS_PARALLELISM"]

    def _take(self, part: Part) -> None:
        """Count a part, name its bad records, stop where there are too many."""
        if len(self.sources) > 1:
            self._counts.update({f"from/{name}": n for name, n in part.seen.items()})
        self._seen += part.seen.total()
        for bad in part.bad:
            self._counts["bad"] += 1
            self._bad += 1
            kind = bad.reason.split(":")[0]
            self._named[kind] += 1
            if self._named[kind] <= NAMED:
                more = "; more of this kind are only counted" if self._named[kind] == NAMED else ""
                log.warning(
                    "%s: %s (another record takes its place%s)", bad.where, bad.reason, more
                )
            self._check_share(bad)

    def _check_share(self, last: BadRecord) -> None:
        limit = self.config.data.max_bad_share
        if self._seen >= SHARE_AFTER and self._bad > limit * self._seen:
            raise GeomclipError(
                f"{self._bad:,} of {self._seen:,} records can't be used, more than "
                f"--data.max-bad-share {limit:g}; the last: {last.where}: {last.reason}",
                "`geomclip data check` says what is wrong. Mend the data, or allow a larger share.",
            )

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.mixture.lanes} {self.config.data.shuffle}".encode())
        for source in self.sources:
            digest.update(source.sizes.astype("<i8").tobytes() + b"|")
        return digest.hexdigest()[:16]


def _lanes(batch_size: int) -> int:
    """The largest power of 2 up to MAX_LANES that divides the batch."""
    lanes = 1
    while lanes < MAX_LANES and batch_size % (2 * lanes) == 0:
        lanes *= 2
    return lanes


def _workers(asked: int, share: Share) -> int:
    """The number of workers: as asked, or the cores that the processes of this machine leave."""
    if asked >= 0:
        return asked
    here = int(os.environ.get("LOCAL_WORLD_SIZE", share.world))
    return max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0)) // here - 1))


def _begin_worker(worker: int) -> None:
    """A session of its own, so that Ctrl-C at the terminal reaches the trainer alone.

    The trainer finishes its step, saves and stops the workers; should it be killed, they see within
    seconds that their parent is gone.
    """
    os.setsid()
