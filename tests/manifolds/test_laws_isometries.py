"""Laws of symmetry: point reflections and rotations about the root, cones under them, and that all
hyperbolic models are one space. They know nothing of a manifold but its maps.
"""

import pytest
import torch
from drawing import DIM, draw, law, points, scale
from torch import Tensor
from torch.testing import assert_close

from manifolds import Lorentz, Manifold, Product


def reflect(m: Manifold, p: Tensor, x: Tensor) -> Tensor:
    """x through p and as far beyond it: an isometry wherever the curvature is constant."""
    return m.expmap(p, -m.logmap(p, x))


def turned(m: Manifold, matrix: Tensor, x: Tensor) -> Tensor:
    """x rotated about the root by a matrix on the orthonormal coordinates of logmap0."""
    root = m.origin(DIM, dtype=x.dtype)
    z = m.to_frame(root, m.logmap0(x))
    return m.expmap0(m.from_frame(root, z @ matrix.mT))


def rotation_about_root(m: Manifold) -> Tensor:
    """A random orthogonal matrix that keeps what is no tangent (the normal of a sphere)."""
    root = m.origin(DIM, dtype=torch.float64)
    eye = torch.eye(DIM, dtype=torch.float64)
    tangent = eye[m.proju(root, eye).diagonal() > 0.5]
    q = torch.linalg.qr(torch.randn(len(tangent), len(tangent), dtype=torch.float64))[0]
    return eye - tangent.mT @ tangent + tangent.mT @ q @ tangent


@law
def test_point_reflections_are_isometries_and_everything_follows_them(manifold, seed):
    p, x, y = draw(manifold, seed, 3)[:, 2:4]  # a third of the curvature radius, and once that
    size = scale(manifold)

    def s(v: Tensor) -> Tensor:
        return reflect(manifold, p, v)

    def near(a: Tensor, b: Tensor, limit: float = 1e-10) -> bool:
        return bool((manifold.dist(a, b) <= limit * size).all())

    assert near(s(s(x)), x) and near(s(p), p)
    assert_close(manifold.dist(s(x), s(y)), manifold.dist(x, y), rtol=1e-9, atol=1e-11 * size)
    assert near(s(manifold.midpoint(x, y)), manifold.midpoint(s(x), s(y)))
    assert near(s(manifold.geodesic(0.2, x, y)), manifold.geodesic(0.2, s(x), s(y)))
    # At p it turns tangent vectors round: exp_p(u) goes to exp_p(-u), and a mean to the mean.
    log = manifold.logmap(p, y)
    assert near(s(manifold.expmap(p, log / 2)), manifold.expmap(p, -log / 2))
    center = p[..., :1, :]
    clouds = x, reflect(manifold, center, x)
    for mean in (manifold.weighted_midpoint, manifold.frechet_mean):
        found = mean(clouds[0]), mean(clouds[1])
        assert near(reflect(manifold, center[..., 0, :], found[0]), found[1], 1e-8)


@law
def test_rotations_about_the_root_are_isometries(manifold, seed):
    if isinstance(manifold, Product):
        return  # a rotation that mixes factors is none
    x, y = draw(manifold, seed, 2)
    matrix = rotation_about_root(manifold)
    a, b = turned(manifold, matrix, x), turned(manifold, matrix, y)
    size = 1e-11 * scale(manifold)
    # Coordinates of the half-space and the sphere are of size 1/sqrt(c) at the root, and round so.
    rounding = 1e-15 * scale(manifold)
    assert_close(manifold.dist0(a), manifold.dist0(x), rtol=1e-10, atol=rounding)
    assert_close(manifold.dist(a, b), manifold.dist(x, y), rtol=1e-8, atol=size)
    if manifold.has_cones:
        assert_close(manifold.half_aperture(a), manifold.half_aperture(x), rtol=1e-9, atol=1e-11)
        angles = manifold.exterior_angle(a, b), manifold.exterior_angle(x, y)
        assert_close(*angles, rtol=1e-8, atol=1e-9)
        pairs = manifold.pairwise_entailment_energy(a, b), manifold.pairwise_entailment_energy(x, y)
        assert_close(*pairs, rtol=1e-8, atol=1e-9)


@law
def test_cones_are_nested(manifold, seed):
    """Along a ray cones shrink and contain those farther out; inclusion is transitive."""
    if not manifold.has_cones:
        return
    torch.manual_seed(seed)
    x = points(manifold, 12, DIM)
    assert (manifold.half_aperture(x) < torch.pi / 2).sum() > 3
    near, far = (
        manifold.half_aperture(x),
        manifold.half_aperture(ahead := manifold.expmap0(1.5 * manifold.logmap0(x))),
    )
    assert ((far < near) | (far == torch.pi / 2)).all()
    assert (manifold.exterior_angle(x, ahead) <= 1e-7).all()
    assert (manifold.entailment_energy(x, ahead) == 0).all()
    back = manifold.exterior_angle(ahead, x)
    assert_close(back, torch.full_like(back, torch.pi), rtol=0, atol=1e-6)
    # Points inside the cones of x, and in the cones of those: Ganea et al. 2018, theorem 1.
    proper = x[near < torch.pi / 2]
    y = manifold.expmap0(manifold.logmap0(proper) * 1.3 + 0.05 * manifold.logmap0(proper.flip(0)))
    z = points(manifold, 4000, DIM, radius=3.0)
    y_in_x = manifold.entailment_energy(proper, y, 0.3) == 0
    z_in_y = manifold.pairwise_entailment_energy(y, z, 0.3) == 0
    z_in_x = manifold.pairwise_entailment_energy(proper, z, 0.3) <= 1e-9
    both = y_in_x[:, None] & z_in_y
    assert both.sum() > 20
    assert z_in_x[both].all()


@law
def test_all_hyperbolic_models_are_one_space(manifold, seed):
    """Equal orthonormal coordinates of logmap0 mean equal distances, cones and densities."""
    if isinstance(manifold, Product | Lorentz) or manifold.curvature_sign >= 0:
        return
    lorentz = Lorentz(c=manifold.c.item()).double()
    x, y = draw(lorentz, seed, 2)
    root = manifold.origin(DIM, dtype=torch.float64)
    p, q = (manifold.expmap0(manifold.from_frame(root, lorentz.logmap0(v))) for v in (x, y))
    size = 1e-12 * scale(lorentz)
    assert_close(manifold.dist(p, q), lorentz.dist(x, y), rtol=1e-8, atol=size)
    rounding = 1e-15 * scale(lorentz)  # of the half-space's coordinates, 1/sqrt(c) at the root
    assert_close(manifold.dist0(p), lorentz.dist0(x), rtol=1e-10, atol=rounding)
    std = 0.5 * scale(lorentz)
    densities = manifold.log_normal_density(p, q, std), lorentz.log_normal_density(x, y, std)
    assert_close(*densities, rtol=1e-8, atol=1e-8)
    if manifold.has_cones:
        assert_close(manifold.half_aperture(p), lorentz.half_aperture(x), rtol=1e-9, atol=0)
        angles = manifold.exterior_angle(p, q), lorentz.exterior_angle(x, y)
        assert_close(*angles, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
def test_transvections_move_along_geodesics_and_transport_is_their_differential(manifold, t):
    """Two point reflections, at p and halfway to q, move p to q and tangent vectors in parallel."""
    p, q = points(manifold, 6, DIM), points(manifold, 6, DIM)
    end = manifold.geodesic(t, p, q)
    middle = manifold.midpoint(p, end)
    u = manifold.logmap(p, points(manifold, 6, DIM))
    moved = reflect(manifold, middle, reflect(manifold, p, manifold.expmap(p, u)))
    expected = manifold.expmap(end, manifold.transp(p, end, u))
    assert (manifold.dist(moved, expected) <= 1e-9 * scale(manifold)).all()
