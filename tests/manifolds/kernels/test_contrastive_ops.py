"""The sums as torch operators: opcheck, compile, autocast, layouts, dtypes, second derivatives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from manifolds import Euclidean, Lorentz
from manifolds.kernels import sum_ops
from manifolds.kernels.contrastive import logsumexp, softplus_sum

HELPER = Path(__file__).parents[2] / "helpers" / "compiled_kernels.py"
pytestmark = pytest.mark.usefixtures("small_tiles")


def points(n: int, d: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return Lorentz().to(dtype).random_normal(n, d, std=0.6, dtype=dtype)


def loss(m: Lorentz, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    sums = logsumexp(m, x, y, scale=scale, memory="tiled")
    return sums.row.sum() + sums.column.sin().sum() - sums.pair.sum()


@pytest.mark.parametrize("reduction", ["lse", "softplus"])
@pytest.mark.parametrize("keep", [0, 20])
def test_opcheck(reduction: str, keep: int, path: str) -> None:
    torch.manual_seed(0)
    x, y = points(20, 6).requires_grad_(), points(31, 6).requires_grad_()
    values = (0.7, -2.0, 0.3)
    scalars = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    options = (-2, "lorentz", "arcosh", reduction, keep, "float32")
    # Tracing with symbolic sizes costs 10 s; fullgraph compilation below covers it once.
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    inputs = (x, y, *scalars, *options)
    torch.library.opcheck(sum_ops.forward, inputs, test_utils=checks)
    with torch.no_grad():
        row, column, pair, reach, kept = sum_ops.forward(*inputs)
    given = (row.cos(), column.cos(), pair.cos(), row, column, reach, kept)
    plain = tuple(t.detach() for t in (x, y, *scalars))
    inputs = (*given, *plain, *options[:4], options[5])
    torch.library.opcheck(sum_ops.backward, inputs, test_utils=checks)


def test_compile_into_one_graph() -> None:
    """Sums, distances and angles; their values and gradients, on both paths."""
    environment = os.environ | {"PYTHONPATH": str(HELPER.parents[2])}
    command = [sys.executable, str(HELPER)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert set(found) == {"sums", "distances", "own", "arcs", "angles", "halfspace"}
    assert all(set(apart) == {"torch", "auto"} for apart in found.values())
    # The half-space has no operator: traced, its pairs are all direct, without the product.
    assert all(d < 4e-6 for d in found.pop("halfspace").values())
    assert not any(d for apart in found.values() for d in apart.values()), found


def test_autocast_changes_nothing(path: str) -> None:
    torch.manual_seed(0)
    m = Lorentz()
    inputs = [points(20, 6).requires_grad_(), points(20, 6).requires_grad_()]
    scale = torch.tensor(3.0)
    plain = loss(m, *inputs, scale)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = loss(m, *inputs, scale)
        grads = torch.autograd.grad(under, inputs)
    assert torch.equal(plain, under)
    for a, b in zip(torch.autograd.grad(plain, inputs), grads, strict=True):
        assert torch.equal(a, b)


def test_layouts_and_narrow_dtypes(path: str) -> None:
    torch.manual_seed(0)
    m, scale = Lorentz(), torch.tensor(3.0)
    x, y = points(40, 12), points(20, 6)
    strided = x[::2, ::2].requires_grad_()
    dense = strided.detach().contiguous().requires_grad_()
    results = []
    for a in (strided, dense):
        value = loss(m, a, y, scale)
        results.append((value, torch.autograd.grad(value, a)[0]))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    wide = y[:1].expand(20, 6)
    assert torch.equal(loss(m, dense, wide, scale), loss(m, dense, wide.contiguous(), scale))
    half = y.bfloat16().requires_grad_()
    value = loss(m, dense, half, scale)
    assert torch.equal(value, loss(m, dense, half.float(), scale))
    (grad,) = torch.autograd.grad(value, half)
    assert grad.dtype == torch.bfloat16


def test_gradcheck_first_and_second_order() -> None:
    torch.manual_seed(0)
    m = Lorentz(c=0.7, learnable=True).double()
    x, y = points(4, 2, torch.float64), points(4, 2, torch.float64)
    scale = torch.tensor(2.0, dtype=torch.float64)
    # gradcheck moves its inputs in place, log_c among them.
    inputs = [*(t.clone().requires_grad_() for t in (x, y, scale)), m.log_c]
    assert torch.autograd.gradcheck(lambda *a: loss(m, *a[:3]), inputs)
    assert torch.autograd.gradgradcheck(lambda *a: loss(m, *a[:3]), inputs, fast_mode=True)

    def softplus(x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        sums = softplus_sum(Euclidean(), x, y, score="-dist2", scale=scale, bias=bias)
        return sums.row.sin().sum() + sums.pair.sum()

    inputs[3] = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(softplus, inputs)
    assert torch.autograd.gradgradcheck(softplus, inputs, fast_mode=True)


@pytest.mark.parametrize("reduction", ["lse", "softplus"])
def test_a_graph_of_the_gradient_changes_no_gradient(reduction: str, path: str) -> None:
    """Also where x, y and the scale depend on one another and on c."""
    torch.manual_seed(0)
    m = Lorentz(c=0.7, learnable=True)
    x = points(20, 6).requires_grad_()
    for y, scale in ((points(20, 6).requires_grad_(), torch.tensor(3.0)), (0.9 * x, 2 / m.c)):
        if reduction == "lse":
            value = loss(m, x, y, scale)
        else:
            value = softplus_sum(m, x, y, scale=scale, bias=-m.c, memory="tiled").row.sum()
        wanted = [x, m.log_c]
        linear = torch.autograd.grad(value, wanted, retain_graph=True)
        plain = torch.autograd.grad(value, wanted, create_graph=True)
        for a, b in zip(linear, plain, strict=True):
            assert b.requires_grad
            assert_close(a, b.detach(), rtol=1e-5, atol=1e-5)


def test_gradients_of_only_one_input() -> None:
    torch.manual_seed(0)
    x, y = points(20, 6), points(20, 6).requires_grad_()
    sums = logsumexp(Lorentz(), x, y, scale=2.0, memory="tiled")
    (grad,) = torch.autograd.grad(sums.pair.sum(), y)
    expected = torch.autograd.grad(-2.0 * Lorentz().dist(x, y).sum(), y)[0]
    assert_close(grad, expected, rtol=1e-5, atol=1e-7)
