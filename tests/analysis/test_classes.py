"""Neural collapse and thresholds: simplices, clouds of known scatter, classes alike and unlike."""

import pytest
import torch
from planted import DIM

from geomclip import build_geometry
from geomclip.analysis import neural_collapse, threshold_consistency
from geomclip.analysis.operating import _measure
from geomclip.analysis.tangent import flat, from_flat
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError

SIGMAS = 3.5
CLASSES = 5


def near(found, truth):
    assert found.error is not None and found.error > 0
    assert abs(found.value - truth) <= SIGMAS * found.error, (found, truth)


def simplex(seed=0):
    """Corners (5, 8) of a simplex around 0, in a random position, and a direction across."""
    corners = torch.eye(CLASSES, DIM, dtype=torch.float64)
    corners[:, :CLASSES] -= 1 / CLASSES
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(DIM, DIM, dtype=torch.float64, generator=generator))[0]
    return corners @ turn, turn[-1]


def classed(g, image, text, labels, **more):
    return Embeddings(
        {"image": image, "text": text, **more}, g, paths=[("all", str(c)) for c in labels.tolist()]
    )


@pytest.mark.parametrize("name", ["clip", "euclip", "meru", "poincare", "lorentz4xsphere4"])
def test_flat_coordinates_are_what_was_lifted(name):
    g = build_geometry(name, DIM).double()
    u = torch.randn(20, DIM, dtype=torch.float64)
    if "sphere" in name or name == "clip":
        part = u if name == "clip" else u[:, 4:]
        part /= torch.linalg.vector_norm(part, dim=1, keepdim=True)
    torch.testing.assert_close(flat(g.manifold, from_flat(g.manifold, u)), u)


@pytest.mark.parametrize("name", ["clip", "euclip", "meru", "poincare"])
def test_a_simplex_has_collapsed_in_every_geometry(name):
    g = build_geometry(name, DIM).double()
    corners, across = simplex()
    labels = torch.arange(60) % CLASSES
    image = from_flat(g.manifold, corners)[labels]
    text = from_flat(g.manifold, corners + 2 * across)[labels]  # beyond a gap
    found = neural_collapse(classed(g, image, text, labels))
    for key in ("within", "equinorm", "equiangular", "simplex"):
        for m in ("image", "text"):
            assert getattr(found, key)[m].value == pytest.approx(0, abs=1e-12), key
    assert found.duality["image"].value == pytest.approx(0, abs=1e-12)
    assert found.disagreement["image"].value == 0 and found.nearest["text"].value == 1
    assert found.classes == {"image": 5, "text": 5}


def test_planted_scatter_within_and_between_is_found():
    """Means a e_c and scatter s in every direction: NC1 is s^2 (C - 1) / a^2."""
    g = build_geometry("euclip", DIM).double()
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(1500) % CLASSES
    corners, _ = simplex()
    noise = 0.3 * torch.randn(1500, DIM, dtype=torch.float64, generator=generator)
    found = neural_collapse(classed(g, corners[labels] + noise, noise, labels))
    near(found.within["image"], 0.3**2 * (CLASSES - 1))
    assert found.within["image"].error < 0.03
    assert found.simplex["image"].value < 0.1
    # Texts that know nothing of their class.
    assert found.nearest["text"].value < 0.4 and found.within["text"].value > 10


def test_a_classifier_with_two_classes_swapped_disagrees_about_these():
    g = build_geometry("euclip", DIM).double()
    corners, _ = simplex()
    labels = torch.arange(40) % CLASSES
    nodes = [("all", str(c)) for c in range(CLASSES)]
    e = Embeddings(
        {"image": corners[labels], "label": corners[torch.tensor([1, 0, 2, 3, 4])]},
        g,
        paths={"image": [nodes[c] for c in labels], "label": nodes},
    )
    found = neural_collapse(e)
    assert found.disagreement["image"].value == pytest.approx(2 / 5)
    # |W - M|^2 over |M|^2: two rows are each sqrt(2) off, |M|^2 is C - 1.
    assert found.duality["image"].value == pytest.approx(2 * 2 / (CLASSES - 1))
    assert "points of the labels" in found.classifier


def test_rows_without_a_class_of_two_are_counted_and_too_few_classes_refused():
    g = build_geometry("euclip", 3).double()
    x = torch.randn(9, 3, dtype=torch.float64)
    paths = [("a",)] * 3 + [("b",)] * 4 + [("c",), ()]
    found = neural_collapse(Embeddings({"image": x}, g, paths=paths))
    assert found.unlabelled == {"image": 2} and found.classes == {"image": 2}
    assert "no classifier" in " ".join(found.notes())
    for analysis in (neural_collapse, threshold_consistency):
        with pytest.raises(RequestError, match="two classes of at least"):
            analysis(Embeddings({"image": x}, g))
    x[:3] = x[3:7] = x[0].clone()
    with pytest.raises(RequestError, match="means of all 2 classes are the same"):
        neural_collapse(Embeddings({"image": x}, g, paths=paths))


def clouds(scatter, each=40, seed=0):
    """Classes around random points, each with its own scatter."""
    generator = torch.Generator().manual_seed(seed)
    k = len(scatter)
    middle = 3 * torch.randn(k, DIM, dtype=torch.float64, generator=generator)
    noise = torch.randn(each, k, DIM, dtype=torch.float64, generator=generator)
    x = (middle + torch.tensor(scatter, dtype=torch.float64)[:, None] * noise).view(-1, DIM)
    paths = [(str(i % k),) for i in range(each * k)]
    return Embeddings({"image": x}, build_geometry("euclip", DIM).double(), paths=paths)


def test_classes_of_unlike_scatter_need_unlike_thresholds():
    """Far apart, tight classes are all accepted within any threshold and wide ones in part."""
    alike = threshold_consistency(clouds([0.2] * 30))
    unlike = threshold_consistency(clouds([0.2] * 15 + [3.0] * 15))
    assert unlike.opis["image"].low > 4 * alike.opis["image"].high > 0
    assert unlike.worst["image"].value < unlike.utility["image"].value
    low, high = unlike.range["image"]
    assert 0 < low < high


def test_chance_alone_makes_no_inconsistency():
    """One cloud, labels at random: U differs between classes by what was drawn only."""
    g = build_geometry("euclip", 4).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1200, 4, dtype=torch.float64, generator=generator)
    e = Embeddings({"image": x}, g, paths=[(str(i % 100),) for i in range(1200)])
    found = threshold_consistency(e)
    assert abs(found.opis["image"].value) <= SIGMAS * found.opis["image"].error
    assert found.plain["image"].value > 5 * found.plain["image"].error > 0
    assert abs(found.opis["image"].value) < found.plain["image"].value / 4


def test_opis_is_the_variance_over_classes():
    halves = torch.tensor([0.6, 0.8, 0.7]).double()[None, :, None].expand(2, 3, 9)
    found = _measure(halves)
    assert found["opis"].value == pytest.approx(0.01)  # of three classes, n - 1
    assert found["plain"].value == pytest.approx(0.02 / 3)
    assert found["utility"].value == pytest.approx(0.7)
    assert found["worst"].value == pytest.approx(0.6)
