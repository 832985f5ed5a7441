"""Laws of points, vectors and maps that hold on every manifold at every curvature and radius."""

import math

import torch
from drawing import DIM, RADII, draw, law, points, scale, tangent
from torch.testing import assert_close


@law
def test_dist_is_a_metric(manifold, seed):
    x, y, z = draw(manifold, seed, 3)
    d = manifold.dist
    assert_close(d(x, y), d(y, x), rtol=1e-14, atol=0)
    assert (d(x, z) <= (d(x, y) + d(y, z)) * (1 + 1e-14)).all()
    assert (d(x, y) > 0).all()
    assert (d(x, x) == 0).all() and (manifold.dist2(x, x) == 0).all()
    assert_close(manifold.dist2(x, y), d(x, y).square(), rtol=1e-13, atol=0)
    assert_close(manifold.pairwise_dist(x, y), d(x[:, :, None], y[:, None]), rtol=1e-12, atol=0)
    assert_close(
        manifold.pairwise_dist2(x, y), d(x[:, :, None], y[:, None]).square(), rtol=1e-12, atol=0
    )


@law
def test_distances_along_one_ray_add_up(manifold, seed):
    torch.manual_seed(seed)
    root = manifold.origin(5, 8, DIM, dtype=torch.float64)
    u = tangent(manifold, root, RADII / 3)
    near, far = manifold.expmap0(u), manifold.expmap0(2 * u)
    assert_close(manifold.dist(near, far), manifold.dist0(near), rtol=1e-9, atol=0)


@law
def test_exp_and_log_are_inverse(manifold, seed):
    x, y = draw(manifold, seed, 2)
    assert_close(manifold.expmap(x, manifold.logmap(x, y)), y, rtol=1e-11, atol=1e-11)
    u = tangent(manifold, x, RADII / 2)
    back = manifold.logmap(x, manifold.expmap(x, u))
    # A point is rounded by eps of its coordinates, which are of the size of `scale`.
    limit = 1e-12 * scale(manifold) + 1e-9 * manifold.norm(x, u)
    assert (manifold.norm(x, back - u) <= limit).all()
    origin = manifold.origin(DIM, dtype=torch.float64)
    assert_close(manifold.expmap0(manifold.logmap0(x)), x, rtol=1e-12, atol=1e-13)
    assert_close(manifold.logmap(origin, x), manifold.logmap0(x), rtol=1e-11, atol=1e-13)
    assert_close(manifold.expmap(origin, manifold.logmap0(x)), x, rtol=1e-11, atol=1e-13)


@law
def test_length_of_log_is_the_distance(manifold, seed):
    x, y = draw(manifold, seed, 2)
    origin = manifold.origin(DIM, dtype=torch.float64)
    assert_close(manifold.norm(x, manifold.logmap(x, y)), manifold.dist(x, y), rtol=1e-11, atol=0)
    assert_close(manifold.norm(origin, manifold.logmap0(x)), manifold.dist0(x), rtol=1e-12, atol=0)
    assert_close(manifold.dist(origin, x), manifold.dist0(x), rtol=1e-12, atol=0)


@law
def test_norm_is_the_root_of_inner_and_inner_is_bilinear(manifold, seed):
    x = draw(manifold, seed, 1)[0]
    u, v, w = (tangent(manifold, x) for _ in range(3))
    inner = manifold.inner
    assert_close(inner(x, u), manifold.norm(x, u).square(), rtol=1e-12, atol=0)
    assert_close(inner(x, u, v), inner(x, v, u), rtol=1e-12, atol=1e-15)
    size = 1e-12 * scale(manifold) ** 2
    assert_close(inner(x, u + 3 * w, v), inner(x, u, v) + 3 * inner(x, w, v), rtol=0, atol=size)
    parts = manifold.component_inner(x, u, v)
    assert parts.shape[-1] in (1, DIM)
    assert (inner(x, u, v).abs() <= manifold.norm(x, u) * manifold.norm(x, v) * (1 + 1e-12)).all()


@law
def test_transport_is_an_isometry_and_keeps_the_geodesic(manifold, seed):
    x, y = draw(manifold, seed, 2)
    u, v = tangent(manifold, x), tangent(manifold, x)
    moved = manifold.transp(x, y, u), manifold.transp(x, y, v)
    size = 1e-10 * scale(manifold)
    assert_close(
        manifold.inner(y, *moved), manifold.inner(x, u, v), rtol=0, atol=size * scale(manifold)
    )
    assert (manifold.norm(x, manifold.transp(y, x, moved[0]) - u) <= size).all()
    along = manifold.transp(x, y, manifold.logmap(x, y))
    assert (manifold.norm(y, along + manifold.logmap(y, x)) <= size).all()
    assert (manifold.norm(x, manifold.transp(x, x, u) - u) <= 1e-13 * scale(manifold)).all()


@law
def test_the_frame_is_orthonormal_and_transported_from_the_root(manifold, seed):
    x = draw(manifold, seed, 1)[0]
    u, v = tangent(manifold, x), tangent(manifold, x)
    a, b = manifold.to_frame(x, u), manifold.to_frame(x, v)
    size = 1e-10 * scale(manifold)
    assert_close((a * b).sum(-1), manifold.inner(x, u, v), rtol=0, atol=size * scale(manifold))
    assert (manifold.norm(x, manifold.from_frame(x, a) - u) <= size).all()
    root = manifold.origin(5, 8, DIM, dtype=torch.float64)
    w = tangent(manifold, root)
    moved = manifold.transp(root, x, w)
    assert (manifold.norm(x, manifold.transp0(x, w) - moved) <= size).all()
    assert_close(manifold.norm(x, manifold.transp0(x, w)), manifold.norm(root, w))


@law
def test_geodesic_has_its_ends_and_constant_speed(manifold, seed):
    x, y = draw(manifold, seed, 2)
    t = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None, None]
    path = manifold.geodesic(t, x, y)
    assert path.shape == (5, 5, 8, DIM)
    assert_close(path[0], x, rtol=1e-12, atol=1e-13)
    assert_close(path[-1], y, rtol=1e-11, atol=1e-11)
    steps = manifold.dist(path[1:], path[:-1])
    quarter = (manifold.dist(x, y) / 4).expand(4, 5, 8)
    assert_close(steps, quarter, rtol=1e-8, atol=1e-12 * scale(manifold))
    assert_close(manifold.geodesic(0.25, x, y), path[1], rtol=1e-13, atol=1e-15)
    by_maps = manifold.expmap(x, 0.25 * manifold.logmap(x, y))
    assert (manifold.dist(path[1], by_maps) <= 1e-10 * scale(manifold)).all()


@law
def test_geodesic_unit_has_unit_speed(manifold, seed):
    x = draw(manifold, seed, 1)[0]
    u = tangent(manifold, x, 7.0)
    length = RADII * scale(manifold)
    t = length * torch.linspace(0, 1, 8, dtype=torch.float64)
    ahead = manifold.geodesic_unit(t, x, u)
    assert_close(manifold.dist(x, ahead), t, rtol=1e-8, atol=1e-12 * scale(manifold))
    behind = manifold.geodesic_unit(-length, x, u)
    same = manifold.geodesic_unit(length, x, -3 * u)
    assert (manifold.dist(behind, same) <= 1e-11 * scale(manifold)).all()
    assert_close(manifold.geodesic_unit(length, x, torch.zeros_like(u)), x, rtol=1e-15, atol=1e-16)


@law
def test_midpoint_is_halfway(manifold, seed):
    x, y = draw(manifold, seed, 2)
    middle, half = manifold.midpoint(x, y), manifold.dist(x, y) / 2
    atol = 1e-13 * scale(manifold)
    assert_close(manifold.dist(x, middle), half, rtol=1e-8, atol=atol)
    assert_close(manifold.dist(y, middle), half, rtol=1e-8, atol=atol)
    assert (manifold.dist(middle, manifold.midpoint(y, x)) <= atol).all()
    assert_close(manifold.midpoint(x, x), x, rtol=1e-14, atol=1e-15)


@law
def test_projections_change_nothing_on_the_manifold(manifold, seed):
    x = draw(manifold, seed, 1)[0]
    u = tangent(manifold, x)
    assert_close(manifold.projx(x), x, rtol=1e-15, atol=1e-16)
    assert_close(manifold.proju(x, u), u, rtol=1e-13, atol=1e-14)
    assert manifold.check_point(x) and manifold.check_vector(x, u)
    anywhere = 0.1 * scale(manifold) * torch.randn_like(x)
    once = manifold.projx(anywhere)
    assert manifold.check_point(once)
    assert_close(manifold.projx(once), once, rtol=1e-15, atol=0)
    v = manifold.proju(x, torch.randn_like(x))
    assert_close(manifold.proju(x, v), v, rtol=1e-13, atol=1e-14)


@law
def test_retraction_agrees_with_exp_to_first_order(manifold, seed):
    x = draw(manifold, seed, 1)[0]
    u, v = tangent(manifold, x, 1e-3), tangent(manifold, x)
    off = manifold.dist(manifold.retr(x, u), manifold.expmap(x, u))
    assert (off <= 1e-3 * manifold.norm(x, u)).all()
    assert manifold.check_point(manifold.retr(x, 1e3 * u))
    y, moved = manifold.retr_transp(x, u, v)
    assert_close(y, manifold.retr(x, u), rtol=1e-14, atol=1e-15)
    assert_close(moved, manifold.transp(x, y, v), rtol=1e-12, atol=1e-13)


@law
def test_egrad2rgrad_is_the_metric_dual_and_leaves_its_argument(manifold, seed):
    x = draw(manifold, seed, 1)[0]
    egrad, u = torch.randn_like(x), tangent(manifold, x)
    before = egrad.clone()
    rgrad = manifold.egrad2rgrad(x, egrad)
    assert torch.equal(egrad, before)
    size = 1e-12 * (egrad.norm(dim=-1) * u.norm(dim=-1)).max().item()
    assert_close(manifold.inner(x, rgrad, u), (egrad * u).sum(-1), rtol=1e-10, atol=size)


@law
def test_gradient_of_dist_is_minus_the_unit_log(manifold, seed):
    x, y = draw(manifold, seed, 2)
    x.requires_grad_()
    (egrad,) = torch.autograd.grad(manifold.dist(x, y).sum(), x)
    (egrad2,) = torch.autograd.grad(manifold.dist2(x, y).sum(), x)
    x, d = x.detach(), manifold.dist(x, y).detach()[..., None]
    log = manifold.logmap(x, y)
    assert (manifold.norm(x, manifold.egrad2rgrad(x, egrad) + log / d) <= 1e-9).all()
    off = manifold.norm(x, manifold.egrad2rgrad(x, egrad2) + 2 * log)
    assert (off <= 1e-9 * d[..., 0]).all()


def test_every_operation_broadcasts(manifold):
    x, y = points(manifold, 3, 1, DIM), points(manifold, 5, DIM)
    u = tangent(manifold, x, 0.1)
    for op in (manifold.dist, manifold.dist2, manifold.logmap, manifold.midpoint):
        full = op(x.expand(3, 5, DIM), y.expand(3, 5, DIM))
        assert_close(op(x, y), full)
    assert manifold.transp(x, y, u).shape == (3, 5, DIM)
    v = manifold.proju(x, y)
    assert manifold.inner(x, u, v).shape == (3, 5)
    assert manifold.norm(x, v).shape == (3, 5)
    for op in (manifold.proju, manifold.egrad2rgrad, manifold.to_frame, manifold.transp0):
        assert op(x, v).shape == (3, 5, DIM), op
    assert manifold.expmap(x, 0.1 * v).shape == (3, 5, DIM)
    assert manifold.geodesic(torch.rand(2, 1, 1), x, y).shape == (2, 3, 5, DIM)
    assert manifold.geodesic_unit(torch.rand(5), x, u).shape == (3, 5, DIM)
    assert manifold.dist(x, y, keepdim=True).shape == (3, 5, 1)
    assert manifold.pairwise_dist(x[:, 0], y).shape == (3, 5)
    assert manifold.pairwise_dist(x, y).shape == (3, 1, 5)
    assert manifold.log_normal_density(x, y).shape == (3, 5)


def test_nan_gives_nan(manifold):
    x, y = points(manifold, 2, 3, DIM)
    x[1] = math.nan
    for d in (
        manifold.dist(x, y),
        manifold.dist2(x, y),
        manifold.dist0(x),
        manifold.pairwise_dist(x, y).amax(-1),
        manifold.midpoint(x, y).sum(-1),
        manifold.logmap(x, y).sum(-1),
        manifold.log_normal_density(x),
    ):
        assert d.isnan().tolist() == [False, True, False]
