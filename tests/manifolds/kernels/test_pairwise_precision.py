"""Pairwise kernels keep 64 eps a pair at any spread, and gradients 64 eps of their contributions.

The measure is `dist` and `exterior_angle` of single pairs in float64, which tests of their own
hold against mpmath.
"""

import math

import pytest
import torch
from separated import separated
from torch import Tensor

from manifolds import functional as F
from manifolds.kernels import fused, library
from manifolds.kernels.dispatch import pairwise
from manifolds.kernels.plain import PLAIN

EPS = 1.2e-7
needs_library = pytest.mark.skipif(library.load() is None, reason=f"{library.missing()}")

SINGLE = {
    "lorentz": F.lorentz_dist,
    "poincare": F.poincare_dist,
    "sphere": F.sphere_dist,
    "euclidean": lambda x, y, c: F.euclidean_dist(x, y),
    "euclidean2": lambda x, y, c: F.euclidean_dist2(x, y),
    "lorentz_angle": F.lorentz_exterior_angle,
    "poincare_angle": F.poincare_exterior_angle,
    "euclidean_angle": lambda x, y, c: F.euclidean_exterior_angle(x, y),
}
DISTANCES, KINDS = sorted(fused.DIFFERENTIABLE), sorted(fused.KINDS)


def place(kind: str, unit: Tensor, r: Tensor | float, c: float) -> Tensor:
    """Float32 points at radius r / sqrt(c) in the direction of unit vectors (n, d)."""
    r = torch.as_tensor(r, dtype=torch.float64)
    space = kind.partition("_")[0]
    length = {
        "lorentz": torch.sinh(r) / math.sqrt(c),
        "poincare": torch.tanh(r / 2) / math.sqrt(c),
        "sphere": torch.tensor(1 / math.sqrt(c)),
    }.get(space, r)
    return (unit * length).float()


def directions(n: int, d: int, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors (n, d), and others at the given angles (n, 1) to them."""
    u = torch.nn.functional.normalize(torch.randn(n, d, dtype=torch.float64), dim=-1)
    w = torch.randn(n, d, dtype=torch.float64)
    w = torch.nn.functional.normalize(w - (w * u).sum(-1, keepdim=True) * u, dim=-1)
    return u, u * angles.cos() + w * angles.sin()


def relative(kind: str, out: Tensor, x: Tensor, y: Tensor, c: float) -> float:
    """Largest error of a matrix or its diagonal (n,) in eps, relative to float64."""
    x, y = x.double(), y.double()
    exact = SINGLE[kind](x[:, None], y, c) if out.ndim == 2 else SINGLE[kind](x, y, c)
    assert (out[exact == 0] == 0).all()
    return (((out - exact).abs() / exact)[exact != 0].max() / EPS).item()


def forward(kind: str, x: Tensor, y: Tensor, c: float) -> Tensor:
    return fused.forward(library.load(), kind, x, y, c)[0]


@needs_library
@pytest.mark.parametrize("d", [2, 5, 64, 1030])
@pytest.mark.parametrize("kind", DISTANCES)
def test_every_separation_and_radius(kind, d):
    torch.manual_seed(0)
    n = 40
    angles = torch.logspace(-12, 0.4, n, dtype=torch.float64).unsqueeze(-1)
    radii = [1.0] if kind == "sphere" else [0.01, 0.3, 1.0, 4.0, 10.0, 15.0]
    for r in radii:
        u, v = directions(n, d, angles)
        factor = 1 + angles * torch.rand(n, 1, dtype=torch.float64) ** 4
        c = 0.1 if r == 0.3 else 1.0
        x = place(kind, u, r, c)
        for w, s in ((v, r), (u, (r * (1 + angles)).clamp(max=15.9)), (v, (r * factor))):
            y = place(
                kind, w, s if kind.startswith("eucl") else torch.as_tensor(s).clamp(max=15.9), c
            )
            if kind == "sphere":
                y[::2] *= -1  # antipodes
            out = forward(kind, x, y, c)
            error = relative(kind, out if d < 1000 else out.diagonal(), x, y, c)
            assert error <= 64, f"r={r}: {error:.0f} eps"


@needs_library
@pytest.mark.parametrize("d", [2, 64])
@pytest.mark.parametrize("kind", ["lorentz_angle", "poincare_angle", "euclidean_angle"])
def test_angles_at_every_separation(kind, d):
    torch.manual_seed(0)
    n = 40
    angles = torch.logspace(-12, math.log10(3.14), n, dtype=torch.float64).unsqueeze(-1)
    for r in (0.01, 1.0, 5.0, 10.0):
        u, v = directions(n, d, angles)
        x = place(kind, u, r, 1.0)
        y = place(kind, v, (r * (0.2 + 2 * torch.rand(n, 1, dtype=torch.float64))).clamp(max=15), 1)
        y[5], y[6], x[7] = x[5], 0, 0
        out = forward(kind, x, y, 1.0)
        assert out[5, 5] == 0 and (out[7] == 0).all()
        assert out[4, 6] == torch.tensor(math.pi)
        exact = SINGLE[kind](x.double()[:, None], y.double(), 1.0)
        error = (out - exact).abs()
        assert (error <= 32 * EPS * exact + 16 * EPS).all(), (error / EPS).max()


@needs_library
@pytest.mark.parametrize("features", ["normal", "signs"])
@pytest.mark.parametrize("kind", ["lorentz", "sphere", "euclidean2"])
def test_the_closest_pairs_that_products_may_give(kind, features):
    """Terms of one sign round in proportion to their sum, terms of one size (±) all alike."""
    for d in (64, 384, 4096):
        share = fused.closeness(kind, d, torch.device("cpu"))
        apart = share * torch.linspace(1.1, 2.5, 16, dtype=torch.float64)
        for size in (0.6, 0.9):
            x, y = separated(features, d, apart)
            x, y = (torch.cat([p, -p]) * size for p in (x, y))  # centred: the mean blurs nothing
            x, y = (x / size, y / size) if kind == "sphere" else (x, y)
            x, y = x.float(), y.float()
            found = forward(kind, x, y, 1.0).diagonal()[:16]
            error = relative(kind, found, x[:16], y[:16], 1.0)
            assert error <= 64, f"d={d}: {error:.0f} eps"
        if d == 384:
            check(kind, x[12:20], y[12:20], 1.0)


def cloud(kind: str, n: int, d: int, r: float, spread: float, c: float) -> Tensor:
    """Float32 points about one point at radius r; the first two coincide."""
    center = torch.randn(1, d, dtype=torch.float64)
    u = r * center / center.norm() + spread * torch.randn(n, d, dtype=torch.float64) / math.sqrt(d)
    u[1] = u[0]
    norm = u.norm(dim=-1, keepdim=True)
    return place(kind, u / norm, norm, c)


def contributions(
    kind: str, x: Tensor, y: Tensor, c: float, g: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Values (n, m) in float64, and what every pair alone gives to x, y (n, m, d) and c (n, m)."""
    n, m = len(x), len(y)
    pairs = [t.double().requires_grad_() for t in (x[:, None].repeat(1, m, 1), y.repeat(n, 1, 1))]
    curvature = torch.full((n, m), c, dtype=torch.float64, requires_grad=True)
    flat = (t.reshape(n * m, -1) for t in pairs)
    value = torch.vmap(SINGLE[kind])(*flat, curvature.reshape(-1)).reshape(n, m)
    wanted = (*pairs, curvature)
    return value.detach(), torch.autograd.grad(value, wanted, g.double(), materialize_grads=True)


def check(kind: str, x: Tensor, y: Tensor, c: float) -> None:
    """Values within 64 eps, gradients within 64 eps of the sum of absolute contributions."""
    g = torch.randn(len(x), len(y))
    exact, parts = contributions(kind, x, y, c, g)
    inputs = [x.clone().requires_grad_(), y.clone().requires_grad_()]
    inputs.append(torch.tensor(c, dtype=torch.float64, requires_grad=True))
    value = pairwise(kind, kind, *inputs[:2], None if kind.startswith("euclidean") else inputs[2])
    floor = 16 * EPS if kind.endswith("angle") else 0  # radians
    assert ((value - exact).abs() <= 64 * EPS * exact + floor).all()
    found = torch.autograd.grad(value, inputs, g, materialize_grads=True)
    for got, part, axis in zip(found[:2], parts, (1, 0), strict=False):
        error, size = (got - part.sum(axis)).norm(dim=-1), part.norm(dim=-1).sum(axis)
        assert (error <= 64 * EPS * size).all(), (error / size / EPS).max()
    # -d/(2c) and the rest nearly cancel on the ball's rim: both count as contributions.
    size = parts[2].abs().sum() + (g * exact).abs().sum() / c
    assert abs(found[2] - parts[2].sum()) <= 64 * EPS * size


GRADIENT_CASES = {  # r, spread, d, c, clusters
    "ordinary": (0.0, 1.0, 32, 1.0, 1),
    "near the root": (0.0, 0.01, 32, 1.0, 1),
    "collapsed": (1.0, 1e-5, 64, 1.0, 1),
    "collapsed far out": (7.0, 1e-3, 16, 0.1, 1),
    "clusters": (1.0, 1e-6, 40, 1.0, 3),
    "clusters far out": (10.0, 1e-9, 4, 1.0, 2),
    "clusters of copies": (0.3, 1e-12, 1030, 0.1, 2),
    "far": (8.0, 1.0, 16, 1.0, 1),
    "flat plane": (0.5, 1.0, 2, 10.0, 1),
    "line": (0.5, 0.5, 1, 1.0, 1),
}


@pytest.mark.parametrize("case", GRADIENT_CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_within_64_eps_of_their_contributions(kind, case, path):
    r, spread, d, c, clusters = GRADIENT_CASES[case]
    if kind == "sphere" and d == 1:
        pytest.skip("two points")
    torch.manual_seed(0)
    points = [cloud(kind, 26 // clusters, d, r, spread, c) for _ in range(clusters)]
    x, y = torch.cat([p[::2] for p in points]), torch.cat([p[1::2] for p in points])
    y[-1] = x[0]
    check(kind, x, y, c)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_at_every_separation(kind, path):
    torch.manual_seed(0)
    angles = torch.logspace(-12, 0.4, 24, dtype=torch.float64).unsqueeze(-1)
    for r in (0.01, 1.0, 10.0):
        u, v = directions(24, 3, angles)
        apart = (r * (1 + angles * torch.rand(24, 1, dtype=torch.float64) ** 4)).clamp(max=14.5)
        y = place(kind, v, apart, 1.0)
        if kind == "sphere" and r == 10:
            y = -y  # antipodes
        check(kind, place(kind, u, r, 1.0), y, 1.0)


def test_radial_pairs_far_out_keep_their_gradients(path):
    """Along a ray at radius 10 a chart difference is cosh(r) times the distance."""
    torch.manual_seed(0)
    u = torch.nn.functional.normalize(torch.randn(1, 24, dtype=torch.float64), dim=-1)
    r = 10 + torch.logspace(-5, -1, 9, dtype=torch.float64).unsqueeze(-1)
    x, y = place("lorentz", u, r, 1.0), place("lorentz", u, r.flip(0) + 1e-4, 1.0)
    check("lorentz", x, y, 1.0)


@needs_library
@pytest.mark.parametrize("kind", DISTANCES)
def test_a_collapsed_batch_costs_no_repair(kind):
    torch.manual_seed(0)
    x = cloud(kind, 200, 64, 1.0, 1e-4, 1.0)
    out, repaired = fused.forward(library.load(), kind, x[:100], x[100:], 1.0)
    assert repaired == 0
    assert relative(kind, out, x[:100], x[100:], 1.0) <= 64


@needs_library
@pytest.mark.parametrize("kind", DISTANCES)
def test_tight_clusters_are_computed_from_differences(kind):
    torch.manual_seed(0)
    parts = [cloud(kind, 20, 40, 1.0, 1e-6, 1.0) for _ in range(3)]
    x = torch.cat(parts)
    out, repaired = fused.forward(library.load(), kind, x, x, 1.0)
    assert repaired == 3 * 20 * 20
    assert relative(kind, out, x, x, 1.0) <= 64


@needs_library
@pytest.mark.parametrize("kind", ["lorentz", "euclidean", "euclidean2"])
@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e-6, 1e6, 1e16])
def test_any_scale_of_coordinates(kind, scale):
    torch.manual_seed(0)
    x, y = (torch.randn(2, 9, 6, dtype=torch.float64) * scale).float()
    if kind == "euclidean2" and scale < 1e-15:
        pytest.skip("squares below the range of float32")
    out = forward(kind, x, y, 1.0)
    assert relative(kind, out, x, y, 1.0) <= 64
    grads = fused.backward(library.load(), kind, x, y, 1.0, out, torch.ones_like(out))
    assert all(g.isfinite().all() for g in grads[:2])


@needs_library
@pytest.mark.parametrize("kind", DISTANCES)
def test_a_bad_row_spoils_itself_only(kind):
    torch.manual_seed(0)
    x = cloud(kind, 12, 5, 0.5, 0.5, 1.0)
    y = x.clone()
    clean = forward(kind, x, y, 1.0)
    bad = x.clone()
    bad[3, 2] = math.nan
    bad[7] = math.inf
    out = forward(kind, bad, y, 1.0)
    kept = [i for i in range(12) if i not in (3, 7)]
    assert out[3].isnan().all() and not out[7].isfinite().any()
    assert ((out - clean)[kept].abs() <= 128 * EPS * clean[kept]).all()
    if kind == "poincare":
        bad = x.clone()
        bad[3] = 1.0
        assert forward(kind, bad, y, 1.0)[3].isnan().all()


@needs_library
def test_no_weight_is_denormal():
    """They would slow the products after them by an order of magnitude."""
    torch.manual_seed(0)
    loaded = library.load()
    for kind in DISTANCES:
        x = cloud(kind, 40, 8, 3.0, 3.0, 1.0)
        value = forward(kind, x, x, 1.0)
        g = torch.logspace(-45, 0, 40, dtype=torch.float64).float().expand(40, 40).contiguous()
        ready = fused.prepare(loaded, kind, x, x, 1.0)
        weights, sums = torch.empty(40, 40), fused.Sums.of(loaded, 40, 40)
        fused.weights_of(ready, 0, value, g, weights, sums, False)
        fine = weights[~weights.isnan()]
        assert ((fine == 0) | (fine.abs() >= torch.finfo(torch.float32).tiny)).all()
        assert (fine == 0).any() and (fine != 0).any()


@needs_library
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_the_torch_path(kind):
    torch.manual_seed(0)
    x, y = cloud(kind, 30, 17, 0.5, 1.0, 2.0), cloud(kind, 41, 17, 0.5, 1.0, 2.0)
    plain = PLAIN[kind](x, y, torch.tensor(2.0))
    assert ((forward(kind, x, y, 2.0) - plain).abs() <= 64 * EPS * plain).all()
