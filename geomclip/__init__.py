"""Contrastive learning over curved spaces: CLIP, EuCLIP, MERU, and the tools to compare them.

Names are resolved on first use (PEP 562): `import geomclip` and the command line load no torch.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "ContrastiveModel": "geomclip.model",
    "Embeddings": "geomclip.embeddings",
    "Geometry": "geomclip.geometry",
    "GEOMETRIES": "geomclip.spec",
    "GeomclipError": "geomclip.errors",
    "Hierarchy": "geomclip.hierarchy",
    "RequestError": "geomclip.errors",
    "analysis": "geomclip.analysis",
    "build_geometry": "geomclip.geometry",
    "compare": "geomclip.compare",
    "embed": "geomclip.encode",
    "evaluate": "geomclip.evaluate",
    "load": "geomclip.loaders",
    "losses": "geomclip.losses",
    "manifolds": "manifolds",
    "train": "geomclip.train",
    "traverse": "geomclip.traverse",
}

# The names that stand for a module; the others are attributes of one.
_MODULES = {"analysis", "compare", "evaluate", "losses", "manifolds", "train", "traverse"}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'geomclip' has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC[name])
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
