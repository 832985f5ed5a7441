"""Row-wise operations of float32 points: equal to the float64 formulas, to the last digit.

The float64 formulas themselves are held against high precision elsewhere.
"""

import dataclasses
import math

import mpmath
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.func import grad, jacrev, vmap

from manifolds import functional as F
from manifolds.cones import aperture
from manifolds.numerics import asinhc, sinhc
from manifolds.rowwise import (
    ArcDistance,
    BallDistance,
    ChordDistance,
    Frame,
    PolarAngle,
    PolarDistance,
    fused,
    passes,
)
from manifolds.rowwise.profiles import Radial

EPS = 1.2e-7
ONE = ("dist0", "expmap0", "logmap0", "half_aperture")
TWO = ("dist", "exterior_angle")
CASES = [
    *((m, op) for m in ("lorentz", "poincare") for op in (*ONE, *TWO)),
    *(("euclidean", op) for op in ("dist0", "half_aperture", *TWO)),
    ("sphere", "dist"),
]


@pytest.fixture(autouse=True)
def torch_passes(monkeypatch):
    """The passes in torch, also where a compiled implementation is live."""
    monkeypatch.setitem(passes.PASSES, "cpu", passes.torch_passes)


def operation(manifold: str, op: str):
    """The operation as a function of points and c."""
    function = getattr(F, f"{manifold}_{op}")
    return (lambda *a: function(*a[:-1])) if manifold == "euclidean" else function


def points(manifold: str, op: str, n: int, d: int, c: float, radius: float = 1.0) -> list[Tensor]:
    """float32 points around a radius, tangent vectors for expmap0."""
    torch.manual_seed(0)
    u = radius * torch.randn(2, n, d, dtype=torch.float64) / math.sqrt(d * c)
    if op == "expmap0":
        return [u[0].float()]
    if manifold == "sphere":
        u = F.sphere_projx(u, c)
    elif manifold != "euclidean":
        u = getattr(F, f"{manifold}_expmap0")(u / (2 if manifold == "poincare" else 1), c)
    return list(u.float())[: 2 if op in TWO else 1]


def derivatives(f, inputs: list[Tensor], c: Tensor) -> list[Tensor]:
    """Value and gradients of points and c, of a fixed sum of the value."""
    leaves = [p.detach().clone().requires_grad_() for p in inputs]
    c = c.detach().clone().requires_grad_()
    value = f(*leaves, c)
    weight = torch.linspace(0.5, 1.5, value.numel()).reshape(value.shape).to(value)
    total = (value * weight).sum() + 0 * c
    return [value.detach(), *torch.autograd.grad(total, [*leaves, c])]


def errors(got: list[Tensor], expected: list[Tensor]) -> list[float]:
    """Relative errors in the norm of rows."""
    result = []
    for a, b in zip(got, expected, strict=True):
        a, b = a.double(), b.double()
        if b.ndim == 2:
            a, b = (a - b).norm(dim=-1), b.norm(dim=-1)
        else:
            a, b = (a - b).abs(), b.abs()
        result.append(torch.where(a == 0, a, a / b).max().item())
    return result


@pytest.mark.parametrize("c", [0.1, 10.0])
@pytest.mark.parametrize(("manifold", "op"), CASES)
def test_float32_points_give_the_digits_of_float64(manifold, op, c):
    f, c = operation(manifold, op), torch.tensor(c, dtype=torch.float64)
    for d, radius in ((2, 1e-3), (2, 3.0), (64, 0.3), (300, 1.0)):
        inputs = points(manifold, op, 40, d, c.item(), radius)
        got = derivatives(f, inputs, c)
        assert all(t.dtype == torch.float32 for t in got[:-1])
        wide = derivatives(f, [p.double() for p in inputs], c)
        value, *slopes, slope_c = errors(got, wide)
        assert value <= EPS and max(slopes) <= EPS, (d, radius, value, slopes)
        # Radii of 1e-3: the derivative of c is what is left of d/(2c).
        assert slope_c <= 64 * EPS, (d, radius, slope_c)


def lorentz_reference(x: Tensor, y: Tensor, c: float, op: str) -> list[list[mpmath.mpf]]:
    """Value, gradients of x, y and c by the definitions and central differences, 160 digits."""

    def value(x, y, c):
        times = [mpmath.sqrt(1 / c + mpmath.fdot(p, p)) for p in (x, y)]
        product = c * (mpmath.fdot(x, y) - times[0] * times[1])
        if op == "dist":
            return mpmath.acosh(-product) / mpmath.sqrt(c)
        above = times[1] + product * times[0]
        return mpmath.acos(above / mpmath.norm(x) / mpmath.sqrt(product**2 - 1))

    with mpmath.workdps(160):
        inputs = [mpmath.mpf(v) for v in (*x.tolist(), *y.tolist(), c)]
        d, h = len(x), mpmath.mpf(10) ** -50

        def at(i, step):
            moved = [v + (step if j == i else 0) for j, v in enumerate(inputs)]
            return value(moved[:d], moved[d:-1], moved[-1])

        slopes = [mpmath.re(at(i, h) - at(i, -h)) / (2 * h) for i in range(2 * d + 1)]
        return [[mpmath.re(at(0, 0))], slopes[:d], slopes[d:-1], slopes[-1:]]


PAIRS = {
    "near": (1.0, 1.0, 1e-4, 0.0),
    "nearer": (1.0, 1.0, 1e-7, 0.0),
    "almost the same": (0.1, 0.1, 1e-12, 1.0),
    "tangential at radius 10": (10.0, 10.0, 1e-3, 1.0),
    "radial at radius 10": (10.0, 10.001, 1e-9, 0.0),
    "one far, one near": (25.0, 0.1, 1.0, 0.0),
    "one near, one far": (1e-3, 16.0, 1.0, 0.0),
    "beside the axis": (1.0, 3.0, 1e-9, 1.0),
    "beside the axis, behind": (1.0, -3.0, 1e-9, 1.0),
    "far": (40.0, 40.0, 1.0, 0.0),
}


@pytest.mark.parametrize("op", TWO)
@pytest.mark.parametrize("kind", PAIRS)
def test_hard_pairs_against_high_precision(kind, op):
    rx, ry, apart, axis = PAIRS[kind]
    torch.manual_seed(1)
    u = torch.tensor([1.0, 0, 0]) if axis else torch.randn(3, dtype=torch.float64)
    w = torch.randn(3, dtype=torch.float64) * torch.tensor([1 - axis, 1, 1], dtype=torch.float64)
    c = 2.0
    x = (math.sinh(rx) / math.sqrt(c) * u / u.norm()).float()
    y = (math.sinh(ry) / math.sqrt(c) * (u / u.norm() + apart * w / w.norm())).float()
    # Twice the same pair beside an easy one: rows are treated by their own difficulty.
    easy = torch.tensor([0.3, -0.2, 0.5])
    inputs = [torch.stack([easy, x, x]), torch.stack([easy.flip(0), y, y])]
    f, c = operation("lorentz", op), torch.tensor(c, dtype=torch.float64)
    value, grad_x, grad_y, _ = derivatives(lambda *a: f(*a)[1:2], inputs, c)
    expected = lorentz_reference(x, y, c.item(), op)
    for got, exact in zip((value, grad_x[1], grad_y[1]), expected, strict=False):
        got = [mpmath.mpf(v) for v in (got / (0.5 if got is not value else 1)).tolist()]
        error = mpmath.norm([a - b for a, b in zip(got, exact, strict=True)])
        assert error <= 8 * EPS * mpmath.norm(exact), float(error / mpmath.norm(exact)) / EPS


@pytest.mark.parametrize(("manifold", "op"), CASES)
def test_coincident_points_roots_and_zero_rows(manifold, op):
    if manifold == "sphere":
        x = F.sphere_projx(torch.randn(4, 3), 1.0)
        pairs = [(x, x.clone())]
    else:
        x = torch.tensor([[0.3, -0.2, 0.1], [0.0, 0.0, 0.0], [1e-30, 0.0, 2e-38], [0.5, 0.0, 0.0]])
        pairs = [(x, x.clone())] if op in TWO else [(x,)]
        if op in TWO:
            pairs += [(x, torch.zeros_like(x)), (torch.zeros_like(x), x)]
    c = torch.tensor(1.0)
    for pair in pairs:
        got = derivatives(operation(manifold, op), list(pair), c)
        assert all(t.isfinite().all() for t in got)
    if op in TWO:
        value, *slopes = derivatives(operation(manifold, op), list(pairs[0]), c)
        assert (value == 0).all() and all((s == 0).all() for s in slopes)


@pytest.mark.parametrize(("manifold", "op"), CASES)
def test_second_derivatives_are_those_of_float64(manifold, op):
    f = operation(manifold, op)

    def second(inputs: list[Tensor], c: Tensor) -> list[Tensor]:
        leaves = [*(p.requires_grad_() for p in inputs), c.requires_grad_()]
        value = f(*leaves) + 0 * leaves[-1]
        first = torch.autograd.grad(value.square().sum(), leaves, create_graph=True)
        return list(torch.autograd.grad(sum(g.square().sum() for g in first), leaves))

    inputs, c = points(manifold, op, 6, 4, 0.7), torch.tensor(0.7, dtype=torch.float64)
    wide = second([p.double() for p in inputs], c.clone())
    got = second(inputs, c.clone())
    for a, b in zip(got, wide, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6 * b.abs().max().item())


@pytest.mark.parametrize(("manifold", "op"), CASES)
def test_vmap_folds_into_rows(manifold, op):
    f, c = operation(manifold, op), torch.tensor(0.7, dtype=torch.float64)
    inputs = points(manifold, op, 5, 4, 0.7)
    expected = f(*inputs, c)
    assert torch.equal(vmap(f, (*(0 for _ in inputs), None))(*inputs, c), expected)
    if len(inputs) == 2:
        across = vmap(vmap(f, (None, 0, None)), (0, None, None))(*inputs, c)
        assert torch.equal(across, f(inputs[0][:, None], inputs[1], c))
    cs = torch.tensor([0.3, 0.7], dtype=torch.float64)
    by_c = vmap(f, (*(None for _ in inputs), 0))(*inputs, cs)
    assert torch.equal(by_c[1], expected)
    each = vmap(
        grad(lambda *a: f(*a).sum(), tuple(range(len(inputs) + 1))), (0,) * len(inputs) + (None,)
    )
    *slopes, slope_c = each(*inputs, c)
    _, *full, full_c = derivatives(lambda *a: f(*a).sum().reshape(1) * 2, inputs, c)
    for a, b in zip((*slopes, slope_c.sum()), (*full, full_c), strict=True):
        torch.testing.assert_close(a, b.to(a.dtype), rtol=1e-6, atol=1e-6)
    jacobian = jacrev(lambda x: f(x, *inputs[1:], c))(inputs[0])
    torch.testing.assert_close(jacobian.flatten(0, -3).sum(0), full[0], rtol=1e-6, atol=1e-6)


OPERATIONS = {
    "dist": (PolarDistance(), 2),
    "angle": (PolarAngle(Frame("lorentz")), 2),
    "ball": (BallDistance(), 2),
    "ball angle": (PolarAngle(Frame("ball")), 2),
    "flat": (ChordDistance(), 2),
    "flat angle": (PolarAngle(Frame("flat")), 2),
    "arc": (ArcDistance(), 2),
    "map": (Radial(lambda r, _, c: sinhc(c.sqrt() * r), True), 1),
    "value": (Radial(lambda r, x, c: asinhc(c.sqrt() * r / x.sqrt()), False, True), 1),
    "aperture": (Radial(lambda r, _, c: aperture(c.sqrt() * r, 0.05), False), 1),
}


@pytest.mark.parametrize("safe", [passes.SAFE, math.inf])
@pytest.mark.parametrize("name", OPERATIONS)
def test_written_gradients_are_those_of_the_values(name, safe, monkeypatch):
    """Central differences of the fused values themselves, in float64; both ways to take a row."""
    monkeypatch.setattr(passes, "SAFE", safe)
    operation, count = OPERATIONS[name]
    torch.manual_seed(0)
    x = 0.2 * torch.randn(4, 3, dtype=torch.float64)
    y = torch.stack([x[0] * 1.5 + 0.01, -x[1] + 0.02, x[2] / 3 + x[0] / 50, 0.3 - x[3]])

    class Wide(torch.autograd.Function):
        @staticmethod
        def forward(ctx, c, *points):
            value, ctx.rows = operation.value(passes.torch_passes, c, list(points))
            ctx.save_for_backward(c, *points)
            return value.double()

        @staticmethod
        def backward(ctx, *grads):
            c, *points = ctx.saved_tensors
            return operation.gradient(
                passes.torch_passes, c, ctx.rows, points, grads[0], ctx.needs_input_grad
            )

    inputs = [torch.tensor(0.8, dtype=torch.float64), x, y][: count + 1]
    inputs = [
        t.requires_grad_(i > 0 or name not in ("flat", "flat angle")) for i, t in enumerate(inputs)
    ]
    # Maps come out in float32, so their differences are coarse.
    step, tolerance = (1e-2, 1e-3) if name == "map" else (1e-6, 1e-6)
    assert gradcheck(Wide.apply, inputs, eps=step, atol=tolerance, rtol=tolerance)


def test_blocks_broadcasting_strides_and_other_dtypes(monkeypatch):
    x, y = points("lorentz", "dist", 50, 7, 1.0)
    expected = derivatives(F.lorentz_dist, [x, y], torch.tensor(1.0))
    monkeypatch.setattr(passes, "BLOCK", 7 * 3 * 4)  # a few rows a block, the last one shorter
    for a, b in zip(derivatives(F.lorentz_dist, [x, y], torch.tensor(1.0)), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=EPS, atol=0)
    strided = [torch.stack([p, p], dim=-1)[..., 0] for p in (x, y)]
    assert torch.equal(F.lorentz_dist(*strided, 1.0), expected[0])
    table = F.lorentz_dist(x[:, None], y, 1.0)
    assert table.shape == (50, 50) and torch.equal(table.diagonal(), expected[0])
    half, slope, *_ = derivatives(F.lorentz_dist, [x.bfloat16(), y], torch.tensor(1.0))
    assert half.dtype == torch.float32 and slope.dtype == torch.bfloat16
    assert torch.equal(half, F.lorentz_dist(x.bfloat16().float(), y, 1.0))
    assert F.lorentz_dist(x[0], y[0], 1.0).shape == ()


@pytest.mark.parametrize(("manifold", "op"), CASES)
def test_empty_batches(manifold, op):
    inputs = [p[:0] for p in points(manifold, op, 2, 3, 1.0)]
    value, *slopes = derivatives(operation(manifold, op), inputs, torch.tensor(1.0))
    assert value.numel() == 0 and all(
        s.shape == p.shape for s, p in zip(slopes, inputs, strict=False)
    )
    assert slopes[-1] == 0


def test_only_what_is_asked_for_is_computed(monkeypatch):
    x, y = points("lorentz", "dist", 4, 3, 1.0)
    seen = []

    def watched(*args):
        seen.append(args[-1])
        return passes.polar_gradient(*args)

    spied = dataclasses.replace(passes.torch_passes, polar_gradient=watched)
    monkeypatch.setitem(passes.PASSES, "cpu", spied)
    y.requires_grad_()
    F.lorentz_dist(x, y, 1.0).sum().backward()
    c = torch.tensor(1.0, requires_grad=True)
    F.lorentz_dist(x, y.detach(), c).sum().backward()
    assert seen == [(False, True)] and y.grad is not None and c.grad is not None


def test_points_next_to_the_rim_and_beyond():
    c = torch.tensor(1.0)
    for r in (12.0, 16.0):
        x, y = points("poincare", "dist", 20, 5, 1.0)
        x = math.tanh(r / 2) * (x / x.norm(dim=-1, keepdim=True))
        x = F.poincare_projx(x, 1.0)
        for op in (*ONE[:1], *ONE[2:], *TWO):
            f, pair = operation("poincare", op), [x, y] if op in TWO else [x]
            got = derivatives(f, pair, c)
            wide = derivatives(f, [p.double() for p in pair], c)
            assert max(errors(got[:-1], wide[:-1])) <= 4 * EPS, (r, op)
    beyond = torch.tensor([[0.6, 0.8001], [0.1, 0.2]])
    for op in (*ONE[:1], *ONE[2:]):
        value = operation("poincare", op)(beyond, c)
        assert value[0].isnan().all() and value[1].isfinite().all()
    for op in TWO:
        for pair in ((beyond, beyond.flip(0)), (beyond.flip(0), beyond)):
            assert operation("poincare", op)(*pair, c).isnan().all()


def test_float64_points_take_the_formula():
    """What the last digits of float64 need is the composable form's business."""
    x, y = (p.double() for p in points("lorentz", "dist", 3, 3, 1.0))
    called = []

    def formula(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        called.append(x.dtype)
        return (x - y)[..., :1] * c

    value = fused.rowwise("Lorentz.dist", PolarDistance(), formula, x, y, c=1.0)
    assert called == [torch.float64] and torch.equal(value, x[:, 0] - y[:, 0])
