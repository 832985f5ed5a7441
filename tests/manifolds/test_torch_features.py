"""torch.compile, vmap, autocast, dtypes, files and two processes, over every manifold.

Copies and files of points beside their optimizer: test_optim_copies.py.
"""

import copy
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import ddp
import geoopt
import pytest
import torch
from compilers import needs_compiler
from spaces import SPACES, graphs, make, pairwise, rowwise
from torch import nn
from torch.testing import assert_close

HELPERS = Path(__file__).parents[1] / "helpers"
ROOT = HELPERS.parents[1]


def start(program, *arguments):
    """A program of tests/helpers, on its own threads and without the test runner's hooks."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HELPERS / program), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def output(process):
    out, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors[-3000:]
    return out


def points(m, dtype=torch.float64):
    torch.manual_seed(0)
    return m.random_normal(2, 5, 4, std=0.3, dtype=dtype).detach()


# --- torch.compile ---


def compiled(backend, dtype, *operations, space=None):
    """Differences of compiled and plain operations by manifold, values and gradients by name."""
    one = ["--space", space] if space else []
    found = json.loads(output(start("compiled.py", backend, dtype, *one, *operations)))
    assert set(found) == ({space} if space else set(SPACES))
    for name, differences in found.items():
        m = make(name, learnable=True)
        expected = {op for op in operations if op in graphs(m)}
        if "--values" not in operations:
            leaves = ["x", "y", *dict(m.named_parameters())]
            some = "dist" if "dist" in operations else operations[0]
            expected |= {f"{some}, gradient of {leaf}" for leaf in leaves}
        assert expected <= set(differences), (name, expected - set(differences))
    return found


ROWS = tuple(graphs(make("lorentz")))


@pytest.mark.parametrize(
    ("backend", "dtype", "operations", "limit"),
    [
        ("eager", "float32", ("dist",), 0.0),
        pytest.param("aot_eager", "float32", ROWS, 0.0, marks=pytest.mark.slow),
        # Double words make long graphs: gradients of distances, and the values of everything.
        pytest.param("eager", "float64", ("dist",), 0.0, marks=pytest.mark.slow),
        pytest.param("eager", "float64", ("--values", *ROWS), 0.0, marks=pytest.mark.slow),
    ],
    ids=["eager", "aot_eager", "float64", "float64 values"],
)
def test_operations_on_rows_compile_into_one_graph(backend, dtype, operations, limit):
    for name, differences in compiled(backend, dtype, *operations).items():
        assert all(d <= limit for d in differences.values()), (name, differences)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_inductor_compiles_operations_on_rows(name):
    """A manifold a process: the graphs of all together take a quarter of an hour."""
    (differences,) = compiled("inductor", "float32", *ROWS, space=name).values()
    assert all(d <= 2e-6 for d in differences.values()), differences


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lorentz", "poincare"])
def test_gradients_of_double_words_compile(name):
    """Maps in float64, whose derivatives a tape takes in double words."""
    (differences,) = compiled("aot_eager", "float64", "expmap", "logmap", space=name).values()
    assert all(d == 0.0 for d in differences.values()), differences


# --- vmap, func ---


@pytest.mark.parametrize("name", SPACES)
def test_operations_on_rows_run_under_vmap(name):
    m = make(name, learnable=True).double()
    x, y = points(m)
    for op, f in rowwise(m).items():
        expected = f(x, y)
        assert_close(torch.vmap(f)(x, y), expected, rtol=1e-13, atol=1e-14, msg=op)
        assert_close(torch.vmap(f, (0, None))(x, y[0]), f(x, y[:1].expand_as(x)), msg=op)


@pytest.mark.parametrize("name", SPACES)
def test_operations_on_pairs_run_under_vmap(name):
    m = make(name, learnable=True)
    x, y = (p.reshape(1, 5, 4).repeat(2, 1, 1) for p in points(m, torch.float32))
    for op, f in pairwise(m).items():
        assert_close(torch.vmap(f)(x, y), f(x, y), rtol=1e-5, atol=1e-6, msg=op)
    sums = torch.vmap(torch.func.grad(lambda x, y: m.pairwise_dist(x, y).sum()))(x, y)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(m.pairwise_dist(leaf, y).sum(), leaf)
    assert_close(sums, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SPACES)
def test_gradients_per_row_come_from_func_grad_under_vmap(name):
    m = make(name).double()
    x, y = points(m)
    scalars = {"dist": m.dist, "dist0": lambda x, y: m.dist0(x), "dist2": m.dist2}
    if m.has_cones:
        scalars["exterior_angle"] = m.exterior_angle
    for op, f in scalars.items():
        leaf = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(f(leaf, y).sum(), leaf)
        assert_close(torch.vmap(torch.func.grad(f))(x, y), expected, msg=op)


# --- autocast, dtypes ---


@pytest.mark.parametrize("name", SPACES)
def test_autocast_does_not_reach_the_geometry(name):
    m = make(name)
    x, y = points(m, torch.float32)
    linear = nn.Linear(4, 4)
    for op, f in (rowwise(m) | pairwise(m)).items():
        expected = f(x, y)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert linear(x).dtype == torch.bfloat16
            inside = f(x, y)
        assert inside.dtype == torch.float32 and torch.equal(inside, expected), op


@pytest.mark.parametrize("name", SPACES)
def test_features_of_an_autocast_model_become_points(name):
    m = make(name, learnable=True)
    torch.manual_seed(0)
    linear, features = nn.Linear(6, 4), torch.randn(5, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = m.expmap0(m.proju(m.origin(4), linear(features)) / 10)
        loss = m.dist2(x, m.origin(4)).mean()
    assert x.dtype == loss.dtype == torch.float32
    loss.backward()
    assert linear.weight.grad.dtype == torch.float32 and linear.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", SPACES)
def test_a_module_carries_points_and_manifold_to_another_dtype(name):
    m = make(name, learnable=True)
    module = nn.Module()
    module.manifold = m
    module.points = geoopt.ManifoldParameter(points(m, torch.float32)[0], manifold=m)
    kept, before = module.points, m.dist0(module.points)
    for move, dtype in (
        (module.double, torch.float64),
        (module.float, torch.float32),
        (lambda: module.to(torch.float64), torch.float64),
        (lambda: module.to("cpu", torch.float32), torch.float32),
    ):
        move()
        assert module.points is kept and isinstance(kept, geoopt.ManifoldParameter)
        assert {p.dtype for p in module.parameters()} == {dtype}
        assert m.dist0(module.points).dtype == dtype
        assert_close(m.dist0(module.points).float(), before)
    meta = module.to("meta")
    assert meta.manifold.dist0(meta.points).device.type == "meta"


# --- copies, files, processes ---


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "state dict"])
@pytest.mark.parametrize("name", SPACES)
def test_copies_hold_the_same_points_on_their_own_manifold(name, how):
    m = make(name, learnable=True)
    module = nn.Module()
    module.manifold = m
    module.points = geoopt.ManifoldParameter(points(m, torch.float32)[0], manifold=m)
    if how == "deepcopy":
        twin = copy.deepcopy(module)
    elif how == "pickle":
        twin = pickle.loads(pickle.dumps(module))
    else:
        twin = copy.deepcopy(module)
        with torch.no_grad():
            for p in twin.parameters():
                p.zero_()
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        file.seek(0)
        # Without weights_only=False and without safe globals: these are plain tensors.
        state = torch.load(file)
        assert {type(t) for t in state.values()} == {torch.Tensor}
        twin.load_state_dict(state)
    assert isinstance(twin.points, geoopt.ManifoldParameter)
    assert twin.points.manifold is twin.manifold and twin.manifold is not m
    assert torch.equal(twin.points, module.points)
    assert torch.equal(twin.manifold.dist0(twin.points), m.dist0(module.points))
    with torch.no_grad():
        for p in twin.manifold.parameters():
            p.fill_(0.7)
    assert all(p.item() != pytest.approx(0.7) for p in m.parameters())


def test_two_processes_train_the_points_of_one(tmp_path):
    pair = [start("ddp.py", rank, 2, tmp_path) for rank in range(2)]
    ddp.main(0, 1, tmp_path)
    for process in pair:
        output(process)
    alone, first, second = (torch.load(tmp_path / f"{n}.pt") for n in ("1-0", "2-0", "2-1"))
    assert {key.split(".")[1] for key in alone if key.startswith("points.")} == set(SPACES)
    for key, value in alone.items():
        assert torch.equal(first[key], second[key]), key
        assert_close(first[key], value, rtol=1e-12, atol=1e-13, msg=key)


def test_geoopts_warnings_are_silenced_and_nothing_else():
    code = (
        "import warnings, torch, scipy.optimize\n"
        "before = list(warnings.filters)\n"
        "import manifolds, geoopt\n"
        "print(warnings.filters == before)\n"
        "try: torch.jit.script(lambda x: x)\n"
        "except DeprecationWarning: print('raised')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True", "raised"]
