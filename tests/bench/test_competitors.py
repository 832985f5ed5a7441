"""The competitors compute the same as ours where float64 lets them, and so do their gradients."""

import pytest
import torch

from geomclip import build_geometry
from geomclip.bench import formulas, loss, pairwise, rowwise
from geomclip.bench.config import COMPETITORS, DISTANCES, MANIFOLDS, Case
from geomclip.names import CANONICAL
from manifolds import functional as F

QUICK = {s: tuple(n for n in names if n != "compiled") for s, names in COMPETITORS.items()}


@pytest.mark.parametrize("geometry", DISTANCES)
def test_distances_of_all_competitors_agree(geometry):
    case = Case("pairwise", geometry, n=9, m=7, dim=5, dtype="float64")
    load = pairwise.prepare(case, QUICK["pairwise"])
    assert set(load.steps) | set(load.notes) == {*QUICK["pairwise"], "floor"}
    ours = load.steps["geomclip"]()
    for name, step in load.steps.items():
        if name in ("floor", "geomclip") or (name == "cdist" and geometry != "euclidean"):
            continue
        got = step()
        assert torch.allclose(got[0], ours[0], rtol=1e-7, atol=0), name
        if name not in ("geoopt", "hypll"):  # c and other coordinates
            assert geometry == "elliptic" or all(
                torch.allclose(a, b, rtol=1e-6, atol=1e-9)
                for a, b in zip(got[1:], ours[1:], strict=True)
            ), name
        error = load.errors(name)
        assert error is None or (error.value < 1e-7 and error.gradient < 1e-6)


@pytest.mark.parametrize("geometry", CANONICAL)
def test_losses_of_all_competitors_agree(geometry):
    case = Case("loss", geometry, n=300, m=300, dim=6, dtype="float64")
    load = loss.prepare(case, QUICK["loss"])
    assert set(load.steps) | set(load.notes) == {*QUICK["loss"], "floor"}
    for name in set(load.steps) - {"floor"}:
        error = load.errors(name)
        assert error.value < 1e-7 and error.gradient < 1e-6, name


def test_one_buffer_has_the_gradients_of_the_plain_formula(monkeypatch):
    monkeypatch.setattr(formulas, "BLOCK", 3)
    torch.manual_seed(0)
    x, y = (F.lorentz_expmap0(torch.randn(7, 4).double(), 1.7) for _ in range(2))
    given = [x, y, torch.tensor(0.3).double(), torch.tensor(1.7).double().log()]
    given = [t.requires_grad_() for t in given]

    def plain(x, y, logit_scale, log_c):
        score = formulas.score("lorentz", "-dist", x, y, log_c.exp())
        return formulas.cross_entropies(logit_scale.exp() * score)

    values = [f(*given) for f in (formulas.OneBuffer.apply, plain)]
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-12)
    for a, b in zip(*(torch.autograd.grad(v, given) for v in values), strict=True):
        assert torch.allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize("geometry", MANIFOLDS)
def test_rows_of_all_competitors_agree(geometry):
    for op, load in rowwise.prepare(
        Case("rowwise", geometry, n=6, dim=4, dtype="float64"), QUICK["rowwise"]
    ):
        assert "geomclip" in load.steps and "textbook" in load.steps
        for name in load.steps:
            error = load.errors(name)
            assert name == "geoopt" or (error.value < 1e-7 and error.gradient < 1e-6), (op, name)


@pytest.mark.parametrize("close", [0.1, 0.5])
def test_close_pairs_are_as_many_as_asked(close):
    x, y = pairwise.points("lorentz", 200, 100, 6, close)
    near = F.lorentz_pairwise_dist(x, y, 1.0) < 1e-4
    assert near.double().mean().item() == pytest.approx(close, rel=0.02)


def test_repaired_pairs_are_counted():
    x, y = (t.float() for t in pairwise.points("lorentz", 60, 40, 6, 0.5))
    share = pairwise.repaired("lorentz", x, y)
    assert share is None or share == pytest.approx(0.5, abs=0.02)
    assert pairwise.repaired("lorentz", x.double(), y.double()) is None


def test_repaired_pairs_of_a_loss_are_counted_without_partners():
    torch.manual_seed(0)
    g = build_geometry("hyperbolic", 32)  # in so many dimensions no two are close by chance
    x = torch.randn(300, 32)
    y = torch.randn(300, 32)
    y[:20] = x[:20]  # partners: always by differences, and no pairs of the sums
    y[100:103] = x[200:203]
    share = loss.repaired(g, x, y)
    assert share is None or share == 3 / 300**2
    assert loss.repaired(g, x.double(), y.double()) is None
    assert loss.repaired(g, x[:9], y[:9]) is None  # the plain formula computes so few
