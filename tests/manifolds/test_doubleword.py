"""Double words against exact fractions, and the operations that are made of them."""

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from manifolds import doubleword as dw
from manifolds.doubleword import Wide
from manifolds.hyperboloid import exponential, exterior_angle, logarithm, transport
from manifolds.polar import hyperbolic_q

# Two words less a few bits: 2^-53 (2^-24) squared, times 2^4.
BOUND = {torch.float64: Fraction(1, 2**102), torch.float32: Fraction(1, 2**44)}


def fraction(w: Wide, i: int) -> Fraction:
    return Fraction(w.high[i].item()) + Fraction(w.low[i].item())


def numbers(dtype: torch.dtype, *, positive: bool = False) -> Wide:
    high = torch.randn(50, dtype=dtype) * 10 ** torch.linspace(-6, 6, 50, dtype=dtype)
    high = high.abs() if positive else high
    return Wide(high, torch.finfo(dtype).eps / 4 * torch.randn(50, dtype=dtype) * high)


@pytest.mark.parametrize("dtype", BOUND)
def test_arithmetic_keeps_two_words(dtype):
    torch.manual_seed(0)
    a, b = numbers(dtype), numbers(dtype)
    results = {"+": a + b, "-": a - b, "*": a * b, "/": a / b, "1/": 1.0 / b, "*t": a * b.high}
    root = numbers(dtype, positive=True)
    for i in range(50):
        p, q = fraction(a, i), fraction(b, i)
        exact = {"+": p + q, "-": p - q, "*": p * q, "/": p / q, "1/": 1 / q}
        exact["*t"] = p * Fraction(b.high[i].item())
        for name, value in exact.items():
            scale = abs(p) + abs(q) if name in "+-" else abs(value)
            assert abs(fraction(results[name], i) - value) <= BOUND[dtype] * scale, name
        square = fraction(root.sqrt(), i) ** 2
        assert abs(square - fraction(root, i)) <= 4 * BOUND[dtype] * square


@pytest.mark.parametrize("dtype", BOUND)
def test_products_and_parts_of_vectors(dtype):
    torch.manual_seed(0)
    x, y = torch.randn(2, 7, dtype=dtype)
    exact = sum(Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True))
    assert abs(fraction(dw.dot(x, y), 0) - exact) <= 8 * BOUND[dtype] * Fraction(
        x.norm().item() * y.norm().item()
    )
    near = y * 1e-6 + 3 * x
    rest = dw.across(near, x)
    step, unit = ([Fraction(p) for p in v.tolist()] for v in (near, x))
    along = sum(p * q for p, q in zip(step, unit, strict=True)) / sum(q * q for q in unit)
    across = [p - along * q for p, q in zip(step, unit, strict=True)]
    for i in range(7):
        error = fraction(rest, i) - across[i]
        assert abs(error) <= 64 * BOUND[dtype] * max(abs(v) for v in across)


def test_zero_and_one_axis():
    zero, one = (torch.tensor([v], dtype=torch.float64) for v in (0.0, 1.0))
    assert (dw.wide(one, one) / zero).value.item() == 0
    assert dw.wide(zero, zero).sqrt().value.item() == 0
    x = torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64)
    assert dw.across(x / 3, x).value.tolist() == [0.0, 0.0, 0.0]
    beside = torch.tensor([7.0, 1e-250, 0.0], dtype=torch.float64)
    assert dw.across(beside, x).value.tolist() == [0.0, 1e-250, 0.0]
    assert dw.across(x, 0 * x).value.tolist() == x.tolist()
    tiny = torch.tensor([3e-170, 4e-170], dtype=torch.float64)
    assert dw.norm(tiny).value.item() == pytest.approx(5e-170, rel=1e-15)


def test_grafted_takes_the_value_from_one_and_the_derivatives_from_the_other():
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = dw.grafted(torch.tensor([7.0, math.nan]), x**2)
    assert y.tolist() == [7.0, 9.0]  # not finite: the plain one
    (grad,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert grad.tolist() == [4.0, 6.0]
    assert torch.autograd.grad(grad.sum(), x)[0].tolist() == [2.0, 2.0]


def points() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    x, y = torch.randn(2, 2, 3, dtype=torch.float64)
    return x.requires_grad_(), y.requires_grad_(), torch.tensor(0.7).double().requires_grad_()


FORMS = {
    "q": lambda x, y, c, fine: hyperbolic_q(x, y, c, fine=fine),
    "expmap": lambda x, y, c, fine: exponential(x, y, c, fine=fine),
    "logmap": lambda x, y, c, fine: logarithm(x, y, c, fine=fine),
    "transp": lambda x, y, c, fine: transport(x, y, x.flip(-1), c, fine=fine),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_fine_forms_equal_plain_ones_and_have_their_derivatives(form):
    x, y, c = points()
    values = [FORMS[form](x, y, c, fine) for fine in (True, False)]
    torch.testing.assert_close(*values, rtol=1e-12, atol=1e-13)

    def fine(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        return FORMS[form](x, y, c, True)

    assert torch.autograd.gradcheck(fine, (x, y, c), fast_mode=True)
    assert torch.autograd.gradgradcheck(fine, (x, y, c), fast_mode=True)


@pytest.mark.slow
def test_exterior_angle_in_double_words_has_its_derivatives():
    x, y, c = points()
    assert torch.autograd.gradcheck(exterior_angle, (x, y, c), fast_mode=True)
    assert torch.autograd.gradgradcheck(exterior_angle, (x, y, c), fast_mode=True)


@pytest.mark.parametrize("form", [*FORMS, "angle"])
def test_fine_forms_under_torch_func(form):
    x, y, c = (t.detach() for t in points())

    def value(x: Tensor) -> Tensor:
        return exterior_angle(x, y[0], c) if form == "angle" else FORMS[form](x, y[0], c, True)

    mapped = torch.func.vmap(value)(x)
    torch.testing.assert_close(mapped, torch.stack([value(row) for row in x]))

    def total(x: Tensor) -> Tensor:
        return value(x).sum()

    gradients = torch.func.vmap(torch.func.grad(total))(x)
    for row, gradient in zip(x, gradients, strict=True):
        leaf = row.clone().requires_grad_()
        torch.testing.assert_close(torch.autograd.grad(total(leaf), leaf)[0], gradient)
