"""Other libraries and the textbook formulas as operations of the same table.

geoopt's hyperboloid takes ambient points: its time components are the correctly rounded ones, and
gradients reach the space components through them. geoopt's sphere has radius 1; points are scaled
to it. hypll has the ball only, and is optional.
"""

import math
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from manifolds.accuracy.measure import Operation
from manifolds.accuracy.textbook import textbook

Source = Callable[[str, str], Operation | None]
"""(quantity, manifold) -> the operation, None if the library has none."""


def peers() -> tuple[dict[str, Source], list[str]]:
    """The peers that are installed by name, and a line for each that is not."""
    found: dict[str, Source] = {"geoopt": geoopt, "hypll": hypll, "textbook": textbook}
    missing = []
    if find_spec("hypll") is None:
        del found["hypll"]
        missing.append("hypll is not installed (pip install hypll); its columns are left out")
    return found, missing


# --- geoopt ---


def _ambient(x: Tensor, c: float) -> Tensor:
    wide = x.double()
    time = torch.sqrt(1 / c + (wide * wide).sum(-1, keepdim=True)).to(x.dtype)
    return torch.cat([time, x], dim=-1)


def _ambient_vector(x: Tensor, u: Tensor, c: float) -> Tensor:
    wide = x.double()
    time = torch.sqrt(1 / c + (wide * wide).sum(-1, keepdim=True))
    return torch.cat([((wide * u.double()).sum(-1, keepdim=True) / time).to(u.dtype), u], dim=-1)


def geoopt(quantity: str, manifold: str) -> Operation | None:
    """geoopt 0.5.1: Euclidean, Sphere, Lorentz (k = 1/c), PoincareBall; others are not measured."""
    import geoopt as library

    if quantity not in ("dist", "dist0", "expmap0", "logmap0", "expmap", "logmap", "transp"):
        return None

    def lorentz(c: float, *arguments: Tensor) -> Tensor:
        m: Any = library.Lorentz(k=torch.tensor(1 / c, dtype=arguments[0].dtype))
        method = getattr(m, quantity)
        if quantity == "expmap0":
            u = arguments[0]
            return method(torch.cat([torch.zeros_like(u[:, :1]), u], dim=-1))[:, 1:]
        x = _ambient(arguments[0], c)
        if quantity == "dist0":
            return method(x)
        if quantity == "logmap0":
            return method(x)[:, 1:]
        if quantity == "expmap":
            return method(x, _ambient_vector(arguments[0], arguments[1], c))[:, 1:]
        y = _ambient(arguments[1], c)
        if quantity == "transp":
            return method(x, y, _ambient_vector(arguments[0], arguments[2], c))[:, 1:]
        value = method(x, y)
        return value if quantity == "dist" else value[:, 1:]

    def poincare(c: float, *arguments: Tensor) -> Tensor:
        m: Any = library.PoincareBall(c=torch.tensor(c, dtype=arguments[0].dtype))
        return getattr(m, quantity)(*arguments)

    def sphere(c: float, *arguments: Tensor) -> Tensor:
        root_c = math.sqrt(c)
        value = getattr(library.Sphere(), quantity)(*(a * root_c for a in arguments))
        return value / root_c

    def euclidean(c: float, *arguments: Tensor) -> Tensor:
        return getattr(library.Euclidean(ndim=1), quantity)(*arguments)

    chosen = {"lorentz": lorentz, "poincare": poincare, "sphere": sphere, "euclidean": euclidean}
    if manifold in ("sphere", "euclidean") and quantity.endswith("0"):
        return None
    return chosen.get(manifold)


# --- hypll ---


def _hypll() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hypll.manifolds.poincare_ball.math import diffgeom
    return diffgeom


def hypll(quantity: str, manifold: str) -> Operation | None:
    """hypll's PoincareBall (its functions, with c as given)."""
    if manifold != "poincare":
        return None
    functions = _hypll()

    def run(c: float, *arguments: Tensor) -> Tensor:
        value = torch.tensor(c, dtype=arguments[0].dtype)
        if quantity == "dist0":
            zero = torch.zeros_like(arguments[0])
            return functions.dist(x=zero, y=arguments[0], c=value)
        if quantity == "dist":
            return functions.dist(x=arguments[0], y=arguments[1], c=value)
        if quantity == "pairwise_dist":
            return functions.cdist(arguments[0][None], arguments[1][None], value)[0].diagonal()
        if quantity == "expmap0":
            return functions.expmap0(v=arguments[0], c=value)
        if quantity == "logmap0":
            return functions.logmap0(y=arguments[0], c=value)
        if quantity == "expmap":
            return functions.expmap(x=arguments[0], v=arguments[1], c=value)
        if quantity == "logmap":
            return functions.logmap(x=arguments[0], y=arguments[1], c=value)
        return functions.transp(x=arguments[0], y=arguments[1], v=arguments[2], c=value)

    known = ("dist0", "dist", "pairwise_dist", "expmap0", "logmap0", "expmap", "logmap", "transp")
    return run if quantity in known else None
