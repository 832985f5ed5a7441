"""The hierarchies of the WordNet experiments, their published counts, and what a batch asks of one.

    python experiments/wordnet/graph.py      # the counts beside the published ones, in 10 seconds

The counts: Nickel & Kiela (arXiv 1705.08039 and 1806.03417) for nouns, verbs and mammals; the
published splits of Ganea et al. (arXiv 1804.01882) for the nouns without their root.
"""

import sys
import time
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.hierarchy import Hierarchy

PUBLISHED = {
    "nouns: nodes": 82_115,
    "nouns: edges of the closure": 743_241,
    "nouns without entity.n.01: edges of the closure": 661_127,
    "nouns without entity.n.01: edges of the reduction": 84_363,
    "mammals: nodes": 1_180,
    "mammals: edges of the closure": 6_540,
    "verbs: edges of the closure, of 13,542 nodes": 35_079,
}


def read(source: str) -> Hierarchy:
    """`Hierarchy.read` of what has an edge.

    Args:
        source: nouns, verbs, mammals, a synset (bird.n.01), emoji, or a csv or tsv file with the
            columns child and parent.

    Raises:
        RequestError: as `Hierarchy.read` (unknown, a bad row, a cycle), or no edge at all.
    """
    hierarchy = Hierarchy.read(source)
    if not len(hierarchy.up):
        raise RequestError(
            f"{source}: {len(hierarchy):,} node{'s' * (len(hierarchy) != 1)} and no edge",
            "Nothing can be learned of it; take what has children.",
        )
    return hierarchy


def without_root(hierarchy: Hierarchy) -> Hierarchy:
    """Without its root, as the published splits for link prediction have the nouns.

    Raises:
        RequestError: several roots.
    """
    if len(hierarchy.roots) != 1:
        raise RequestError(
            f"{hierarchy.title}: {len(hierarchy.roots):,} roots", "Take it as it is."
        )
    return hierarchy.without([hierarchy.names[int(hierarchy.roots[0])]])


class Ancestors:
    """Who is whose ancestor, for batches of nodes.

    Args:
        hierarchy: of n nodes.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        above = hierarchy.above
        count = np.diff(above.indptr)
        row = np.repeat(np.arange(len(count)), count)
        table = np.full((len(count), int(count.max(initial=0))), -1, np.int64)
        table[row, np.arange(len(row)) - np.repeat(above.indptr[:-1], count)] = above.indices
        self.table: Int[Tensor, "n a"] = torch.from_numpy(table)
        """Proper ancestors of every node, ascending; -1 after the last."""

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def count(self) -> Int[Tensor, "n"]:
        """How many every node has."""
        return (self.table >= 0).sum(1)

    @cached_property
    def _place(self) -> Int[Tensor, "m"]:
        return torch.full((len(self) + 1,), -1)

    def of(self, nodes: Int[Tensor, "b"]) -> Int[Tensor, "p"]:
        """All that are above one of `nodes`, ascending."""
        found = self.table[nodes].flatten()
        return found[found >= 0].unique()

    def mask(self, nodes: Int[Tensor, "b"], others: Int[Tensor, "m"]) -> Bool[Tensor, "b m"]:
        """[i, j]: others[j] is a proper ancestor of nodes[i]. `others` are distinct."""
        place = self._place
        place[others] = torch.arange(len(others))
        # Row -1 of `place` is the table's padding: never one of the others.
        column = place[self.table[nodes]]
        place[others] = -1
        out = torch.zeros(len(nodes), len(others), dtype=torch.bool)
        row, entry = torch.nonzero(column >= 0, as_tuple=True)
        out[row, column[row, entry]] = True
        return out


def depth_first(hierarchy: Hierarchy) -> Int[Tensor, "n"]:
    """All nodes, depth first: a subtree is one stretch, but for nodes with several parents, which
    stand below the first of these that is met."""
    seen = np.zeros(len(hierarchy), bool)
    order: list[int] = []
    stack = hierarchy.roots[::-1].tolist()
    while stack:
        node = stack.pop()
        if not seen[node]:
            seen[node] = True
            order.append(node)
            stack.extend(hierarchy.children(node)[::-1].tolist())
    return torch.tensor(order)


def counts() -> dict[str, int]:
    """What `PUBLISHED` names, of the embedded WordNet."""
    nouns, mammals, verbs = (Hierarchy.read(name) for name in ("nouns", "mammals", "verbs"))
    rootless = without_root(nouns)
    found = [
        len(nouns),
        nouns.above.nnz,
        rootless.above.nnz,
        len(rootless.reduced().up),
        len(mammals),
        mammals.above.nnz,
        verbs.above.nnz if len(verbs) == 13_542 else -1,
    ]
    return dict(zip(PUBLISHED, found, strict=True))


def main() -> None:
    start = time.perf_counter()
    found = counts()
    for name, count in found.items():
        mark = "as published" if count == PUBLISHED[name] else f"PUBLISHED: {PUBLISHED[name]:,}"
        print(f"{count:>9,}  {name}: {mark}")
    print(f"{time.perf_counter() - start:.1f} seconds")
    sys.exit(found != PUBLISHED)


if __name__ == "__main__":
    main()
