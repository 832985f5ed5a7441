"""Row-wise operations, forward and backward: ours, the textbook formulas and geoopt."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from geomclip.bench.config import MANIFOLDS, Case
from geomclip.bench.formulas import time_of
from geomclip.bench.workload import Error, Workload, in_norm, tangential, worst
from manifolds import functional as F
from manifolds.accuracy.textbook import textbook

OPERATIONS = ("expmap0", "logmap0", "dist0", "half_aperture", "dist", "exterior_angle")
PAIRS = ("dist", "exterior_angle")
LACK = {"euclidean": ("expmap0", "logmap0", "dist0"), "sphere": OPERATIONS[:4] + OPERATIONS[5:]}
"""Operations that a manifold has not, or that are no work there."""

Operation = Callable[..., Tensor]


def operations(case: Case) -> list[str]:
    """Those of the manifold of a case."""
    return [op for op in OPERATIONS if op not in LACK.get(MANIFOLDS[case.geometry], ())]


def prepare(case: Case, names: tuple[str, ...]) -> Iterator[tuple[str, Workload]]:
    """(operation, competitors) on n points about 1 from the root, c = 1."""
    manifold = MANIFOLDS[case.geometry]
    for op in operations(case):
        yield op, _prepare(case, manifold, op, names)


def _points(case: Case, manifold: str, op: str) -> list[Tensor]:
    seed = torch.Generator().manual_seed(0)
    u = torch.randn(2, case.n, case.dim, generator=seed, dtype=torch.float64)
    u = u / math.sqrt(case.dim)
    make = {
        "lorentz": lambda: F.lorentz_expmap0(u, 1.0),
        "poincare": lambda: F.poincare_expmap0(u / 2, 1.0),
        "sphere": lambda: F.sphere_projx(u, 1.0),
    }.get(manifold, lambda: u)
    x = u if op == "expmap0" else make()
    kept = x if op in PAIRS else x[:1]
    return [t.to(device=case.device, dtype=getattr(torch, case.dtype)).contiguous() for t in kept]


def _prepare(case: Case, manifold: str, op: str, names: tuple[str, ...]) -> Workload:
    points = _points(case, manifold, op)
    load, calls = Workload(), dict[str, Callable[[], list[Tensor]]]()
    known: dict[str, Operation | None] = {
        "geomclip": _ours(manifold, op),
        "textbook": _textbook(manifold, op),
        "geoopt": _geoopt(manifold, op),
    }

    def add(name: str, function: Operation) -> None:
        own = (
            [_ambient(p, op) for p in points]
            if (name, manifold) == ("geoopt", "lorentz")
            else points
        )
        leaves = [p.clone().requires_grad_() for p in own]
        value = function(*leaves)
        seed = torch.Generator().manual_seed(1)
        weight = torch.randn(value.shape, generator=seed).to(value)

        def run() -> list[Tensor]:
            out = function(*leaves)
            return [out, *torch.autograd.grad(out, leaves, weight)]

        calls[name] = load.steps[name] = run

    for name in names:
        function = known[name]
        if function is None:
            load.notes[name] = f"{name} has no {op} on {manifold}"
        else:
            add(name, function)

    def errors(name: str) -> Error | None:
        if name not in calls or name == "geoopt":  # other coordinates
            return None
        wide = [p.double().requires_grad_() for p in points]
        exact = _ours(manifold, op)(*wide)
        value, *slopes = calls[name]()
        seed = torch.Generator().manual_seed(1)
        weight = torch.randn(exact.shape, generator=seed).to(value).double()
        gradients = torch.autograd.grad(exact, wide, weight)
        if manifold == "sphere":
            slopes = [tangential(a, p) for a, p in zip(slopes, points, strict=True)]
            gradients = tuple(tangential(a, p) for a, p in zip(gradients, points, strict=True))
        compare = in_norm if exact.ndim == 2 else worst
        return Error(
            compare(value.detach(), exact.detach()),
            max(in_norm(a, b) for a, b in zip(slopes, gradients, strict=True)),
        )

    load.errors = errors
    return load


def _ours(manifold: str, op: str) -> Operation:
    function = getattr(F, f"{manifold}_{op}")
    if manifold == "euclidean":
        return function
    return lambda *points: function(*points, 1.0)


def _textbook(manifold: str, op: str) -> Operation | None:
    formula = textbook(op, manifold)
    if formula is None:
        return None
    extra = (0.1,) if op == "half_aperture" else ()
    return lambda *points: formula(1.0, *points, *extra)


def _geoopt(manifold: str, op: str) -> Operation | None:
    """geoopt's method on its own coordinates, where it has one."""
    import geoopt

    space = {
        "lorentz": lambda: geoopt.Lorentz(k=1.0),
        "poincare": lambda: geoopt.PoincareBall(c=1.0),
        "sphere": geoopt.Sphere,
        "euclidean": lambda: geoopt.Euclidean(ndim=1),
    }[manifold]()
    return getattr(space, op, None)


def _ambient(points: Tensor, op: str) -> Tensor:
    """Time first; a tangent vector at the root has time 0."""
    one = points.new_ones(())
    first = torch.zeros_like(points[:, :1]) if op == "expmap0" else time_of(points, one)
    return torch.cat([first, points], dim=-1)
