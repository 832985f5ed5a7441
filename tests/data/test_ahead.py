"""Batches made ahead are those of their steps, whatever was asked before."""

import threading

import pytest
import torch

from geomclip.data.ahead import Ahead
from geomclip.data.stream import Batch


def batch(step: int) -> Batch:
    return Batch({"image": torch.full((2, 3), float(step))}, torch.tensor([step, step]), [(), ()])


def begun() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("next-batch")}


def test_each_step_has_its_batch_in_order_or_after_a_jump():
    made: list[int] = []

    def make(step: int) -> Batch:
        made.append(step)
        return batch(step)

    ahead = Ahead(make)
    for step in (0, 1, 2, 7, 8, 3):
        assert torch.equal(ahead(step).inputs["image"], batch(step).inputs["image"])
    ahead.close()
    assert made[:7] == [0, 1, 2, 3, 7, 8, 9] and made[7:] in ([3], [3, 4])  # closed before 4


def test_the_next_batch_is_made_before_it_is_asked_for():
    second = threading.Event()

    def make(step: int) -> Batch:
        if step == 1:
            second.set()
        return batch(step)

    ahead = Ahead(make)
    ahead(0)
    assert second.wait(60)
    ahead.close()


def test_an_error_is_that_of_its_step_and_the_thread_ends():
    def make(step: int) -> Batch:
        if step == 1:
            raise ValueError("step 1")
        return batch(step)

    before = begun()
    ahead = Ahead(make)
    assert ahead(0).index[0] == 0
    with pytest.raises(ValueError, match="step 1"):
        ahead(1)
    assert ahead(2).index[0] == 2
    (thread,) = begun() - before
    ahead.close()
    assert not thread.is_alive()
    assert ahead(0).index[0] == 0  # another thread
    ahead.close()


def test_it_computes_in_as_many_threads_as_its_maker():
    found: list[int] = []

    def make(step: int) -> Batch:
        torch.ones(8).sum()
        found.append(torch.get_num_threads())
        return batch(step)

    ahead = Ahead(make)
    ahead(0)
    ahead.close()
    assert set(found) == {torch.get_num_threads()}
