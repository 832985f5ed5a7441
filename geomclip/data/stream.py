"""What the trainer asks of its data, whether they lie in memory or are read from shards.

The global batch of a position is a function of settings, seed and position alone. It depends
neither on the number of processes or workers nor on where a run was resumed, so that a run may go
on with another number of processes, and the state of one process is the state of all.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig

if TYPE_CHECKING:
    from geomclip.data.record import Corpus
    from geomclip.data.splits import Splits
    from geomclip.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Batch:
    """Inputs of the encoders, which records of the data they are, and their label paths.

    Args:
        inputs: by modality: pixels (n, 3, s, s) in [0, 1], token ids (n, l) or numbers of items.
    """

    inputs: dict[str, Tensor]
    index: Int[Tensor, "n"]
    paths: list[tuple[str, ...]]


@dataclass(frozen=True)
class Share:
    """Which of `world` processes this is: it takes the rank-th of `world` equal runs of rows."""

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(f"Share: rank lies in [0, world), got {self.rank} of {self.world}")

    def rows(self, batch_size: int) -> slice:
        """The rows of a global batch. Raises RequestError where it can't be shared equally."""
        each, rest = divmod(batch_size, self.world)
        if rest:
            fit = max(1, each) * self.world
            raise RequestError(
                f"batch_size {batch_size} can't be shared equally by {self.world} processes",
                f"Give --batch-size {fit}, or another number of processes.",
            )
        return slice(self.rank * each, (self.rank + 1) * each)


# One process: every row is its own.
ALL = Share()


@runtime_checkable
class BatchStream(Protocol):
    """Training batches, one a step. Made by `open_stream`."""

    def next(self) -> Batch:
        """This process's rows of the next global batch. It never ends: epochs follow each other.

        Raises GeomclipError where the data have become unusable.
        """

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands: plain values, the same in every process of a run."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken, with any number of processes."""

    def take_counts(self) -> dict[str, int]:
        """What this process has met since the last call, by name; add them over processes."""

    def close(self) -> None:
        """Stop the workers. The stream gives nothing afterwards."""


def open_stream(
    config: TrainConfig,
    splits: "Splits",
    tokenizer: "Tokenizer",
    *,
    share: Share = ALL,
) -> BatchStream:
    """The training batches of a run, at position 0.

    Raises RequestError where data and batch size do not fit together.
    """
    from geomclip.data.batches import Batches
    from geomclip.data.sharded import ShardedStream

    if splits.streamed and not config.overfit:
        return ShardedStream(config, splits, tokenizer, share=share)
    return Batches(
        in_memory(config, splits),
        config,
        tokenizer,
        templates=() if config.overfit else splits.templates,
        keywords=splits.keywords or config.overfit > 0,
        share=share,
    )


def in_memory(config: TrainConfig, splits: "Splits") -> "Corpus":
    """The records that a run trains on, of streamed data a sample: under `overfit` those alone."""
    from geomclip.train.overfit import overfit_pairs

    return overfit_pairs(splits.train, config.overfit) if config.overfit else splits.train


def item_names(config: TrainConfig, splits: "Splits") -> list[str]:
    """The ids of the items that a run trains on by their numbers, which tables are indexed with.

    Raises RequestError for streamed data, whose items have no numbers.
    """
    if splits.streamed and not config.overfit:
        raise RequestError(
            f"{splits.name} is streamed, and a modality reads the number of an item, which only "
            "data in memory have",
            "Leave the modality out, or give --data.stream never.",
        )
    return list(dict.fromkeys(in_memory(config, splits).ids))
