"""The manifold behind a geometry's name: a row's, or a product's, lorentz256xsphere256."""

from typing import Any

from geomclip.errors import RequestError
from geomclip.names import CHOICES, canonical, factors
from geomclip.spec import GEOMETRIES, PRODUCT, GeometrySpec
from manifolds import MANIFOLDS, Manifold, Product
from manifolds.arguments import whole
from manifolds.curvature import CurvedManifold


def build_space(
    name: str, dim: int, *, c: float, learn_c: bool, c_min: float | None, c_max: float | None
) -> tuple[GeometrySpec, Manifold]:
    """The row of a name and its manifold, of curvature c where it has one.

    Args:
        c_min, c_max: bounds of c; c / 10 and 10 c where None.

    Raises:
        TypeError: name is no text, or dim no whole number.
        ValueError: an unknown name, or as `build_product`.
    """
    if not isinstance(name, str):
        raise TypeError(f"a geometry is called by its name, got {name!r}. {CHOICES}")
    dim = whole(name, "dim", dim, dim)
    curvature = {
        "c": c,
        "learnable": learn_c,
        "c_min": c / 10 if c_min is None else c_min,
        "c_max": 10 * c if c_max is None else c_max,
    }
    if factors(name):
        return PRODUCT, build_product(name, dim, curvature)
    spec = GEOMETRIES[canonical(name)]
    make = MANIFOLDS[spec.manifold]
    return spec, make(**curvature) if spec.learned_curvature else make()


def check_dims(name: str, manifold: Manifold, dim: int) -> None:
    """Whether a product has as many coordinates as features. Raises ValueError."""
    if isinstance(manifold, Product) and manifold.dim != dim:
        raise ValueError(
            f"{name}: its factors have {' + '.join(map(str, manifold.dims))} = {manifold.dim} "
            f"coordinates, features have {dim}; make the two equal"
        )


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
