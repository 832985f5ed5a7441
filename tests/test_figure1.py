"""The two statements of figure 1 of arXiv 2409.13079 on Euclidean cones; how the two K compare."""

import math

import pytest
import torch
from torch import Tensor

from geomclip import build_geometry
from manifolds import Euclidean, Lorentz

K = 0.1


def points(*rows: tuple[float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("min_radius", [0.1, 0.3, 2.0])
def test_on_the_line_y_is_k_the_half_aperture_is_the_angle_to_the_axis(min_radius: float) -> None:
    a = torch.tensor([1e-3, 0.05, 0.1, 0.5, 1.0, 7.0, 1e3, 1e6], dtype=torch.float64)
    x = torch.stack([a, torch.full_like(a, min_radius)], dim=-1)
    angle = torch.atan2(x[:, 1], x[:, 0])
    aperture = build_geometry("euclip", 2).manifold.half_aperture(x, min_radius)
    torch.testing.assert_close(aperture, angle, rtol=1e-10, atol=0)


def inside(child: Tensor, min_radius: float = K) -> Tensor:
    parent = torch.full((1, 2), min_radius, dtype=torch.float64)
    m = Euclidean()
    return m.exterior_angle(parent, child) <= m.half_aperture(parent, min_radius)


@pytest.mark.parametrize("min_radius", [0.1, 0.7])
def test_the_cone_at_k_k_is_the_shifted_quadrant(min_radius: float) -> None:
    torch.manual_seed(0)
    child = min_radius + 2 * torch.randn(4000, 2, dtype=torch.float64)
    quadrant = (child >= min_radius).all(-1)
    assert 800 < quadrant.sum() < 1200
    assert torch.equal(inside(child, min_radius), quadrant)


@pytest.mark.parametrize("along", [1e-3, 0.1, 1.0, 50.0])
def test_the_borders_of_that_quadrant_are_sharp(along: float) -> None:
    step = 1e-9 * along
    within = points((K + along, K + step), (K + step, K + along))
    beyond = points((K + along, K - step), (K - step, K + along))
    assert inside(within).all()
    assert not inside(beyond).any()
    border = points((K + along, K), (K, K + along))
    parent = points((K, K))
    angle = Euclidean().exterior_angle(parent, border)
    torch.testing.assert_close(angle, torch.full_like(angle, math.pi / 4), rtol=0, atol=1e-12)
    aperture = Euclidean().half_aperture(parent, K)
    assert aperture.item() == pytest.approx(math.pi / 4, abs=1e-12)


def test_the_quadrant_ends_at_its_corner() -> None:
    assert not inside(points((0.0, 0.0), (-1.0, -1.0), (K / 2, K / 2), (0.0, 5.0))).any()


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_hyperbolic_k_is_a_euclidean_k_of_2k_over_root_c(c: float) -> None:
    torch.manual_seed(0)
    lorentz, flat = Lorentz(c=c).double(), Euclidean()
    x = 0.05 * torch.randn(50, 3, dtype=torch.float64)
    k = 0.01
    torch.testing.assert_close(
        lorentz.half_aperture(x, k), flat.half_aperture(x, 2 * k / math.sqrt(c)), rtol=1e-12, atol=0
    )
    # The angles agree to second order in the radius, so the cones do near the root.
    for radius in (1e-2, 1e-3, 1e-4):
        x = radius * torch.randn(50, 3, dtype=torch.float64) / math.sqrt(c)
        y = radius * torch.randn(50, 3, dtype=torch.float64) / math.sqrt(c)
        gap = (lorentz.exterior_angle(x, y) - flat.exterior_angle(x, y)).abs().max()
        assert 0 < gap < 20 * radius**2
