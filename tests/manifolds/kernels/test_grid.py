"""The CUDA sources over an emulated grid: what C++ and torch compute, in every kernel.

The grid runs the device code itself, barriers and all (emulator.h); what only a GPU can show is
left to tests/gpu. The whole suite runs over the grid with the slow tests (`path` in conftest.py).
"""

import ctypes
import math

import pytest
import torch
from emulation import emulated
from torch import Tensor

from manifolds import MANIFOLDS
from manifolds import functional as F
from manifolds.kernels import build, contrastive, fused, library, reductions, tiles
from manifolds.kernels.plain import PLAIN
from manifolds.rowwise import compiled, passes

EPS = 1.2e-7
pytestmark = pytest.mark.skipif(
    isinstance(emulated(), str) or library.load() is None,
    reason=f"no emulated grid beside the C++ kernels: {emulated()}",
)

SINGLE = {
    "lorentz": F.lorentz_dist,
    "poincare": F.poincare_dist,
    "sphere": F.sphere_dist,
    "euclidean": lambda x, y, c: F.euclidean_dist(x, y),
    "euclidean2": lambda x, y, c: F.euclidean_dist2(x, y),
}
# n, m, features: one pair, ragged patches of 32 x 512, one row, one column, one feature, no pairs.
SIZES = [(1, 1, 5), (37, 550, 33), (33, 1, 2), (1, 515, 64), (5, 40, 1), (31, 7, 513), (0, 3, 4)]


def cloud(kind: str, n: int, m: int, d: int) -> tuple[Tensor, Tensor]:
    """Points of every sort: ordinary, coincident, close, opposite, far, denormal, at the root."""
    torch.manual_seed(n + m + d)
    name = kind.removesuffix("2").partition("_")[0]
    d = max(d, MANIFOLDS[name]().min_dim)
    x, y = (MANIFOLDS[name]().random_normal(k, d, std=1.6 / d**0.5) for k in (n, m))
    if n >= 8 and m >= 7:
        y[0], y[1], y[2] = x[0], x[1] * (1 + 3e-7), x[2].roll(1) * 1e-3 + x[2]
        y[3] = -x[3]
        if name == "sphere":
            y[1:3] = torch.nn.functional.normalize(y[1:3], dim=-1)
        else:
            x[4], x[5], y[5] = 1e-42, 0, 0
        if name in ("lorentz", "euclidean"):
            x[6], y[6] = 3e4 * x[6], 3e4 * x[6] + y[6]
    return x, y


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", sorted(fused.KINDS))
def test_distances_and_angles(kind, size):
    x, y = cloud(kind, *size)
    c = torch.tensor(1.0, dtype=torch.float64)
    grid, repaired = fused.forward(emulated(), kind, x, y, 1.0)
    cpp, also = fused.forward(library.load(), kind, x, y, 1.0)
    exact = PLAIN[kind](x.double(), y.double(), c)
    # Who is close is decided by float32 terms that differ in their last place.
    assert abs(int(repaired) - int(also)) <= 2
    # The angle of a point on itself, or next to the axis, has an absolute error.
    floor = 16 * EPS if kind.endswith("angle") else 1e-37
    for value in (grid, cpp):
        assert ((value - exact).abs() <= 64 * EPS * exact.abs() + floor).all()
    assert ((grid - cpp).abs() <= 64 * EPS * cpp.abs() + floor).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", sorted(fused.DIFFERENTIABLE))
def test_gradients_of_distances(kind, size):
    x, y = cloud(kind, *size)
    value, _ = fused.forward(library.load(), kind, x, y, 1.0)
    g = torch.randn_like(value)
    found = [fused.backward(e, kind, x, y, 1.0, value, g) for e in (emulated(), library.load())]
    # Sizes of single contributions, so that sums that cancel have something to be held against.
    size_x, size_y, size_c = contributions(kind, x, y, value, g)
    for (a, b), limit in zip(
        zip(found[0][:2], found[1][:2], strict=True), (size_x, size_y), strict=True
    ):
        assert ((a - b).norm(dim=-1) <= 64 * EPS * limit + 1e-37).all()
    assert abs(found[0][2] - found[1][2]) <= 64 * EPS * size_c + 1e-37
    alone = fused.backward(emulated(), kind, x, y, 1.0, value, g, (False, True, False))
    assert torch.equal(alone[1], found[0][1]) and alone[0].numel() == 0 and alone[2] == 0.0


def contributions(kind: str, x: Tensor, y: Tensor, value: Tensor, g: Tensor) -> tuple:
    """Sums of the lengths of what every pair gives to x, y and c."""
    n, m = value.shape
    if n * m == 0:
        return torch.zeros(n), torch.zeros(m), 0.0
    single = torch.vmap(torch.vmap(SINGLE[kind]))
    pairs = [t.double().requires_grad_() for t in (x[:, None].repeat(1, m, 1), y.repeat(n, 1, 1))]
    c = torch.ones(n, m, dtype=torch.float64, requires_grad=True)
    inputs = (*pairs, c)
    parts = torch.autograd.grad(single(*inputs), inputs, g.double(), materialize_grads=True)
    by_c = float(parts[2].abs().sum() + (g * value).abs().sum())
    return parts[0].norm(dim=-1).sum(1), parts[1].norm(dim=-1).sum(0), by_c


def test_a_tile_full_of_close_pairs():
    """Tight clusters: three of a row in nine are close, by rows, by columns and in the counts."""
    torch.manual_seed(0)
    centers = torch.randn(3, 1, 40)
    x = (centers + 1e-6 * torch.randn(3, 30, 40)).flatten(0, 1)
    for kind in sorted(fused.DIFFERENTIABLE - {"poincare", "sphere"}):
        value, repaired = fused.forward(emulated(), kind, x, x, 1.0)
        assert repaired == 3 * 30 * 30
        g = torch.randn_like(value)
        a, b = (fused.backward(e, kind, x, x, 1.0, value, g) for e in (emulated(), library.load()))
        for one, other in zip(a[:2], b[:2], strict=True):
            assert (one - other).norm() <= 1e-5 * other.norm()


SUMS = [
    (name, score)
    for name in ("euclidean", "sphere", "lorentz", "poincare")
    for score in contrastive.SCORES
    if contrastive.supports(MANIFOLDS[name](), score)
]


def both(monkeypatch, run):
    """What `run` gives on the grid and in C++."""
    results = []
    for loaded in (emulated(), library.load()):
        with monkeypatch.context() as patch:
            patch.setitem(library._state, "cpp", loaded)
            patch.setenv("MANIFOLDS_KERNELS", "cpp")
            results.append(run())
    return results


@pytest.mark.parametrize("reduction", ["lse", "softplus"])
@pytest.mark.parametrize("name, score", SUMS)
def test_sums_and_their_gradients(name, score, reduction, monkeypatch):
    monkeypatch.setattr(tiles, "CPU_TILE", (48, 600))
    torch.manual_seed(0)
    m = MANIFOLDS[name]()
    x, y = m.random_normal(50, 9, std=0.6), m.random_normal(610, 9, std=0.6)
    y[100], y[101], y[7] = x[3], x[3] * (1 + 1e-6), x[9]
    space = "dot" if score == "dot" else name
    function = "identity" if score == "dot" else contrastive.FUNCTIONS[name][score]
    c = torch.tensor(1.0, dtype=torch.float64)
    factor = -7.0 if score in ("-dist", "-dist2") else -1.5 if score == "minkowski" else 4.0
    lse = reduction == "lse"

    def run():
        p = tiles.build(space, function, x, y, c, 4, "float32")
        sums = reductions.forward(p, factor, 0.0 if lse else -1.0, reduction, 0)
        torch.manual_seed(1)
        grads = tuple(torch.randn_like(s) for s in sums[:3])
        return sums, reductions.backward(p, sums, grads, factor, 0.0 if lse else -1.0, lse)

    (sums, grads), (sums_cpp, grads_cpp) = both(monkeypatch, run)
    for a, b in zip(sums[:3], sums_cpp[:3], strict=True):
        assert ((a - b).abs() <= 64 * EPS * b.abs().clamp(min=1)).all()
    assert ((sums.reach - sums_cpp.reach).abs() <= 1e-4).all()
    for a, b in zip(grads, grads_cpp, strict=True):
        assert (a - b).norm() <= 256 * EPS * b.norm() + 1e-6


def test_a_refused_tile_is_computed_in_torch(monkeypatch):
    """One of two tiles holds a collapsed batch: nothing of it is added twice, or lost."""
    monkeypatch.setattr(tiles, "CPU_TILE", (40, 600))
    torch.manual_seed(0)
    m = MANIFOLDS["lorentz"]()
    x = m.random_normal(80, 6, std=0.5)
    x[40:] = x[40] + 1e-5 * torch.randn(40, 6)
    x[3] = x[2] * (1 + 1e-6)
    c = torch.tensor(1.0, dtype=torch.float64)
    refused = []
    original = reductions.Accumulation.refused
    monkeypatch.setattr(
        reductions.Accumulation,
        "refused",
        lambda self: refused.append(original(self)) or refused[-1],
    )

    def run():
        p = tiles.build("lorentz", "arcosh", x, x, c, 0, "float32")
        sums = reductions.forward(p, -9.0, 0.0, "lse", 0)
        ones = tuple(torch.ones_like(s) for s in sums[:3])
        return sums, reductions.backward(p, sums, ones, -9.0, 0.0, True)

    (sums, grads), (sums_cpp, grads_cpp) = both(monkeypatch, run)
    assert refused == [[(1, 0)], [(1, 0)]]
    for a, b in zip(sums[:3], sums_cpp[:3], strict=True):
        assert ((a - b).abs() <= 64 * EPS * b.abs().clamp(min=1)).all()
    for a, b in zip(grads, grads_cpp, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm() + 1e-6


@pytest.mark.parametrize("d", [1, 3, 64, 513])
def test_passes_over_rows(d, monkeypatch):
    torch.manual_seed(0)
    n = 40
    x, y = torch.randn(2, n, d)
    y[0], y[1], y[2] = x[0], -x[1], x[2] * (1 + 1e-6)
    x[3], y[4], x[5], y[5] = 0, 0, 0, 0
    y[6] = x[6] + 1e-5 * torch.randn(d)
    x[7], y[8], x[9] = x[7] * 1e-30, y[8] * 1e18, y[9] * 1e-6
    e = torch.randn(4, n, dtype=torch.float64)

    def run(p):
        polar = p.polar_rows(x, y)
        both_ends = (True, True)
        return [
            p.norms(x),
            p.scaled(x, e[0], torch.float32),
            *p.map_gradient(y, x, e[0], e[1]),
            p.difference_rows(x, y, False),
            p.difference_rows(x, y, True),
            *p.difference_gradient(x, y, e[:1], both_ends),
            *p.difference_gradient(x, y, e[:3], both_ends),
            polar,
            *p.polar_gradient(x, y, polar, e, both_ends),
            p.polar_gradient(x, y, polar, e, (True, False))[0],
        ]

    grid, cpp = both(monkeypatch, lambda: run(compiled.compiled_passes))
    plain = run(passes.torch_passes)
    for a, b, exact in zip(grid, cpp, plain, strict=True):
        limit = 4 * EPS if a.dtype == torch.float32 else 1e-12
        scale = b.abs() + (b.norm(dim=-1, keepdim=True) if a.ndim == 2 and len(a) == n else 0)
        if a.shape == (6, n):  # products of a row against the size of their factors
            scale = b.abs() + b[:2].prod(0) * torch.tensor([0, 0, 1, 0, 0, 0])[:, None]
        assert ((a - b).abs() <= limit * scale).all()
        assert ((a - exact).abs() <= 16 * limit * scale).all()


def test_too_little_scratch_memory_is_said():
    loaded = emulated()
    x = torch.randn(40, 8)
    ready = fused.prepare(loaded, "lorentz", x, x, 1.0)
    weights, close = torch.empty(40, 40), torch.zeros((), dtype=torch.int64)
    sums = fused.Sums.of(loaded, 40, 40)
    place = library.Place(None, 0, None)
    values = [ctypes.c_void_p(t.data_ptr()) for t in (*sums.x, sums.y, sums.c, close)]
    one = ctypes.c_int64(40)
    data = ctypes.c_void_p(weights.data_ptr())
    status = loaded.handle.manifolds_backward(
        ctypes.byref(ready.problem), ctypes.c_int64(0), ctypes.c_int64(0), one, data, one, data,
        one, data, one, *values, ctypes.byref(place),
    )  # fmt: skip
    assert status != 0
    assert loaded.handle.manifolds_error(status).decode().startswith("too little scratch memory")


def test_the_grid_finds_a_barrier_that_not_all_threads_reach(tmp_path):
    """What a GPU answers by hanging, or by wrong results."""
    (tmp_path / "broken.cu").write_text(
        '#include "grid.h"\n'
        "struct Broken {\n"
        "    static constexpr int THREADS = 64;\n"
        "    GC_DEVICE void run(const Thread& t, int64_t bad) {\n"
        "        if (t.index() < 40 || !bad) t.sync();\n"
        "    }\n"
        "};\n"
        "GC_EXPORT int broken(int64_t bad, const Place* place) {\n"
        "    return gc_launch<Broken>(3, place, bad);\n"
        "}\n"
    )
    here = build.CSRC.parents[2] / "tests" / "manifolds" / "kernels"
    options = ["-x", "c++", f"-I{here}", f"-I{build.CSRC}", "-U_FORTIFY_SOURCE", "-O0"]
    sources = [tmp_path / "broken.cu", here / "emulator.cpp"]
    build.compile_cpp(build.find_compiler(), sources, tmp_path / "broken.so", tmp_path, options)
    run = ctypes.CDLL(str(tmp_path / "broken.so")).broken
    assert run(ctypes.c_int64(0), None) == 0
    assert run(ctypes.c_int64(1), None) != 0


def test_sums_do_not_lose_a_row_among_many():
    """Enough rows and columns for several parts of every sum, against float64."""
    torch.manual_seed(0)
    x, y = torch.randn(1100, 3), torch.randn(1050, 3)
    value, _ = fused.forward(emulated(), "euclidean", x, y, 1.0)
    at_x, at_y, _ = fused.backward(
        emulated(), "euclidean", x, y, 1.0, value, torch.ones_like(value)
    )
    unit = (x.double()[:, None] - y.double()) / torch.cdist(x.double(), y.double())[..., None]
    for got, exact in ((at_x, unit.sum(1)), (at_y, -unit.sum(0))):
        assert (got - exact).norm(dim=-1).max() <= 64 * EPS * 1100
    assert math.isfinite(value.sum())
