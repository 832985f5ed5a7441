"""Pairwise distances: ours, the textbook formulas, the peers, and the matrix products alone."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from geomclip.bench import formulas, peers
from geomclip.bench.config import DISTANCES, Case
from geomclip.bench.timing import Step
from geomclip.bench.workload import ALREADY, Error, Workload, in_norm, path, tangential, worst
from manifolds import functional as F
from manifolds.kernels import fused, library

ROWS = 256  # rows whose values and gradients are compared with float64
CLOSE_ROWS = 32  # the same of close pairs, of which float64 computes each by itself
PEERS = ("geoopt", "hypll", "cdist")  # in other coordinates, or another distance
NEAR = 1e-6  # distance within a cluster of close pairs

Distance = Callable[[Tensor, Tensor, Tensor], Tensor]
OURS: dict[str, Distance] = {
    "lorentz": F.lorentz_pairwise_dist,
    "poincare": F.poincare_pairwise_dist,
    "sphere": F.sphere_pairwise_dist,
    "euclidean": lambda x, y, c: F.euclidean_pairwise_dist(x, y),
    "euclidean2": lambda x, y, c: F.euclidean_pairwise_dist2(x, y),
}


def points(kind: str, n: int, m: int, dim: int, close: float, c: float = 1.0) -> list[Tensor]:
    """Two sets (n, dim), (m, dim) at radii around 1 in random directions, float64.

    A share `close` of the pairs lies in clusters of about 1e-6.
    """
    seed = torch.Generator().manual_seed(0)
    u = torch.randn(n + m, dim, generator=seed, dtype=torch.float64) / math.sqrt(dim)
    if close > 0:
        clusters = max(1, round(1 / close))
        centers = torch.randn(clusters, dim, generator=seed, dtype=torch.float64) / math.sqrt(dim)
        u = centers[torch.arange(n + m) % clusters] + NEAR * u
    make = {
        "lorentz": lambda: F.lorentz_expmap0(u, c),
        "poincare": lambda: F.poincare_expmap0(u / 2, c),
        "sphere": lambda: F.sphere_projx(u, c),
    }.get(kind, lambda: u)
    return list(make().split([n, m]))


def prepare(case: Case, names: tuple[str, ...]) -> Workload:
    """The competitors on the points of a case; gradients reach x, y and, in hyperbolic space, c."""
    kind = DISTANCES[case.geometry]
    dtype = getattr(torch, case.dtype)
    made = points(kind, case.n, case.m, case.dim, case.close)
    x, y = (t.to(device=case.device, dtype=dtype).contiguous() for t in made)
    seed = torch.Generator().manual_seed(1)
    weight = torch.randn(case.n, case.m, generator=seed).to(x)
    curved = kind in ("lorentz", "poincare")
    c = torch.ones((), dtype=dtype, device=x.device).requires_grad_(curved)

    load = Workload()
    calls: dict[str, Callable[[bool], list[Tensor]]] = {}

    def add(name: str, distance: Distance, own: peers.Own = lambda t: t, kernels: str = "") -> None:
        leaves: list[Tensor] = [own(t.clone()).requires_grad_() for t in (x, y)]
        a, b = leaves
        # A peer's c is a number.
        wanted = [*leaves, c] if curved and name not in PEERS else leaves

        def run(backward: bool) -> list[Tensor]:
            if not backward:
                with torch.no_grad():
                    return [distance(a, b, c)]
            value = distance(a, b, c)
            return [value, *torch.autograd.grad(value, wanted, weight)]

        def forced(backward: bool) -> list[Tensor]:
            with path(kernels):
                return run(backward)

        calls[name] = forced if kernels else run
        load.steps[name] = lambda: calls[name](True)
        load.forward[name] = lambda: calls[name](False)

    textbook = formulas.DISTANCES[kind]
    for name in names:
        if name == "geomclip":
            add(name, OURS[kind])
        elif name == "geomclip-torch":
            add(name, OURS[kind], kernels="torch")
        elif name == "textbook":
            add(name, textbook)
        elif name == "compiled":
            add(name, torch.compile(textbook, dynamic=False))
        elif name == "float64" and case.dtype == "float64":
            load.notes[name] = ALREADY
        elif name == "float64":
            add(name, lambda a, b, k: textbook(a.double(), b.double(), k.double()).to(dtype))
        elif name == "cdist":
            add(name, lambda a, b, k: torch.cdist(a, b))
        elif name in ("geoopt", "hypll"):
            try:
                own, distance = peers.broadcasting(name, kind, case)
            except peers.Missing as reason:
                load.notes[name] = str(reason)
            else:
                add(name, distance, own)
    load.steps["floor"] = _floor(x, y, weight, backward=True)
    load.forward["floor"] = _floor(x, y, weight, backward=False)
    load.repaired = repaired(kind, x, y)
    rows = slice(0, min(CLOSE_ROWS if case.close else ROWS, case.n))
    exact = functools.cache(lambda: _exact(kind, x[rows], y, weight[rows]))
    load.errors = lambda name: _error(kind, calls.get(name), name, x[rows], rows, exact)
    return load


def _floor(x: Tensor, y: Tensor, weight: Tensor, *, backward: bool) -> Step:
    """The matrix products that a distance can't avoid: one forward, two backward."""

    def products() -> None:
        torch.mm(x, y.T)
        if backward:
            torch.mm(weight, y)
            torch.mm(weight.T, x)

    return products


def repaired(kind: str, x: Tensor, y: Tensor) -> float | None:
    """Share of pairs that the compiled kernels compute from differences; None on other paths."""
    loaded = library.of(x) if x.dtype == torch.float32 else None
    if loaded is None:
        return None
    return fused.forward(loaded, kind, x, y, 1.0)[1].item() / (x.shape[0] * y.shape[0])


def _exact(kind: str, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Distances of x to y in float64, and their gradient at x."""
    left = x.double().requires_grad_()
    value = OURS[kind](left, y.double(), torch.ones((), dtype=torch.float64, device=x.device))
    (slope,) = torch.autograd.grad(value, left, weight.double())
    return value.detach(), slope


def _error(
    kind: str,
    call: Callable[[bool], list[Tensor]] | None,
    name: str,
    x: Tensor,
    rows: slice,
    exact: Callable[[], tuple[Tensor, Tensor]],
) -> Error | None:
    """Errors of the distances of some rows, the points x, and of their gradients."""
    if call is None or name in PEERS:
        return None
    distances, slope = exact()
    value, gradient, *_ = call(True)
    gradient = gradient[rows]
    if kind == "sphere":
        gradient, slope = tangential(gradient, x), tangential(slope, x)
    return Error(worst(value[rows].detach(), distances), in_norm(gradient, slope))
