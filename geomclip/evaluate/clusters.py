"""Do the classes, clustered by where their pictures lie, give the true tree back?

Each class is the Fréchet mean of its points; average linkage over geodesic distances makes a tree
of them (a dendrogram, Sokal & Michener 1958). It is compared with the true tree in two ways:

    cophenetic correlation   Pearson correlation, over pairs of classes, of the height at which the
                             dendrogram joins them and their distance in the true tree
                             (Sokal & Rohlf 1962)
    triplet accuracy         share of the triplets of classes, of which the true tree joins two
                             below the third, whose same two the dendrogram joins first; 1/3 by
                             chance, a tie is a miss
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.evaluate.tested import Tested, bootstrap_error, permutations, tested
from geomclip.hierarchy import Hierarchy
from manifolds import Manifold


@dataclass(frozen=True)
class Clustering:
    """A dendrogram of class centroids against the true tree.

    Errors by resampling classes, the clustering held; the null with the classes' names shuffled.

    Args:
        cophenetic: the correlation.
        triplets: the accuracy.
        classes: how many.
        joins: (classes - 1, 4) of scipy's `linkage`, the classes in the order given.
    """

    cophenetic: Tested
    triplets: Tested
    classes: int
    joins: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """All but the joins."""
        return {
            "cophenetic": self.cophenetic.to_dict(),
            "triplets": self.triplets.to_dict(),
            "classes": self.classes,
        }


def centroids(
    manifold: Manifold, points: Float[Tensor, "n d"], labels: Int[Tensor, "n"], classes: int
) -> Float[Tensor, "k d"]:
    """The Fréchet mean of each class. Raises ValueError for a class without points."""
    count = torch.bincount(labels, minlength=classes)
    if len(count) > classes or bool((count == 0).any()):
        raise ValueError(
            f"centroids: labels are 0 to {classes - 1} and each occurs; "
            f"{int((count[:classes] == 0).sum())} do not"
        )
    groups = points[labels.argsort(stable=True)].split(count.tolist())
    with torch.no_grad():
        # A mean of one point is that point, without a step.
        return torch.stack([g[0] if len(g) == 1 else manifold.frechet_mean(g) for g in groups])


def cluster(
    manifold: Manifold,
    centers: Float[Tensor, "k d"],
    hierarchy: Hierarchy,
    nodes: Int[np.ndarray, "k"],
    *,
    triplets: int = 50_000,
    shuffles: int = 20,
    seed: int = 0,
) -> Clustering:
    """Cluster class centroids and compare the dendrogram with the tree that the classes stand in.

    Args:
        centers: of each class, as from `centroids`.
        hierarchy: the true tree.
        nodes: the node of each class, all distinct.
        triplets: drawn at random; all where there are no more.

    Raises:
        RequestError: no tree; fewer than three classes, or a tree that joins no two of them below a
            third.
    """
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import squareform

    hierarchy.require_tree("clustering")
    k = len(nodes)
    if k < 3:
        raise RequestError(f"{hierarchy.title}: {k} classes make no tree", "Give at least three.")
    with torch.no_grad():
        distance = manifold.pairwise_dist(centers, centers).double().cpu().numpy()
    np.fill_diagonal(distance, 0)
    joins = linkage(squareform((distance + distance.T) / 2, checks=False), "average")
    height = squareform(cophenet(joins))

    a, b = np.triu_indices(k, 1)
    lca = hierarchy.lca(nodes[a], nodes[b])
    depth = hierarchy.depth
    low = np.zeros((k, k))
    low[a, b] = low[b, a] = depth[lca]
    far = np.zeros((k, k))
    far[a, b] = far[b, a] = depth[nodes[a]] + depth[nodes[b]] - 2 * depth[lca]
    drawn = _triplets(k, triplets, seed)
    true = _joined_first(low, drawn, deepest=True)
    drawn, true = drawn[true >= 0], true[true >= 0]
    if not len(drawn):
        raise RequestError(
            f"{hierarchy.title}: the tree joins no two of the {k} classes below a third",
            "Take classes of a deeper level, or a tree with more than one.",
        )

    def correlation(order: np.ndarray, weight: np.ndarray | None = None) -> float:
        x, y = height[np.ix_(order, order)][a, b], far[a, b]
        w = np.ones(len(a)) if weight is None else weight[a] * weight[b]
        return _correlation(x, y, w)

    def accuracy(order: np.ndarray, weight: np.ndarray | None = None) -> float:
        right = _joined_first(height, order[drawn], deepest=False) == true
        w = np.ones(len(drawn)) if weight is None else weight[drawn].prod(1)
        return float(w @ right / w.sum()) if w.sum() else float("nan")

    same = np.arange(k)
    orders = permutations(k, shuffles, seed)
    return Clustering(
        cophenetic=tested(
            correlation(same),
            bootstrap_error(lambda w: correlation(same, w), k),
            k * (k - 1) // 2,
            [correlation(order) for order in orders],
        ),
        triplets=tested(
            accuracy(same),
            bootstrap_error(lambda w: accuracy(same, w), k),
            len(drawn),
            [accuracy(order) for order in orders],
        ),
        classes=k,
        joins=joins,
    )


def _correlation(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    """Weighted Pearson correlation; 0 where one of the two is constant."""
    if not w.sum():
        return float("nan")
    x, y = x - w @ x / w.sum(), y - w @ y / w.sum()
    scale = np.sqrt((w @ x**2) * (w @ y**2))
    return float(w @ (x * y) / scale) if scale > 0 else 0.0


def _triplets(k: int, most: int, seed: int) -> np.ndarray:
    """(t, 3) distinct classes: all triplets, or so many drawn at random, repeats possible."""
    if k * (k - 1) * (k - 2) // 6 <= most:
        i, j, m = np.meshgrid(*[np.arange(k)] * 3, indexing="ij")
        inside = (i < j) & (j < m)
        return np.stack([i[inside], j[inside], m[inside]], axis=1)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, k, (2 * most, 3))
    apart = (
        (drawn[:, 0] != drawn[:, 1]) & (drawn[:, 1] != drawn[:, 2]) & (drawn[:, 0] != drawn[:, 2])
    )
    return drawn[apart][:most]


def _joined_first(value: np.ndarray, triplets: np.ndarray, *, deepest: bool) -> np.ndarray:
    """Which of the pairs (0, 1), (0, 2), (1, 2) of each triplet is joined first; -1 for a tie.

    Args:
        value: (k, k), the depth (`deepest`) or else the height of every pair's join.
    """
    i, j, m = triplets.T
    pairs = np.stack([value[i, j], value[i, m], value[j, m]], axis=1)
    pairs = -pairs if deepest else pairs
    best = pairs.min(1)
    first = pairs.argmin(1)
    return np.where((pairs == best[:, None]).sum(1) == 1, first, -1)
