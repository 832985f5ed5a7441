"""Distances of geoopt and hypll by broadcasting (n, 1, d) against (m, d), where they fit.

Their points are in their own coordinates before the clock starts.
"""

import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from geomclip.bench.config import Case, gib
from geomclip.bench.formulas import time_of

LARGEST = 2**29  # bytes of one (n, m, d) temporary; several live at once

Own = Callable[[Tensor], Tensor]
Distance = Callable[[Tensor, Tensor, Tensor], Tensor]


class Missing(RuntimeError):
    """A peer that does not take part; the text says why."""


def broadcasting(name: str, kind: str, case: Case) -> tuple[Own, Distance]:
    """(own coordinates of points, pairwise distance there) of "geoopt" or "hypll".

    Raises:
        Missing: not installed, no such distance, or too large.
    """
    if find_spec(name) is None:
        raise Missing(f"{name} is not installed (pip install {name})")
    found = {"geoopt": _geoopt, "hypll": _hypll}[name](kind)
    size = case.n * case.m * case.dim * (8 if case.dtype == "float64" else 4)
    limit = min(LARGEST, _memory() // 8)
    if size > limit:
        raise Missing(f"{name} broadcasts n x m x dim: {gib(size)} a temporary, of {gib(limit)}")
    return found


def _memory() -> int:
    """Bytes of this machine's memory; enough where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 16 * LARGEST


def _geoopt(kind: str) -> tuple[Own, Distance]:
    import geoopt

    if kind == "lorentz":

        def ambient(x: Tensor) -> Tensor:
            return torch.cat([time_of(x, x.new_ones(())), x], dim=-1)

        return ambient, lambda x, y, c: geoopt.Lorentz(k=1 / c.item()).dist(x[:, None], y)
    if kind == "poincare":
        return _same, lambda x, y, c: geoopt.PoincareBall(c=c.item()).dist(x[:, None], y)
    if kind == "euclidean":
        return _same, lambda x, y, c: geoopt.Euclidean(ndim=1).dist(x[:, None], y)
    if kind == "sphere":
        return _same, lambda x, y, c: geoopt.Sphere().dist(x[:, None], y)
    raise Missing("geoopt has no such distance")


def _hypll(kind: str) -> tuple[Own, Distance]:
    if kind != "poincare":
        raise Missing("hypll has the Poincaré ball only")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hypll.manifolds.poincare_ball.math import diffgeom
    return _same, lambda x, y, c: diffgeom.cdist(x[None], y[None], c)[0]


def _same(x: Tensor) -> Tensor:
    return x
