"""A geometry as plain values, to be written beside embeddings, and the geometry of such values.

Everything that scores, root distances and cones depend on comes back to the last digit: manifold
with its curvatures, lift and logit, logit_scale, alphas, and the root where it is a mean.
"""

import dataclasses
from typing import Any

import torch

from geomclip.errors import RequestError
from geomclip.geometry import Geometry, GeometrySpec, build_geometry
from geomclip.names import CHOICES, canonical, family, known
from manifolds import MANIFOLDS, Manifold, Product
from manifolds.curvature import C_MAX, C_MIN, CurvedManifold

VERSION = 1


def describe(geometry: Geometry) -> dict[str, Any]:
    """Plain values from which `rebuild` makes the geometry again.

    Raises:
        ValueError: a manifold that is none of `manifolds.MANIFOLDS` and no product of them.
    """
    scale = geometry.logit_scale.detach()
    values: dict[str, Any] = {
        "version": VERSION,
        "name": geometry.name,
        "dim": geometry.dim,
        "dtype": "float64" if scale.dtype == torch.float64 else "float32",
        "modalities": list(geometry.modalities),
        "given": sorted(geometry.given),
        "spec": dataclasses.asdict(geometry.spec),
        "manifold": _manifold_values(geometry.manifold),
        "logit_scale": scale.item(),
        "log_alpha": {name: value.item() for name, value in geometry.log_alpha.items()},
        "root": None,
    }
    if geometry.spec.root == "mean" and geometry.root_point.any():
        values["root"] = geometry.root_point.detach().double().tolist()
    return values


def rebuild(values: dict[str, Any], source: str = "metadata") -> Geometry:
    """The geometry of `describe`'s values; its curvatures are constants.

    Raises:
        RequestError: values that this version does not understand, with the first that is wrong.
    """
    try:
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']} of the record, this one reads {VERSION}")
        modalities = [str(m) for m in values["modalities"]]
        geometry = Geometry(
            GeometrySpec(**values["spec"]),
            _manifold_of(values["manifold"]),
            int(values["dim"]),
            name=str(values["name"]),
            modalities=modalities,
            given=values["given"],
        )
        if values["dtype"] == "float64":
            geometry.double()
        with torch.no_grad():
            geometry.logit_scale.fill_(float(values["logit_scale"]))
            for name, parameter in geometry.log_alpha.items():
                parameter.fill_(float(values["log_alpha"][name]))
            if values["root"] is not None:
                geometry.root_point.copy_(torch.tensor(values["root"], dtype=torch.float64))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise RequestError(
            f"{source}: its geometry can't be read ({reason})",
            "Write the file again with this version of geomclip, or give the geometry by name.",
        ) from error
    return geometry


def named(name: str, dim: int, c: float | None, source: str) -> Geometry:
    """A geometry by name for embeddings that came without one; every learned scalar but c keeps its
    initial value, c is constant.

    Raises:
        RequestError: an unknown name; a c that is missing, not positive or not for this one.
    """
    if not known(name):
        raise RequestError(f'{source}: there is no geometry "{name}"', CHOICES)
    kind = family(name)
    curved = kind.startswith("hyperbolic") or kind == "poincare"
    if curved and c is None:
        raise RequestError(
            f"{source}: the geometry {name} is not complete without its curvature",
            "Add c=..., --c on the command line: the space curves as -c, and c > 0.",
        )
    if not curved and c is not None and kind != "product":
        raise RequestError(f"{source}: {name} has no curvature to set, got c={c:g}", "Leave c out.")
    if c is not None and not 0 < c < float("inf"):
        raise RequestError(f"{source}: c must be positive and finite, got {c:g}", "Give c > 0.")
    if c is None:
        return build_geometry(name, dim, learn_c=False)
    return build_geometry(name, dim, c_init=c, learn_c=False)


def same(a: Geometry, name: str, c: float | None) -> bool:
    """Whether a geometry is the one that a user named, as far as the name and c tell."""
    if known(a.name) != known(name) or (known(name) and canonical(a.name) != canonical(name)):
        return False
    own = getattr(a.manifold, "c", None) if isinstance(a.manifold, CurvedManifold) else None
    return c is None or (own is not None and abs(float(own) - c) <= 1e-6 * c)


def _manifold_values(manifold: Manifold) -> dict[str, Any]:
    if isinstance(manifold, Product):
        factors = [_manifold_values(factor) for factor in manifold.factors]  # type: ignore[arg-type]
        return {"kind": "product", "factors": factors, "dims": list(manifold.dims)}
    kind = next((key for key, cls in MANIFOLDS.items() if type(manifold) is cls), None)
    if kind is None:
        raise ValueError(
            f"{type(manifold).__name__} can't be written to a file; one of "
            f"{', '.join(MANIFOLDS)}, or a product of them"
        )
    curved = isinstance(manifold, CurvedManifold)
    return {"kind": kind} | ({"c": manifold.c.item()} if curved else {})


def _manifold_of(values: dict[str, Any]) -> Manifold:
    if values["kind"] == "product":
        return Product([_manifold_of(v) for v in values["factors"]], values["dims"])
    cls = MANIFOLDS[values["kind"]]
    if not issubclass(cls, CurvedManifold):
        return cls()
    c = float(values["c"])
    return cls(c=c, c_min=min(C_MIN, c), c_max=max(C_MAX, c))
