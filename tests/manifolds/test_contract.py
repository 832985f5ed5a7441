"""What every manifold promises beside its formulas: dtypes, errors, curvature, checks, imports."""

import copy
import inspect
import math
import subprocess
import sys

import geoopt
import pytest
import torch
from spaces import (
    ARGUMENTS,
    CONES,
    MADE,
    SPACES,
    arguments,
    call,
    function,
    make,
    operations,
)
from torch.testing import assert_close

import manifolds
from manifolds import MANIFOLDS, Euclidean, Lorentz, PoincareBall, Sphere, functional
from manifolds.functional.derived import OPERATIONS
from manifolds.optim import RiemannianAdam

CURVED = {name: m for name, m in MANIFOLDS.items() if m is not Euclidean}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SPACES)
def test_float64_in_float64_out_everything_else_float32(name, dtype):
    m = make(name)
    x, y = m.random_normal(2, 4, 4, std=0.3).to(dtype)
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    for op, f in operations(m).items():
        assert f(x, y).dtype == expected, op
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = f(x, y)
        assert torch.equal(result, f(x, y)), op


@pytest.mark.parametrize("name", CURVED)
def test_c_is_exact_and_follows_the_module(name):
    for c in (0.1, 1.0, 10.0):
        m = CURVED[name](c=c)
        assert m.c.dtype == torch.float32 and m.c.ndim == 0
        assert m.double().c.item() == c
        assert copy.deepcopy(m).c.item() == c
        assert CURVED[name](c=c).half().c.dtype == torch.float32
    twin = CURVED[name](c=1.0)
    twin.load_state_dict(CURVED[name](c=5.0).state_dict())
    assert twin.c.item() == pytest.approx(5.0, rel=1e-6)
    assert twin.log_c.item() == pytest.approx(math.log(5.0))
    assert not m.learnable and not m.c.requires_grad


@pytest.mark.parametrize("name", CURVED)
def test_bounds_are_kept_after_a_step(name):
    m = CURVED[name](c=1.0, learnable=True, c_min=0.1, c_max=10.0)
    x, y = m.random_normal(2, 4, 3, std=0.3)
    assert m.learnable and m.apply_bounds_() == {} and m.at_bound() == {}
    for step, bound, c in ((-50.0, "lower", 0.1), (50.0, "upper", 10.0)):
        optimizer = torch.optim.SGD(m.parameters(), lr=1.0)
        optimizer.zero_grad()
        (m.log_c * -step).backward()
        optimizer.step()
        assert m.apply_bounds_() == {"c": bound}
        assert m.apply_bounds_() == {} and m.at_bound() == {"c": bound}
        assert m.c.item() == pytest.approx(c, rel=1e-6)
        for f in operations(m).values():  # finite at both bounds
            total = f(m.projx(x), m.projx(y)).sum()
            if total.requires_grad:
                (grad,) = torch.autograd.grad(
                    total, m.log_c, allow_unused=True, materialize_grads=True
                )
                assert total.isfinite() and grad.isfinite()


def test_bounds_must_hold_the_initial_value():
    with pytest.raises(ValueError, match="c_min"):
        Lorentz(c=1e4)
    assert Lorentz(c=1e4, c_max=1e5).c.item() == pytest.approx(1e4)


def test_c_as_a_tensor_gets_its_gradient():
    torch.manual_seed(0)
    for name, m in CURVED.items():
        x, y = m(c=2.0).random_normal(2, 4, 3, std=0.2, dtype=torch.float64)
        c = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        f = getattr(functional, f"{name}_dist")
        assert torch.autograd.gradcheck(lambda c, f=f, x=x, y=y: f(x, y, c), c)
        assert_close(f(x, y, c), f(x, y, 2.0), rtol=0, atol=0)


def test_values_are_checked_against_c():
    assert not PoincareBall().check_point(torch.tensor([0.8, 0.8]))
    assert PoincareBall(c=0.5).check_point(torch.tensor([0.8, 0.8]))
    assert not Sphere().check_point(torch.tensor([0.8, 0.8]))
    x = Sphere(c=4.0).random_normal(5, 3)
    assert Sphere(c=4.0).check_point(x) and not Sphere(c=1.0).check_point(x)
    assert Sphere(c=4.0).check_vector(x, Sphere(c=4.0).proju(x, torch.randn(5, 3)))
    ok, reason = Sphere(c=4.0).check_vector(x, x, explain=True)
    assert not ok and reason.startswith("5 of 5 vectors have a part along x")
    # Without values there is nothing to refuse: parameters can be made before their data.
    assert PoincareBall().check_point(torch.ones(3, 2, device="meta"))


def test_the_ball_ends_before_its_rim():
    torch.manual_seed(0)
    for dtype, r in ((torch.float32, 16.0), (torch.float64, 36.0)):
        for c in (0.1, 1.0, 10.0):
            m = PoincareBall(c=c).to(dtype)
            far = m.expmap0(torch.randn(20, 5, dtype=dtype) * 1e3)
            assert_close(
                m.dist0(far) * math.sqrt(c), torch.full((20,), r, dtype=dtype), rtol=0.02, atol=0
            )
            assert m.check_point(far) and m.pairwise_dist(far, far).isfinite().all()
            outside = m.projx(torch.randn(20, 5, dtype=dtype) * 100)
            assert m.check_point(outside)
        beyond = torch.tensor([[0.6, 0.8]], dtype=dtype) * 1.001
        assert PoincareBall().to(dtype).dist(beyond, beyond / 2).isnan().all()
        assert PoincareBall().to(dtype).pairwise_dist(beyond, beyond / 2).isnan().all()


def test_origin_is_the_root():
    for m in (Euclidean(), Sphere(c=4.0), Lorentz(c=4.0), PoincareBall(c=4.0)):
        root = m.origin(2, 3)
        assert root.shape == (2, 3) and torch.equal(root, m.origin((2, 3)))
        assert (m.dist0(root) == 0).all() and m.check_point(root)
    assert Sphere(c=4.0).origin(3).tolist() == [0.5, 0, 0]


def test_manifolds_imports_nothing_above_it():
    code = (
        "import sys, manifolds\n"
        "bad = {'geomclip', 'experiments', 'plotly', 'PIL', 'transformers'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(bad)) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_public_names_exist():
    assert set(manifolds.MANIFOLDS) >= {"euclidean", "sphere", "lorentz", "poincare"}
    assert all(hasattr(manifolds, name) for name in manifolds.__all__)
    assert all(hasattr(functional, name) for name in functional.__all__)
    assert len(set(functional.__all__)) == len(functional.__all__)


def test_a_c_that_requires_a_gradient_is_used_as_it_is():
    torch.manual_seed(0)
    for name, kind in CURVED.items():
        raw = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        m = kind(c=raw.exp())
        x, y = kind(c=math.exp(0.3)).double().random_normal(2, 4, 3, std=0.2, dtype=torch.float64)
        (grad,) = torch.autograd.grad(m.dist(x, y).sum(), raw, retain_graph=True)
        c = torch.tensor(math.exp(0.3), dtype=torch.float64, requires_grad=True)
        total = getattr(functional, f"{name}_dist")(x, y, c).sum()
        (expected,) = torch.autograd.grad(total, c)
        assert_close(grad, expected * c.detach(), rtol=1e-12, atol=0)
        assert not list(m.parameters()) and not m.learnable
        assert m.apply_bounds_() == {} and m.at_bound() == {} and m.state_dict() == {}
        # Points on it are stepped, and c is not theirs.
        point = geoopt.ManifoldParameter(x.detach().clone(), manifold=m)
        optimizer = RiemannianAdam([point], lr=0.1)
        m.dist2(point, y).sum().backward()
        optimizer.step()
        assert m.dist2(point, y).sum() < m.dist2(x, y).sum()


def test_functions_made_from_methods_are_the_methods():
    f = functional.lorentz_weighted_midpoint
    assert f.__module__ == "manifolds.functional.midpoints"
    made = functional.lorentz_retr_transp
    assert made is functional.lorentz_retr_transp and made.__name__ == "lorentz_retr_transp"
    assert list(inspect.signature(made).parameters) == ["x", "u", "v", "c"]
    assert "Lorentz(c).retr_transp" in made.__doc__
    with pytest.raises(AttributeError, match="lorentz_nonsense"):
        _ = functional.lorentz_nonsense
    assert {f"{name}_{op}" for name in MANIFOLDS for op in OPERATIONS} <= set(dir(functional))
    with pytest.raises(TypeError, match="missing a required argument: 'c'"):
        made(torch.zeros(2), torch.zeros(2), torch.zeros(2))


@pytest.mark.parametrize("name", MANIFOLDS)
def test_functions_are_the_methods_at_that_c(name):
    torch.manual_seed(0)
    m = make(name, c=2.0).double()
    for op in ARGUMENTS:
        if op in CONES and not m.has_cones:
            continue
        tensors = arguments(m, op, 2, 3, 4, dtype=torch.float64)
        expected = call(getattr(m, op), op, *tensors)
        for c in (2.0, torch.tensor(2.0, dtype=torch.float64)):
            assert_close(call(function(name, op, c), op, *tensors), expected, rtol=0, atol=0)
    for op in MADE:
        torch.manual_seed(1)
        expected = getattr(m, op)(3, 4, dtype=torch.float64)
        torch.manual_seed(1)
        c = () if name == "euclidean" else (2.0,)
        made = getattr(functional, f"{name}_{op}")((3, 4), *c, dtype=torch.float64)
        assert_close(made, expected, rtol=0, atol=0)
