"""What every manifold promises beside its formulas: dtypes, errors, curvature, checks, imports."""

import copy
import math
import subprocess
import sys

import jaxtyping
import pytest
import torch
from torch.testing import assert_close

import manifolds
from manifolds import MANIFOLDS, Euclidean, Lorentz, PoincareBall, Sphere, functional

CURVED = {name: m for name, m in MANIFOLDS.items() if m is not Euclidean}


@pytest.fixture
def unchecked():
    """What a user sees: shapes not enforced by the test runner's jaxtyping hook."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def operations(m):
    """Every operation as a function of two points."""
    named = {
        "dist": m.dist,
        "dist2": m.dist2,
        "dist0": lambda x, y: m.dist0(x),
        "pairwise_dist": m.pairwise_dist,
        "pairwise_dist2": m.pairwise_dist2,
        "logmap": m.logmap,
        "expmap": lambda x, y: m.expmap(x, m.proju(x, y)),
        "retr": lambda x, y: m.retr(x, m.proju(x, y)),
        "transp": lambda x, y: m.transp(x, y, m.proju(x, y)),
        "inner": lambda x, y: m.inner(x, y, y),
        "norm": m.norm,
        "logmap0": lambda x, y: m.logmap0(x),
        "expmap0": lambda x, y: m.expmap0(x),
        "geodesic": lambda x, y: m.geodesic(0.5, x, y),
    }
    if m.has_cones:
        named |= {
            "exterior_angle": m.exterior_angle,
            "half_aperture": lambda x, y: m.half_aperture(x),
            "entailment_energy": m.entailment_energy,
            "pairwise_exterior_angle": m.pairwise_exterior_angle,
            "pairwise_entailment_energy": m.pairwise_entailment_energy,
        }
    return named


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_float64_in_float64_out_everything_else_float32(name, dtype):
    m = MANIFOLDS[name]()
    x, y = m.random_normal(2, 4, 3, std=0.3).to(dtype)
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    for op, f in operations(m).items():
        assert f(x, y).dtype == expected, op
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = f(x, y)
        assert torch.equal(result, f(x, y)), op


@pytest.mark.parametrize("name", MANIFOLDS)
def test_what_does_not_fit_is_named(name, unchecked):
    m = MANIFOLDS[name]()
    x = m.random_normal(4, 3)
    cls = type(m).__name__
    with pytest.raises(ValueError, match=rf"{cls}\.dist: .*x \(4, 3\), y \(4, 2\)"):
        m.dist(x, x[:, :2])
    with pytest.raises(ValueError, match=rf"{cls}\.dist: .*broadcast.*x \(4, 3\), y \(3, 3\)"):
        m.dist(x, x[:3])
    with pytest.raises(ValueError, match=rf"{cls}\.pairwise_dist: .*y \(3,\)"):
        m.pairwise_dist(x, x[0])
    with pytest.raises(ValueError, match=rf"{cls}\.logmap: .*float64.*float32"):
        m.logmap(x.double(), x)
    with pytest.raises(ValueError, match=rf"{cls}\.dist0: .*floating"):
        m.dist0(torch.ones(3, dtype=torch.long))
    with pytest.raises(ValueError, match=rf"{cls}\.expmap: .*x cpu, u meta"):
        m.expmap(x, x.to("meta"))
    with pytest.raises(ValueError, match=rf"{cls}\.dist0"):
        m.dist0(torch.tensor(1.0))
    with pytest.raises(ValueError, match=rf"{cls}\.dist0"):
        m.dist0(torch.ones(3, 0))


@pytest.mark.parametrize("c", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", CURVED)
def test_curvature_must_be_positive(name, c):
    with pytest.raises(ValueError, match=f"{CURVED[name].__name__}: c must be positive"):
        CURVED[name](c=c)
    x = torch.eye(3) / 2
    for bad in (c, torch.tensor(c)):
        with pytest.raises(ValueError, match="c must be positive"):
            getattr(functional, f"{name}_dist")(x, x, bad)
        with pytest.raises(ValueError, match="c must be positive"):
            getattr(functional, f"{name}_pairwise_dist")(x, x, bad)
    with pytest.raises(ValueError, match="0-dim"):
        getattr(functional, f"{name}_dist0")(x, torch.ones(1))


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


def test_functions_run_under_vmap_and_func_grad():
    torch.manual_seed(0)
    for name, m in MANIFOLDS.items():
        m = m().double()
        x, y = m.random_normal(2, 5, 3, std=0.2, dtype=torch.float64)
        assert_close(torch.vmap(m.dist)(x, y), m.dist(x, y))
        grads = torch.vmap(torch.func.grad(m.dist))(x, y)
        z = x.clone().requires_grad_()
        assert_close(grads, torch.autograd.grad(m.dist(z, y).sum(), z)[0]), name


def test_values_are_checked_on_request():
    assert not Lorentz().check_point(torch.tensor([0.0, math.inf]))
    ok, reason = Lorentz().check_point(torch.tensor([[0.0, math.nan], [0.0, 1.0]]), explain=True)
    assert not ok and "1 of 2" in reason
    assert not PoincareBall().check_point(torch.tensor([0.8, 0.8]))
    assert PoincareBall(c=0.5).check_point(torch.tensor([0.8, 0.8]))
    assert not Sphere().check_point(torch.tensor([0.8, 0.8]))
    x = Sphere(c=4.0).random_normal(5, 3)
    assert Sphere(c=4.0).check_point(x) and not Sphere(c=1.0).check_point(x)
    assert Sphere(c=4.0).check_vector(x, Sphere(c=4.0).proju(x, torch.randn(5, 3)))
    ok, reason = Sphere(c=4.0).check_vector(x, x, explain=True)
    assert not ok and "5 of 5" in reason
    with pytest.raises(ValueError, match=r"Sphere.*not a tangent vector"):
        Sphere(c=4.0).assert_check_vector(x, x)


def test_the_ball_ends_before_its_rim():
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
