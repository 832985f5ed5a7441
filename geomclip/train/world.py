"""The processes of one run: how they meet, agree, exchange small things, and fail once.

Started by `torchrun`, every process finds its rank and the others in its environment. A program
that has made a process group itself is taken as it is. One process is the same run without either.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

# Its functions keep the group that stands at its import as their default. DistributedDataParallel
# imports it, when the group stands; the group and its threads would then outlive the run, and end
# the process with an abort where one of them frees a tensor as the interpreter goes.
import torch.distributed.nn.functional
from torch import Tensor

from geomclip.errors import FailedElsewhere, GeomclipError, RequestError

T = TypeVar("T")

CPU = torch.device("cpu")

# Counts the failures; the process that counts to one tells its own to people.
_FAILURES, _FIRST = "geomclip/failures", "geomclip/first"
# Seconds to wait for the words of the process that failed first.
_PATIENCE = timedelta(seconds=5)


@dataclass(frozen=True)
class World:
    """This process among those of the run; `device` is where its tensors are."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def main(self) -> bool:
        """Whether this process writes logs and checkpoints: rank 0 does."""
        return self.rank == 0

    def total(self, *values: float | int) -> list[float]:
        """Sums over the processes, in float64."""
        if self.size == 1 or not values:
            return [float(value) for value in values]
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Means over the processes; all of them have the same names."""
        sums = self.total(*values.values())
        return {name: value / self.size for name, value in zip(values, sums, strict=True)}

    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over the processes, in one exchange a dtype."""
        if self.size == 1:
            return
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_dtype.setdefault(tensor.dtype, []).append(tensor)
        for group in by_dtype.values():
            flat = torch.cat([t.detach().reshape(-1) for t in group])
            dist.all_reduce(flat)
            flat /= self.size
            for tensor, part in zip(group, flat.split([t.numel() for t in group]), strict=True):
                tensor.detach().copy_(part.view_as(tensor))

    def sum_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over the processes."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def share(self, make: Callable[[], T]) -> T:
        """What rank 0 makes, on every process (pickled: for small things, never tensors)."""
        if self.size == 1:
            return make()
        box = [make() if self.main else None]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]  # type: ignore[return-value]

    def collect(self, value: T) -> list[T]:
        """The values of all processes by rank, on every process (pickled)."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def first(self, text: str) -> str:
        """The text of the first process, by rank, that has one; "" where none has."""
        if not self.total(bool(text))[0]:
            return ""
        return next(found for found in self.collect(text) if found)

    def wait(self) -> None:
        """Go on once every process is here."""
        if self.size > 1:
            dist.barrier()


def launched() -> tuple[int, int]:
    """(rank, number of processes) that torchrun's environment speaks of; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def joined(device: str) -> Iterator[World]:
    """The processes of this run, met; they part when the block ends.

    `cuda` becomes `cuda:LOCAL_RANK` where there are several: one GPU a process, over nccl; others
    meet over gloo. When one process fails in the block, its error is the run's: every other raises
    FailedElsewhere, whatever it met with as a consequence.

    Raises:
        RequestError: the device is not there, or one GPU was named for several processes.
        FailedElsewhere: another process failed first.
    """
    if dist.is_initialized():
        rank, size = dist.get_rank(), dist.get_world_size()
        yield World(rank, size, find_device(device, size))
        return
    rank, size = launched()
    if size == 1:
        yield World(device=find_device(device))
        return
    store, rank, size = next(dist.rendezvous("env://"))
    store.set_timeout(dist.default_pg_timeout)
    try:
        with _told_once(store, rank):  # before connections close, which fails the others
            place = find_device(device, size)
            if place.type == "cuda":
                torch.cuda.set_device(place)
            backend = "nccl" if place.type == "cuda" else "gloo"
            meeting = dist.PrefixStore("geomclip/group", store)
            dist.init_process_group(backend, store=meeting, rank=rank, world_size=size)
            yield World(rank, size, place)
            dist.barrier()  # rank 0 may hold the store that the others still read
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def find_device(name: str, processes: int = 1) -> torch.device:
    """The torch device of that name for this process.

    Raises:
        RequestError: this machine has no such device, or one GPU is named for several processes.
    """
    try:
        device = torch.device(name)
        if processes > 1 and device.type == "cuda":
            if device.index is not None:
                raise RequestError(
                    f"device {name!r} is one GPU for {processes} processes",
                    "Give --device cuda: every process takes its own.",
                )
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.empty(0, device=device)
    except RequestError:
        raise
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise RequestError(
            f"device {str(name)!r} can't be used: {reason}", "Use --device cpu."
        ) from None
    return device


@contextlib.contextmanager
def _told_once(store: dist.Store, rank: int) -> Iterator[None]:
    """Lets the first error of all processes pass; later ones become FailedElsewhere."""
    try:
        yield
    except BaseException as error:
        if not _is_first(store):
            raise _elsewhere(store, error) from error
        if not isinstance(error, GeomclipError) and "onnection" in str(error):
            reason = str(error).splitlines()[0]
            error = GeomclipError(
                f"rank {rank} lost the connection to another process of the run: {reason}",
                "It was killed, or its machine is gone; start the run again with --resume.",
            )
        what = error.what if isinstance(error, GeomclipError) else repr(error)
        store.set(_FIRST, f"rank {rank}: {what}")
        raise error from error.__cause__


def _is_first(store: dist.Store) -> bool:
    try:
        return store.add(_FAILURES, 1) == 1
    except RuntimeError:  # whoever held the store has ended
        return False


def _elsewhere(store: dist.Store, error: BaseException) -> FailedElsewhere:
    try:
        store.wait([_FIRST], _PATIENCE)
        first = store.get(_FIRST).decode()
    except RuntimeError:
        first = "another process of the run failed"
    return FailedElsewhere(first, getattr(error, "exit_code", 1))
