"""What a geometry learns and keeps (scalars, bounds, root), its precision, what it refuses."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from geomclip.errors import GeomclipError
from geomclip.geometry import GEOMETRIES, Geometry, GeometrySpec, build_geometry
from geomclip.losses import info_nce
from geomclip.precision import widen
from manifolds import Euclidean

DIM = 6
HYPERBOLIC = [name for name in GEOMETRIES if "hyperbolic" in name or name == "poincare"]
NORMALISED = ["clip", "elliptic"]
CONES = [name for name in GEOMETRIES if name not in NORMALISED]
LOG100 = math.log(100)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def points(g: Geometry, n: int = 5, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    f, h = torch.randn(2, n, DIM, dtype=dtype)
    return g.lift(f, "image"), g.lift(h, "text")


# --- scalars and bounds ---


@pytest.mark.parametrize("name", GEOMETRIES)
def test_scalar_parameters_are_all_that_learns(name: str) -> None:
    g = build_geometry(name, DIM)
    expected = {id(p) for p in g.parameters() if p.requires_grad}
    listed = [id(p) for p in g.scalar_parameters()]
    assert set(listed) == expected and len(listed) == len(expected)
    names = ["logit_scale"]
    if name in HYPERBOLIC:
        names += ["c", "alpha_image", "alpha_text"]
    assert list(g.scalars()) == names and len(listed) == len(names)
    info_nce(g, *points(g)).backward()
    assert all(p.grad is not None and p.grad.isfinite() for p in g.scalar_parameters())


def test_a_fixed_curvature_is_logged_and_does_not_learn() -> None:
    g = build_geometry("meru", DIM, learn_c=False, c_init=0.5)
    assert g.scalars()["c"] == pytest.approx(0.5)
    assert g.manifold.log_c not in set(g.scalar_parameters())
    info_nce(g, *points(g)).backward()
    assert g.manifold.log_c.grad is None
    assert g.at_bound() == {}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_logit_scale_stays_below_log_100(name: str) -> None:
    g = build_geometry(name, DIM)  # float32, in which log 100 is rounded
    with torch.no_grad():
        g.logit_scale.fill_(9.0)
    assert g.apply_bounds_() == {"logit_scale": "upper"}
    assert g.logit_scale.item() == pytest.approx(LOG100, abs=1e-6)
    assert g.at_bound() == {"logit_scale": "upper"}
    assert g.apply_bounds_() == {}
    with torch.no_grad():
        g.logit_scale.fill_(-30.0)
    assert g.apply_bounds_() == {} and g.at_bound() == {}


def test_the_lower_bound_of_logit_scale_is_an_option() -> None:
    g = build_geometry("euclip", DIM, min_logit_scale=0.1, init_logit_scale=0.2)
    with torch.no_grad():
        g.logit_scale.fill_(-1.0)
    assert g.apply_bounds_() == {"logit_scale": "lower"}
    assert g.logit_scale.item() == pytest.approx(0.1)
    assert g.at_bound() == {"logit_scale": "lower"}
    assert g.apply_bounds_() == {}


def test_alpha_is_bounded_on_request_only() -> None:
    free, bounded = build_geometry("meru", DIM), build_geometry("meru", DIM, alpha_max=1.0)
    for g in (free, bounded):
        with torch.no_grad():
            g.log_alpha["text"].fill_(2.0)
    assert free.apply_bounds_() == {} and free.at_bound() == {}
    assert bounded.apply_bounds_() == {"alpha_text": "upper"}
    assert bounded.scalars()["alpha_text"] == 1.0
    assert bounded.scalars()["alpha_image"] == pytest.approx(DIM**-0.5)
    assert bounded.at_bound() == {"alpha_text": "upper"}


@pytest.mark.parametrize("name", HYPERBOLIC)
@pytest.mark.parametrize("options", [{}, {"c_min": 0.3, "c_max": 0.9}])
def test_c_is_bounded_around_its_initial_value(name: str, options: dict[str, float]) -> None:
    g = build_geometry(name, DIM, c_init=0.5, **options)
    low, high = options.get("c_min", 0.05), options.get("c_max", 5.0)
    for log_c, side, bound in ((-20.0, "lower", low), (20.0, "upper", high)):
        with torch.no_grad():
            g.manifold.log_c.fill_(log_c)
        assert g.apply_bounds_() == {"c": side}
        assert g.scalars()["c"] == pytest.approx(bound, rel=1e-6)
        assert g.at_bound() == {"c": side}
        assert g.apply_bounds_() == {}
        info_nce(g, *points(g)).backward()
        # A bound in the forward pass would stop the gradient here.
        assert g.manifold.log_c.grad.abs() > 0


def test_bounds_leave_nan_for_the_trainer_to_see() -> None:
    g = build_geometry("meru", DIM)
    with torch.no_grad():
        g.logit_scale.fill_(math.nan)
    assert g.apply_bounds_() == {}
    assert math.isnan(g.scalars()["logit_scale"])


# --- root and prototypes ---


@pytest.mark.parametrize("name", NORMALISED)
def test_the_mean_root(name: str) -> None:
    g = build_geometry(name, DIM).double()
    x, y = points(g, 4)
    y = y[:3]
    for ask in (lambda: g.root, lambda: g.root_distance(x)):
        with pytest.raises(GeomclipError, match=rf"{name}: its root.*\n.*set_root_"):
            ask()
    g.set_root_(x, y)
    mean = torch.cat([x, y]).mean(0)
    torch.testing.assert_close(g.root, mean / mean.norm(), rtol=1e-12, atol=1e-12)
    cos = x @ g.root
    expected = (1 - cos) / 2 if name == "clip" else torch.arccos(cos)
    torch.testing.assert_close(g.root_distance(x), expected, rtol=1e-10, atol=1e-10)
    for point, distance in ((g.root, 0), (-g.root, 1 if name == "clip" else math.pi)):
        assert g.root_distance(point).item() == pytest.approx(distance, abs=1e-12)

    copy = build_geometry(name, DIM).double()
    copy.load_state_dict(g.state_dict())
    torch.testing.assert_close(copy.root, g.root, rtol=0, atol=0)
    unset = build_geometry(name, DIM)
    unset.load_state_dict(build_geometry(name, DIM).state_dict())
    with pytest.raises(GeomclipError):
        _ = unset.root


def test_root_distance_of_clip_does_not_cancel_near_the_root() -> None:
    g = build_geometry("clip", DIM)
    root = torch.eye(DIM)[:1]
    g.set_root_(root, root)
    near = g.lift(root + 1e-5 * torch.eye(DIM)[1:2], "image")
    assert g.root_distance(near).item() == pytest.approx(1e-10 / 4, rel=1e-5)


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("bad", ["cancel", "nan", "none"])
def test_points_without_a_mean_direction_give_no_root(name: str, bad: str) -> None:
    g = build_geometry(name, DIM)
    x, _ = points(g, 7, torch.float32)
    images, texts = {
        "cancel": (x, -x),
        "nan": (x * math.nan, x),
        "none": (x[:0], x[:0]),
    }[bad]
    with pytest.raises(ValueError, match=f"{name}: the sum of .* gives no root"):
        g.set_root_(images, texts)


@pytest.mark.parametrize("name", CONES)
def test_the_root_elsewhere_is_the_origin(name: str) -> None:
    g = build_geometry(name, DIM).double()
    x, y = points(g)
    before = g.state_dict()
    g.set_root_(x, y)
    assert g.state_dict().keys() == before.keys()
    assert torch.equal(g.root, torch.zeros(DIM, dtype=torch.float64))
    expected = g.manifold.dist(x, g.root.expand_as(x))
    torch.testing.assert_close(g.root_distance(x), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_prototypes_are_tangent_means(name: str) -> None:
    g = build_geometry(name, DIM).double()
    if name in HYPERBOLIC:
        with torch.no_grad():
            g.log_alpha["image"].fill_(1.0)  # must not matter
    f = torch.randn(2, 3, 4, DIM, dtype=torch.float64)
    mean = (normalize(f, dim=-1) if name in NORMALISED else f).mean(-2)
    prototypes = g.prototype(f)
    torch.testing.assert_close(prototypes, g.lift(mean, "text"), rtol=1e-12, atol=1e-14)
    if name in NORMALISED:
        torch.testing.assert_close(prototypes, normalize(mean, dim=-1), rtol=1e-12, atol=1e-14)
    elif name in HYPERBOLIC:
        tangent = g.manifold.logmap0(prototypes) / g.spec.tangent_scale
        torch.testing.assert_close(tangent, mean * DIM**-0.5, rtol=1e-7, atol=1e-9)
    else:
        torch.testing.assert_close(prototypes, mean * DIM**-0.5, rtol=1e-12, atol=1e-14)
    alone = f[..., :1, :]
    torch.testing.assert_close(g.prototype(alone), g.lift(alone[..., 0, :], "text"))


# --- precision ---


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_results_are_float32_or_better_also_under_autocast(name: str, dtype: torch.dtype) -> None:
    g = build_geometry(name, DIM)
    f, h = torch.randn(2, 5, DIM).to(dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def everything() -> list[Tensor]:
        x, y = g.lift(f, "image"), g.lift(h, "text")
        g.set_root_(x, y)
        values = [x, y, g.logits(x, y), info_nce(g, x, y), g.root_distance(x)]
        values.append(g.prototype(h[None]))
        # Points in half precision, as a user may keep them.
        values.append(g.logits(x.to(dtype), y.to(dtype)))
        if g.has_cones:
            values.append(g.entailment_loss(y, x))
        return values

    plain = everything()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = everything()
    for a, b in zip(plain, cast, strict=True):
        assert a.dtype == b.dtype == wide
        assert torch.equal(a, b)


def test_widen_refuses_integers() -> None:
    with pytest.raises(ValueError, match=r"features must be floating point, got torch.int64"):
        widen(torch.arange(3), "features")


@pytest.mark.parametrize("size", [1e-30, 1e-40, 1e30])
def test_directions_survive_extreme_lengths_in_float32(size: float) -> None:
    g = build_geometry("clip", DIM)
    f = torch.randn(4, DIM)
    tolerance = 1e-4 if size < 1e-37 else 1e-6  # subnormal numbers have few digits
    torch.testing.assert_close(
        g.lift(f * size, "image"), normalize(f, dim=-1), rtol=0, atol=tolerance
    )


# --- hard places ---


@pytest.mark.parametrize(
    ("name", "c"),
    [(name, c) for name in GEOMETRIES for c in ((0.1, 1, 10) if name in HYPERBOLIC else (1,))],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_finite_at_the_hard_places(
    name: str, c: float, dtype: torch.dtype
) -> None:
    g = build_geometry(name, DIM).to(dtype)
    if name in HYPERBOLIC:
        with torch.no_grad():
            g.manifold.log_c.fill_(math.log(c))
    base = torch.randn(3, DIM, dtype=dtype)
    rows = [base, base[:1], base[:1] * (1 + 1e-6), -base[:1], base[:1] * 1e-20, base[:1] * 2]
    long = {"poincare": 5.0, "hyperbolic-inner": 10.0}.get(name, 20.0) / math.sqrt(c)
    rows.append(normalize(base[:1], dim=-1) * long * DIM**0.5)
    if name not in NORMALISED:
        rows.append(torch.zeros(2, DIM, dtype=dtype))
    f = torch.cat(rows).requires_grad_()
    h = torch.cat(rows).roll(1, 0).requires_grad_()
    x, y = g.lift(f, "image"), g.lift(h, "text")
    loss = info_nce(g, x, y) + info_nce(g, x, x)
    if g.has_cones:
        loss = loss + g.entailment_loss(y, x) + g.entailment_loss(x, x)
    loss.backward()
    assert loss.isfinite()
    for tensor in (f, h, *g.scalar_parameters()):
        assert tensor.grad is not None and tensor.grad.isfinite().all()


@pytest.mark.parametrize("name", GEOMETRIES)
def test_nan_features_give_nan_logits(name: str) -> None:
    g = build_geometry(name, DIM)
    f = torch.randn(3, DIM)
    f[1, 2] = math.nan
    logits = g.logits(g.lift(f, "image"), g.lift(torch.randn(2, DIM), "text"))
    assert logits[1].isnan().all() and logits[[0, 2]].isfinite().all()


# --- requests that can't be met ---


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown geometry 'euclidian'\. One of .*euclip.*clip"):
        build_geometry("euclidian", DIM)
    g = build_geometry("meru", DIM)
    with pytest.raises(ValueError, match="meru: unknown modality 'audio'; one of image, text"):
        g.lift(torch.randn(2, DIM), "audio")


@pytest.mark.parametrize("name", NORMALISED)
def test_zero_features_are_counted(name: str) -> None:
    g = build_geometry(name, DIM)
    f = torch.randn(7, DIM)
    f[[1, 4, 5]] = 0
    with pytest.raises(ValueError, match=f"{name}, text: 3 of 7 features are zero"):
        g.lift(f, "text")
    with pytest.raises(ValueError, match=f"{name}, text: 3 of 7 features are zero"):
        g.prototype(f)


@pytest.mark.parametrize("name", CONES)
def test_zero_features_lie_at_the_root(name: str) -> None:
    g = build_geometry(name, DIM)
    assert torch.equal(g.lift(torch.zeros(2, DIM), "image"), torch.zeros(2, DIM))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"c_init": 0.0}, "c must be positive.*c=0"),
        ({"c_init": -1.0}, "c must be positive.*c=-1"),
        ({"c_init": 1.0, "c_min": 2.0}, "c_min=2"),
        ({"init_logit_scale": 5.0}, r"init_logit_scale must lie in \[-inf, log 100 = 4.6052\].*5"),
        ({"init_logit_scale": -1.0, "min_logit_scale": 0.0}, r"must lie in \[0, .*got -1"),
        ({"init_logit_scale": math.nan}, "got nan"),
        ({"alpha_max": 0.01}, r"alpha_max must be at least .*0.4082, got 0.01"),
        ({"alpha_max": -1.0}, "alpha_max must be at least .*got -1"),
        ({"dim": 0}, "dim must be at least 1, got 0"),
    ],
)
def test_values_outside_their_bounds_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_geometry(**{"name": "meru", "dim": DIM, **options})


def test_shapes_and_dtypes_that_do_not_fit_are_refused() -> None:
    g = build_geometry("euclip", DIM)
    x, wrong = torch.randn(3, DIM), torch.randn(3, DIM + 1)
    calls = {
        "features": lambda: g.lift(wrong, "image"),
        "x must": lambda: g.root_distance(wrong),
        "x ": lambda: g.logits(wrong, wrong),
        "parent": lambda: g.entailment_loss(wrong, wrong),
        "points of modality 0": lambda: g.set_root_(wrong, wrong),
        r"at least one prompt k, got \(0, 6\)": lambda: g.prototype(x[:0]),
        "x is torch.float64 on cpu, y is torch.float32": lambda: g.logits(x.double(), x),
    }
    for message, call in calls.items():
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("name", NORMALISED)
def test_geometries_without_cones_say_so(name: str) -> None:
    g = build_geometry(name, DIM)
    x, y = points(g)
    with pytest.raises(NotImplementedError, match="Sphere"):
        g.entailment_loss(x, y)


def test_defaults_of_a_spec() -> None:
    g = Geometry(GeometrySpec("euclidean", "scale", "dot"), Euclidean(), DIM)
    assert g.name == "geometry" and g.modalities == ("image", "text")
    assert g.logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    assert "lift='scale'" in repr(g)
