"""Lift, logit and cone of every geometry against its definition in mpmath, to 1e-10 in float64."""

import math
from collections.abc import Iterator

import mpmath as mp
import pytest
import torch
from torch import Tensor

from geomclip.geometry import GEOMETRIES, Geometry, GeometrySpec, build_geometry
from geomclip.names import ALIASES, CANONICAL
from manifolds import Lorentz, Sphere, lorentz_to_poincare, to_ambient

DIM = 4
HYPERBOLIC = [name for name in GEOMETRIES if "hyperbolic" in name or name == "poincare"]
NORMALISED = ["clip", "elliptic"]
CONES = [name for name in GEOMETRIES if name not in NORMALISED]
CASES = [
    (name, c) for name in GEOMETRIES for c in ((0.1, 1.0, 10.0) if name in HYPERBOLIC else (1.0,))
]

Vector = list[mp.mpf]


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    with mp.workdps(60):
        yield
    torch.set_default_dtype(torch.float32)


def geometry(name: str, c: float = 1.0) -> Geometry:
    """A geometry whose scalars have left their initial values; c = 0.1 and 10 are its bounds."""
    g = build_geometry(name, DIM)
    with torch.no_grad():
        g.logit_scale.fill_(0.7)
        if name in HYPERBOLIC:
            g.log_alpha["image"].fill_(-0.4)
            g.log_alpha["text"].fill_(0.3)
            g.manifold.log_c.fill_(math.log(c))
    assert g.apply_bounds_() == {}
    return g


def features(name: str, c: float) -> tuple[Tensor, Tensor]:
    """Image and text features: random ones, then the hard places of the definitions.

    Equal points under the two alphas need features that differ by their ratio.
    """
    f, h = torch.randn(4, DIM), torch.randn(3, DIM)
    ratio = math.exp(-0.4 - 0.3) if name in HYPERBOLIC else 1.0
    long = (8.0 if name == "poincare" else 30.0) / math.sqrt(c)
    hard_f = [f[0] * 1e-9, torch.nn.functional.normalize(torch.randn(DIM), dim=0) * long]
    hard_h = [f[0] * ratio, (f[1] + 1e-7) * ratio, -f[2] * ratio, f[3] * 0.5, h[0] * 1e-12]
    if name not in NORMALISED:
        hard_f.append(torch.zeros(DIM))
        hard_h.append(torch.zeros(DIM))
    return torch.cat([f, torch.stack(hard_f)]), torch.cat([h, torch.stack(hard_h)])


# The definitions: the textbook formulas, which cancel, at 60 digits, which lets them.


def dot(x: Vector, y: Vector) -> mp.mpf:
    return mp.fsum(a * b for a, b in zip(x, y, strict=True))


def norm(x: Vector) -> mp.mpf:
    return mp.sqrt(dot(x, x))


def times(s: mp.mpf, x: Vector) -> Vector:
    return [s * a for a in x]


def lorentz_inner(x: Vector, y: Vector, c: mp.mpf) -> mp.mpf:
    return dot(x, y) - mp.sqrt(1 / c + dot(x, x)) * mp.sqrt(1 / c + dot(y, y))


def lorentz_dist(x: Vector, y: Vector, c: mp.mpf) -> mp.mpf:
    return mp.acosh(max(mp.mpf(1), -c * lorentz_inner(x, y, c))) / mp.sqrt(c)


def ball_dist(x: Vector, y: Vector, c: mp.mpf) -> mp.mpf:
    gap = [a - b for a, b in zip(x, y, strict=True)]
    stretch = 2 * c * dot(gap, gap) / ((1 - c * dot(x, x)) * (1 - c * dot(y, y)))
    return mp.acosh(1 + stretch) / mp.sqrt(c)


def straight_dist(x: Vector, y: Vector) -> mp.mpf:
    return norm([a - b for a, b in zip(x, y, strict=True)])


def arc(x: Vector, y: Vector) -> mp.mpf:
    cos = dot(x, y) / (norm(x) * norm(y))
    return mp.acos(max(mp.mpf(-1), min(mp.mpf(1), cos)))


LOGIT = {
    "clip": lambda x, y, c: dot(x, y) / (norm(x) * norm(y)),
    "elliptic": lambda x, y, c: -arc(x, y),
    "euclidean": lambda x, y, c: -straight_dist(x, y),
    "euclidean-squared": lambda x, y, c: -(straight_dist(x, y) ** 2),
    "euclidean-inner": lambda x, y, c: dot(x, y),
    "hyperbolic": lambda x, y, c: -lorentz_dist(x, y, c),
    "hyperbolic-squared": lambda x, y, c: -(lorentz_dist(x, y, c) ** 2),
    "hyperbolic-inner": lorentz_inner,
    "poincare": lambda x, y, c: -ball_dist(x, y, c),
}


def lift(name: str, f: Vector, alpha: mp.mpf, c: mp.mpf) -> Vector:
    if name in NORMALISED:
        return times(1 / norm(f), f)
    if name not in HYPERBOLIC:
        return times(1 / mp.sqrt(DIM), f)
    u = times(alpha, f)
    length = mp.sqrt(c) * norm(u)
    if length == 0:
        return u
    if name == "poincare":  # the point at distance |u| from 0, whose conformal factor there is 2
        return times(mp.tanh(length / 2) / length, u)
    return times(mp.sinh(length) / length, u)


def lifted(g: Geometry, f: Tensor, modality: str) -> list[Vector]:
    alpha = mp.exp(g.log_alpha[modality].item()) if g.name in HYPERBOLIC else mp.mpf(1)
    c = mp.mpf(g.manifold.c.item())
    return [lift(g.name, [mp.mpf(v) for v in row], alpha, c) for row in f.tolist()]


@pytest.mark.parametrize(("name", "c"), CASES)
def test_lift_is_its_definition(name: str, c: float) -> None:
    g = geometry(name, c)
    for modality, f in zip(("image", "text"), features(name, c), strict=True):
        points = g.lift(f, modality)
        for point, expected in zip(points.tolist(), lifted(g, f, modality), strict=True):
            gap = straight_dist([mp.mpf(v) for v in point], expected)
            assert gap <= 1e-10 * norm(expected)
        assert g.manifold.check_point(points)


@pytest.mark.parametrize(("name", "c"), CASES)
def test_logits_are_their_definition(name: str, c: float) -> None:
    g = geometry(name, c)
    f, h = features(name, c)
    x, y = g.lift(f, "image"), g.lift(h, "text")
    score, logits = g.score(x, y), g.logits(x, y)
    curvature = mp.mpf(g.manifold.c.item())
    for i, a in enumerate(lifted(g, f, "image")):
        for j, b in enumerate(lifted(g, h, "text")):
            expected = LOGIT[name](a, b, curvature)
            scale = max(1, abs(expected))
            if name.endswith("-inner"):  # a difference of two products of this size
                scale = max(scale, mp.sqrt((1 + dot(a, a)) * (1 + dot(b, b))))
            assert abs(score[i, j].item() - expected) <= 1e-10 * scale, (i, j)
            assert abs(logits[i, j].item() - mp.exp(0.7) * expected) <= 2e-10 * scale, (i, j)


def half_aperture(g: Geometry, x: Vector, min_radius: float) -> mp.mpf:
    c = mp.mpf(g.manifold.c.item())
    sine = 2 * min_radius / (mp.sqrt(c) * norm(x)) if c > 0 else min_radius / norm(x)
    return mp.asin(min(mp.mpf(1), sine))


def exterior_angle(g: Geometry, x: Vector, y: Vector) -> mp.mpf:
    c = mp.mpf(g.manifold.c.item())
    if c == 0:
        gap = [b - a for a, b in zip(x, y, strict=True)]
        return mp.acos(dot(gap, x) / (norm(gap) * norm(x)))
    product = c * lorentz_inner(x, y, c)
    x_time, y_time = mp.sqrt(1 / c + dot(x, x)), mp.sqrt(1 / c + dot(y, y))
    return mp.acos((y_time + x_time * product) / (norm(x) * mp.sqrt(product**2 - 1)))


@pytest.mark.parametrize("min_radius", [0.05, 0.3])
@pytest.mark.parametrize(("name", "c"), [case for case in CASES if case[0] in CONES])
def test_entailment_is_its_definition(name: str, c: float, min_radius: float) -> None:
    g = geometry(name, c)
    # Lengths that leave some apertures saturated and some children inside their cone.
    f = torch.randn(9, DIM) * torch.tensor([0.05, 0.3, 1.0]).repeat(3)[:, None]
    h = torch.cat([torch.randn(5, DIM), f[5:] * (3 + 0.02 * torch.randn(4, DIM))])
    parents, children = lifted(g, f, "text"), lifted(g, h, "image")
    if name == "poincare":  # the cones of Ganea et al. are those of the hyperboloid, point by point
        curvature = mp.mpf(g.manifold.c.item())
        parents, children = (
            [times(2 / (1 - curvature * dot(p, p)), p) for p in points]
            for points in (parents, children)
        )
    expected = [
        max(mp.mpf(0), exterior_angle(g, a, b) - half_aperture(g, a, min_radius))
        for a, b in zip(parents, children, strict=True)
    ]
    assert any(value == 0 for value in expected) and any(value > 0 for value in expected)
    loss = g.entailment_loss(g.lift(f, "text"), g.lift(h, "image"), min_radius)
    assert abs(loss.item() - mp.fsum(expected) / len(expected)) <= 1e-10


TABLE = {
    # name: initial log beta, the same with entailment, manifold
    "clip": (math.log(1 / 0.07), None, "Sphere"),
    "elliptic": (math.log(1 / 0.07), None, "Sphere"),
    "euclidean": (math.log(1 / 0.07), math.log(1 / 0.07), "Euclidean"),
    "euclidean-squared": (0.0, -1.0, "Euclidean"),
    "euclidean-inner": (math.log(1 / 0.07), math.log(1 / 0.07), "Euclidean"),
    "hyperbolic": (math.log(1 / 0.07), math.log(1 / 0.07), "Lorentz"),
    "hyperbolic-squared": (0.0, -1.0, "Lorentz"),
    "hyperbolic-inner": (math.log(1 / 0.07), math.log(1 / 0.07), "Lorentz"),
    "poincare": (math.log(1 / 0.07), math.log(1 / 0.07), "PoincareBall"),
    "euclip": (0.0, -1.0, "Euclidean"),
    "meru": (math.log(1 / 0.07), math.log(1 / 0.07), "Lorentz"),
}


@pytest.mark.parametrize("name", TABLE)
def test_initial_values_are_the_table_s(name: str) -> None:
    plain, entailed, manifold = TABLE[name]
    g = build_geometry(name, 512)
    scalars = g.scalars()
    assert scalars.pop("logit_scale") == pytest.approx(plain, abs=1e-12)
    if manifold in ("Lorentz", "PoincareBall"):
        root = pytest.approx(512**-0.5, abs=1e-12)
        assert scalars == {
            "c": pytest.approx(1, abs=1e-12),
            "alpha_image": root,
            "alpha_text": root,
        }
        assert (g.manifold.c_min, g.manifold.c_max) == pytest.approx((0.1, 10))
    else:
        assert scalars == {}
    assert type(g.manifold).__name__ == manifold
    assert g.name == name
    assert g.has_cones is (entailed is not None)
    if entailed is None:
        with pytest.raises(ValueError, match=f"{name} has no entailment cones"):
            build_geometry(name, 512, entailment=True)
    else:
        started = build_geometry(name, 512, entailment=True)
        assert started.logit_scale.item() == pytest.approx(entailed, abs=1e-12)
    given = build_geometry(name, 512, init_logit_scale=0.25, entailment=g.has_cones)
    assert given.logit_scale.item() == 0.25


def test_rows_names_and_aliases_agree() -> None:
    assert tuple(GEOMETRIES) == CANONICAL
    for alias, row in ALIASES.items():
        assert build_geometry(alias, 3).spec is GEOMETRIES[row]


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_poincare_is_hyperbolic_at_equal_tangent_length(c: float) -> None:
    ball, lorentz = geometry("poincare", c), geometry("hyperbolic", c)
    f, h = features("poincare", c)
    points = {g.name: (g.lift(f, "image"), g.lift(h, "text")) for g in (ball, lorentz)}
    torch.testing.assert_close(
        ball.logits(*points["poincare"]),
        lorentz.logits(*points["hyperbolic"]),
        rtol=1e-9,
        atol=1e-9,
    )
    torch.testing.assert_close(
        points["poincare"][0], lorentz_to_poincare(points["hyperbolic"][0], c), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("name", HYPERBOLIC)
def test_tangent_length_is_distance_to_the_root(name: str) -> None:
    g = geometry(name, 10.0)
    f = torch.randn(6, DIM)
    length = g.alpha("text") * torch.linalg.vector_norm(f, dim=-1)
    torch.testing.assert_close(g.root_distance(g.lift(f, "text")), length, rtol=1e-10, atol=0)


# Isometries leave distance logits alone; cones have a root, which does not move along.


@pytest.mark.parametrize("name", ["euclidean", "euclidean-squared"])
def test_translation_keeps_euclidean_logits_and_changes_cones(name: str) -> None:
    g = geometry(name)
    x, y, shift = torch.randn(6, DIM), torch.randn(6, DIM), torch.randn(DIM)
    torch.testing.assert_close(g.logits(x + shift, y + shift), g.logits(x, y), rtol=1e-12, atol=0)
    moved = g.manifold.exterior_angle(x + shift, y + shift)
    assert (moved - g.manifold.exterior_angle(x, y)).abs().median() > 1e-3
    moved = g.manifold.half_aperture(x + shift)
    assert (moved - g.manifold.half_aperture(x)).abs().median() > 1e-3


def boost(x: Tensor, c: Tensor, rapidity: float) -> Tensor:
    """Hyperboloid points moved by an isometry along the first axis."""
    time, first, *rest = to_ambient(x, c).unbind(-1)
    first = math.sinh(rapidity) * time + math.cosh(rapidity) * first
    return torch.stack([first, *rest], dim=-1)


@pytest.mark.parametrize("name", ["hyperbolic", "hyperbolic-squared", "hyperbolic-inner"])
def test_boost_keeps_hyperbolic_logits_and_changes_cones(name: str) -> None:
    g = geometry(name, 2.5)
    x, y = g.lift(torch.randn(6, DIM), "image"), g.lift(torch.randn(6, DIM), "text")
    u, v = boost(x, g.manifold.c, 0.8), boost(y, g.manifold.c, 0.8)
    torch.testing.assert_close(g.logits(u, v), g.logits(x, y), rtol=1e-10, atol=0)
    moved = g.manifold.exterior_angle(u, v)
    assert (moved - g.manifold.exterior_angle(x, y)).abs().median() > 1e-3


@pytest.mark.parametrize("name", GEOMETRIES)
def test_rotation_keeps_every_logit(name: str) -> None:
    g = geometry(name)
    x, y = g.lift(torch.randn(6, DIM), "image"), g.lift(torch.randn(6, DIM), "text")
    rotation = torch.linalg.qr(torch.randn(DIM, DIM)).Q
    torch.testing.assert_close(
        g.logits(x @ rotation, y @ rotation), g.logits(x, y), rtol=1e-11, atol=1e-11
    )


def test_a_new_geometry_is_a_row() -> None:
    spec = GeometrySpec("sphere", "normalise", "-dist2", init_logit_scale=0.5, root="mean")
    g = Geometry(spec, Sphere(), DIM, name="elliptic-squared")
    f, h = torch.randn(5, DIM), torch.randn(5, DIM)
    elliptic = build_geometry("elliptic", DIM)
    arcs = elliptic.score(elliptic.lift(f, "image"), elliptic.lift(h, "text"))
    logits = g.logits(g.lift(f, "image"), g.lift(h, "text"))
    torch.testing.assert_close(logits, -math.exp(0.5) * arcs.square(), rtol=1e-12, atol=0)
    spec = GeometrySpec("lorentz", "expmap0", "-dist", learned_alpha=True)
    fixed = Geometry(spec, Lorentz(c=3.0), DIM, modalities=("audio", "text"))
    assert list(fixed.scalars()) == ["logit_scale", "alpha_audio", "alpha_text"]
    assert fixed.manifold.log_c not in set(fixed.scalar_parameters())
