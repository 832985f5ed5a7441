"""A split as labels: the texts at each level, and which picture has which."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from geomclip.data.record import Corpus
from geomclip.data.splits import EvalSplit
from geomclip.evaluate.hierarchy import LEVELS, ancestors, chain


def names_of(corpus: Corpus) -> list[str]:
    """What each picture is asked for by: its first text, else the end of its path, else ""."""
    pairs = zip(corpus.names, corpus.paths, strict=True)
    return [name or (path[-1] if path else "") for name, path in pairs]


@dataclass(frozen=True, eq=False)
class Items:
    """A split as labels: the texts at each level and which row has which."""

    pool: Corpus
    query: Int[Tensor, "q"]
    """Pool rows that are asked about: those of the split that have a name."""
    names: list[str]
    """Distinct names of the pool; a name's place is its label."""
    first: Int[Tensor, "t"]
    """First pool row of each name."""
    name_of: Int[Tensor, "n"]
    """Label of each pool row; -1 where it has no name."""
    chains: list[tuple[str, ...]]
    """Texts above each query, most general first, its name last."""

    @staticmethod
    def of(split: EvalSplit) -> "Items":
        """Labels in the order of their first appearance in the pool."""
        pool = split.pool
        names = names_of(pool)
        first: dict[str, int] = {}
        for row, name in enumerate(names):
            if name:
                first.setdefault(name, row)
        place = {name: i for i, name in enumerate(first)}
        query = [row for row in split.query.tolist() if names[row]]
        return Items(
            pool=pool,
            query=torch.tensor(query, dtype=torch.long),
            names=list(first),
            first=torch.tensor(list(first.values()), dtype=torch.long),
            name_of=torch.tensor([place.get(name, -1) for name in names], dtype=torch.long),
            chains=[chain(pool.paths[row], names[row]) for row in query],
        )

    def same_name(self) -> list[int]:
        """How many pool rows share each query's name."""
        named = self.name_of[self.name_of >= 0]
        counts: list[int] = torch.bincount(named)[self.name_of[self.query]].tolist()
        return counts

    def level(self, level: str) -> tuple[list[str], list[int], list[int]]:
        """Distinct labels of the pool at a level; which queries have one, and its number."""
        labels: dict[str, int] = {}
        for path in self.pool.paths:
            if (label := ancestors(path).get(level)) is not None:
                labels.setdefault(label, len(labels))
        found = [ancestors(self.pool.paths[r]).get(level) for r in self.query.tolist()]
        have = [(i, labels[label]) for i, label in enumerate(found) if label is not None]
        return list(labels), [i for i, _ in have], [number for _, number in have]

    def all_texts(self) -> list[str]:
        """Everything that has to be encoded."""
        texts = list(self.names)
        for level in LEVELS:
            texts += self.level(level)[0]
        return texts + [text for texts in self.chains for text in texts]
