"""The names of the geometries, without torch: what command line and configuration accept."""

# Spelled as in Chou & Alam (arXiv 2409.13079); the rows behind the names are in geometry.py.
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


def canonical(name: str) -> str:
    """The row name behind a user's name. Raises ValueError that lists the names."""
    name = ALIASES.get(name, name)
    if name not in CANONICAL:
        raise ValueError(f"unknown geometry {name!r}; one of {', '.join(GEOMETRY_NAMES)}")
    return name
