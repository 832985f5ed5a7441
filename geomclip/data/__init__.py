"""Records, readers, the embedded emoji set, transforms and the tokenizer.

Loads no torch until something is used, so that the configuration can be read without it.
"""

import importlib
from typing import Any

_PUBLIC = {
    "BadRecord": "geomclip.data.record",
    "CheckReport": "geomclip.data.check",
    "Corpus": "geomclip.data.record",
    "DataConfig": "geomclip.data.config",
    "EvalSplit": "geomclip.data.splits",
    "Record": "geomclip.data.record",
    "Splits": "geomclip.data.splits",
    "Tokenizer": "geomclip.data.tokenizer",
    "load": "geomclip.data.sources",
    "load_emoji": "geomclip.data.emoji",
    "read_source": "geomclip.data.sources",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'geomclip.data' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
