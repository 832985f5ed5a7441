"""What losses ask about the pictures of a batch beyond their pairs: items and label paths."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from geomclip.data.splits import Splits
from geomclip.data.stream import Batch
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import RequestError

Path = tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """What is known of this process's pictures of a batch; None is what no loss asks for."""

    ids: Int[Tensor, "n"] | None = None
    """Item of each."""
    labels: Int[Tensor, "n l"] | None = None
    """Label of each at each level, -1 after its path's end."""
    tokens: Int[Tensor, "m t"] | None = None
    """Token ids of the distinct labels."""
    chains: Int[Tensor, "n k"] | None = None
    """Rows of `tokens` that the paths go through, -1 after their end."""


NOTHING = Known()


class Samples:
    """Numbers for the items and the labels of a run's data.

    Two labels are the same where their whole paths up to them are: "other" under "fruit" is not
    "other" under "tools". A label's number is a hash, the same in every process and stream.

    Args:
        needs: fields of `losses.table.Sample` that the losses of the run ask for.
        levels: how many levels of labels they ask for.

    Raises:
        RequestError: items are asked for of data that are streamed, or label paths of data without.
    """

    def __init__(
        self,
        splits: Splits,
        tokenizer: Tokenizer,
        context_length: int,
        *,
        needs: set[str],
        levels: int = 1,
    ) -> None:
        self.needs, self.levels = needs, levels
        self.tokenizer, self.context_length = tokenizer, context_length
        self._numbers: dict[Path, int] = {}
        items: dict[str, int] = {}
        rows = [items.setdefault(item, len(items)) for item in splits.train.ids]
        self.items = len(items)
        """Number of items."""
        self._rows = torch.tensor(rows)
        if "ids" in needs and splits.streamed:
            raise RequestError(
                f"{splits.name} is streamed, and its records have no numbers under which a loss "
                "could keep something",
                "Choose another --loss.contrastive, or data small enough to be held in memory.",
            )
        depth = max(map(len, splits.train.paths), default=0)
        for need, least in (("labels", levels), ("chains", 1)):
            if need in needs and depth < least:
                raise RequestError(
                    f"the losses ask for label paths of at least {least} levels; those of "
                    f"{splits.name} have {depth}",
                    "Name the columns of the path with --data.label-columns, or take other losses.",
                )

    def known(self, batch: Batch, device: torch.device) -> Known:
        """What the losses ask about a batch."""
        tokens, chains = self.chains(batch.paths) if "chains" in self.needs else (None, None)
        return Known(
            ids=self._rows[batch.index].to(device) if "ids" in self.needs else None,
            labels=self.labels(batch.paths).to(device) if "labels" in self.needs else None,
            tokens=None if tokens is None else tokens.to(device),
            chains=None if chains is None else chains.to(device),
        )

    def labels(self, paths: Sequence[Path]) -> Int[Tensor, "n l"]:
        """Label of each picture at each level, the most general first; -1 after its path's end."""
        return torch.tensor(
            [
                [self._number(path[: k + 1]) if k < len(path) else -1 for k in range(self.levels)]
                for path in paths
            ]
        )

    def chains(self, paths: Sequence[Path]) -> tuple[Int[Tensor, "m t"], Int[Tensor, "n k"]]:
        """Token ids of the distinct labels of the paths, and the paths as rows of them."""
        nodes: dict[Path, int] = {}
        rows = [
            [nodes.setdefault(path[: k + 1], len(nodes)) for k in range(len(path))]
            for path in paths
        ]
        depth = max(map(len, rows), default=0)
        chains = torch.tensor([row + [-1] * (depth - len(row)) for row in rows], dtype=torch.int64)
        tokens = self.tokenizer([node[-1] for node in nodes], self.context_length)
        return tokens, chains.reshape(len(rows), depth)

    def _number(self, label: Path) -> int:
        if label not in self._numbers:
            digest = hashlib.blake2b("\0".join(label).encode("utf-8"), digest_size=8).digest()
            self._numbers[label] = int.from_bytes(digest, "big") >> 1
        return self._numbers[label]
