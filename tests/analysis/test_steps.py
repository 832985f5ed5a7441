"""Analogies: steps that were planted parallel, and steps at random."""

import pytest
import torch
from planted import DIM

from geomclip import build_geometry
from geomclip.analysis import analogies
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError

N = 60


def starts_and_steps(g):
    """Points on a geodesic through the root, along which transport leads back to itself, and one
    step carried to all of them."""
    m, root = g.manifold, g.manifold.origin(g.dim, dtype=torch.float64)
    axis = torch.eye(g.dim, dtype=torch.float64)
    at = torch.linspace(0, 1.2, N, dtype=torch.float64)
    a = m.geodesic_unit(at, root, axis[1]).detach()
    u = m.from_frame(root, 0.4 * axis[1] + 0.3 * axis[2])
    return a, m.transp(root.expand_as(a), a, u.expand_as(a)).detach()


@pytest.mark.parametrize("name", ["clip", "euclip", "meru", "poincare"])
def test_transported_steps_are_parallelograms(name):
    g = build_geometry(name, DIM).double()
    a, u = starts_and_steps(g)
    found = analogies(Embeddings({"image": g.manifold.expmap(a, u).detach(), "text": a}, g))
    way = "text → image"
    assert found.parallelism[way].value == pytest.approx(1)
    assert found.closure[way].value == pytest.approx(0, abs=1e-7)
    assert found.completion[way].value == 1
    assert found.without[way].value < 0.1 and found.shuffled[way].value < 0.9
    assert found.steps[way].value == pytest.approx(0.5)


def test_steps_at_random_are_not_parallel_and_the_error_knows_shared_steps():
    g = build_geometry("euclip", DIM).double()

    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        a, u = torch.randn(2, 50, DIM, dtype=torch.float64, generator=generator)
        return analogies(Embeddings({"image": a + u + 0.5, "text": a}, g)).parallelism[
            "text → image"
        ]

    found = [drawn(seed) for seed in range(10)]
    values = torch.tensor([f.value for f in found])
    # The error of independent pairs of steps would be a fifth of what it is.
    assert sum(f.error for f in found) / 10 == pytest.approx(values.std().item(), rel=0.5)
    assert values.mean().item() == pytest.approx(0.2, abs=0.05)


def test_relations_are_told_by_names():
    g = build_geometry("euclip", 2).double()
    x = torch.tensor([[0, 0], [0, 1], [3, 0], [3, 1], [7, 2], [7, 3]], dtype=torch.float64)
    words = ["man", "woman", "king", "queen", "uncle", "aunt"]
    e = Embeddings({"text": x}, g, texts=words)
    pairs = [("man", "woman"), ("king", "queen"), ("uncle", "aunt")]
    found = analogies(e, {"female": pairs})
    assert (
        found.parallelism["female"].value == pytest.approx(1)
        and found.completion["female"].value == 1
    )
    assert found.candidates["female"] == 6 and found.pairs["female"] == 3
    with pytest.raises(RequestError, match='no row has the name "lady"'):
        analogies(e, {"female": [*pairs, ("man", "lady")]})
    with pytest.raises(RequestError, match="has 2 pairs"):
        analogies(e, {"female": pairs[:2]})
    with pytest.raises(RequestError, match="equal points"):
        analogies(e, {"same": [(w, w) for w in words]})
    with pytest.raises(RequestError, match="need three pairs, there are 0"):
        analogies(e)
    twice = Embeddings({"text": x}, g, texts=["man", *words[1:5], "man"])
    with pytest.raises(RequestError, match='several rows have the name "man"'):
        analogies(twice, {"female": [("man", "woman")] * 3})
