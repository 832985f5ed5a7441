"""Pairwise operations as a user meets them: transforms, dtypes, layouts, shapes; both paths."""

import math

import pytest
import torch
from torch.testing import assert_close

from manifolds import MANIFOLDS, functional
from manifolds.kernels import fused, library, ops
from manifolds.kernels.dispatch import pairwise

EPS = 1.2e-7
NAMES = ["lorentz", "poincare", "sphere", "euclidean"]
KINDS = sorted(fused.KINDS)


def points(kind: str, n: int, d: int, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return MANIFOLDS[kind.removesuffix("2").partition("_")[0]]().random_normal(n, d, std=0.5)


def run(kind: str, x, y, c=1.0):
    return pairwise(f"Test.{kind}", kind, x, y, None if kind.startswith("euclidean") else c)


@pytest.mark.parametrize("kind", KINDS)
def test_operator_passes_opcheck(kind, path):
    x, y = points(kind, 5, 4), points(kind, 6, 4, seed=1)
    c = torch.tensor(1.0, dtype=torch.float64)
    inputs = [t.detach().clone().requires_grad_() for t in (x, y, c)]
    torch.library.opcheck(ops.pairwise, (*inputs, kind))
    out = ops.pairwise(x, y, c, kind)
    for need in ([True, True, True], [False, True, False]):
        torch.library.opcheck(ops.pairwise_backward, (x, y, c, out, out.cos(), kind, need))


@pytest.mark.parametrize("kind", KINDS)
def test_transforms_of_torch_func(kind, path):
    x, y = torch.stack([points(kind, 5, 4, s) for s in range(3)]), points(kind, 6, 4, seed=9)
    c = torch.tensor([0.5, 1.0, 1.2], dtype=torch.float64)
    if kind == "sphere":
        c = torch.ones(3, dtype=torch.float64)
    one_by_one = torch.stack([run(kind, a, y, b) for a, b in zip(x, c, strict=True)])
    assert_close(torch.vmap(lambda a: run(kind, a, y))(x), run(kind, x, y), rtol=EPS, atol=0)
    batched = torch.vmap(lambda a, b: run(kind, a, y, b))(x, c)
    assert_close(batched, one_by_one, rtol=EPS, atol=0)

    def total(a, b):
        return (run(kind, a, y, b) * torch.arange(6.0)).sum()

    leaves = [t.clone().requires_grad_() for t in (x, c)]
    loss = sum(total(a, b) for a, b in zip(*leaves, strict=True))
    expected = torch.autograd.grad(loss, leaves, materialize_grads=True)
    for got, want in zip(torch.vmap(torch.func.grad(total, (0, 1)))(x, c), expected, strict=True):
        assert_close(got, want, rtol=4 * EPS, atol=4 * EPS)


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_go_through_torch(kind, path):
    x, y = points(kind, 4, 3).requires_grad_(), points(kind, 5, 3, seed=1)
    weight = torch.rand(4, 5)

    def curvature_of(x, y, weight):
        (g,) = torch.autograd.grad((run(kind, x, y) * weight).sum(), x, create_graph=True)
        return torch.autograd.grad(g.sin().sum(), x)[0]

    wide = x.detach().double().requires_grad_()
    expected = curvature_of(wide, y.double(), weight.double())
    assert_close(curvature_of(x, y, weight).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_of_the_gradient_changes_no_gradient(kind, path):
    """Where the points of both sides, and c, depend on one another."""
    points_of = points(kind, 5, 3)
    log_c = torch.tensor(-0.2, requires_grad=True)
    c = log_c.exp()
    x = (points_of * c).requires_grad_()
    for y in (x, 0.9 * x.flip(0)):
        value = (run(kind, x, y, c) * torch.arange(25.0).view(5, 5)).sum()
        plain = torch.autograd.grad(value, (x, log_c), retain_graph=True)
        graph = torch.autograd.grad(value, (x, log_c), create_graph=True)
        for a, b in zip(plain, graph, strict=True):
            assert_close(a, b.detach(), rtol=1e-4, atol=1e-5 * value.item())


def test_torch_func_says_that_it_has_no_second_derivatives(path):
    x, y = points("lorentz", 3, 2), points("lorentz", 4, 2, seed=1)

    def slope(a):
        return torch.func.grad(lambda b: run("lorentz", b, y).sum())(a).sum()

    with pytest.raises(NotImplementedError, match="create_graph=True"):
        torch.func.grad(slope)(x)


@pytest.mark.parametrize("kind", KINDS)
def test_dtypes(kind, path):
    x, y = points(kind, 5, 4), points(kind, 6, 4, seed=1)
    plain = run(kind, x, y)
    assert plain.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(kind, x, y), plain)
        assert run(kind, x.double(), y.double()).dtype == torch.float64
    for dtype in (torch.bfloat16, torch.float16):
        low = [t.to(dtype).requires_grad_() for t in (x, y)]
        out = run(kind, *low)
        assert out.dtype == torch.float32
        assert torch.equal(out, run(kind, low[0].float(), low[1].float()))
        out.sum().backward()
        assert low[0].grad.dtype == dtype and low[0].grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_layouts(kind, path):
    x, y = points(kind, 8, 6), points(kind, 9, 6, seed=1)
    plain = run(kind, x, y)
    strided = torch.zeros(16, 9)
    strided[::2, 1:7] = x
    for a in (x.t().contiguous().t(), strided[::2, 1:7], x[:1].expand(8, 6)):
        assert not a.is_contiguous()
        expected = run(kind, a.contiguous(), y)
        assert torch.equal(run(kind, a, y), expected)
    leaf = x.clone().requires_grad_()
    grad = torch.autograd.grad(run(kind, leaf, y), leaf, torch.ones(1, 1).expand(8, 9))[0]
    assert torch.equal(grad, torch.autograd.grad(run(kind, leaf, y).sum(), leaf)[0])
    turned = torch.rand(9, 8).t()
    grads = [torch.autograd.grad(run(kind, leaf, y), leaf, g)[0] for g in (turned, turned.clone())]
    assert torch.equal(*grads)
    assert_close(run(kind, x.t().contiguous().t(), y), plain, rtol=EPS, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_broadcast(kind, path):
    x = torch.stack([points(kind, 4, 3, s) for s in range(3)]).requires_grad_()
    y = torch.stack([points(kind, 5, 3, s) for s in range(7, 9)])[:, None].requires_grad_()
    out = run(kind, x, y)
    assert out.shape == (2, 3, 4, 5)
    for i in range(2):
        for j in range(3):
            assert_close(out[i, j], run(kind, x[j], y[i, 0]), rtol=2 * EPS, atol=0)
    grads = torch.autograd.grad(out.sum(), (x, y))
    looped = sum(run(kind, x[j], y[i, 0]).sum() for i in range(2) for j in range(3))
    for got, want in zip(grads, torch.autograd.grad(looped, (x, y)), strict=True):
        assert_close(got, want, rtol=16 * EPS, atol=16 * EPS)


@pytest.mark.parametrize("shapes", [((0, 3), (4, 3)), ((4, 3), (0, 3)), ((2, 0, 3), (4, 3)),
                                    ((0, 2, 3), (4, 3))])  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_empty(kind, shapes, path):
    x, y = (torch.full(s, 0.5, requires_grad=True) for s in shapes)
    c = torch.ones((), requires_grad=True)
    out = run(kind, x, y, c)
    assert out.shape == (*shapes[0][:-1], shapes[1][0])
    grads = torch.autograd.grad(out.sum(), (x, y, c), materialize_grads=True)
    assert [g.shape for g in grads] == [x.shape, y.shape, ()]
    assert all((g == 0).all() for g in grads)


@pytest.mark.parametrize("d", [1, 2, 3, 8, 9, 4096])
@pytest.mark.parametrize("kind", KINDS)
def test_ragged_sizes(kind, d, path, monkeypatch):
    if kind == "sphere" and d == 1:
        pytest.skip("two points")
    for name, value in {"FORWARD_BAND": 64, "BACKWARD_BAND": 48, "LARGE": 1}.items():
        monkeypatch.setattr(fused, name, value)
    for n, m in ((1, 1), (1, 19), (19, 1), (13, 17)):
        x, y = points(kind, n, d).requires_grad_(), points(kind, m, d, seed=1).requires_grad_()
        out = run(kind, x, y)
        wide = [t.detach().double().requires_grad_() for t in (x, y)]
        exact = run(kind, *wide)
        floor = 16 * EPS if kind.endswith("angle") else 0  # radians
        assert ((out - exact).abs() <= 64 * EPS * exact.abs() + floor).all()
        g = torch.rand_like(out)
        grads = torch.autograd.grad(out, (x, y), g)
        expected = torch.autograd.grad(exact, wide, g.double())
        for a, b in zip(grads, expected, strict=True):
            assert (a - b).norm() <= 64 * EPS * b.norm() + 1e-30


def test_gradients_only_where_wanted(path):
    x, y = points("lorentz", 5, 4), points("lorentz", 6, 4, seed=1)
    c = torch.tensor(1.3)
    full = [t.clone().requires_grad_() for t in (x, y, c)]
    expected = torch.autograd.grad(run("lorentz", *full).sum(), full)
    for which in range(3):
        inputs = [t.clone().requires_grad_(i == which) for i, t in enumerate((x, y, c))]
        (got,) = torch.autograd.grad(run("lorentz", *inputs).sum(), inputs[which])
        assert_close(got, expected[which], rtol=4 * EPS, atol=4 * EPS)


@pytest.mark.parametrize("kind", ["lorentz", "poincare", "sphere"])
def test_learnable_curvature(kind, path):
    name = {"lorentz": "lorentz", "poincare": "poincare", "sphere": "sphere"}[kind]
    m = MANIFOLDS[name](c=0.7, learnable=True)
    x, y = (points(kind, n, 4, seed=n) * 0.8 for n in (5, 6))
    (got,) = torch.autograd.grad(m.pairwise_dist(x, y).sum(), m.log_c)
    wide = MANIFOLDS[name](c=0.7, learnable=True).double()
    single = wide.dist(x.double()[:, None], y.double())
    (expected,) = torch.autograd.grad(single.sum(), wide.log_c)
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.skipif(library.load() is None, reason=f"no C++ kernels: {library.missing()}")
def test_results_do_not_depend_on_threads():
    x, y = points("lorentz", 97, 16).requires_grad_(), points("lorentz", 60, 16, seed=1)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            out = run("lorentz", x, y)
            results.append((out, *torch.autograd.grad(out.square().sum(), x)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            assert_close(a, b, rtol=4 * EPS, atol=4 * EPS)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_name_the_operation(kind, path, unchecked):
    x = points(kind, 3, 4)
    for a, b in ((x, x[:, :2]), (x, x.double()), (x.int(), x.int()), (x[0], x), (x, x.to("meta"))):
        with pytest.raises((ValueError, TypeError), match=rf"^Test\.{kind}: "):
            run(kind, a, b)
    if not kind.startswith("euclidean"):
        for c in (-1.0, 0.0, math.nan, torch.ones(2)):
            with pytest.raises(ValueError, match=rf"^Test\.{kind}: c must be"):
                run(kind, x, x, c)


def test_a_forced_path_that_is_missing_is_an_error(monkeypatch):
    x = points("lorentz", 3, 4)
    monkeypatch.setenv("MANIFOLDS_KERNELS", "cpp")
    monkeypatch.setattr(library, "_state", {"cpp": "no C++ compiler: g++ not found"})
    with pytest.raises(library.KernelError, match="MANIFOLDS_KERNELS=cpp: no C"):
        functional.lorentz_pairwise_dist(x, x, 1.0)


@pytest.mark.skipif(library.load() is None, reason=f"no C++ kernels: {library.missing()}")
def test_indices_beyond_two_to_the_31():
    """Rows 2^31 elements apart: only what is touched takes memory."""
    gap = 2**31 + 8
    try:
        far = torch.empty(gap + 64)
    except RuntimeError:
        pytest.skip("no 8 GiB of address space")
    x = far.as_strided((2, 5), (gap, 1))
    x.copy_(points("lorentz", 2, 5))
    loaded, y = library.load(), points("lorentz", 4, 5, seed=1)
    out = far.as_strided((2, 4), (gap, 1), 16)
    ready = fused.prepare(loaded, "lorentz", x, y, 1.0)
    out.copy_(ready.scaled[0] @ ready.scaled[1].T)
    fused.epilogue(ready, 0, out, torch.zeros((), dtype=torch.int64))
    near = run("lorentz", x.contiguous(), y)
    assert torch.equal(out, near)
    grad = far.as_strided((2, 4), (gap, 1), 32).fill_(1.0)
    weights = far.as_strided((2, 4), (gap, 1), 48)
    sums = fused.Sums.of(loaded, 2, 4)
    fused.weights_of(ready, 0, out, grad, weights, sums, False)
    assert_close(weights, 1 / near.sinh(), rtol=16 * EPS, atol=0)
    assert math.isfinite(sums.x.sum())
