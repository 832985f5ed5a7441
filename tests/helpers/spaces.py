"""Every manifold, and every operation on it as a function of two points."""

from collections.abc import Callable

import torch
from torch import Tensor

from manifolds import MANIFOLDS, Lorentz, Manifold, Product, Sphere

SPACES = [*MANIFOLDS, "product"]

Operation = Callable[[Tensor, Tensor], Tensor]


def make(name: str, **options: object) -> Manifold:
    """A manifold that holds points (..., 4), by its name; the options of c go to what has a c."""
    if name == "product":
        return Product([Lorentz(**options), Sphere(**options)], dims=[2, 2])
    return MANIFOLDS[name](**({} if name == "euclidean" else options))


def rowwise(m: Manifold) -> dict[str, Operation]:
    """The operations on rows."""
    named: dict[str, Operation] = {
        "dist": m.dist,
        "dist0": lambda x, y: m.dist0(x),
        "dist2": m.dist2,
        "inner": lambda x, y: m.inner(x, m.proju(x, y)),
        "norm": lambda x, y: m.norm(x, m.proju(x, y)),
        "expmap": lambda x, y: m.expmap(x, m.proju(x, y)),
        "expmap0": lambda x, y: m.expmap0(m.logmap0(x)),
        "logmap": m.logmap,
        "logmap0": lambda x, y: m.logmap0(x),
        "transp": lambda x, y: m.transp(x, y, m.proju(x, y)),
        "transp0": lambda x, y: m.transp0(x, m.logmap0(y)),
        "retr": lambda x, y: m.retr(x, m.proju(x, y)),
        "projx": lambda x, y: m.projx(x),
        "proju": m.proju,
        "egrad2rgrad": m.egrad2rgrad,
        "geodesic": lambda x, y: m.geodesic(0.3, x, y),
        "geodesic_unit": lambda x, y: m.geodesic_unit(0.3, x, m.proju(x, y)),
        "midpoint": m.midpoint,
    }
    if m.has_cones:
        named["half_aperture"] = lambda x, y: m.half_aperture(x)
        named["exterior_angle"] = m.exterior_angle
        named["entailment_energy"] = m.entailment_energy
    return named


def pairwise(m: Manifold) -> dict[str, Operation]:
    """The operations on all pairs."""
    named: dict[str, Operation] = {
        "pairwise_dist": m.pairwise_dist,
        "pairwise_dist2": m.pairwise_dist2,
    }
    if m.has_cones:
        named["pairwise_exterior_angle"] = m.pairwise_exterior_angle
        named["pairwise_entailment_energy"] = m.pairwise_entailment_energy
    return named


def with_gradients(
    f: Callable[[Tensor, Tensor], list[Tensor]], x: Tensor, y: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """f(x, y) and the gradients at x and y of the sum of all its entries."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    values = f(x, y)
    total = torch.stack([v.sum() for v in values if v.requires_grad]).sum()
    return values, list(torch.autograd.grad(total, (x, y)))
