"""Elementary functions against high precision, and their gradients where plain forms have none."""

from fractions import Fraction

import mpmath
import pytest
import torch

from manifolds import numerics

RATIOS = {
    "sinhc": mpmath.sinh,
    "asinhc": mpmath.asinh,
    "tanhc": mpmath.tanh,
    "atanhc": mpmath.atanh,
    "sinc": mpmath.sin,
}


@pytest.mark.parametrize("name", RATIOS)
def test_ratios_and_their_slopes(name):
    exact = RATIOS[name]
    with mpmath.workdps(60):
        for value in (0.0, 1e-12, 1e-3, 0.1, 0.124999, 0.125001, 0.5, 0.9):
            z = torch.tensor(value, dtype=torch.float64, requires_grad=True)
            ratio = getattr(numerics, name)(z)
            (slope,) = torch.autograd.grad(ratio, z, create_graph=True)
            t = mpmath.mpf(value)
            expected = exact(t) / t if value else mpmath.mpf(1)
            assert ratio.item() == pytest.approx(float(expected), rel=1e-15)
            expected = (mpmath.diff(exact, t) - exact(t) / t) / t if value else mpmath.mpf(0)
            assert slope.item() == pytest.approx(float(expected), rel=1e-13)
            assert torch.autograd.grad(slope, z)[0].isfinite()


def test_double_words_are_exact():
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        a, b = torch.randn(2, 200, dtype=dtype)
        for operation, exact in (
            (numerics.two_sum, Fraction.__add__),
            (numerics.two_product, Fraction.__mul__),
        ):
            high, low = operation(a, b)
            for k in range(200):
                total = Fraction(high[k].item()) + Fraction(low[k].item())
                assert total == exact(Fraction(a[k].item()), Fraction(b[k].item()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_deficit_next_to_the_rim(dtype):
    torch.manual_seed(0)
    eps = torch.finfo(dtype).eps
    for c in (0.1, 1.0, 10.0):
        curvature = torch.tensor(c, dtype=dtype)
        for gap in (0.5, 1e-3, 8 * eps):
            x = torch.randn(20, 7, dtype=torch.float64)
            x = (x / x.norm(dim=-1, keepdim=True) * ((1 - gap) / c) ** 0.5).to(dtype)
            computed = numerics.deficit(x, curvature)[:, 0]
            for k in range(20):
                square = sum(Fraction(v) ** 2 for v in x[k].tolist())
                exact = float(1 - Fraction(curvature.item()) * square)
                if exact > 0:
                    assert computed[k].item() == pytest.approx(exact, rel=4 * eps)
                else:
                    assert computed[k].isnan()


def test_no_gradient_is_nan_at_zero():
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for result in (
        numerics.safe_sqrt(zero),
        numerics.safe_divide(zero, zero),
        numerics.safe_norm(zero),
        numerics.safe_hypot(zero, zero),
        numerics.safe_atan2(zero, zero),
    ):
        assert (result == 0).all()
        assert (torch.autograd.grad(result.sum(), zero)[0] == 0).all()


def test_norm_neither_overflows_nor_underflows():
    x = torch.tensor([[3e200, 4e200], [3e-200, 4e-200], [3.0, 4.0]], dtype=torch.float64)
    norm = numerics.safe_norm(x.requires_grad_())
    assert norm[:, 0].tolist() == pytest.approx([5e200, 5e-200, 5.0], rel=1e-15)
    assert norm[2].item() == 5
    (grad,) = torch.autograd.grad(norm.sum(), x)
    assert torch.allclose(grad, torch.tensor([0.6, 0.8], dtype=torch.float64))
