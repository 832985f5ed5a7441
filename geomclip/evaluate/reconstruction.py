"""Do distances alone give a hierarchy back? Mean rank and mean average precision of ancestors.

The protocol of Nickel & Kiela (arXiv 1705.08039, section 4.1): for every node with an ancestor all
other nodes are ranked by their distance to it, its ancestors being the right answers.

    rank of an ancestor = 1 + the nodes as near or nearer that are no ancestors
    AP of a node = mean over its ancestors, nearest first, of k / (k + those nodes), k = 1, 2, ...

The node itself is left out; its descendants are wrong answers. Nothing is sampled. `ancestry` asks
the same of things that are ranked by other scores, with errors; this is for whole hierarchies of
tens of thousands of nodes, block by block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.evaluate.retrieval import BLOCK
from manifolds import Manifold

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Ranks and precisions of a hierarchy's closure.

    Args:
        nodes: (q,) the nodes that were asked about: all that have an ancestor, ascending.
        average_precision: (q,) of each, 1 at best.
        rank: (q,) mean rank of each one's ancestors, 1 at best.
        ancestors: (q,) how many each has.
    """

    nodes: Int[Tensor, "q"]
    average_precision: Float[Tensor, "q"]
    rank: Float[Tensor, "q"]
    ancestors: Int[Tensor, "q"]

    @property
    def map(self) -> float:
        """Mean average precision over the nodes."""
        return self.average_precision.mean().item()

    @property
    def mean_rank(self) -> float:
        """Mean over all pairs of a node and an ancestor of its rank."""
        return ((self.rank * self.ancestors).sum() / self.ancestors.sum()).item()

    def to_dict(self) -> dict[str, Any]:
        """Both, and how many nodes and pairs they are means of."""
        return {
            "map": self.map,
            "mean_rank": self.mean_rank,
            "nodes": len(self.nodes),
            "pairs": int(self.ancestors.sum()),
        }


def reconstruct(
    manifold: Manifold,
    points: Float[Tensor, "n d"],
    above: "csr_array",
    nodes: Int[Tensor, "q"] | None = None,
    *,
    tell: Callable[[int], None] = lambda done: None,
) -> Reconstruction:
    """Rank all nodes by geodesic distance for each node that has an ancestor.

    Args:
        points: of the n nodes; distances are computed in their dtype.
        above: (n, n) boolean, [i, j] says that j is a proper ancestor of i (`Hierarchy.above`).
        nodes: ask about these alone, among all n as ever; those without ancestor are passed over.
        tell: called with the number of nodes that are done.

    Raises:
        ValueError: above is not (n, n), no node has an ancestor, or a point is not finite (the
            first is named).
    """
    n = len(points)
    if above.shape != (n, n):
        raise ValueError(f"reconstruct: {n} points, but above has shape {above.shape}")
    if not (finite := points.isfinite().all(1)).all():
        first = int((~finite).nonzero()[0])
        raise ValueError(
            f"reconstruct: {int((~finite).sum())} of {n} points are not finite, point {first} "
            "the first; the training diverged"
        )
    count = torch.from_numpy(np.diff(above.indptr)).long()
    asked = torch.arange(n) if nodes is None else nodes.unique()
    asked = asked[count[asked] > 0]
    if not len(asked):
        raise ValueError("reconstruct: none of the nodes has an ancestor")
    precision, rank = [], []
    for block in asked.split(max(1, BLOCK // n)):
        with torch.no_grad():
            distances = manifold.pairwise_dist(points[block], points).cpu().numpy()
        for node, row in zip(block.tolist(), distances, strict=True):
            right = row[above.indices[above.indptr[node] : above.indptr[node + 1]]]
            row[node] = np.inf
            place, before = _before(row, np.sort(right))
            precision.append(float((place / (place + before)).mean()))
            rank.append(1 + float(before.mean()))
        tell(len(rank))
    return Reconstruction(
        asked,
        torch.tensor(precision, dtype=torch.float64),
        torch.tensor(rank, dtype=torch.float64),
        count[asked],
    )


def _before(row: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1, 2, ... for the right answers, nearest first, and how many wrong ones are as near or nearer
    than each.

    Args:
        row: distances of all.
        right: those of the right answers, ascending.
    """
    # What lies beyond the farthest right answer need not be sorted: most of it.
    near = np.sort(row[row <= right[-1]])
    all_of_them = np.searchsorted(near, right, side="right")
    own = np.searchsorted(right, right, side="right")
    return np.arange(1, len(right) + 1), all_of_them - own
