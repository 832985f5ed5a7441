"""Entailment over chains: which links there are, exact values in the plane, gradients."""

import math

import geometry_points
import pytest
import torch
from torch import Tensor

from geomclip.losses import chain_entailment_loss, chain_links, entailment_loss
from manifolds import Euclidean, Lorentz, Sphere


def links(*arguments: object, **options: object) -> set[tuple[int, int]]:
    parents, children = chain_links(*arguments, **options)  # type: ignore[arg-type]
    return set(zip(parents.tolist(), children.tolist(), strict=True))


CHAINS = torch.tensor([[0, 1, 2], [0, 3, -1], [4, -1, -1], [-1, -1, -1]])


def test_links_of_chains_of_every_length() -> None:
    assert links(CHAINS, 5, leaves=False) == {(0, 1), (1, 2), (0, 3)}
    # Leaves are rows 5 to 8; the empty chain has nothing above its leaf.
    below = {(0, 1), (1, 2), (2, 5), (0, 3), (3, 6), (4, 7)}
    assert links(CHAINS, 5, leaves=True) == below
    everything = below | {(0, 2), (0, 5), (1, 5), (0, 6)}
    assert links(CHAINS, 5, leaves=True, links="all") == everything


def test_exact_value_in_the_plane() -> None:
    # K = 1/2, every node at distance 1: half apertures of 30 degrees.
    nodes = torch.tensor([[1.0, 0], [0, 1]], dtype=torch.float64)
    leaves = torch.tensor([[1.0, 2], [3, 1]], dtype=torch.float64)
    # 0 => 1: from (1, 0) to (0, 1), 135 degrees; 1 => leaf 0: from (0, 1) to (1, 2), 45 degrees.
    # 0 => leaf 1: from (1, 0) to (3, 1), atan(1/2).
    chains = torch.tensor([[0, 1], [0, -1]])
    angles = [3 * math.pi / 4, math.pi / 4, math.atan(0.5)]
    expected = sum(max(0.0, a - math.pi / 6) for a in angles) / 3
    loss = chain_entailment_loss(Euclidean(), nodes, chains, leaves, min_radius=0.5)
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    # Also 0 => leaf 0: from (1, 0) to (1, 2), a right angle.
    angles.append(math.pi / 2)
    expected = sum(max(0.0, a - math.pi / 6) for a in angles) / 4
    loss = chain_entailment_loss(Euclidean(), nodes, chains, leaves, min_radius=0.5, links="all")
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_one_level_and_leaves_is_the_plain_entailment_loss() -> None:
    torch.manual_seed(0)
    m = Lorentz().double()
    nodes, leaves = torch.randn(3, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    rows = torch.tensor([2, 0, 1, 1, 2])
    expected = entailment_loss(m, nodes[rows], leaves)
    torch.testing.assert_close(chain_entailment_loss(m, nodes, rows[:, None], leaves), expected)


def test_nodes_along_a_ray_lie_in_each_other_s_cones() -> None:
    m = Lorentz().double()
    ray = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    nodes = torch.cat([0.5 * ray, 1.0 * ray, 2.0 * ray])
    loss = chain_entailment_loss(m, nodes, torch.tensor([[0, 1, 2]]), 4.0 * ray, links="all")
    assert loss.item() == pytest.approx(0, abs=1e-12)
    back = chain_entailment_loss(m, nodes, torch.tensor([[2, 1, 0]]))
    assert back.item() > math.pi / 2


@pytest.mark.parametrize("name", ["euclidean", "hyperbolic", "poincare"])
def test_gradients(name: str) -> None:
    torch.manual_seed(2)
    g = geometry_points.make(name)
    chains = torch.tensor([[0, 1, 2], [0, 2, -1]])

    def loss(nodes: Tensor, leaves: Tensor) -> Tensor:
        return chain_entailment_loss(g.manifold, nodes, chains, leaves, links="all")

    geometry_points.check_gradients(g, loss, (3, "text"), (2, "image"))


def test_what_can_t_be_asked() -> None:
    nodes = torch.randn(3, 2)
    with pytest.raises(ValueError, match=r"chain 1 goes on after it: \[0, -1, 2\]"):
        chain_entailment_loss(Euclidean(), nodes, torch.tensor([[0, 1, 2], [0, -1, 2]]))
    with pytest.raises(ValueError, match="rows of 3 nodes, got row 3"):
        chain_entailment_loss(Euclidean(), nodes, torch.tensor([[0, 3]]))
    with pytest.raises(ValueError, match="2 chains have no link"):
        chain_entailment_loss(Euclidean(), nodes, torch.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="0 chains have no link"):
        chain_entailment_loss(Euclidean(), nodes, torch.zeros(0, 2, dtype=torch.long))
    with pytest.raises(NotImplementedError, match="Sphere"):
        chain_entailment_loss(Sphere(), nodes, torch.tensor([[0, 1]]))
