"""Both contrastive losses in linear memory equal the plain formula in float64, every geometry."""

import copy
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import manifolds
from geomclip import build_geometry
from geomclip.geometry import GEOMETRIES, Geometry
from geomclip.losses import (
    info_nce,
    initial_bias,
    sigmoid_loss,
    sigmoid_loss_from_logits,
    sums,
)
from geomclip.spec import GeometrySpec
from manifolds.kernels import contrastive, library, tiles

EPS = 1.2e-7


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "CPU_TILE", (32, 64))
    torch.manual_seed(0)


def batch(g: Geometry, n: int) -> tuple[Tensor, Tensor]:
    """Features of n pairs that belong together, some of them the same."""
    f = torch.randn(n, g.dim)
    h = f + 0.5 * torch.randn(n, g.dim)
    h[:5] = f[:5]
    return f, h


def gradients(
    g: Geometry, f: Tensor, h: Tensor, memory: str, sigmoid: bool
) -> tuple[Tensor, list[Tensor]]:
    f, h = (t.clone().requires_grad_() for t in (f, h))
    x, y = g.lift(f, "image"), g.lift(h, "text")
    bias = torch.tensor(-3.0, dtype=f.dtype, requires_grad=True)
    loss = (
        sigmoid_loss(g, x, y, bias, memory=memory) if sigmoid else info_nce(g, x, y, memory=memory)
    )
    wanted = [f, h, *g.scalar_parameters(), *([bias] if sigmoid else [])]
    return loss.detach(), list(torch.autograd.grad(loss, wanted))


@pytest.mark.parametrize("highest", [False, True])
@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_equals_the_plain_loss_in_float64(
    name: str, sigmoid: bool, highest: bool, path: str
) -> None:
    """At the initial temperature, and at the highest, with pairs that don't find one another."""
    g = build_geometry(name, 16)
    f, h = batch(g, 90)
    if highest:
        h[5:] += 2 * torch.randn(85, 16)
        with torch.no_grad():
            g.logit_scale.fill_(math.log(100))
    check(g, f, h, sigmoid)


@pytest.mark.slow
@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("path", ["torch", "cpp"])  # the emulated grid takes minutes at this size
def test_equals_the_plain_loss_in_float64_at_scale(
    name: str, sigmoid: bool, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "cpp" and library.load() is None:
        pytest.skip(f"no C++ kernels: {library.missing()}")
    monkeypatch.undo()
    monkeypatch.setenv("MANIFOLDS_KERNELS", path)
    g = build_geometry(name, 512)
    check(g, *batch(g, 2048), sigmoid)


def check(g: Geometry, f: Tensor, h: Tensor, sigmoid: bool) -> None:
    wide = copy.deepcopy(g).double()
    expected, exact = gradients(wide, f.double(), h.double(), "plain", sigmoid)
    loss, grads = gradients(g, f, h, "tiled", sigmoid)
    assert loss.dtype == torch.float32
    assert_close(loss.double(), expected, rtol=8 * EPS, atol=0)
    for ours, plain in zip(grads[:2], exact[:2], strict=True):
        assert (ours - plain).norm() <= 64 * EPS * plain.norm()
    for ours, plain in zip(grads[2:], exact[2:], strict=True):  # scalars: n^2 terms of both signs
        assert abs(ours - plain) <= 64 * EPS * (abs(plain) + 1)
    kept, same = gradients(g, f, h, "buffer", sigmoid)
    assert all(torch.equal(a, b) for a, b in zip((loss, *grads), (kept, *same), strict=True))


def test_float64_batches_stay_in_float64() -> None:
    g = build_geometry("hyperbolic", 16).double()
    f, h = (t.double() for t in batch(g, 70))
    for sigmoid in (False, True):
        loss, grads = gradients(g, f, h, "tiled", sigmoid)
        expected, exact = gradients(g, f, h, "plain", sigmoid)
        assert_close(loss, expected, rtol=1e-13, atol=0)
        for ours, plain in zip(grads, exact, strict=True):
            assert_close(ours, plain, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("which", ["product", "halfspace"])
def test_manifolds_without_kernels_go_in_bands(
    which: str, sigmoid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if which == "product":
        factors = [manifolds.Lorentz(learnable=True), manifolds.Euclidean()]
        m: manifolds.Manifold = manifolds.Product(factors, dims=[3, 2])
    else:
        m = manifolds.UpperHalfSpace()
    g = Geometry(GeometrySpec(which, "expmap0", "-dist"), m, 5).double()
    assert not contrastive.supports(m, "-dist")
    f, h = (0.3 * t.double() for t in batch(g, 40))
    monkeypatch.setattr(sums, "BAND", 7 * 40)
    loss, grads = gradients(g, f, h, "tiled", sigmoid)
    expected, exact = gradients(g, f, h, "plain", sigmoid)
    assert_close(loss, expected, rtol=1e-12, atol=0)
    for ours, plain in zip(grads, exact, strict=True):
        assert_close(ours, plain, rtol=1e-9, atol=1e-12)


def test_auto_is_plain_for_small_batches_and_repeats() -> None:
    g = build_geometry("hyperbolic", 8)
    for n, memory in ((128, "plain"), (300, "tiled")):
        f, h = batch(g, n)
        auto, again = gradients(g, f, h, "auto", False), gradients(g, f, h, "auto", False)
        same = gradients(g, f, h, memory, False)
        for a, b, c in zip(
            [auto[0], *auto[1]], [again[0], *again[1]], [same[0], *same[1]], strict=True
        ):
            assert torch.equal(a, b)
            assert torch.equal(a, c)


@pytest.mark.parametrize("memory", ["plain", "tiled"])
def test_exact_values(memory: str) -> None:
    g = build_geometry("euclidean", 2)
    with torch.no_grad():
        g.logit_scale.fill_(0.0)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    loss = info_nce(g, x, x, memory=memory)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-6)
    # Pairs at distance 0, others at 1: log(1 + e^0) + log(1 + e^-1) for every row.
    loss = sigmoid_loss(g, x, x, 0.0, memory=memory)
    assert loss.item() == pytest.approx(math.log(2) + math.log1p(math.exp(-1)), rel=1e-6)
    one = sigmoid_loss(g, x[:1], x[:1], -2.0, memory=memory)
    assert one.item() == pytest.approx(math.log1p(math.exp(2)), rel=1e-6)
    assert info_nce(g, x[:1], x[1:], memory=memory).item() == 0


def test_sigmoid_loss_is_its_definition() -> None:
    logits = 4 * torch.randn(7, 7, dtype=torch.float64)
    total = 0.0
    for i in range(7):
        for j in range(7):
            z = 1 if i == j else -1
            total += math.log1p(math.exp(-z * (logits[i, j].item() - 1.5)))
    assert sigmoid_loss_from_logits(logits, -1.5).item() == pytest.approx(total / 7, rel=1e-12)
    # Equal logits at the initial bias: every row's others weigh as much as its own pair.
    n = 9
    bias = torch.tensor(initial_bias(n), dtype=torch.float64, requires_grad=True)
    sigmoid_loss_from_logits(torch.zeros(n, n, dtype=torch.float64), bias).backward()
    assert bias.grad is not None and bias.grad.item() == pytest.approx(-(n - 2) / n, abs=1)
    weights = torch.sigmoid(bias).item() * (n - 1), torch.sigmoid(-bias).item()
    assert weights[0] == pytest.approx(weights[1] * 1.0, rel=1e-12)


@pytest.mark.parametrize("apart", [0.0, 1e-6, 1e-3])
@pytest.mark.parametrize("name", ["elliptic", "euclidean", "hyperbolic", "poincare"])
def test_pairs_that_coincide_have_exact_gradients(name: str, apart: float, path: str) -> None:
    """Where acosh of a clamped product has an infinite slope, or none; so for a batch of copies."""
    g = build_geometry(name, 8)
    f = torch.randn(50, 8)
    for h in (f + apart * torch.randn(50, 8), f[:1] + apart * torch.randn(50, 8)):
        points = [g.lift(t, side).detach() for t, side in ((f, "image"), (h, "text"))]
        results = []
        for space, dtype in ((g, torch.float32), (copy.deepcopy(g).double(), torch.float64)):
            x, y = (t.to(dtype).requires_grad_() for t in points)
            loss = info_nce(space, x, y, memory="tiled" if space is g else "plain")
            results.append((loss, torch.autograd.grad(loss, (x, y))))
        (loss, grads), (expected, exact) = results
        assert_close(loss.double(), expected, rtol=16 * EPS, atol=0)
        for ours, plain in zip(grads, exact, strict=True):
            assert (ours - plain).norm() <= 64 * EPS * plain.norm()


def test_what_can_t_be_asked(unchecked: None) -> None:
    g, x = build_geometry("clip", 4), torch.nn.functional.normalize(torch.randn(6, 4), dim=-1)
    for loss in (info_nce, lambda g, x, y, **k: sigmoid_loss(g, x, y, 0.0, **k)):
        with pytest.raises(ValueError, match=r"at least one pair, got \(0, 4\)"):
            loss(g, x[:0], x[:0])
        with pytest.raises(ValueError, match=r"got \(6, 4\) and \(5, 4\)"):
            loss(g, x, x[:5])
        with pytest.raises(ValueError, match="memory must be one of auto, plain, tiled, buffer"):
            loss(g, x, x, memory="linear")
        with pytest.raises(ValueError, match="last dimension of x must be 4"):
            loss(g, x[:, :3], x[:, :3])
    with pytest.raises(ValueError, match="square logits"):
        sigmoid_loss_from_logits(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="at least 2 pairs"):
        initial_bias(1)
    with pytest.raises(ValueError, match="CUDA devices only"):
        info_nce(g, x, x, memory="tiled", precision="tf32")


MEASURE = """
import torch
from geomclip import build_geometry
from geomclip.losses import info_nce
from manifolds import topk

def peak(reset=False):
    if reset:
        open("/proc/self/clear_refs", "w").write("5")
    lines = open("/proc/self/status").read().splitlines()
    return int(next(s for s in lines if s.startswith("VmHWM")).split()[1]) / 1024

torch.set_num_threads(1)
g = build_geometry("hyperbolic", 64)
def batch(n):
    return [g.lift(torch.randn(n, 64), s).detach().requires_grad_() for s in ("image", "text")]
info_nce(g, *batch(600)).backward()  # thread pools, the library
x, y = batch(6000)
before = peak(reset=True)
info_nce(g, x, y, memory="tiled").backward()
print(peak() - before)
x, y = (torch.randn(12000, 8) for _ in range(2))
before = peak(reset=True)
topk(g.manifold, x, y, 3)
print(peak() - before)
"""


def test_peak_memory_is_linear() -> None:
    """6000 x 6000 logits would need 144 MB in float32 once, about 1 GB in the plain formula; 12000
    x 12000 distances 576 MB, and 1.7 GB once sorted.
    """
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pytest.skip("the peak memory of a process can't be reset here")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    loss, neighbours = map(float, done.stdout.split())
    assert loss < 50 and neighbours < 200
