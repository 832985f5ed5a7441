"""Elementary functions in double words, and derivatives on a tape, against mpmath."""

import mpmath
import pytest
import torch

from manifolds import widemath
from manifolds.doubleword import Wide, wide
from manifolds.tape import Number, Tape, Vector, choose, share

Z = torch.cat([10.0 ** torch.linspace(-30, 5, 40).double(), torch.tensor([0.2499, 0.25]).double()])


def ratio(f):
    """f(t)/t of z = t^2."""
    return lambda z: f(mpmath.sqrt(z)) / mpmath.sqrt(z)


FUNCTIONS = {
    "cosh": (lambda z: widemath.cosh_sinhc(z)[0], lambda z: mpmath.cosh(mpmath.sqrt(z))),
    "sinhc": (lambda z: widemath.cosh_sinhc(z)[1], ratio(mpmath.sinh)),
    "tanhc": (widemath.tanhc, ratio(mpmath.tanh)),
    "arc": (widemath.arc, lambda q: mpmath.asinh(mpmath.sqrt(q)) / mpmath.sqrt(q * (1 + q))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives_have_two_words(name):
    ours, exact = FUNCTIONS[name]
    found = ours(wide(Z, Z))
    with mpmath.workdps(140):
        for i, z in enumerate(Z.tolist()):
            z = mpmath.mpf(z)
            h = z * mpmath.mpf(10) ** -40
            wanted = exact(z), (exact(z + h) - exact(z - h)) / (2 * h)
            for word, value in zip(found, wanted, strict=True):
                got = mpmath.mpf(word.high[i].item()) + mpmath.mpf(word.low[i].item())
                assert abs(got - value) <= 1e-26 * abs(value), (name, z)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_zero_and_very_large_arguments_are_finite(name):
    largest = 1e280 if name in ("tanhc", "arc") else 4e5  # cosh(632) is 1e274
    z = torch.tensor([0.0, largest], dtype=torch.float64)
    value, slope = (word.value for word in FUNCTIONS[name][0](wide(z, z)))
    assert value[0].item() == 1
    assert value.isfinite().all() and slope.isfinite().all()


def test_a_formula_on_a_tape_has_the_derivatives_of_autograd():
    torch.manual_seed(0)
    x, y, u = (torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    c = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def formula(c, xx, xy, across):
        below = (xx * c + 1.0).sqrt()
        first = (2.0 - xy) / below
        return first * c - xy * 3.0 + across * xx / below

    def dot(a, b):
        return (a * b).sum(-1, keepdim=True)

    part = y - dot(x, y) / dot(x, x) * x
    plain = formula(c, dot(x, x), dot(x, y), dot(part, part))
    plain = torch.where(dot(x, y) > 0, plain, dot(x - u, y))
    expected = torch.autograd.grad(plain.sum(), (c, x, y, u))

    tape, expanded = Tape(), c.detach().expand(5, 1)
    number = Number(Wide(expanded, torch.zeros(5, 1).double()))
    a, b = Vector(x.detach(), {"x": 1}), Vector(y.detach(), {"y": 1})
    step = Vector((x - u).detach(), {"x": 1, "u": -1})
    xx, xy, across = tape.product(a, a), tape.product(a, b), tape.across(b, a)[0]
    below = (xx * number + 1.0).sqrt()
    first = (2.0 - xy) / below * number - xy * 3.0 + share(across, xx, below)
    result = choose(xy.value.high > 0, first, tape.product(step, b))
    torch.testing.assert_close(result.value.value, plain.detach())
    for got, want in zip(tape.derivatives(result, "xyu", number), expected, strict=True):
        torch.testing.assert_close(got, want)
