"""Every manifold, and every operation on it: as a function of two points, and as it is called."""

from collections.abc import Callable

import torch
from torch import Tensor

from manifolds import MANIFOLDS, Lorentz, Manifold, Product, Sphere, functional
from manifolds.functional.derived import OPERATIONS

SPACES = [*MANIFOLDS, "product"]

Operation = Callable[[Tensor, Tensor], Tensor]


def make(name: str, **options: object) -> Manifold:
    """A manifold that holds points (..., 4), by its name; the options of c go to what has a c."""
    if name == "product":
        return Product([Lorentz(**options), Sphere(**options)], dims=[2, 2])
    return MANIFOLDS[name](**({} if name == "euclidean" else options))


ARGUMENTS: dict[str, tuple[str, ...]] = {
    "dist": ("x", "y"),
    "dist0": ("x",),
    "dist2": ("x", "y"),
    "pairwise_dist": ("x", "y"),
    "pairwise_dist2": ("x", "y"),
    "inner": ("x", "u", "v"),
    "norm": ("x", "u"),
    "expmap": ("x", "u"),
    "expmap0": ("u",),
    "logmap": ("x", "y"),
    "logmap0": ("x",),
    "transp": ("x", "y", "v"),
    "transp0": ("y", "v"),
    "to_frame": ("x", "v"),
    "from_frame": ("x", "z"),
    "retr": ("x", "u"),
    "retr_transp": ("x", "u", "v"),
    "projx": ("x",),
    "proju": ("x", "u"),
    "egrad2rgrad": ("x", "u"),
    "geodesic": ("x", "y"),
    "geodesic_unit": ("x", "u"),
    "midpoint": ("x", "y"),
    "weighted_midpoint": ("x",),
    "frechet_mean": ("x",),
    "log_normal_density": ("x", "mean"),
    "half_aperture": ("x",),
    "exterior_angle": ("x", "y"),
    "entailment_energy": ("x", "y"),
    "pairwise_exterior_angle": ("x", "y"),
    "pairwise_entailment_energy": ("x", "y"),
}
"""The tensors that an operation takes, by its names for them: points x, y, mean, else vectors."""

MADE = ("origin", "random", "random_normal")
"""The operations that take a size."""

CHECKS = ("check_point", "check_vector")

CONES = [op for op in OPERATIONS if "aper" in op or "angle" in op or "energy" in op]

MEANS = ("weighted_midpoint", "frechet_mean")

assert set(OPERATIONS) == {*ARGUMENTS, *MADE, *CHECKS}


def call(of: Callable[..., Tensor], op: str, *tensors: Tensor) -> Tensor:
    """An operation of `ARGUMENTS` on its tensors; geodesics at time 0.3."""
    return of(0.3, *tensors) if op.startswith("geodesic") else of(*tensors)


def function(name: str, op: str, c: object) -> Callable[..., Tensor]:
    """The function form of an operation, with the arguments of the method."""
    f = getattr(functional, f"{name}_{op}")
    if name == "euclidean":
        return f
    if op == "log_normal_density":  # its mean has a default
        return lambda x, *mean: f(x, c, *mean)
    return lambda *tensors: f(*tensors, c)


def arguments(m: Manifold, op: str, *size: int, **options: object) -> list[Tensor]:
    """Tensors that an operation of `ARGUMENTS` takes: points, and tangent vectors at the first."""
    made: dict[str, Tensor] = {}
    for name in ARGUMENTS[op]:
        x = m.random_normal(*size, std=0.3, **options).detach()
        if name not in ("x", "y", "mean"):
            at_root = op in ("expmap0", "transp0", "from_frame")
            base = m.origin(*size, **options) if at_root else made["x"]
            x = m.proju(base, 0.3 * torch.randn(size, **options)).detach()
        made[name] = x
    return list(made.values())


def operations(m: Manifold) -> dict[str, Operation]:
    """Every operation of `ARGUMENTS` that exists here as a function of two points."""
    return rowwise(m) | pairwise(m) | sets(m)


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
        "to_frame": lambda x, y: m.to_frame(x, m.proju(x, y)),
        "from_frame": lambda x, y: m.from_frame(x, m.proju(m.origin(x.shape[-1]).to(x), y)),
        "retr": lambda x, y: m.retr(x, m.proju(x, y)),
        "retr_transp": lambda x, y: torch.cat(m.retr_transp(x, *(m.proju(x, y),) * 2), -1),
        "projx": lambda x, y: m.projx(x),
        "proju": m.proju,
        "egrad2rgrad": m.egrad2rgrad,
        "geodesic": lambda x, y: m.geodesic(0.3, x, y),
        "geodesic_unit": lambda x, y: m.geodesic_unit(0.3, x, m.proju(x, y)),
        "midpoint": m.midpoint,
        "log_normal_density": m.log_normal_density,
    }
    if m.has_cones:
        named["half_aperture"] = lambda x, y: m.half_aperture(x)
        named["exterior_angle"] = m.exterior_angle
        named["entailment_energy"] = m.entailment_energy
    return named


def graphs(m: Manifold) -> dict[str, Operation]:
    """The operations on rows that torch.compile can make one graph of.

    Not the density on spheres: it sums over the turns round them, whose number depends on std.
    """
    named = rowwise(m)
    if m.codim:
        del named["log_normal_density"]
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


def sets(m: Manifold) -> dict[str, Operation]:
    """The operations on sets: all rows are one set."""
    named: dict[str, Operation] = {}
    for op in MEANS:
        named[op] = lambda x, y, op=op: getattr(m, op)(x)
    return named


def with_gradients(
    f: Callable[[Tensor, Tensor], list[Tensor]], x: Tensor, y: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """f(x, y) and the gradients at x and y of the sum of all its entries."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    values = f(x, y)
    total = torch.stack([v.sum() for v in values if v.requires_grad]).sum()
    return values, list(torch.autograd.grad(total, (x, y)))
