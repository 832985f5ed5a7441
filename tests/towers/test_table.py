"""A table of points on a manifold as an encoder: beside towers, and on its own."""

import copy

import pytest
import torch
from torch import nn

from geomclip import build_geometry
from geomclip.losses import info_nce
from geomclip.towers import PointTable
from manifolds import MANIFOLDS, Lorentz, PoincareBall
from manifolds.optim import RiemannianAdam, param_groups


@pytest.mark.parametrize("name", MANIFOLDS)
def test_rows_are_points_and_stay_so_while_they_are_learned(name: str) -> None:
    torch.manual_seed(0)
    m = MANIFOLDS[name]().double()
    table = PointTable(12, m, 3, init_std=0.3).double()
    assert table.gives_points and table.manifold is m
    target = m.random_normal(1, 3, std=0.2, dtype=torch.float64)
    optimizer = RiemannianAdam(table, lr=0.05)
    before = m.dist(table(torch.arange(12)), target).mean()
    for _ in range(20):
        optimizer.zero_grad()
        m.dist2(table(torch.arange(0, 12, 2)), target).mean().backward()
        optimizer.step()
    assert m.check_point(table.weight.detach())
    after = m.dist(table(torch.arange(12)), target)
    assert after[::2].mean() < 0.5 * before
    # A row that no batch asked for has no gradient, and stays where it is.
    assert torch.equal(m.dist(copy.deepcopy(table)(torch.arange(12)), target), after)


def test_first_points_are_near_the_root_or_all_over_the_sphere() -> None:
    torch.manual_seed(0)
    near = PointTable(2000, Lorentz(c=2.0), 4)
    distance = near.manifold.dist0(near.weight.detach())
    assert distance.square().mean().sqrt().item() == pytest.approx(0.01 * 2, rel=0.05)
    sphere = PointTable(2000, MANIFOLDS["sphere"](), 3).weight.detach()
    assert sphere.mean(0).norm() < 0.05


@pytest.mark.parametrize(("n", "dim", "std"), [(0, 2, 1.0), (2, 0, 1.0), (2, 2, 0.0)])
def test_sizes_that_mean_nothing_are_refused(n: int, dim: int, std: float) -> None:
    with pytest.raises(ValueError, match=f"got n={n}, dim={dim}, init_std={std}"):
        PointTable(n, PoincareBall(), dim, init_std=std)


def test_a_learnable_curvature_belongs_to_the_module_around_it() -> None:
    m = Lorentz(learnable=True)
    table = PointTable(3, m, 2)
    assert list(table.state_dict()) == ["weight"]
    with pytest.raises(ValueError, match="register the manifold"):
        param_groups(table)
    around = nn.Module()
    around.table, around.manifold = table, m
    assert {g["name"] for g in param_groups(around)} == {"points", "curvature"}
    other = copy.deepcopy(around)
    assert other.table.manifold is other.manifold and other.manifold is not m


@pytest.mark.parametrize("name", ["meru", "clip", "poincare", "euclip"])
def test_a_geometry_leaves_given_points_as_they_are(name: str) -> None:
    g = build_geometry(name, 4, modalities=("image", "label"), given=("label",)).double()
    table = PointTable(5, g.manifold, 4).double()
    points = table(torch.arange(5))
    assert torch.equal(g.lift(points, "label"), points)
    info_nce(g, g.lift(torch.randn(5, 4).double(), "image"), g.lift(points, "label")).backward()
    assert table.weight.grad is not None and table.weight.grad.any()
    assert set(g.log_alpha) <= {"image"}
    with pytest.raises(ValueError, match="label gives points, which no alpha scales"):
        g.alpha("label")
    with pytest.raises(ValueError, match="label gives points, which have no prompts"):
        g.prototype(points[None], "label")
    with pytest.raises(ValueError, match="unknown modality 'sound'"):
        build_geometry(name, 4, given=("sound",))
