"""Spaces whose gap, rank, order or hubs were planted: each number comes back within its error."""

import math

import pytest
import torch
from planted import DIM, GEOMETRIES, two_clouds
from scipy.stats import norm

from geomclip import build_geometry
from geomclip.analysis import (
    alignment,
    cones,
    hubness,
    modality_gap,
    retrieval,
    root_distances,
    spectrum,
    uniformity,
)
from geomclip.analysis.axes import effective_rank
from geomclip.analysis.midpoints import leaving_out, midpoint
from geomclip.embeddings import Embeddings

SIGMAS = 3.5


@pytest.fixture(params=GEOMETRIES)
def geometry(request):
    return build_geometry(request.param, DIM).double()


def near(found, truth):
    assert found.error is not None and found.error > 0
    assert abs(found.value - truth) <= SIGMAS * found.error, (found, truth)


# --- midpoints ---


def test_midpoints_from_sums_are_the_manifolds_own(manifold):
    # The fixture of the laws: every manifold and curvature, a product among them.
    torch.manual_seed(0)
    x = manifold.random_normal(50, 4, std=0.7, dtype=torch.float64)
    torch.testing.assert_close(midpoint(manifold, x), manifold.weighted_midpoint(x))
    blocks = list(torch.arange(50).split(20))
    whole, without = leaving_out(manifold, x, blocks)
    torch.testing.assert_close(whole, manifold.weighted_midpoint(x))
    torch.testing.assert_close(without[1], manifold.weighted_midpoint(x[torch.cat(blocks[::2])]))


# --- modality gap ---


def test_a_planted_gap_is_found_in_every_geometry(geometry):
    found = modality_gap(two_clouds(geometry, 0.3))
    near(found.distance, 0.3)
    assert found.distance.error < 0.02 and found.distance.low > 0


@pytest.mark.parametrize("name", ["clip", "meru"])
def test_no_gap_is_found_where_there_is_none(name):
    found = modality_gap(two_clouds(build_geometry(name, DIM).double(), 0.0))
    assert abs(found.distance.value) <= SIGMAS * found.distance.error
    assert found.distance.error < 0.02
    near(found.separability, 0.5)  # no plane knows anything


def test_the_gaps_error_is_its_spread_over_samples():
    g = build_geometry("euclip", DIM).double()
    found = [modality_gap(two_clouds(g, 0.2, n=100, seed=s)).distance for s in range(25)]
    values = torch.tensor([f.value for f in found])
    assert values.mean().item() == pytest.approx(0.2, abs=3 * values.std().item() / 25**0.5)
    mean_error = sum(f.error for f in found) / 25
    assert mean_error == pytest.approx(values.std().item(), rel=0.45)


def test_separability_is_that_of_two_gaussians():
    g = build_geometry("euclip", DIM).double()
    found = modality_gap(two_clouds(g, 0.2, std=0.1))
    # A plane half-way between two spheres of Gaussians, two standard deviations apart.
    near(found.separability, norm.cdf(1.0))
    near(found.auc, norm.cdf(2 / math.sqrt(2)))
    near(found.relative, 2 / math.sqrt(DIM))


# --- spectrum ---


def cloud(g, variances, n, seed=0):
    """Tangent vectors at the root with given variances along axes, as points."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, len(variances), dtype=torch.float64, generator=generator)
    u = torch.zeros(n, g.dim, dtype=torch.float64)
    u[:, 1 : 1 + len(variances)] = z * torch.tensor(variances, dtype=torch.float64).sqrt()
    m = g.manifold
    x = m.expmap0(m.from_frame(m.origin(g.dim, dtype=torch.float64), u)).detach()
    return Embeddings({"image": x}, g)


@pytest.mark.parametrize("name", ["clip", "euclip", "meru", "poincare"])
def test_a_planted_rank_is_found_in_every_geometry(name):
    # Small scatter: far out the curved spaces' midpoint differs from the root by what is drawn.
    g = build_geometry(name, 16).double()
    found = spectrum(cloud(g, [1e-4] * 5, 1500))
    near(found.effective_rank["image"], 5)
    near(found.participation["image"], 5)
    near(found.longest["image"], 0.01) if name == "euclip" else None
    assert found.effective_rank["image"].error < 0.02
    assert (found.axes["image"][5:] < 1e-4).all()


def test_unequal_axes_have_the_rank_of_their_entropy():
    variances = [1.0, 0.5, 0.25, 0.125]
    g = build_geometry("euclip", 8).double()
    found = spectrum(cloud(g, variances, 4000))
    near(found.effective_rank["image"], effective_rank(torch.tensor(variances)))
    near(found.participation["image"], sum(variances) ** 2 / sum(v * v for v in variances))
    near(found.isotropy["image"], sum(variances) ** 2 / sum(v * v for v in variances) / 8)
    near(found.longest["image"], 1.0)


def test_effective_rank_is_exact_where_it_is_known():
    assert effective_rank(torch.ones(7)) == pytest.approx(7)
    assert effective_rank(torch.tensor([1.0, 0, 0])) == pytest.approx(1)
    assert effective_rank(torch.zeros(3)) == 0


def test_conformity_is_the_mean_cosine_of_all_others():
    g = build_geometry("clip", 6).double()
    x = torch.nn.functional.normalize(torch.randn(40, 6, dtype=torch.float64), dim=-1)
    others = ~torch.eye(40, dtype=torch.bool)
    found = spectrum(Embeddings({"image": x}, g)).conformity["image"]
    assert found.value == pytest.approx((x @ x.T)[others].mean().item())


# --- alignment and uniformity ---


def test_uniformity_is_its_formula_and_alignment_too(geometry, monkeypatch):
    monkeypatch.setattr(uniformity, "TILE", 16)
    e = two_clouds(geometry, 0.3, n=50, std=0.3)
    found = alignment(e)
    m, x, y = geometry.manifold, e["image"], e["text"]
    others = ~torch.eye(50, dtype=torch.bool)
    for name, points in (("image", x), ("text", y)):
        expected = (-2 * m.pairwise_dist2(points, points))[others].exp().mean().log().item()
        assert found.uniformity[name].value == pytest.approx(expected, rel=1e-9)
    expected = (-2 * m.pairwise_dist2(x, y))[others].exp().mean().log().item()
    assert found.cross.value == pytest.approx(expected, rel=1e-9)
    assert found.alignment.value == pytest.approx(m.dist2(x, y).mean().item())
    terms = found.uniformity
    cua = found.alignment.value + (terms["image"].value + terms["text"].value) / 2
    assert found.cua.value == pytest.approx(cua)
    assert found.cuaxu.value == pytest.approx(cua + found.cross.value)


def test_uniformitys_error_is_its_spread_over_samples():
    m = build_geometry("meru", 4).double().manifold
    torch.manual_seed(0)
    found = [
        uniformity.uniformity(m, m.random_normal(80, 4, std=0.5, dtype=torch.float64))
        for _ in range(40)
    ]
    spread = torch.tensor([f.value for f in found]).std().item()
    assert sum(f.error for f in found) / 40 == pytest.approx(spread, rel=0.35)


def test_tolerance_is_the_mean_cosine_within_classes():
    g = build_geometry("clip", 5).double()
    torch.manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(30, 5, dtype=torch.float64), dim=-1)
    paths = [(str(i % 3),) for i in range(29)] + [()]
    found = alignment(Embeddings({"image": x}, g, paths=paths)).tolerance["image"]
    labels = torch.arange(29) % 3
    same = (labels[:, None] == labels) & ~torch.eye(29, dtype=torch.bool)
    near(found, (x[:29] @ x[:29].T)[same].mean().item())


# --- roots, cones, retrieval, hubs ---


def test_the_gap_of_root_distances_is_the_planted_one(geometry):
    e = two_clouds(geometry, 0.3)
    found = root_distances(e, root="own" if geometry.spec.root == "origin" else "mean")
    assert found.root == ("the origin" if geometry.spec.root == "origin" else
                          "the midpoint of the embeddings")  # fmt: skip
    if geometry.spec.root == "origin":
        # The same scatter around both, seen from the root: distances differ by the gap.
        assert found.gap.value == pytest.approx(-0.3, abs=SIGMAS * found.gap.error + 0.02)
        assert found.farther.value < 0.1 and found.overlap.value < 0.3


def test_two_halves_of_one_set_overlap_and_two_far_sets_do_not():
    g = build_geometry("euclip", 3).double()
    x = torch.randn(4000, 3, dtype=torch.float64)
    same = root_distances(Embeddings({"image": x[:2000], "text": x[2000:]}, g))
    assert same.overlap.value > 0.93
    near(same.farther, 0.5)
    near(same.gap, 0.0)
    apart = root_distances(Embeddings({"image": x[:2000], "text": 100 + x[2000:]}, g))
    assert apart.overlap.value == pytest.approx(0, abs=1e-6) and apart.farther.value == 0
    # A density is one.
    cell = (same.density.grid[1] - same.density.grid[0]).item()
    assert same.density.height["image"].sum().item() * cell == pytest.approx(1, abs=1e-6)


def test_clips_own_root_distance_is_the_papers_cosine_distance_to_the_mean():
    g = build_geometry("clip", 4).double()
    x, y = (torch.nn.functional.normalize(torch.randn(9, 4).double(), dim=-1) for _ in range(2))
    found = root_distances(Embeddings({"image": x, "text": y}, g))
    root = torch.nn.functional.normalize(torch.cat([x, y]).mean(0), dim=0)
    torch.testing.assert_close(found.distance["image"], (1 - x @ root) / 2)
    assert found.unit == "(1 − cos) / 2"


@pytest.mark.parametrize("name", ["euclip", "meru", "poincare"])
def test_children_beyond_their_parents_lie_in_their_cones(name):
    g = build_geometry(name, 4).double()
    m = g.manifold
    torch.manual_seed(0)
    u = torch.nn.functional.normalize(torch.randn(300, 4, dtype=torch.float64), dim=-1)
    root = m.origin(4, dtype=torch.float64)
    text = m.geodesic_unit(torch.tensor(1.0).double(), root, u).detach()
    image = m.geodesic_unit(torch.tensor(2.0).double(), root, u).detach()
    found = cones(Embeddings({"image": image, "text": text}, g))
    assert found.violation.value == 0 and found.nearer.value == 1 and found.collapsed.value == 0
    assert found.exterior.value == pytest.approx(0, abs=1e-6)
    assert found.violation_other.value > 0.9
    assert found.aperture.value == pytest.approx(m.half_aperture(text)[0].item())
    swapped = cones(Embeddings({"image": text, "text": image}, g))
    assert swapped.violation.value == 1 and swapped.nearer.value == 0


def test_cones_within_the_radius_have_collapsed():
    g = build_geometry("euclip", 3).double()
    x = 0.01 * torch.randn(20, 3, dtype=torch.float64)
    assert cones(Embeddings({"image": x, "text": x.flip(0)}, g)).collapsed.value == 1


def test_recall_counts_partners_and_labels():
    g = build_geometry("euclip", 1).double()
    image = torch.tensor([[0.0], [1.0], [10.0], [11.0]]).double()
    text = torch.tensor([[0.1], [10.6], [10.9], [1.2]]).double()
    e = Embeddings({"image": image, "text": text}, g, paths=[("a",), ("a",), ("b",), ("c",)])
    found = retrieval(e)
    assert found.recall["image → text, partner"][1].value == 0.25
    assert found.recall["text → image, partner"][1].value == 0.25
    # The pictures of "a" find each other; "b" and "c" have one picture each and are not asked.
    within = found.recall["image → image, same label"][1]
    assert within.value == 1 and within.n == 2
    assert found.chance["image → image, same label"].value == pytest.approx(1 / 3)
    assert found.recall["image → text, same label"][1].value == 0.25
    assert found.candidates["image → image, same label"] == 3


def test_five_captions_are_all_right_answers():
    torch.manual_seed(0)
    g = build_geometry("meru", 4).double()
    image = g.manifold.random_normal(30, 4, dtype=torch.float64)
    pairs = torch.tensor([[i, 5 * i + k] for i in range(30) for k in range(5)])
    text = g.manifold.random_normal(150, 4, mean=image[pairs[:, 0]], std=1e-3, dtype=torch.float64)
    found = retrieval(Embeddings({"image": image, "text": text}, g, pairs=pairs))
    for by_k in found.recall.values():
        assert by_k[1].value == 1
    assert found.chance["image → text, partner"].value == pytest.approx(5 / 150)
    assert found.chance["text → image, partner"].value == pytest.approx(1 / 30)


def test_a_planted_hub_is_found():
    g = build_geometry("euclip", 40).double()
    torch.manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(200, 40, dtype=torch.float64), dim=-1)
    x[0] = 0
    found = hubness(Embeddings({"image": x}, g))
    assert found.largest["image → image"].value == pytest.approx(199 / 200)
    assert found.skewness["image → image"].value > 5
    assert found.counts["image → image"].sum() == 200 * 10
    line = torch.arange(20.0)[:, None].double()  # on a grid everyone is found
    assert hubness(Embeddings({"image": line}, build_geometry("euclip", 1).double())).never[
        "image → image"
    ].value == 0  # fmt: skip
