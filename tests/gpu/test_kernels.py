"""The CUDA kernels on a GPU: what float64 gives, under every way that torch calls them."""

import pytest
import torch
from torch import Tensor

from manifolds import MANIFOLDS, Lorentz
from manifolds import functional as F
from manifolds.kernels import fused, ops, sum_ops
from manifolds.kernels.contrastive import SCORES, logsumexp, softplus_sum, supports
from manifolds.kernels.dispatch import pairwise
from manifolds.kernels.plain import PLAIN

EPS = 1.2e-7
KINDS = sorted(fused.KINDS)
SIZES = [(1, 1, 3), (257, 1030, 65), (1000, 33, 513), (0, 4, 5)]
SUMS = [(n, s) for n in MANIFOLDS for s in SCORES if supports(MANIFOLDS[n](), s)]


def cloud(kind: str, n: int, m: int, d: int) -> tuple[Tensor, Tensor]:
    """Points on the GPU, some of them coincident, close and opposite."""
    torch.manual_seed(n + m + d)
    name = kind.removesuffix("2").partition("_")[0]
    x, y = (MANIFOLDS[name]().random_normal(k, d, std=1.6 / d**0.5) for k in (n, m))
    if n > 8 and m > 8:
        y[0], y[1], y[3] = x[0], x[1] * (1 + 3e-7), -x[3]
        if name == "sphere":
            y[1] /= y[1].norm()
    return x.cuda(), y.cuda()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_values_within_64_eps_of_float64(kind, size):
    x, y = cloud(kind, *size)
    value = pairwise("Test", kind, x, y, None if kind.startswith("eucl") else 1.0)
    exact = PLAIN[kind](x.double(), y.double(), torch.ones((), dtype=torch.float64).cuda())
    floor = 16 * EPS if kind.endswith("angle") else 1e-37
    assert value.is_cuda and value.dtype == torch.float32
    assert ((value - exact).abs() <= 64 * EPS * exact.abs() + floor).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", sorted(fused.DIFFERENTIABLE))
def test_gradients_are_the_cpus(kind, size):
    x, y = cloud(kind, *size)
    c = torch.ones((), dtype=torch.float64)
    results = []
    for place in ("cuda", "cpu"):
        inputs = [t.to(place).clone().requires_grad_() for t in (x, y, c)]
        value = ops.pairwise(*inputs, kind)
        torch.manual_seed(0)
        g = torch.randn(value.shape).to(place)
        results.append([t.cpu() for t in torch.autograd.grad(value, inputs, g)])
    for a, b in zip(*results, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm() + 1e-5


@pytest.mark.parametrize("reduction", ["lse", "softplus"])
@pytest.mark.parametrize("name, score", SUMS)
def test_sums_and_gradients_are_float64s(name, score, reduction):
    """More than one tile each way; a few pairs close, of which some are in a tile of many."""
    torch.manual_seed(0)
    m = MANIFOLDS[name]()
    x, y = m.random_normal(5000, 16, std=0.4), m.random_normal(4500, 16, std=0.4)
    y[4200], y[7] = x[3], x[4500]
    results = []
    for dtype in (torch.float32, torch.float64):
        inputs = [t.to("cuda", dtype).requires_grad_() for t in (x, y)]
        take = logsumexp if reduction == "lse" else softplus_sum
        sums = take(m.cuda(), *inputs, score=score, scale=5.0, memory="tiled")
        loss = sums.row.sum() + sums.column.sin().sum() - sums.pair.sum()
        results.append((sums, torch.autograd.grad(loss, inputs)))
    for a, b in zip(*(s.row.abs() for s, _ in results), strict=True):
        assert abs(a - b) <= 1e-5 * (1 + b)
    for a, b in zip(*(g for _, g in results), strict=True):
        assert (a - b).norm() <= 1e-4 * b.norm()


def test_a_collapsed_batch_falls_to_float64():
    torch.manual_seed(0)
    m = Lorentz().cuda()
    x = (torch.randn(1, 8) + 1e-4 * torch.randn(300, 8)).cuda()
    narrow, wide = logsumexp(m, x, x, scale=3.0), logsumexp(m, x.double(), x.double(), scale=3.0)
    assert torch.allclose(narrow.row, wide.row, rtol=1e-6)


@pytest.mark.parametrize("kind", ["lorentz", "euclidean2"])
def test_results_repeat_bit_by_bit(kind):
    x, y = cloud(kind, 700, 900, 40)
    c = torch.ones((), dtype=torch.float64).cuda()
    results = []
    for _ in range(3):
        inputs = [t.clone().requires_grad_() for t in (x, y, c)]
        value = ops.pairwise(*inputs, kind)
        sums = logsumexp(Lorentz().cuda(), *inputs[:2], memory="tiled")
        loss = value.sin().sum() + sums.row.sum() + sums.column.sum()
        results.append([loss, *torch.autograd.grad(loss, inputs)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_rows_are_the_formulas():
    torch.manual_seed(0)
    x, y = (0.3 * torch.randn(2, 5000, 65)).cuda()
    y[0], y[1], x[2] = x[0], -x[1], 0
    for op in (F.lorentz_dist, F.lorentz_exterior_angle, F.poincare_dist, F.sphere_dist):
        a, b = x / 6, y / 6
        if op is F.sphere_dist:
            a, b = (torch.nn.functional.normalize(t + 1e-3, dim=-1) for t in (x, y))
        value, exact = op(a, b, 1.0), op(a.double(), b.double(), 1.0)
        assert ((value - exact).abs() <= 4 * EPS * exact.abs() + 4 * EPS).all()


def test_opcheck_compile_and_autocast():
    x, y = cloud("lorentz", 40, 50, 8)
    c = torch.ones((), dtype=torch.float64).cuda()
    inputs = [t.clone().requires_grad_() for t in (x, y, c)]
    torch.library.opcheck(ops.pairwise, (*inputs, "lorentz"))
    scalars = c, -c, 0 * c, 0, "lorentz", "arcosh", "lse", 0, "float32"
    torch.library.opcheck(sum_ops.forward, (x, y, *scalars))
    plain = ops.pairwise(x, y, c, "lorentz")
    compiled = torch.compile(lambda a, b: ops.pairwise(a, b, c, "lorentz"), fullgraph=True)
    assert torch.equal(compiled(x, y), plain)
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(ops.pairwise(x, y, c, "lorentz"), plain)
    half = [t.bfloat16() for t in (x, y)]
    exact = ops.pairwise(*(t.float() for t in half), c, "lorentz")
    assert torch.equal(ops.pairwise(*half, c, "lorentz"), exact)


def test_the_global_tf32_setting_changes_nothing():
    x, y = cloud("lorentz", 300, 300, 512)
    before = pairwise("Test", "lorentz", x, y, 1.0)
    backend = torch.backends.cuda.matmul
    setting = backend.fp32_precision
    backend.fp32_precision = "tf32"
    try:
        assert torch.equal(pairwise("Test", "lorentz", x, y, 1.0), before)
        assert backend.fp32_precision == "tf32"
    finally:
        backend.fp32_precision = setting


@pytest.mark.parametrize("precision, limit", [("bf16x3", 2**-15), ("tf32", 2**-9)])
def test_reduced_precision_keeps_its_stated_error(precision, limit):
    """Logits are off by at most `limit` of scale |x||y| (docs/kernels.md)."""
    torch.manual_seed(0)
    m, (x, y) = MANIFOLDS["sphere"]().cuda(), torch.randn(2, 3000, 256).cuda()
    x, y = (t / t.norm(dim=-1, keepdim=True) for t in (x, y))
    exact = logsumexp(m, x, y, score="dot", scale=20.0)
    loose = logsumexp(m, x, y, score="dot", scale=20.0, precision=precision)
    assert (loose.row - exact.row).abs().max() <= 20 * limit


def test_work_goes_to_the_current_stream():
    """Inputs that another stream is still busy with: only its own order makes them right."""
    x, y = cloud("lorentz", 2000, 2000, 64)
    expected = pairwise("Test", "lorentz", x, y, 1.0)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        late = torch.zeros_like(x)
        torch.cuda._sleep(200_000_000)
        late.copy_(x)
        value = pairwise("Test", "lorentz", late, y, 1.0)
    stream.synchronize()
    assert torch.equal(value, expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one device")
def test_a_device_that_is_not_the_current_one():
    x, y = cloud("lorentz", 300, 200, 16)
    expected = pairwise("Test", "lorentz", x, y, 1.0)
    other = pairwise("Test", "lorentz", x.to("cuda:1"), y.to("cuda:1"), 1.0)
    assert other.device == torch.device("cuda:1") and torch.cuda.current_device() == 0
    assert torch.equal(other.cpu(), expected.cpu())


def loss_memory(n: int, d: int) -> float:
    """GiB that a loss and its gradients take beyond the inputs, gradients included."""
    torch.manual_seed(0)
    m = Lorentz(learnable=True).cuda()
    x, y = ((0.05 * torch.randn(n, d, device="cuda")).requires_grad_() for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    sums = logsumexp(m, x, y, scale=10.0, memory="tiled")
    loss = (sums.row + sums.column - 2 * sums.pair).mean()
    loss.backward()
    torch.cuda.synchronize()
    assert loss.isfinite() and x.grad.isfinite().all() and y.grad.isfinite().all()
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def test_memory_of_32768_pairs():
    assert loss_memory(32768, 512) <= 0.5


def test_131072_pairs_run():
    loss_memory(131072, 256)
