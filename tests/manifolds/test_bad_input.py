"""Bad input, for every operation on every manifold: what is named, and what is refused."""

import math
import re

import pytest
import torch
from spaces import (
    ARGUMENTS,
    CHECKS,
    CONES,
    MADE,
    MEANS,
    SPACES,
    arguments,
    call,
    function,
    make,
)
from torch import Tensor

from manifolds import MANIFOLDS, functional, isometries
from manifolds.functional.derived import OPERATIONS

CURVED = [name for name in MANIFOLDS if name != "euclidean"]

pytestmark = pytest.mark.usefixtures("unchecked")


def defects(op: str, x: Tensor, least: int) -> dict[str, tuple[Tensor, str, str]]:
    """What can be wrong with one tensor (n, 4): the tensor, the rule and the value it breaks."""
    rule = f"expects one last dimension d >= {least}"
    pairs = op.startswith("pairwise")
    few = "expects x (..., n, d) and y (..., m, d)" if pairs or op in MEANS else "(..., d)"
    if op in MEANS:
        few = "x must be (..., n, d)"
    found = {
        "integers": (x.long(), "expects floating point tensors", "torch.int64"),
        "no dimensions": (torch.tensor(1.0), few if op not in MEANS else "expects (..., d)", "()"),
        "no coordinates": (
            x[..., :0],
            rule,
            f"{(*x.shape[:-1], 0)}",
        ),
    }
    if pairs or op in MEANS:
        found["one dimension"] = (x.reshape(-1)[:4], few, "(4,)")
    if len(ARGUMENTS[op]) > 1:
        wide = torch.cat([x, x], -1)
        found |= {
            "other d": (wide, rule, f"{tuple(wide.shape)}"),
            "other dtype": (x.double(), "float64 throughout or not at all", "torch.float64"),
            "other device": (x.to("meta"), "expects one device", "meta"),
            "no broadcast": (torch.cat([x, x, x[:1]]), "do not broadcast", ""),
        }
    return found


@pytest.mark.parametrize("op", ARGUMENTS)
@pytest.mark.parametrize("name", SPACES)
def test_what_is_no_tensor_is_named(name, op):
    m = make(name)
    if op in CONES and not m.has_cones:
        return
    tensors = arguments(m, op, *((2, 3, 4) if op.startswith("pairwise") else (2, 4)))
    forms = [getattr(m, op)] + ([function(name, op, 1.0)] if name != "product" else [])
    for i, argument in enumerate(ARGUMENTS[op]):
        for bad in ([0.1, 0.2], tensors[i].numpy(), None):
            if bad is None and (op, argument) in (("inner", "v"), ("log_normal_density", "mean")):
                continue  # these have a default
            said = rf"^{m.name}\.{op}: {argument} must be a tensor \(\.\.\., d\), got .*"
            said += rf"\({type(bad).__name__}\); torch\.as_tensor"
            for f in forms:
                with pytest.raises(TypeError, match=re.compile(said, re.DOTALL)):
                    call(f, op, *tensors[:i], bad, *tensors[i + 1 :])


def smallest(name: str) -> int:
    """The smallest d of points; a product says what d it has, once there is one."""
    return 1 if name == "product" else make(name).min_dim


@pytest.mark.parametrize("op", ARGUMENTS)
@pytest.mark.parametrize("name", SPACES)
def test_what_does_not_fit_is_named(name, op):
    """Manifold, operation, argument, rule and value, from the method and from the function."""
    m = make(name)
    forms = {"method": (getattr(m, op), f"{m.name}.{op}: ")}
    if name != "product":
        forms["function"] = (function(name, op, 1.0), f"{m.name}.{op}: ")
    if op in CONES and not m.has_cones:
        for f, start in forms.values():
            with pytest.raises(NotImplementedError, match=f"^{start}entailment cones do not exist"):
                call(f, op, *arguments(m, op, 3, 4))
        return
    size = (2, 3, 4) if op.startswith("pairwise") else (2, 4)
    tensors = arguments(m, op, *size)
    for i, argument in enumerate(ARGUMENTS[op]):
        for defect, (bad, rule, value) in defects(op, tensors[i], smallest(name)).items():
            given = [*tensors[:i], bad, *tensors[i + 1 :]]
            for form, (f, start) in forms.items():
                with pytest.raises(ValueError) as caught:
                    call(f, op, *given)
                message = str(caught.value)
                assert message.startswith(start), (form, defect, message)
                assert rule in message, (form, defect, message)
                said = rf"\b{argument} {re.escape(value)}" if op not in MEANS else re.escape(value)
                assert re.search(said, message), (form, defect, message)


@pytest.mark.parametrize("name", SPACES)
def test_points_with_too_few_coordinates_are_refused(name):
    """Below the smallest d, of all tensors alike; at it everything works."""
    m, least = make(name), make(name).min_dim
    rule = rf"d >= {least}" if name != "product" else "must be 4 = sum of dims"
    for op in ARGUMENTS:
        if op in CONES and not m.has_cones:
            continue
        size = (2, 3) if op.startswith("pairwise") or op in MEANS else (3,)
        forms = [getattr(m, op)] + ([function(name, op, 1.0)] if name != "product" else [])
        short = [torch.ones(*size, least - 1)] * len(ARGUMENTS[op])
        tensors = arguments(m, op, *size, least)
        for f in forms:
            if least > 1:
                first = re.escape(f"{ARGUMENTS[op][0]} {tuple(short[0].shape)}")
                with pytest.raises(ValueError, match=rf"^{m.name}\.{op}: .*{rule}.* {first}"):
                    call(f, op, *short)
            results = call(f, op, *tensors)
            for result in results if isinstance(results, tuple) else (results,):
                assert result.isfinite().all(), op
    for op in MADE:
        with pytest.raises(ValueError, match=rf"^{m.name}\.{op}: size must .*, got \(\)"):
            getattr(m, op)()
        said = re.escape(f"(3, {least - 1})")
        with pytest.raises(ValueError, match=rf"^{m.name}\.{op}: size must .* {least}\b.*{said}"):
            getattr(m, op)(3, least - 1)
        assert m.check_point(getattr(m, op)(3, least))
    ok, reason = m.check_point(torch.ones(3, least - 1), explain=True)
    assert not ok and re.search(rule if least > 1 else "d >= 1", reason)


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("name", CURVED)
def test_c_must_be_a_positive_number_or_0_dim_tensor(name, op):
    m = make(name)
    if op in CONES and not m.has_cones:
        return
    if op in MADE:
        tensors: list = [(2, 4)]
    elif op in CHECKS:
        tensors = arguments(m, "dist" if op == "check_point" else "norm", 3, 4)
        tensors = tensors[:1] if op == "check_point" else tensors
    else:
        tensors = arguments(m, op, 3, 4)
    start = re.escape(f"{m.name}.{op}: c must be ")
    for bad in (0.0, -1.0, math.nan, math.inf):
        for c in (bad, torch.tensor(bad)):
            with pytest.raises(ValueError, match=f"^{start}positive and finite.* got c={bad}"):
                call(function(name, op, c), op, *tensors)
    with pytest.raises(ValueError, match=rf"^{start}a number or a 0-dim tensor, got shape \(1,\)"):
        call(function(name, op, torch.ones(1)), op, *tensors)


@pytest.mark.parametrize("c", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", CURVED)
def test_a_manifold_needs_a_positive_c(name, c):
    for given in (c, torch.tensor(c), torch.tensor(c, requires_grad=True)):
        with pytest.raises(ValueError, match=f"^{MANIFOLDS[name].name}: c must be positive"):
            make(name, c=given)
    with pytest.raises(ValueError, match=r"0-dim tensor, got shape \(2,\)"):
        make(name, c=torch.ones(2))
    with pytest.raises(ValueError, match=r"learns where it comes from"):
        make(name, c=torch.tensor(1.0, requires_grad=True), learnable=True)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", [n for n in SPACES if make(n).has_cones])
def test_the_cones_min_radius_must_be_positive(name, bad):
    m = make(name)
    x = m.random_normal(3, 4)
    for op in ("half_aperture", "entailment_energy", "pairwise_entailment_energy"):
        points = [x] * len(ARGUMENTS[op])
        start = re.escape(f"{m.name}.{op}: min_radius must be positive and finite, got {bad}")
        with pytest.raises(ValueError, match=f"^{start}"):
            getattr(m, op)(*points, bad)
        with pytest.raises(ValueError, match=f"^{start}"):
            c = () if name == "euclidean" else (1.0,)
            getattr(functional, f"{name}_{op}")(*points, *c, bad)


@pytest.mark.parametrize("op", ["geodesic", "geodesic_unit"])
@pytest.mark.parametrize("name", SPACES)
def test_a_time_that_does_not_fit_is_named(name, op):
    m = make(name)
    tensors = arguments(m, op, 3, 4)
    start = re.escape(f"{m.name}.{op}: ")
    for t, rule in (
        (torch.ones(2), r"t \(\.\.\.\) must broadcast.* t \(2,\), "),
        (torch.ones(3, dtype=torch.bool), r"t must be a real number or tensor, got torch\.bool"),
        (torch.ones(3, dtype=torch.complex64), r"t must be a real .*got torch\.complex64"),
        (torch.ones(3, device="meta"), "expects one device, got t on meta"),
    ):
        with pytest.raises(ValueError, match=f"^{start}.*{rule}"):
            getattr(m, op)(t, *tensors)


@pytest.mark.parametrize("op", MEANS)
@pytest.mark.parametrize("name", SPACES)
def test_weights_that_do_not_fit_are_named(name, op):
    m = make(name)
    f, x = getattr(m, op), m.random_normal(2, 3, 4)
    start = rf"^{m.name}\.{op}: "
    with pytest.raises(TypeError, match=start + r"w must be a tensor .*got \[1, 1, 1\] \(list\)"):
        f(x, [1, 1, 1])
    for w, rule in (
        (torch.ones(2), r"w must be \(n,\) = \(3,\) or broadcast with .*got \(2,\)"),
        (torch.tensor([1.0, -0.5, 1.0]), r"w must not be negative, got -0\.5"),
        (torch.zeros(3), "w sums to 0; a mean needs a positive weight"),
        (torch.ones(3, dtype=torch.long), r"w must be floating point.* got torch\.int64"),
        (torch.ones(3, device="meta"), "on the device of x, got torch.float32 on meta"),
    ):
        with pytest.raises(ValueError, match=start + f".*{rule}"):
            f(x, w)
    with pytest.raises(ValueError, match=rf"^{m.name}\.{op}: .*got dim=-1 for shape"):
        f(x, dim=-1)
    with pytest.raises(ValueError, match=rf"^{m.name}\.{op}: no points to average, got shape"):
        f(x[:, :0])


# --- values ---


def broken(m, name: str, x: Tensor) -> Tensor:
    """x with points 1 and 2 of the second row off the manifold; on those without such, NaN."""
    x = x.clone()
    if name in ("sphere", "poincare"):
        x[1, 1:] = 3.0
    elif name == "halfspace":
        x[1, 1:, -1] *= -1
    elif name == "product":
        x[1, 1:, 2:] = 3.0
    else:
        x[1, 1:, 0] = math.nan
    return x


@pytest.mark.parametrize("name", SPACES)
def test_checks_count_what_is_wrong_and_show_the_first(name):
    m = make(name)
    x = m.random_normal(2, 3, 4)
    u = m.proju(x, torch.randn(2, 3, 4))
    assert m.check_point(x) and m.check_vector(x, u)
    for bad, rule in ((broken(m, name, x), ""), (torch.where(x == x[1, 1], math.nan, x), "NaN")):
        ok, reason = m.check_point(bad, explain=True)
        assert not ok and not m.check_point(bad)
        assert re.search(rf"[12] of 6 points have .*{rule}.*; the first is x\[1, 1\]: ", reason)
        with pytest.raises(ValueError, match=rf"^{m.name}: not a point: .*x\[1, 1\]"):
            m.assert_check_point(bad)
        assert not m.check_vector(bad, u)
        if name != "product":
            assert function(name, "check_point", 1.0)(bad) is False
    long = u.clone()
    long[0, 2] = math.inf
    ok, reason = m.check_vector(x, long, explain=True)
    assert not ok and re.search(r"1 of 6 vectors have .*; the first is u\[0, 2\]: \[.*inf", reason)
    with pytest.raises(ValueError, match=rf"^{m.name}: not a tangent vector: .*u\[0, 2\]"):
        m.assert_check_vector(x, long)


@pytest.mark.parametrize("name", SPACES)
def test_checks_of_what_is_no_point_at_all_are_false_with_a_reason(name):
    m = make(name)
    x = m.random_normal(2, 4)
    for bad, rule in (
        (x.long(), "floating point"),
        (torch.tensor(1.0), r"\(\)"),
        (x[:, :0], f"d >= {smallest(name)}"),
        ([0.1, 0.2], r"x must be a tensor .*\(list\)"),
    ):
        ok, reason = m.check_point(bad, explain=True)
        assert not ok and re.search(rf"{m.name}\.check_point: .*{rule}", reason)
    for bad, rule in (
        (x[:, :2], "last dimension"),
        (x.double(), "float64"),
        (x.to("meta"), "meta"),
    ):
        ok, reason = m.check_vector(x, bad, explain=True)
        assert not ok and re.search(rf"{m.name}\.check_vector: .*{rule}", reason)


@pytest.mark.parametrize("value", ["a", [1.0], 1 + 2j])
def test_what_is_no_number_is_named(value):
    x = torch.full((2, 3), 0.1)
    said = rf"must be a real number, got {{}}={re.escape(repr(value))} \({type(value).__name__}\)"
    m = MANIFOLDS["lorentz"]()
    for op, name, f in (
        ("Lorentz", "c", lambda: MANIFOLDS["lorentz"](c=value)),
        ("Lorentz", "c_max", lambda: MANIFOLDS["lorentz"](c_max=value)),
        ("Lorentz.dist", "c", lambda: functional.lorentz_dist(x, x, value)),
        ("PoincareBall.mobius_add", "c", lambda: isometries.mobius_add(x, x, value)),
        ("PoincareBall.mobius_scalar", "t", lambda: isometries.mobius_scalar(value, x, 1.0)),
        ("Lorentz.half_aperture", "min_radius", lambda: m.half_aperture(x, min_radius=value)),
        ("Lorentz.random_normal", "std", lambda: m.random_normal(2, 3, std=value)),
    ):
        with pytest.raises(TypeError, match=rf"^{re.escape(op)}: {name} {said.format(name)}$"):
            f()


def test_isometries_name_their_arguments():
    x, y, c = torch.full((2, 3), 0.1), torch.full((2, 4), 0.1), 1.0
    sizes = r"{} \(2, 3\), {} \(2, 4\)"
    for op, names, f in (
        ("Lorentz.translate", "x by", lambda: isometries.lorentz_translate(x, y, c)),
        ("PoincareBall.mobius_add", "x y", lambda: isometries.mobius_add(x, y, c)),
        ("PoincareBall.gyration", "y z", lambda: isometries.gyration(x, x, y, c)),
        ("manifolds.rotation", "u v", lambda: isometries.rotation(x, y)),
    ):
        with pytest.raises(ValueError, match=rf"^{op}: .*{sizes.format(*names.split())}$"):
            f()
    with pytest.raises(ValueError, match=r"^Lorentz.boost: .*by torch.int64"):
        isometries.lorentz_boost(x.long(), c)
