"""Laws that hold on every manifold at every curvature."""

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from manifolds import Euclidean, Manifold, Sphere


def points(m: Manifold, *size: int, radius: float = 1.0) -> Tensor:
    """Random points a geodesic distance of about `radius` / sqrt(c) from the root."""
    curvature = m.c.item() or 1.0
    return m.random_normal(*size, std=radius / math.sqrt(curvature * size[-1]), dtype=torch.float64)


def tangent(m: Manifold, x: Tensor, scale: float = 0.5) -> Tensor:
    return m.proju(x, scale * torch.randn_like(x))


def test_dist_is_a_metric(manifold):
    x, y, z = points(manifold, 3, 20, 5)
    d = manifold.dist
    assert_close(d(x, y), d(y, x), rtol=1e-14, atol=0)
    assert (d(x, z) <= d(x, y) + d(y, z) + 1e-12).all()
    assert (d(x, y) > 0).all()
    assert (d(x, x) == 0).all()


def test_dist_of_points_on_one_ray_adds_up(manifold):
    u = tangent(manifold, manifold.origin(6, 5, dtype=torch.float64), 0.3)
    near, far = manifold.expmap0(u), manifold.expmap0(2 * u)
    assert_close(manifold.dist(near, far), manifold.dist0(near), rtol=1e-12, atol=0)


def test_exp_and_log_are_inverse(manifold):
    x, y = points(manifold, 2, 20, 5)
    assert_close(manifold.expmap(x, manifold.logmap(x, y)), y, rtol=1e-11, atol=1e-11)
    u = tangent(manifold, x, 0.3 / math.sqrt(manifold.c.item() or 1.0))
    assert_close(manifold.logmap(x, manifold.expmap(x, u)), u, rtol=1e-11, atol=1e-11)
    assert_close(manifold.expmap0(manifold.logmap0(x)), x, rtol=1e-12, atol=1e-13)
    origin = manifold.origin(20, 5, dtype=torch.float64)
    assert_close(manifold.logmap(origin, x), manifold.logmap0(x), rtol=1e-12, atol=1e-13)
    assert_close(manifold.expmap(origin, manifold.logmap0(x)), x, rtol=1e-12, atol=1e-13)


def test_length_of_log_is_the_distance(manifold):
    x, y = points(manifold, 2, 20, 5)
    origin = manifold.origin(5, dtype=torch.float64)
    assert_close(manifold.norm(x, manifold.logmap(x, y)), manifold.dist(x, y))
    assert_close(manifold.norm(origin, manifold.logmap0(x)), manifold.dist0(x))
    assert_close(manifold.dist(origin, x), manifold.dist0(x))
    assert_close(manifold.dist2(x, y), manifold.dist(x, y) ** 2)


def test_transport_is_an_isometry_and_keeps_the_geodesic(manifold):
    x, y = points(manifold, 2, 20, 5)
    u, v = tangent(manifold, x), tangent(manifold, x)
    moved = manifold.transp(x, y, u), manifold.transp(x, y, v)
    assert_close(manifold.inner(y, *moved), manifold.inner(x, u, v), rtol=1e-10, atol=1e-11)
    assert_close(manifold.transp(y, x, moved[0]), u, rtol=1e-10, atol=1e-11)
    along = manifold.transp(x, y, manifold.logmap(x, y))
    assert_close(along, -manifold.logmap(y, x), rtol=1e-10, atol=1e-11)
    assert_close(manifold.transp(x, x, u), u, rtol=1e-13, atol=1e-14)


def test_geodesic_has_its_ends_and_constant_speed(manifold):
    x, y = points(manifold, 2, 7, 5)
    t = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    path = manifold.geodesic(t, x, y)
    assert path.shape == (5, 7, 5)
    assert_close(path[0], x, rtol=1e-12, atol=1e-13)
    assert_close(path[-1], y, rtol=1e-11, atol=1e-11)
    steps = manifold.dist(path[1:], path[:-1])
    assert_close(steps, (manifold.dist(x, y) / 4).expand(4, 7), rtol=1e-10, atol=1e-12)
    assert_close(manifold.geodesic(0.25, x, y), path[1])


def test_projections_change_nothing_on_the_manifold(manifold):
    x = points(manifold, 20, 5)
    u = tangent(manifold, x)
    assert_close(manifold.projx(x), x, rtol=1e-15, atol=1e-16)
    assert_close(manifold.proju(x, u), u, rtol=1e-13, atol=1e-14)
    assert manifold.check_point(x) and manifold.check_vector(x, u)


def test_retraction_agrees_with_exp_to_first_order(manifold):
    x = points(manifold, 20, 5)
    u = tangent(manifold, x)
    ratio = manifold.dist(manifold.retr(x, 1e-3 * u), manifold.expmap(x, 1e-3 * u))
    assert (ratio <= 1e-5 * manifold.norm(x, u)).all()
    assert manifold.check_point(manifold.retr(x, u))


def test_egrad2rgrad_is_the_metric_dual_and_leaves_its_argument(manifold):
    x, egrad = points(manifold, 20, 5), torch.randn(20, 5, dtype=torch.float64)
    before = egrad.clone()
    rgrad = manifold.egrad2rgrad(x, egrad)
    assert torch.equal(egrad, before)
    u = tangent(manifold, x)
    assert_close(manifold.inner(x, rgrad, u), (egrad * u).sum(-1), rtol=1e-10, atol=1e-11)


def test_gradient_of_dist_is_minus_the_unit_log(manifold):
    x, y = points(manifold, 2, 20, 5)
    x.requires_grad_()
    manifold.dist(x, y).sum().backward()
    rgrad = manifold.egrad2rgrad(x.detach(), x.grad)
    unit = -manifold.logmap(x, y) / manifold.dist(x, y)[:, None]
    assert_close(rgrad, unit.detach(), rtol=1e-9, atol=1e-10)


def test_every_operation_broadcasts(manifold):
    x, y = points(manifold, 3, 1, 4), points(manifold, 5, 4)
    u = tangent(manifold, x, 0.1)
    for op in (manifold.dist, manifold.dist2, manifold.logmap):
        full = op(x.expand(3, 5, 4), y.expand(3, 5, 4))
        assert_close(op(x, y), full)
    assert manifold.transp(x, y, u).shape == (3, 5, 4)
    v = manifold.proju(x, y)
    assert manifold.inner(x, u, v).shape == (3, 5)
    assert manifold.norm(x, v).shape == (3, 5)
    assert manifold.expmap(x, 0.1 * v).shape == (3, 5, 4)
    assert manifold.dist(x, y, keepdim=True).shape == (3, 5, 1)
    assert manifold.pairwise_dist(x[:, 0], y).shape == (3, 5)
    assert manifold.pairwise_dist(x, y).shape == (3, 1, 5)


def test_random_normal_has_the_std_asked_for(manifold):
    radius = 0.3 / math.sqrt(manifold.c.item() or 1.0)
    x = manifold.random_normal(4000, 6, std=radius, dtype=torch.float64)
    free = 5 if isinstance(manifold, Sphere) else 6
    assert (manifold.dist0(x) ** 2).mean().sqrt().item() == pytest.approx(
        radius * math.sqrt(free), rel=0.05
    )


def test_first_and_second_derivatives(manifold):
    scale = 1 / math.sqrt(manifold.c.item() or 1.0)
    x, y = (points(manifold, 1, 3).requires_grad_() for _ in range(2))
    operations = [
        manifold.dist,
        manifold.pairwise_dist,
        manifold.pairwise_dist2,
    ]
    if not isinstance(manifold, Euclidean):  # there they are linear
        operations += [
            manifold.logmap,
            lambda a, b: manifold.expmap(a, 0.3 * b),
            lambda a, b: manifold.transp(a, b, scale * torch.ones_like(a)),
            lambda a, b: manifold.norm(a, b),
            lambda a, b: manifold.logmap0(a),
        ]
    if manifold.has_cones:
        operations += [manifold.exterior_angle, manifold.pairwise_exterior_angle]
    for operation in operations:
        assert gradcheck(operation, (x, y), fast_mode=True)
        if manifold.c.item() in (0, 10):  # the slower half, once for every manifold
            assert torch.autograd.gradgradcheck(operation, (x, y), fast_mode=True, atol=1e-4)


def test_log_is_differentiable_where_its_points_meet(manifold):
    x = points(manifold, 1, 4)
    u = tangent(manifold, x, 0.3)
    for base in (x, manifold.origin(1, 4, dtype=torch.float64)):
        step = torch.zeros_like(u)
        jacobian = torch.autograd.functional.jacobian(
            lambda v, b=base: manifold.logmap(b, manifold.expmap(b, manifold.proju(b, v))), step
        )
        identity = torch.autograd.functional.jacobian(lambda v, b=base: manifold.proju(b, v), step)
        assert_close(jacobian, identity, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("where", ["same", "root", "first at root", "second at root"])
def test_gradients_are_finite_at_the_hard_places(manifold, where):
    x = points(manifold, 4, 5)
    root = manifold.origin(4, 5, dtype=torch.float64)
    a, b = {
        "same": (x, x.clone()),
        "root": (root, root.clone()),
        "first at root": (root, x),
        "second at root": (x, root),
    }[where]
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    u = manifold.proju(a.detach(), torch.ones_like(x))
    results = [
        manifold.dist(a, b),
        manifold.dist2(a, b),
        manifold.pairwise_dist(a, b),
        manifold.dist0(a),
        manifold.logmap(a, b),
        manifold.expmap(a, manifold.logmap(a, b)),
        manifold.transp(a, b, u),
        manifold.norm(a, manifold.logmap(a, b)),
        manifold.logmap0(a),
    ]
    if manifold.has_cones:
        results += [
            manifold.exterior_angle(a, b),
            manifold.half_aperture(a),
            manifold.pairwise_exterior_angle(a, b),
            manifold.pairwise_entailment_energy(a, b),
        ]
    for result in results:
        assert result.isfinite().all()
        if not result.requires_grad:  # Euclidean transport doesn't depend on the points
            continue
        for grad in torch.autograd.grad(
            result.sum(), (a, b), retain_graph=True, allow_unused=True, materialize_grads=True
        ):
            assert grad.isfinite().all()
    if where in ("same", "root"):
        for grad in torch.autograd.grad(results[0].sum(), (a, b), retain_graph=True):
            assert (grad == 0).all()


def test_nan_gives_nan(manifold):
    x, y = points(manifold, 2, 3, 5)
    x[1, 2] = math.nan
    for d in (manifold.dist(x, y), manifold.dist0(x), manifold.pairwise_dist(x, y).amax(-1)):
        assert d.isnan().tolist() == [False, True, False]


def test_curvature_gets_its_gradient(manifold):
    if isinstance(manifold, Euclidean):
        assert manifold.c.item() == 0 and not list(manifold.parameters())
        return
    x, y = points(manifold, 2, 4, 5, radius=0.5)
    manifold.log_c.requires_grad_()
    assert manifold.learnable

    def slope(step: float) -> float:
        with torch.no_grad():
            manifold.log_c += step
            total = manifold.dist(x, y).sum().item()
            manifold.log_c -= step
        return total

    expected = (slope(1e-5) - slope(-1e-5)) / 2e-5
    for total in (manifold.dist(x, y).sum(), manifold.pairwise_dist(x, y).diagonal().sum()):
        (grad,) = torch.autograd.grad(total, manifold.log_c)
        assert grad.item() == pytest.approx(expected, rel=1e-6)
