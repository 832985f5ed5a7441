"""Derivatives on every manifold: against finite differences, at the hard places, for c."""

import pytest
import torch
from drawing import DIM, points, scale, tangent
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from manifolds import Euclidean, Product


def test_first_and_second_derivatives(manifold):
    x, y = (points(manifold, 1, DIM).requires_grad_() for _ in range(2))
    u = tangent(manifold, x.detach(), 0.3)
    operations = [manifold.dist, manifold.dist2, manifold.pairwise_dist, manifold.pairwise_dist2]
    if not isinstance(manifold, Euclidean):  # there they are linear
        operations += [
            manifold.logmap,
            lambda a, b: manifold.expmap(a, 0.3 * manifold.proju(a, b)),
            lambda a, b: manifold.transp(a, b, u),
            lambda a, b: manifold.transp0(a, u) + 0 * b,
            lambda a, b: manifold.norm(a, manifold.proju(a, b)),
            lambda a, b: manifold.logmap0(a),
            lambda a, b: manifold.geodesic(0.3, a, b),
            lambda a, b: manifold.geodesic_unit(0.3, a, manifold.proju(a, b)),
            manifold.midpoint,
            lambda a, b: manifold.to_frame(a, manifold.proju(a, b)),
            manifold.log_normal_density,
        ]
    if manifold.has_cones:
        operations += [manifold.exterior_angle, manifold.pairwise_exterior_angle]
    # Second derivatives are the slower half: once for every manifold.
    twice = isinstance(manifold, Product) or manifold.c.item() in (0, 10)
    for operation in operations:
        assert gradcheck(operation, (x, y), fast_mode=True)
        if twice:
            assert gradgradcheck(operation, (x, y), fast_mode=True, atol=1e-4)


def test_squared_distance_is_smooth_where_its_points_meet(manifold):
    """Gradient 0, and the second derivative along tangent vectors is 2 g."""
    for x in (points(manifold, DIM), manifold.origin(DIM, dtype=torch.float64)):
        u, v = tangent(manifold, x), tangent(manifold, x)
        gradient = torch.autograd.functional.jacobian(lambda p, x=x: manifold.dist2(p, x), x)
        assert (gradient == 0).all()
        hessian = torch.autograd.functional.hessian(lambda p, x=x: manifold.dist2(p, x), x)
        expected = 2 * manifold.inner(x, u, v)
        assert_close(u @ hessian @ v, expected, rtol=1e-9, atol=1e-12 * scale(manifold) ** 2)


def test_log_is_differentiable_where_its_points_meet(manifold):
    x = points(manifold, 1, DIM)
    step = torch.zeros_like(x)
    for base in (x, manifold.origin(1, DIM, dtype=torch.float64)):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, b=base: manifold.logmap(b, manifold.expmap(b, manifold.proju(b, v))), step
        )
        identity = torch.autograd.functional.jacobian(lambda v, b=base: manifold.proju(b, v), step)
        assert_close(jacobian, identity, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("where", ["same", "root", "first at root", "second at root"])
def test_gradients_are_finite_at_the_hard_places(manifold, where):
    x = points(manifold, 2, DIM)
    root = manifold.origin(2, DIM, dtype=torch.float64)
    a, b = {
        "same": (x, x.clone()),
        "root": (root, root.clone()),
        "first at root": (root, x),
        "second at root": (x, root),
    }[where]
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    u = manifold.proju(a.detach(), torch.ones_like(x))
    log = manifold.logmap(a, b)
    results = [
        manifold.dist(a, b),
        manifold.dist2(a, b),
        manifold.pairwise_dist(a, b),
        manifold.dist0(a),
        log,
        manifold.expmap(a, log),
        manifold.transp(a, b, u),
        manifold.transp0(a, b),
        manifold.norm(a, log),
        manifold.logmap0(a),
        manifold.geodesic(0.5, a, b),
        manifold.geodesic_unit(0.1, a, log),
        manifold.midpoint(a, b),
        manifold.weighted_midpoint(torch.stack([a, b])),
        manifold.frechet_mean(torch.stack([a, b])),
        manifold.log_normal_density(a, b),
    ]
    if manifold.has_cones:
        results += [
            manifold.exterior_angle(a, b),
            manifold.half_aperture(a),
            manifold.pairwise_exterior_angle(a, b),
            manifold.pairwise_entailment_energy(a, b),
        ]
    for i, result in enumerate(results):
        assert result.isfinite().all(), i
        if not result.requires_grad:  # Euclidean transport doesn't depend on the points
            continue
        for grad in torch.autograd.grad(
            result.sum(), (a, b), retain_graph=True, allow_unused=True, materialize_grads=True
        ):
            assert grad.isfinite().all(), i
    if where in ("same", "root"):
        for result in results[:2]:
            for grad in torch.autograd.grad(result.sum(), (a, b), retain_graph=True):
                assert (grad == 0).all()


def test_curvature_gets_its_gradient(manifold):
    if isinstance(manifold, Euclidean):
        assert manifold.c.item() == 0 and not list(manifold.parameters())
        return
    x, y = points(manifold, 2, 3, DIM, radius=0.5)
    u = tangent(manifold, x)
    std = 0.5 * scale(manifold)  # a number: it does not follow c
    operations = [
        lambda: manifold.dist(x, y),
        lambda: manifold.dist2(x, y),
        lambda: manifold.pairwise_dist(x, y),
        lambda: manifold.logmap(x, y),
        lambda: manifold.expmap(x, u),
        lambda: manifold.transp(x, y, u),
        lambda: manifold.transp0(x, u),
        lambda: manifold.geodesic(0.3, x, y),
        lambda: manifold.midpoint(x, y),
        lambda: manifold.weighted_midpoint(x),
        lambda: manifold.frechet_mean(x),
        lambda: manifold.log_normal_density(x, y, std),
    ]
    parameters = list(manifold.parameters())
    for p in parameters:
        p.requires_grad_()
    assert manifold.learnable

    def total(operation, step: float) -> float:
        with torch.no_grad():
            for p in parameters:
                p += step
            value = operation().sum().item()
            for p in parameters:
                p -= step
        return value

    for i, operation in enumerate(operations):
        expected = (total(operation, 1e-5) - total(operation, -1e-5)) / 2e-5
        result = operation()
        if result.requires_grad:
            grads = torch.autograd.grad(
                result.sum(), parameters, allow_unused=True, materialize_grads=True
            )
        else:  # the sphere's transport does not depend on c
            grads = tuple(torch.zeros_like(p) for p in parameters)
        atol = 1e-8 * scale(manifold) ** 2
        assert sum(g.item() for g in grads) == pytest.approx(expected, rel=1e-6, abs=atol), i
