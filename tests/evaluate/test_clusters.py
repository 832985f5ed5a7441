"""Clusters of class centroids against planted trees, and the triplets counted by hand."""

import itertools

import numpy as np
import pytest
import torch

import manifolds
from geomclip.errors import RequestError
from geomclip.evaluate.clusters import centroids, cluster
from geomclip.hierarchy import Hierarchy

TREE = Hierarchy.from_paths([(a, a + b, a + b + c) for a in "xyz" for b in "12" for c in "pqr"])
LEAVES = TREE.leaves


def planted(manifold, dim: int, noise: float) -> torch.Tensor:
    """Leaves as sums of an offset for each of their ancestors, smaller for the deeper."""
    generator = torch.Generator().manual_seed(1)
    out = torch.randn(len(TREE), dim, generator=generator, dtype=torch.float64)
    tangent = torch.stack(
        [
            sum(0.5 ** int(TREE.depth[a]) * out[a] for a in TREE.ancestors(i)) + noise * out[i]
            for i in LEAVES
        ]
    )
    return manifold.expmap0(
        manifold.proju(manifold.origin(dim, dtype=torch.float64), 0.3 * tangent)
    )


@pytest.mark.parametrize("name", ["euclidean", "sphere", "lorentz", "poincare"])
def test_a_planted_tree_comes_back(name):
    m = manifolds.MANIFOLDS[name]().double()
    found = cluster(m, planted(m, 24, 0.02), TREE, LEAVES)
    assert found.triplets.value == 1
    assert found.cophenetic.value > 0.9 and found.cophenetic.error < 0.1
    assert found.triplets.null == pytest.approx(1 / 3, abs=0.12)
    assert abs(found.cophenetic.null) < 0.2
    assert found.joins.shape == (len(LEAVES) - 1, 4)


def test_triplets_are_those_of_a_plain_loop():
    m = manifolds.Euclidean().double()
    centers = torch.randn(len(LEAVES), 3, generator=torch.Generator().manual_seed(0)).double()
    found = cluster(m, centers, TREE, LEAVES, shuffles=0)
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import pdist, squareform

    height = squareform(cophenet(linkage(pdist(centers.numpy()), "average")))
    right = total = 0
    for triplet in itertools.combinations(range(len(LEAVES)), 3):
        joins = []
        for a, b in itertools.combinations(triplet, 2):
            both = set(TREE.ancestors(LEAVES[a])) & set(TREE.ancestors(LEAVES[b]))
            joins.append((max(TREE.depth[i] for i in both), height[a, b]))
        depths = sorted(d for d, _ in joins)
        if depths[2] == depths[1]:
            continue
        total += 1
        heights = [h for _, h in joins]
        best = min(heights)
        right += heights.count(best) == 1 and max(joins)[1] == best
    assert found.triplets.n == total
    assert found.triplets.value == pytest.approx(right / total)


def test_centroids_are_frechet_means():
    m = manifolds.Lorentz().double()
    points = m.random_normal(9, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, 2, 1, 1, 0, 1, 1])
    found = centroids(m, points, labels, 3)
    assert torch.allclose(found[0], m.frechet_mean(points[labels == 0]))
    assert torch.equal(found[2], points[3])
    with pytest.raises(ValueError, match="1 do not"):
        centroids(m, points, labels, 4)


def test_too_little_to_cluster_is_refused():
    m = manifolds.Euclidean()
    flat = Hierarchy.from_paths([("a",), ("b",), ("c",)])
    with pytest.raises(RequestError, match="joins no two of the 3 classes"):
        cluster(m, torch.randn(3, 2), flat, flat.leaves)
    with pytest.raises(RequestError, match="2 classes make no tree"):
        cluster(m, torch.randn(2, 2), flat, flat.leaves[:2])
    graph = Hierarchy.from_edges([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    with pytest.raises(RequestError, match="needs a tree"):
        cluster(m, torch.randn(3, 2), graph, np.arange(3))
