"""Does the distance to the root grow with depth in the tree? Kendall's tau-b over all nodes.

The nodes of one depth are tied, which tau-b makes up for only where their distances are tied too:
with distances that all differ it can't reach 1. The share of pairs in order has no such limit. The
tree is judged as a whole here; `root_tau` judges each picture's own chain.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.evaluate.roots import radius
from geomclip.evaluate.tested import (
    Tested,
    bootstrap_error,
    bootstrap_errors,
    permutations,
    tested,
)
from geomclip.geometry import Geometry
from geomclip.hierarchy import Hierarchy


@dataclass(frozen=True)
class DepthOrder:
    """Root distance against depth; error by resampling nodes, the null by shuffling depths.

    Args:
        tau: Kendall's tau-b over the nodes.
        pairs: share of the pairs of nodes of different depths whose deeper one lies further from
            the root, ties counting half; (1 + Somers' D) / 2, one half by chance.
        edges: share of the edges whose child lies further from the root than its parent; one half
            by chance.
        medians: median root distance of every depth that occurs, by depth.
    """

    tau: Tested
    pairs: Tested
    edges: Tested
    medians: dict[int, float]

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return {
            "tau": self.tau.to_dict(),
            "pairs": self.pairs.to_dict(),
            "edges": self.edges.to_dict(),
            "medians": {str(depth): value for depth, value in self.medians.items()},
        }


def depth_order(
    geometry: Geometry,
    hierarchy: Hierarchy,
    points: Float[Tensor, "n d"],
    root: Float[Tensor, "d"] | None = None,
    *,
    shuffles: int = 20,
) -> DepthOrder:
    """Compare root distance and depth over the nodes of a hierarchy, tree or not.

    Args:
        points: (n, d) of every node.
        root: where distances are measured from; the geometry's own root where not given.

    Raises:
        ValueError: points of another number than the nodes, or all of one depth.
        GeomclipError: the root of clip or elliptic has not been set.
    """
    from scipy.stats import kendalltau

    if len(points) != len(hierarchy):
        raise ValueError(f"depth_order: {len(points)} points for {len(hierarchy)} nodes")
    depth = hierarchy.depth
    if len(np.unique(depth)) < 2:
        raise ValueError("depth_order: all nodes have one depth; there is no order to follow")
    with torch.no_grad():
        distance = radius(geometry, points, root).double().cpu().numpy()

    def order(d: np.ndarray, r: np.ndarray) -> tuple[float, float]:
        """tau-b, and the share of pairs in order: from C - D = tau sqrt(P_d P_r) over P_d."""
        # All distances tied: no order, as in `kendall_tau_b`.
        tau = 0.0 if (r == r[0]).all() else float(kendalltau(d, r).statistic)
        free_d, free_r = _untied(d), _untied(r)
        return tau, (1 + tau * (free_r / free_d) ** 0.5) / 2 if free_d else float("nan")

    def resampled(weight: np.ndarray) -> tuple[float, float]:
        rows = np.repeat(np.arange(len(depth)), weight.astype(np.int64))
        return order(depth[rows], distance[rows])

    child, parent = hierarchy.edges.T
    mixed = permutations(len(depth), shuffles)

    def grown(r: np.ndarray) -> np.ndarray:
        return (r[child] > r[parent]).astype(float)

    out = grown(distance)
    error = bootstrap_error(lambda w: float(w @ out) / len(out), len(out))
    values = order(depth, distance)
    null = [order(depth[m], distance) for m in mixed]
    errors = bootstrap_errors(resampled, len(depth))
    tau, pairs = (tested(values[i], errors[i], len(depth), [n[i] for n in null]) for i in (0, 1))
    return DepthOrder(
        tau=tau,
        pairs=pairs,
        edges=tested(
            float(out.mean()),
            error,
            len(out),
            [float(grown(distance[m]).mean()) for m in mixed],
        ),
        medians={int(d): float(np.median(distance[depth == d])) for d in np.unique(depth)},
    )


def _untied(x: np.ndarray) -> int:
    """Pairs of entries that differ."""
    count = np.unique(x, return_counts=True)[1]
    return int(len(x) * (len(x) - 1) - (count * (count - 1)).sum()) // 2
