"""topk is the full sort of all distances in float64, equal ones by index."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from manifolds import MANIFOLDS, Euclidean, Lorentz, Product, Sphere, UpperHalfSpace, topk
from manifolds.kernels import neighbors

NAMES = ["euclidean", "sphere", "lorentz", "poincare"]


def brute_force(m, query: Tensor, database: Tensor, k: int) -> tuple[Tensor, Tensor]:
    distances = m.double().dist(query.double()[:, None], database.double())
    value, index = distances.sort(dim=-1, stable=True)
    return value[:, :k], index[:, :k]


def data(name: str, dim: int, std: float) -> tuple[Tensor, Tensor]:
    """Queries, and a database with copies of itself and of queries."""
    torch.manual_seed(0)
    m = MANIFOLDS[name]().double()
    scale = std / math.sqrt(dim)
    x = m.random_normal(37, dim, std=scale, dtype=torch.float64).float()
    y = m.random_normal(300, dim, std=scale, dtype=torch.float64).float()
    y[100:140], y[200:220] = y[:40].clone(), x[:20]
    return x, y


@pytest.mark.parametrize("std", [0.05, 1.0, 5.0])
@pytest.mark.parametrize("dim", [2, 64])
@pytest.mark.parametrize("name", NAMES)
def test_is_the_full_sort(name: str, dim: int, std: float, path: str) -> None:
    x, y = data(name, dim, std)
    m = MANIFOLDS[name]()
    found = topk(m, x, y, 7)
    value, index = brute_force(m, x, y, 7)
    assert torch.equal(found.index, index)
    assert_close(found.value, value.float(), rtol=2.4e-7, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_float32_cannot_decide_search_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 points within 1e-6 of one another: every product is the same to its last digits."""
    torch.manual_seed(0)
    m = MANIFOLDS[name]().double()
    center = m.random_normal(1, 16, std=0.25, dtype=torch.float64)
    near = m.expmap(center, m.proju(center, 1e-6 * torch.randn(100, 16, dtype=torch.float64)))
    far = m.random_normal(200, 16, std=0.25, dtype=torch.float64)
    database = torch.cat([far, near]).float()
    sizes = []
    original = neighbors._Search._block

    def watched(self, rows, size, *rest):
        sizes.append(size)
        return original(self, rows, size, *rest)

    monkeypatch.setattr(neighbors._Search, "_block", watched)
    query = center.float()
    found = topk(m.float(), query, database, 5)
    assert torch.equal(found.index, brute_force(m, query, database, 5)[1])
    assert max(sizes) > 100 and sizes[0] == 21


@pytest.mark.parametrize("name", NAMES)
def test_float64_and_small_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (t.double() for t in data(name, 5, 1.0))
    m = MANIFOLDS[name]().double()
    whole = topk(m, x, y, 11)
    monkeypatch.setattr(neighbors, "BLOCK", 200)
    parts = topk(m, x, y, 11)
    value, index = brute_force(m, x, y, 11)
    for found in (whole, parts):
        assert torch.equal(found.index, index)
        assert_close(found.value, value, rtol=1e-14, atol=0)


@pytest.mark.parametrize("m", [UpperHalfSpace(), Product([Euclidean(), Lorentz()], dims=[2, 3])])
def test_other_manifolds_rank_by_their_distance(m) -> None:
    torch.manual_seed(0)
    x, y = m.random_normal(9, 5), m.random_normal(60, 5)
    y[30:] = y[:30]
    found = topk(m, x, y, 4)
    value, index = brute_force(m, x, y, 4)
    assert torch.equal(found.index[:, ::2] + 30, found.index[:, 1::2])
    assert_close(found.value, value.float())
    assert torch.equal(found.index, index)


def test_inner_products(path: str) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(20, 8), torch.randn(90, 8)
    y[50] = y[3]
    found = topk(Euclidean(), x, y, 6, score="dot")
    value, index = (x.double() @ y.double().T).sort(dim=-1, descending=True, stable=True)
    assert torch.equal(found.index, index[:, :6])
    assert_close(found.value, value[:, :6].float())


def test_edges() -> None:
    torch.manual_seed(0)
    y = torch.randn(5, 3)
    assert topk(Euclidean(), y[:0], y, 2).index.shape == (0, 2)
    found = topk(Euclidean(), y, y, 5)
    assert found.index[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert (found.value[:, 0] == 0).all()
    assert found.to_dict()["index"][1][0] == 1
    assert topk(Euclidean(), y.bfloat16(), y.bfloat16(), 1).value.dtype == torch.float32
    assert not topk(Euclidean(), y.requires_grad_(), y, 1).value.requires_grad


def test_what_can_t_be_asked() -> None:
    y = torch.randn(5, 3)
    for k in (0, 6):
        with pytest.raises(ValueError, match=rf"k must lie in 1\.\.5, .* got {k}"):
            topk(Euclidean(), y, y, k)
    bad = y.clone()
    bad[2, 1] = torch.nan
    with pytest.raises(ValueError, match="1 of 5 points of the database"):
        topk(Sphere(), y, bad, 1)
    with pytest.raises(ValueError, match="score must be one of"):
        topk(Euclidean(), y, y, 1, score="cosine")
    with pytest.raises(ValueError, match="points off the manifold"):
        topk(MANIFOLDS["poincare"](), 3 * torch.ones(1, 3), y / 10, 1)
