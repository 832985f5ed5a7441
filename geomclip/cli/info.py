"""`geomclip info`: what is installed and what it runs on."""

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass, field
from typing import Any

from geomclip import __version__
from geomclip.cli.options import Common, CommonFlags, parse
from geomclip.cli.output import Output

PACKAGES = ("torch", "geoopt", "numpy", "scipy", "plotly", "pillow", "tokenizers", "webdataset")


@dataclass(frozen=True)
class InfoOptions:
    """Versions, devices, kernels and data of this installation."""

    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, look, report."""
    options = parse(InfoOptions, argv, prog="geomclip info")
    output = Output(options.common)
    values = collect()
    lines = []
    for name, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        lines.append(f"{name:<11}{value}")
    output.result(values, "\n".join(lines))
    return 0


def collect() -> dict[str, Any]:
    """What `geomclip info --json` prints."""
    import torch

    from manifolds.kernels import device, library

    devices = ["cpu"]
    devices += [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {
        "geomclip": __version__,
        "python": f"{platform.python_version()} ({sys.platform}, {platform.machine()})",
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": devices,
        "threads": {"torch": torch.get_num_threads(), "cores": os.cpu_count()},
        "kernels": library.live(),
        "on cuda": device.live(),
        "emoji": _emoji(),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _emoji() -> dict[str, str]:
    """Whether each shard of the embedded set is there and whole."""
    import hashlib

    from geomclip.data.emoji import FOLDER, RENDITIONS

    state = {}
    for name, rendition in RENDITIONS.items():
        path = FOLDER / rendition.shard
        if not path.is_file():
            state[name] = "missing"
        else:
            whole = hashlib.sha256(path.read_bytes()).hexdigest() == rendition.sha256
            state[name] = str(rendition.count) if whole else "damaged"
    return state
