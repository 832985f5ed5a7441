"""The order of streamed data: a permutation of every epoch in equal lanes; weights as drawn."""

import itertools
import math

import numpy as np
import pytest

from geomclip.data.order import LaneOrder, Mixture


def walk(order: LaneOrder, lane: int, positions: range) -> list[tuple[int, int]]:
    """(shard, record) at each position of a lane."""
    found = []
    for position in positions:
        window, place = order.window_of(lane, position)
        records = [
            (run.shard, i) for run in order.runs(lane, window) for i in range(run.start, run.stop)
        ]
        found.append(records[order.permutation(lane, window)[place]])
    return found


@pytest.mark.parametrize("sizes", [[13], [4, 0, 7, 1, 12], [1] * 24, [100, 3]])
@pytest.mark.parametrize(("lanes", "window"), [(1, 5), (3, 4), (4, 1000)])
def test_lanes_partition_every_epoch(sizes, lanes, window):
    order = LaneOrder(
        np.array(sizes), lanes=lanes, length=sum(sizes) // lanes, window=window, seed=(0, 0)
    )
    everything = {(shard, i) for shard, n in enumerate(sizes) for i in range(n)}
    for epoch in range(3):
        positions = range(epoch * order.length, (epoch + 1) * order.length)
        seen = [record for lane in range(lanes) for record in walk(order, lane, positions)]
        assert len(seen) == len(set(seen)) == lanes * order.length
        assert set(seen) <= everything
        assert len(everything) - len(seen) < lanes


def test_lanes_do_not_all_begin_a_window_at_once():
    order = LaneOrder(np.array([4096]), lanes=8, length=512, window=64, seed=(0, 0))
    begins = [
        sum(order.window_of(lane, p)[1] == 0 for lane in range(8)) for p in range(1, order.length)
    ]
    assert max(begins) == 1 and sum(begins) == 7 * 8 + 7


def test_what_an_epoch_leaves_out_is_not_always_the_same():
    order = LaneOrder(np.array([10]), lanes=4, length=2, window=2, seed=(0, 0))
    left_out = set()
    for epoch in range(40):
        positions = range(2 * epoch, 2 * epoch + 2)
        seen = {record for lane in range(4) for record in walk(order, lane, positions)}
        left_out |= {i for i in range(10) if (0, i) not in seen}
    assert left_out == set(range(10))


def test_runs_follow_each_other_so_that_shards_are_read_on():
    """Within an epoch of a lane the windows are consecutive in the shards."""
    order = LaneOrder(np.array([50, 50]), lanes=2, length=50, window=7, seed=(3, 0))
    runs = [run for window in range(order.per_epoch) for run in order.runs(1, window)]
    breaks = sum((a.shard, a.stop) != (b.shard, b.start) for a, b in itertools.pairwise(runs))
    assert breaks <= 2  # into another shard, and around the ring


def test_resampled_shards_come_with_replacement_and_evenly():
    sizes = np.array([2, 3, 5, 2, 8])
    order = LaneOrder(sizes, lanes=1, length=20, window=20, seed=(0, 0), resample=True)
    epochs = 2000
    count = np.zeros(5)
    for window in range(epochs * order.per_epoch):
        for run in order.runs(0, window):
            count[run.shard] += run.stop - run.start
    # An epoch's records of one shard vary by less than all 20: five standard errors of the mean.
    bound = 5 * 20 / math.sqrt(epochs)
    assert np.abs(count / epochs - sizes).max() < bound
    one = [order.runs(0, 0) for _ in range(2)]
    assert one[0] == one[1]


def test_a_length_that_is_no_share_of_the_records_is_refused():
    for length in (0, 6):
        with pytest.raises(ValueError, match=f"lengths from 1 to 5, got {length}"):
            LaneOrder(np.array([10, 1]), lanes=2, length=length, window=2, seed=(0, 0))


def test_sources_are_drawn_with_their_weights_independently_of_order():
    """Shares lie within five standard errors of a binomial; a batch is a function of its number."""
    mixture = Mixture((3.0, 1.0, 0.5), lanes=8, each=4, seed=1)
    batches = 500
    draws = np.stack([mixture.draw(batch) for batch in range(batches)])
    share = np.array([(draws == k).mean() for k in range(3)])
    expected = np.array([3.0, 1.0, 0.5]) / 4.5
    error = np.sqrt(expected * (1 - expected) / draws.size)
    assert (np.abs(share - expected) < 5 * error).all()
    assert (mixture.draw(7) == draws[7]).all() and (draws[7] != draws[8]).any()
    assert (mixture.count(draws[7]).sum(1) == 4).all()
    assert (Mixture((2.0,), lanes=8, each=4, seed=1).draw(3) == 0).all()
