"""Root distance against depth: exact at both ends, chance in between, each root its own."""

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

import geomclip
from geomclip.evaluate.depth import depth_order
from geomclip.evaluate.roots import mean_root, radius, roots_of
from geomclip.hierarchy import Hierarchy

TREE = Hierarchy.from_paths([(a, a + b, a + b + c) for a in "wxyz" for b in "123" for c in "pqr"])


def points(radii: np.ndarray, dim: int = 4) -> torch.Tensor:
    """On the axes, where lengths are exact and equal ones tie."""
    out = torch.zeros(len(radii), dim, dtype=torch.float64)
    out[torch.arange(len(radii)), torch.arange(len(radii)) % dim] = torch.from_numpy(radii)
    return out


def test_distances_that_follow_depth_have_tau_one():
    g = geomclip.build_geometry("euclidean", 4).double()
    found = depth_order(g, TREE, points(TREE.depth + 0.5))
    # All pairs but those of one depth are in order: ties in both, so tau-b is 1.
    assert found.tau.value == pytest.approx(1)
    assert found.pairs.value == pytest.approx(1) and found.pairs.error < 1e-9
    assert found.edges.value == 1 and found.edges.n == len(TREE) - 1
    assert found.medians == pytest.approx({0: 0.5, 1: 1.5, 2: 2.5, 3: 3.5})
    against = depth_order(g, TREE, points(4.5 - TREE.depth))
    assert against.tau.value == pytest.approx(-1) and against.edges.value == 0


def test_tau_is_scipys_and_chance_is_zero():
    g = geomclip.build_geometry("hyperbolic", 4).double()
    x = g.manifold.random_normal(len(TREE), 4, dtype=torch.float64)
    found = depth_order(g, TREE, x)
    expected = kendalltau(TREE.depth, g.manifold.dist0(x).detach().numpy()).statistic
    assert found.tau.value == pytest.approx(expected)
    assert abs(found.tau.value) < 4 * found.tau.error
    further = radius(g, x).detach().numpy()
    deep = TREE.depth[:, None] > TREE.depth
    share = ((further[:, None] > further)[deep]).mean()
    assert found.pairs.value == pytest.approx(share)
    assert abs(found.tau.null) < 0.1 and 0 < found.tau.null_spread < 0.2


def test_the_roots_of_clip():
    g = geomclip.build_geometry("clip", 6).double()
    x = g.lift(torch.randn(20, 6, generator=torch.Generator().manual_seed(0)).double(), "image")
    assert set(roots_of(g, x, x[0])) == {"mean", "empty"}
    g.set_root_(x, x)
    roots = roots_of(g, x, x[0])
    assert set(roots) == {"own", "mean", "empty"} and roots["own"] is None
    assert torch.allclose(mean_root(g, x), g.root)
    # The chord: its square is four times the paper's scaled cosine distance.
    assert torch.allclose(radius(g, x).square() / 4, g.root_distance(x))
    assert radius(g, x, x[0])[0] == 0
    with pytest.raises(ValueError, match="19 points for"):
        depth_order(g, TREE, x[1:])
