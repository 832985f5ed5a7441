"""Two spaces with a rotation planted between them, and spaces with nothing in common."""

import pytest
import torch
from planted import DIM

from geomclip import build_geometry
from geomclip.analysis import Space, compare_spaces, debiased_cka
from geomclip.analysis.comparison import rotation
from geomclip.analysis.tangent import from_flat
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError

SIGMAS = 3.5


def near(found, truth):
    assert found.error is not None and found.error > 0
    assert abs(found.value - truth) <= SIGMAS * found.error, (found, truth)


def draw(*shape, seed=0):
    return torch.randn(
        *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )  # fmt: skip


def turn(dim=DIM, seed=9):
    return torch.linalg.qr(draw(dim, dim, seed=seed))[0]


def spaces(name, n=300, noise=0.0, scale=1.0, ids=None, q=None):
    """The second is the first, turned, scaled and with noise."""
    g = build_geometry(name, DIM).double()
    q = turn() if q is None else q
    first, second = {}, {}
    for i, m in enumerate(("image", "text")):
        u = 0.3 * draw(n, DIM, seed=i) + i
        v = scale * u @ q + noise * draw(n, DIM, seed=10 + i)
        first[m], second[m] = from_flat(g.manifold, u), from_flat(g.manifold, v)
    ids = ids or [f"row {k}" for k in range(n)]
    return Embeddings(first, g, ids=ids), Embeddings(second, g, ids=ids)


@pytest.mark.parametrize("name", ["clip", "euclip", "meru", "poincare"])
def test_a_rotation_is_found_on_one_modality_and_holds_on_the_other(name):
    a, b = spaces(name)
    found = compare_spaces(a, b)
    assert set(found.cosine) == {f"{x} → {y}" for x in a.modalities for y in a.modalities}
    for value in (*found.cosine.values(), *found.explained.values(), *found.cka.values()):
        assert value.value == pytest.approx(1)
    assert found.overlap["image"].value == 1 and found.overlap["text"].value == 1
    assert abs(found.before["image"].value) < 0.9
    assert found.chance["image"].value == pytest.approx(10 / 299)


def test_planted_noise_is_what_a_rotation_leaves():
    """v = 2 u Q + e: of v's variance (0.6)^2 / ((0.6)^2 + 0.4^2) is explained, and that is the
    kernels' alignment too."""
    a, b = spaces("euclip", n=2000, noise=0.4, scale=2.0)
    found = compare_spaces(a, b)
    truth = 0.36 / (0.36 + 0.16)
    for name in ("image → text", "text → image"):
        near(found.explained[name], truth)
        assert found.explained[name].error < 0.02
    near(found.cka["image"], truth)
    near(found.cka["text"], truth)
    q, scale = rotation(a["text"] - a["text"].mean(0), b["text"] - b["text"].mean(0))
    assert torch.linalg.matrix_norm(q - turn(), 2) < 0.1
    assert scale == pytest.approx(2, abs=0.05)


def test_cka_of_nothing_shared_is_nothing_however_few_the_points():
    u, v = draw(60, 200, seed=1), draw(60, 300, seed=2)
    found = debiased_cka(u, v)
    near(found, 0)
    k, h = ((z - z.mean(0)) @ (z - z.mean(0)).T for z in (u, v))
    biased = (k * h).sum() / (k.square().sum() * h.square().sum()).sqrt()
    assert biased > 0.7 and found.error < 0.1


def test_unbiased_hsic_is_its_formula():
    from geomclip.analysis.cka import _Sums

    u, v = draw(11, 3, seed=1), draw(11, 4, seed=2)

    def hsic(x, y):
        n = len(x)
        k, h = ((z @ z.T).fill_diagonal_(0) for z in (x, y))
        one = torch.ones(n, dtype=torch.float64)
        terms = (k @ h).trace() + (one @ k @ one) * (one @ h @ one) / ((n - 1) * (n - 2))
        return (terms - 2 / (n - 2) * one @ k @ h @ one) / (n * (n - 3))

    expected = hsic(u, v) / (hsic(u, u) * hsic(v, v)).sqrt()
    assert _Sums.of(u, v).cka() == pytest.approx(expected.item())
    parts = _Sums.of(u[:6], v[:6]).plus(_Sums.of(u[6:], v[6:]))
    assert parts.cka() == pytest.approx(expected.item())


def test_rows_are_found_by_their_ids_and_neighbours_are_not_searched_again(monkeypatch):
    import geomclip.analysis.comparison as module

    a, b = spaces("meru", n=80)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    mixed = b.subset({"image": order, "text": order})
    found = compare_spaces(a, mixed)  # texts by the ids of their partners
    assert found.overlap["text"].value == 1 and found.cosine["image → text"].value > 1 - 1e-9
    assert set(found.by.values()) == {"80 rows of 80 and 80 with the same id, text or partner"}
    nameless = [Embeddings(e.points, e.geometry) for e in (a, mixed)]
    wrong = compare_spaces(*nameless)  # by their place
    assert wrong.overlap["text"].value < 0.5 and "place" in wrong.by["image"]
    texts = [f"caption {k}" for k in range(80)]
    named = [
        Embeddings(e.points, e.geometry, texts=[texts[i] for i in rows])
        for e, rows in zip(nameless, (range(80), order.tolist()), strict=True)
    ]
    assert compare_spaces(*named).overlap["text"].value == 1

    some = torch.arange(50)  # neighbours among some are others
    part = compare_spaces(a, b.subset({"image": some, "text": some}))
    assert part.overlap["image"].value == 1 and part.overlap["image"].n == 50
    monkeypatch.setattr(module, "nearest", None)
    assert compare_spaces(a, mixed).overlap == found.overlap
    with pytest.raises(TypeError):
        compare_spaces(a, b.subset({"image": some, "text": some}))


def test_other_dimensions_are_reached_and_other_things_refused():
    a, b = spaces("euclip", n=80)
    wide = build_geometry("euclip", DIM + 3).double()
    more = {m: torch.nn.functional.pad(x, (2, 1)) for m, x in b.points.items()}
    found = compare_spaces(a, Embeddings(more, wide, ids=b.ids))
    assert found.cosine["text → image"].value == pytest.approx(1) and not found.before
    back = compare_spaces(Embeddings(more, wide, ids=b.ids), a)
    assert back.explained["image → text"].value == pytest.approx(1)
    other = Embeddings(b.points, b.geometry, ids=[f"x{k}" for k in range(80)])
    with pytest.raises(RequestError, match="have 0 image ids in common"):
        compare_spaces(a, other)
    with pytest.raises(RequestError, match="without ids in both"):
        compare_spaces(a, Embeddings({"image": b["image"][:70]}, b.geometry))
    with pytest.raises(RequestError, match="no modality in common"):
        compare_spaces(a, Embeddings({"sound": b["image"]}, b.geometry))
    with pytest.raises(RequestError, match="needs another space"):
        compare_spaces(Space(a))
