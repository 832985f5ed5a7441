"""Bad sizes, options, manifolds and optimizers: what is named, and what is refused."""

import geoopt
import numpy as np
import pytest
import torch
from spaces import MADE, MEANS, SPACES, make

from manifolds import (
    MANIFOLDS,
    Product,
    PrototypeRegression,
    dist2plane,
    tangent_pca,
    to_geoopt,
    topk,
)
from manifolds.optim import RiemannianAdam, param_groups

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.mark.parametrize("name", SPACES)
def test_sizes_and_dtypes_of_new_points_are_named(name):
    m = make(name)
    for op in MADE:
        f = getattr(m, op)
        start = rf"^{m.name}\.{op}: "
        for size, shown in (((3.0, 4), r"3\.0 is float"), ((None,), "None is NoneType")):
            with pytest.raises(TypeError, match=start + rf"size must be whole numbers.*{shown}"):
                f(*size)
        with pytest.raises(ValueError, match=start + r"size must be .*got \(-3, 4\)"):
            f(-3, 4)
        with pytest.raises(ValueError, match=start + r"dtype must be floating.*got torch\.int64"):
            f(3, 4, dtype=torch.int64)
        with pytest.raises(ValueError, match=start + r"dtype must be floating.*got 'float32'"):
            f(3, 4, dtype="float32")
        for size in ([3, 4], torch.Size([3, 4]), (np.int64(3), np.int64(4))):
            sizes = size if isinstance(size, tuple) else (size,)
            assert f(*sizes).shape == (3, 4)
    start = rf"^{m.name}\.random_normal: "
    with pytest.raises(TypeError, match=start + r"mean must be a tensor .*\(list\)"):
        m.random_normal(3, 4, mean=[0.1] * 4)
    with pytest.raises(ValueError, match=start + r"mean must broadcast to \(3, 4\), got \(5,\)"):
        m.random_normal(3, 4, mean=torch.zeros(5))
    with pytest.raises(ValueError, match=start + "std must be finite and not negative, got -1"):
        m.random_normal(3, 4, std=-1)


@pytest.mark.parametrize("name", SPACES)
def test_the_search_for_a_mean_needs_an_end(name):
    m = make(name)
    x = m.random_normal(3, 4)
    start = rf"^{m.name}\.frechet_mean: "
    for options, shown in (({"tol": 0.0}, r"tol=0\.0"), ({"max_iter": 0}, "max_iter=0")):
        with pytest.raises(ValueError, match=start + rf"tol must be positive.*{shown}"):
            m.frechet_mean(x, **options)
    with pytest.raises(TypeError, match=start + r"tol must be a real number, got tol='a' \(str\)"):
        m.frechet_mean(x, tol="a")
    for op in MEANS:
        with pytest.raises(TypeError, match=rf"^{m.name}\.{op}: dim must be a whole number"):
            getattr(m, op)(x, dim="a")


@pytest.mark.parametrize("name", SPACES)
def test_sparse_tensors_are_named(name):
    m = make(name)
    x = m.random_normal(3, 4)
    said = rf"^{m.name}\.dist: expects dense tensors, got x torch\.strided, y torch\.sparse_coo"
    with pytest.raises(ValueError, match=said):
        m.dist(x, x.to_sparse())


def test_what_is_no_manifold_is_named():
    x = torch.full((2, 3), 0.1)
    for op, f in (
        ("topk", lambda m: topk(m, x, x, 1)),
        ("tangent_pca", lambda m: tangent_pca(m, x)),
        ("to_geoopt", to_geoopt),
        ("dist2plane", lambda m: dist2plane(m, x, x, x)),
        ("PrototypeRegression", lambda m: PrototypeRegression(m, 3, 2)),
    ):
        with pytest.raises(TypeError, match=rf"^{op}: expects a manifold, got 'ball' \(str"):
            f("ball")
        with pytest.raises(TypeError, match=rf"^{op}: expects a .*\(Euclidean\); .*from_geoopt"):
            f(geoopt.Euclidean())
    with pytest.raises(TypeError, match=r"^Product: factors must be a list, got Lorentz"):
        Product(MANIFOLDS["lorentz"](), [3])
    with pytest.raises(TypeError, match=r"^Product: dims must be whole numbers.*3\.5 is float"):
        Product([MANIFOLDS["lorentz"]()], [3.5])
    with pytest.raises(TypeError, match=r"^param_groups: expects a module, got None"):
        param_groups(None)
    with pytest.raises(TypeError, match=r"^RiemannianAdam: lr must be a real number, got lr='a'"):
        RiemannianAdam([torch.nn.Parameter(x)], lr="a")


def test_neighbours_name_their_arguments():
    m = MANIFOLDS["lorentz"]()
    x = torch.full((2, 3), 0.1)
    with pytest.raises(TypeError, match=r"^topk: query must be a tensor \(n, d\).*\(list\)"):
        topk(m, [0.1], x, 1)
    with pytest.raises(TypeError, match=r"^topk: k must be a whole number, got k=1\.5 \(float\)"):
        topk(m, x, x, 1.5)
    said = r"^Lorentz\.topk: .*got shapes query \(2, 3\), database \(2, 2\)"
    with pytest.raises(ValueError, match=said):
        topk(m, x, x[:, :2], 1)
    below = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    with pytest.raises(ValueError, match="topk on UpperHalfSpace: query or database has points"):
        topk(MANIFOLDS["halfspace"](), below, below.abs(), 1)
