"""Products of manifolds by the names of their factors: lorentz256xsphere256."""

from typing import Any

from geomclip.errors import RequestError
from geomclip.names import factors
from manifolds import MANIFOLDS, Product
from manifolds.curvature import CurvedManifold


def build_product(name: str, dim: int, curvature: dict[str, Any]) -> Product:
    """The product that a name lists, its curved factors made with the arguments in `curvature`.

    Raises:
        RequestError: the factors' dimensions do not add up to `dim`.
        ValueError: a factor has too few dimensions.
    """
    parts = factors(name)
    total = sum(d for _, d in parts)
    if total != dim:
        raise RequestError(
            f"{name} has {total} coordinates, the model's embeddings have {dim}",
            f"Give --model.embed-dim {total}, or dimensions that add up to {dim}.",
        )
    kinds = [MANIFOLDS[key] for key, _ in parts]
    return Product(
        [kind(**curvature) if issubclass(kind, CurvedManifold) else kind() for kind in kinds],
        [d for _, d in parts],
    )
