"""Nearest neighbours under a geometry, and through FAISS."""

import sys

import faiss
import pytest
import torch
from torch.testing import assert_close

from geomclip import GeomclipError, build_geometry
from geomclip.analysis import faiss_index, nearest
from geomclip.geometry import GEOMETRIES
from manifolds import MANIFOLDS, Lorentz, UpperHalfSpace, topk

NAMES = ["euclidean", "sphere", "lorentz", "poincare"]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_nearest_ranks_by_the_logit(name: str) -> None:
    torch.manual_seed(0)
    g = build_geometry(name, 6)
    with torch.no_grad():
        for log_alpha in g.log_alpha.values():
            log_alpha.fill_(-0.5)
        x, y = g.lift(torch.randn(20, 6), "image"), g.lift(torch.randn(70, 6), "text")
        logits = g.double().logits(x.double(), y.double())
    found = nearest(g.float(), x, y, 5)
    assert torch.equal(found.index, logits.sort(dim=-1, descending=True, stable=True)[1][:, :5])


@pytest.mark.parametrize("std", [0.05, 1.0, 5.0])
@pytest.mark.parametrize("name", NAMES)
def test_faiss_gives_the_exact_neighbours(name: str, std: float) -> None:
    torch.manual_seed(0)
    m = MANIFOLDS[name]()
    x, y = m.random_normal(37, 16, std=std / 4), m.random_normal(300, 16, std=std / 4)
    y[100:140], y[200:220] = y[:40].clone(), x[:20]
    found, exact = faiss_index(y, m).search(x, 7), topk(m, x, y, 7)
    assert torch.equal(found.index, exact.index)
    assert_close(found.value, exact.value, rtol=2.4e-7, atol=0)


def test_rows_that_faiss_cannot_decide_are_searched_exactly() -> None:
    """Far out, float32 inner products of neighbours are all alike."""
    torch.manual_seed(0)
    m = Lorentz()
    root = m.expmap0(torch.tensor([[9.0, 0.0, 0.0, 0.0]]))
    y = m.expmap(root, 1e-3 * torch.randn(400, 4))
    found, exact = faiss_index(y, m).search(y[:30], 3), topk(m, y[:30], y, 3)
    assert torch.equal(found.index, exact.index)
    vectors = faiss_index(y, m)
    raw = vectors.index.search(
        torch.cat([y, -(1 + y.square().sum(-1, keepdim=True)).sqrt()], -1)[:30].numpy(), 3
    )[1]
    assert (torch.from_numpy(raw) != exact.index).any()


@pytest.mark.parametrize("name", NAMES)
def test_approximate_indices_are_ranked_exactly(name: str) -> None:
    torch.manual_seed(0)
    m = MANIFOLDS[name]()
    y = m.random_normal(700, 8, std=0.4)
    index = faiss_index(y, m, factory="IVF16,Flat")
    assert isinstance(index.index, faiss.IndexIVFFlat)
    exact = topk(m, y[:50], y, 30)
    found = index.search(y[:50], 30)  # in one list of sixteen
    assert not torch.equal(found.index, exact.index)
    gone = found.index < 0
    assert gone.any() == (name in ("euclidean", "sphere")) and not gone.all()
    assert torch.equal(gone, found.value.isinf())
    assert (found.value[:, 1:] >= found.value[:, :-1]).all()
    expected = m.dist(y[:50, None], y[found.index.clamp_min(0)])
    assert_close(found.value[~gone], expected[~gone])
    # All lists hold every point: the candidates are those of a flat index.
    index.index.nprobe = 16
    assert torch.equal(index.search(y[:50], 30).index, exact.index)


def test_a_written_index_reads_back(tmp_path) -> None:
    torch.manual_seed(0)
    y = torch.randn(60, 4)
    index = faiss_index(y, MANIFOLDS["euclidean"]())
    faiss.write_index(index.index, str(tmp_path / "i.faiss"))
    again = faiss.read_index(str(tmp_path / "i.faiss"))
    assert again.ntotal == 60 and again.d == 4


def test_what_can_t_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    y = torch.rand(5, 3)
    with pytest.raises(ValueError, match="no FAISS index ranks UpperHalfSpace"):
        faiss_index(y, UpperHalfSpace())
    with pytest.raises(ValueError, match=r"at least one, got \(0, 3\)"):
        faiss_index(y[:0], Lorentz())
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.5"):
        faiss_index(y, Lorentz()).search(y, 6)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(GeomclipError, match=r"pip install 'geomclip\[ann\]'"):
        faiss_index(y, Lorentz())
