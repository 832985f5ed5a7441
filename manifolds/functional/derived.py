"""Functions of points and c made from methods: those that no file writes out.

    lorentz_retr_transp(x, u, v, c)        Lorentz(c).retr_transp(x, u, v)
    halfspace_midpoint(x, y, c)            UpperHalfSpace(c).midpoint(x, y)
    lorentz_origin((3, 4), c)              Lorentz(c).origin(3, 4)

c follows the arguments that have no default (as in every function of `manifolds.functional`), and
Euclidean has none; a size is one tuple.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from manifolds.arguments import Scalar, curvature, work_dtype
from manifolds.base import Manifold
from manifolds.curvature import CurvedManifold

OPERATIONS = (
    "check_point",
    "check_vector",
    "dist",
    "dist0",
    "dist2",
    "egrad2rgrad",
    "entailment_energy",
    "expmap",
    "expmap0",
    "exterior_angle",
    "frechet_mean",
    "from_frame",
    "geodesic",
    "geodesic_unit",
    "half_aperture",
    "inner",
    "log_normal_density",
    "logmap",
    "logmap0",
    "midpoint",
    "norm",
    "origin",
    "pairwise_dist",
    "pairwise_dist2",
    "pairwise_entailment_energy",
    "pairwise_exterior_angle",
    "proju",
    "projx",
    "random",
    "random_normal",
    "retr",
    "retr_transp",
    "to_frame",
    "transp",
    "transp0",
    "weighted_midpoint",
)
"""What every manifold can do; cones raise NotImplementedError where there are none."""

_PLAIN = inspect.Parameter.POSITIONAL_OR_KEYWORD


@functools.cache
def derived(key: str, kind: type[Manifold], op: str) -> Callable[..., Any]:
    """The method `op` of a manifold as a function, with signature and docstring."""
    method = getattr(kind, op)
    curved = issubclass(kind, CurvedManifold)
    signature, count = _signature(inspect.signature(method), curved)

    def function(*args: Any, **options: Any) -> Any:
        bound = signature.bind(*args, **options)
        if not curved:
            return getattr(kind(), op)(*bound.args, **bound.kwargs)
        first, rest = bound.args[:count], bound.args[count + 1 :]
        m = _at(kind, op, bound.args[count], [*first, *bound.kwargs.values()], bound.kwargs)
        return getattr(m, op)(*first, *rest, **bound.kwargs)

    function.__name__ = function.__qualname__ = f"{key}_{op}"
    function.__module__ = kind.__module__
    function.__signature__ = signature  # type: ignore[attr-defined]
    of = f"{kind.__name__}({'c' if curved else ''}).{op}"
    function.__doc__ = f"`{of}` as a function.\n\n{inspect.getdoc(method)}"
    return function


def _signature(method: inspect.Signature, curved: bool) -> tuple[inspect.Signature, int]:
    """The function's signature, and how many arguments stand before c."""
    first, rest = [], []
    for p in list(method.parameters.values())[1:]:
        if p.kind is p.VAR_POSITIONAL:
            first.append(inspect.Parameter(p.name, _PLAIN, annotation=tuple[int, ...]))
        elif p.name == "v" or (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty):
            first.append(p.replace(default=p.empty))  # `inner` has v = u by default
        elif p.name != "keepdim":
            rest.append(p)
    c = [inspect.Parameter("c", _PLAIN, annotation=Scalar)] if curved else []
    return method.replace(parameters=[*first, *c, *rest]), len(first)


def _at(
    kind: type[CurvedManifold], op: str, c: Scalar, values: list[Any], options: dict[str, Any]
) -> Manifold:
    """The manifold at this c, which goes to the device of the points, or of what is made."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    device = tensors[0].device if tensors else torch.device(options.get("device") or "cpu")
    # A c that is a number keeps its digits beside float64 points.
    like = torch.empty((), dtype=work_dtype(device), device=device)
    return kind.at(curvature(f"{kind.name}.{op}", c, like))
