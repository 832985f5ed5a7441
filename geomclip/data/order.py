"""The order of streamed data: which record stands at a position. Arithmetic only, nothing is read.

The records of a source, shard after shard in an order drawn for each epoch, are a ring; it is cut
into as many equal arcs as there are lanes, from a random point on. A lane walks its arc in windows
whose records are permuted; lanes end theirs at different positions, which spreads the reading. A
global batch takes the same number of records from every lane, lane after lane, so that processes
and workers can take whole lanes and no number depends on how many there are. Every position has its
record by arithmetic: to resume is to go on counting.
"""

from dataclasses import dataclass

import numpy as np

# First words of the seeds of independent generators; 0 and 1 are those of data in memory.
_EPOCH, _WINDOW, _MIX = 10, 11, 12


@dataclass(frozen=True)
class Run:
    """Records `start` to `stop` (not included) of a shard."""

    shard: int
    start: int
    stop: int


class LaneOrder:
    """The order of one source.

    Args:
        sizes: (s,) records of each shard.
        lanes: number of lanes.
        length: positions of a lane before its next epoch, at most sum(sizes) // lanes.
        window: records of a lane that are permuted among themselves.
        seed: numbers that tell this order from others.
        resample: draw as many shards with replacement, in place of a permutation of all.
    """

    def __init__(
        self,
        sizes: np.ndarray,
        *,
        lanes: int,
        length: int,
        window: int,
        seed: tuple[int, ...],
        resample: bool = False,
    ) -> None:
        self.sizes = np.asarray(sizes, dtype=np.int64)
        self.total = int(self.sizes.sum())
        if not 0 < length <= self.total // lanes:
            raise ValueError(
                f"LaneOrder: {self.total} records in {lanes} lanes give lengths from 1 to "
                f"{self.total // lanes}, got {length}"
            )
        self.lanes, self.length, self.seed, self.resample = lanes, length, seed, resample
        self.window = min(window, length)
        # One more than fit: the first of an epoch is cut short, and the last, by the lane's phase.
        self.per_epoch = -(-length // self.window) + 1
        self._epoch: tuple[int, np.ndarray, np.ndarray, int] | None = None

    def window_of(self, lane: int, position: int) -> tuple[int, int]:
        """The window of a lane's position, counted over all epochs, and the place in it."""
        epoch, offset = divmod(position, self.length)
        number = (offset + self._phase(lane)) // self.window
        return epoch * self.per_epoch + number, offset - self._bounds(lane, number)[0]

    def runs(self, lane: int, window: int) -> list[Run]:
        """The records of a window in the order in which they lie in the shards."""
        epoch, number = divmod(window, self.per_epoch)
        shards, ends, turn = self._ring(epoch)
        start, stop = self._bounds(lane, number)
        first, left = turn + lane * self.total // self.lanes + start, stop - start
        runs = []
        while left:
            at = first % self.total
            k = int(np.searchsorted(ends, at, side="right"))
            shard = int(shards[k])
            begin = at - (int(ends[k]) - int(self.sizes[shard]))
            count = min(left, int(ends[k]) - at, self.total - at)
            runs.append(Run(shard, begin, begin + count))
            first, left = first + count, left - count
        return runs

    def permutation(self, lane: int, window: int) -> np.ndarray:
        """Which record of the window comes at each place."""
        start, stop = self._bounds(lane, window % self.per_epoch)
        return np.random.default_rng((*self.seed, _WINDOW, lane, window)).permutation(stop - start)

    def _phase(self, lane: int) -> int:
        return lane * self.window // self.lanes

    def _bounds(self, lane: int, number: int) -> tuple[int, int]:
        """The positions of an epoch that a window of it has; the last may have none."""
        start = number * self.window - self._phase(lane)
        return min(max(0, start), self.length), min(start + self.window, self.length)

    def _ring(self, epoch: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Shards of an epoch, the ring position after each, and where the first lane starts."""
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng((*self.seed, _EPOCH, epoch))
            full = np.flatnonzero(self.sizes)
            shards, ends = rng.permutation(full), np.empty(0, dtype=np.int64)
            if self.resample:
                # Shards differ in size: until there are as many records as there are in all.
                shards = shards[:0]
                while not len(ends) or ends[-1] < self.total:
                    shards = np.concatenate([shards, rng.choice(full, size=len(full))])
                    ends = self.sizes[shards].cumsum()
            ends = self.sizes[shards].cumsum()
            self._epoch = epoch, shards, ends, int(rng.integers(self.total))
        return self._epoch[1:]


class Mixture:
    """Which source each record of a batch comes from, drawn with fixed probabilities.

    Args:
        weights: (k,) positive; made to sum to 1.
        lanes: number of lanes.
        each: records that a lane gives to a batch.
    """

    def __init__(self, weights: tuple[float, ...], *, lanes: int, each: int, seed: int) -> None:
        share = np.array(weights) / sum(weights)
        self.share, self.edges = share, share.cumsum()[:-1]
        self.lanes, self.each, self.seed = lanes, each, seed

    def draw(self, batch: int) -> np.ndarray:
        """(lanes, each) the source of every record of a batch; a lane's row is drawn for it alone.

        With one source nothing is drawn.
        """
        if not len(self.edges):
            return np.zeros((self.lanes, self.each), dtype=np.int64)
        rng = np.random.default_rng((self.seed, _MIX, batch))
        return np.searchsorted(self.edges, rng.random((self.lanes, self.each)), side="right")

    def count(self, sources: np.ndarray) -> np.ndarray:
        """(lanes, k) how many of a batch's records each lane takes from each source."""
        return np.stack([(sources == k).sum(1) for k in range(len(self.share))], axis=1)
