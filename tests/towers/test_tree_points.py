"""First points of a hierarchy: edges of one length, children farther out than their parents."""

import pytest
import torch
from torch.testing import assert_close

from geomclip.hierarchy import Hierarchy
from geomclip.towers import tree_points
from manifolds import MANIFOLDS, Lorentz, Product, Sphere

# a; b, c below it; d below b; e below c and d, of which d is deeper.
H = Hierarchy.from_parents(list("abcde"), [[], [0], [0], [1], [2, 3]])


@pytest.mark.parametrize("name", [*MANIFOLDS, "product"])
def test_every_edge_has_its_length_and_leads_outward(name):
    m = Product([Lorentz(), Sphere()], [2, 3]) if name == "product" else MANIFOLDS[name]()
    generator = torch.Generator().manual_seed(0)
    x = tree_points(H, m, 5, edge=0.4, generator=generator, dtype=torch.float64)
    assert m.check_point(x) and m.dist0(x[0]) == 0
    child, parent = torch.tensor([1, 2, 3, 4]), torch.tensor([0, 0, 1, 3])
    assert_close(m.dist(x[child], x[parent]), torch.full((4,), 0.4, dtype=torch.float64))
    assert (m.dist0(x[child]) > m.dist0(x[parent])).all()
    again = tree_points(H, m, 5, edge=0.4, generator=generator.manual_seed(0), dtype=torch.float64)
    assert torch.equal(x, again)


def test_several_roots_lie_round_the_origin():
    forest = Hierarchy.from_parents(list("abc"), [[], [], [1]])
    m = Lorentz()
    x = tree_points(forest, m, 3, edge=0.5)
    assert_close(m.dist0(x[:2]), torch.full((2,), 0.5))
    with pytest.raises(ValueError, match="edge must be positive, got 0"):
        tree_points(forest, m, 3, edge=0.0)
