"""Training: configuration, loop, schedule, checkpoints and logs. Lazy: loads no torch by itself."""

import importlib
from typing import Any

_PUBLIC = {
    "ModelConfig": "geomclip.train.config",
    "TrainConfig": "geomclip.train.config",
    "recipe": "geomclip.train.config",
    "TrainResult": "geomclip.train.loop",
    "train": "geomclip.train.loop",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'geomclip.train' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
