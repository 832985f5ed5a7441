"""The names of the geometries, without torch: what command line and configuration accept."""

import re

# Spelled as in Chou & Alam (arXiv 2409.13079); the rows behind the names are in spec.py.
CANONICAL = (
    "clip",
    "elliptic",
    "euclidean",
    "euclidean-squared",
    "euclidean-inner",
    "hyperbolic",
    "hyperbolic-squared",
    "hyperbolic-inner",
    "poincare",
)

ALIASES = {"euclip": "euclidean-squared", "meru": "hyperbolic"}

GEOMETRY_NAMES = (*ALIASES, *CANONICAL)

CHOICES = (
    f"One of {', '.join(GEOMETRY_NAMES)}, or a product of manifolds with their dimensions, such as "
    "lorentz256xsphere256."
)
"""The way out of an error about a name."""

FACTORS = ("euclidean", "sphere", "lorentz", "poincare", "halfspace")
"""Keys of `manifolds.MANIFOLDS` that a product may be made of."""

_FACTOR = re.compile(rf"({'|'.join(FACTORS)})([1-9]\d*)")


def factors(name: str) -> list[tuple[str, int]]:
    """Manifold and dimension of each factor that a product's name lists; empty for other names.

    >>> factors("lorentz256xsphere256"), factors("meru")
    ([('lorentz', 256), ('sphere', 256)], [])
    """
    found = [_FACTOR.fullmatch(part) for part in name.split("x")]
    if len(found) < 2 or not all(found):
        return []
    return [(m[1], int(m[2])) for m in found if m]


def known(name: str) -> bool:
    """Whether there is a geometry of that name."""
    return name in GEOMETRY_NAMES or bool(factors(name))


def canonical(name: str) -> str:
    """The row name behind a user's name; a product's is its own.

    Raises ValueError that lists the names.
    """
    name = ALIASES.get(name, name)
    if not known(name):
        raise ValueError(f"unknown geometry {name!r}. {CHOICES}")
    return name


def family(name: str) -> str:
    """The row name, or "product"."""
    return "product" if factors(name) else canonical(name)


def has_cones(name: str) -> bool:
    """Whether the geometry has entailment cones."""
    return family(name) not in ("clip", "elliptic", "product")
