"""What losses ask about the pictures of a batch beyond their pairs: items and label paths."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from geomclip.data.record import Corpus
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import RequestError


@dataclass(frozen=True)
class Known:
    """What is known of this process's pictures of a batch; None is what no loss asks for."""

    ids: Int[Tensor, "n"] | None = None
    """Item of each."""
    labels: Int[Tensor, "n l"] | None = None
    """Label of each at each level, -1 after its path's end."""
    tokens: Int[Tensor, "m t"] | None = None
    """Token ids of the distinct labels."""
    chains: Int[Tensor, "n l"] | None = None
    """Rows of `tokens` that the paths go through, -1 after their end."""


NOTHING = Known()


class Samples:
    """Numbers for the items and the labels of a corpus.

    Two labels are the same where their whole paths up to them are: "other" under "fruit" is not
    "other" under "tools".
    """

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> None:
        items: dict[str, int] = {}
        rows = [items.setdefault(item, len(items)) for item in corpus.ids]
        self.items = len(items)
        """Number of items."""
        self._ids = torch.tensor(rows)
        nodes: dict[tuple[str, ...], int] = {}
        paths = [
            [nodes.setdefault(path[: k + 1], len(nodes)) for k in range(len(path))]
            for path in corpus.paths
        ]
        self.depth = max(map(len, paths), default=0)
        """Levels of the longest label path."""
        self._labels = torch.tensor(
            [path + [-1] * (self.depth - len(path)) for path in paths], dtype=torch.int64
        ).reshape(len(paths), self.depth)
        self._texts = [path[-1] for path in nodes]
        self.tokenizer = tokenizer
        self.context_length = context_length

    def known(self, index: Int[Tensor, "n"], needs: set[str], device: torch.device) -> Known:
        """What losses with those needs (fields of `losses.table.Sample`) ask about rows."""
        labels = self.labels(index)
        tokens, chains = self.nodes(labels) if "chains" in needs else (None, None)
        return Known(
            ids=self.ids(index).to(device) if "ids" in needs else None,
            labels=labels.to(device) if "labels" in needs else None,
            tokens=None if tokens is None else tokens.to(device),
            chains=None if chains is None else chains.to(device),
        )

    def ids(self, index: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
        """Item of each row of the corpus."""
        return self._ids[index]

    def labels(self, index: Int[Tensor, "n"]) -> Int[Tensor, "n l"]:
        """Label of each row at each level, the most general first; -1 after a path's end."""
        return self._labels[index]

    def nodes(self, labels: Int[Tensor, "n l"]) -> tuple[Int[Tensor, "m t"], Int[Tensor, "n l"]]:
        """Token ids of the distinct labels, and the labels as rows of them."""
        found, rows = torch.unique(labels, return_inverse=True)
        missing = int((found < 0).sum())
        texts = [self._texts[label] for label in found[missing:].tolist()]
        return self.tokenizer(texts, self.context_length), rows - missing

    def check_labels(self, levels: int, why: str) -> None:
        """Raises RequestError where no path reaches `levels` levels."""
        if self.depth < levels:
            raise RequestError(
                f"{why} asks for label paths of at least {levels} levels; those of the data have "
                f"{self.depth}",
                "Name the columns of the path with --data.label-columns, or leave it out.",
            )
