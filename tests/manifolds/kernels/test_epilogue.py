"""The elementary functions that host and device share, against mpmath, in units of the last
place.
"""

import ctypes
import math
from pathlib import Path

import mpmath
import pytest
import torch
from mpmath import mpf
from torch import Tensor

from manifolds.kernels import build

SOURCE = Path(__file__).with_name("elementary.cpp")


def logarithmic(low: float, high: float, n: int = 1500) -> Tensor:
    """n float32 numbers between low and high, evenly spread in their logarithm."""
    return torch.logspace(math.log10(low), math.log10(high), n, dtype=torch.float64).float()


def linear(low: float, high: float, n: int = 1500) -> Tensor:
    return torch.linspace(low, high, n)


CASES = {  # number in elementary.cpp, definition, arguments, limit in ulp
    "log1p": (0, mpmath.log1p, logarithmic(1e-30, 1e37), 1.5),
    "log": (1, mpmath.log, logarithmic(1e-37, 8e37), 1.5),
    "exp": (2, mpmath.exp, linear(-70, 88), 1.5),
    "1 - exp(-x)": (3, lambda x: -mpmath.expm1(-x), logarithmic(1e-30, 200), 1.5),
    "acosh(1 + x)": (4, lambda u: mpmath.acosh(1 + u), logarithmic(1e-20, 2e37), 2.5),
    "asinh": (5, mpmath.asinh, logarithmic(1e-30, 1e18), 2.5),
    "asin(sqrt(x))": (
        6,
        lambda z: mpmath.asin(mpmath.sqrt(z)),
        torch.cat([logarithmic(1e-30, 1), linear(0, 1), 1 - logarithmic(1e-7, 0.5)]),
        2.5,
    ),
    "sin": (8, mpmath.sin, torch.cat([logarithmic(1e-20, 1.57), linear(0, 1.57)]), 2),
}


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    """f, x, y -> values in float32, by the compiled functions."""
    folder = tmp_path_factory.mktemp("elementary")
    try:
        compiler = build.find_compiler()
    except build.BuildError as reason:
        pytest.skip(str(reason))
    build.compile_cpp(compiler, [SOURCE], folder / "elementary.so", folder, [f"-I{build.CSRC}"])
    handle = ctypes.CDLL(str(folder / "elementary.so"))

    def run(f: int, x: Tensor, y: Tensor | None = None) -> Tensor:
        out = torch.empty_like(x)
        pointers = [ctypes.c_void_p(t.data_ptr()) for t in (x, x if y is None else y, out)]
        count = ctypes.c_int64(x.numel())
        assert handle.manifolds_elementary(ctypes.c_int64(f), *pointers, count) == 0
        return out

    return run


def ulps(value: float, exact: mpf) -> float:
    _, exponent = math.frexp(float(exact))
    return float(abs(mpf(value) - exact) / mpf(2) ** max(exponent - 24, -149))


@pytest.mark.parametrize("name", CASES)
def test_error_in_units_of_the_last_place(name, evaluate):
    number, definition, x, limit = CASES[name]
    with mpmath.workdps(30):
        errors = [
            ulps(value, definition(mpf(argument)))
            for value, argument in zip(evaluate(number, x).tolist(), x.tolist(), strict=True)
        ]
    assert max(errors) <= limit, f"{max(errors):.2f} ulp at {x[errors.index(max(errors))]:.9g}"


def test_angle_of_a_vector(evaluate):
    torch.manual_seed(0)
    x = torch.randn(2000) * logarithmic(1e-6, 1e6, 2000)
    y = torch.randn(2000).abs()
    with mpmath.workdps(30):
        errors = [
            ulps(value, mpmath.atan2(mpf(b), mpf(a)))
            for value, a, b in zip(evaluate(7, x, y).tolist(), x.tolist(), y.tolist(), strict=True)
        ]
    assert max(errors) <= 2.5
    axis = evaluate(7, torch.tensor([0.0, 1.0, -1.0]), torch.zeros(3))
    assert axis.tolist() == [0, 0, torch.tensor(math.pi).item()]


def test_cosine_up_to_a_right_angle(evaluate):
    x = linear(0, math.pi / 2)
    assert (evaluate(9, x).double() - x.double().cos()).abs().max() <= 2**-23


def test_exp_is_a_true_zero_where_weights_would_be_denormal(evaluate):
    x = torch.tensor([-70.1, -87.0, -100.0, -1e30, -math.inf])
    assert (evaluate(2, x) == 0).all()
    assert (evaluate(2, linear(-70, -60)) > 1e-31).all()


def test_nan_stays_nan(evaluate):
    x = torch.full((4,), math.nan)
    for number in (0, 1, 4, 5, 6, 8, 9):
        assert evaluate(number, x).isnan().all(), number
