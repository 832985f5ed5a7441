"""A small run and its data, once a session."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

SCRIPT = Path(__file__).with_name("small_run.py")


@pytest.fixture(scope="session")
def small() -> SimpleNamespace:
    """The functions of small_run.py."""
    return SimpleNamespace(**runpy.run_path(str(SCRIPT), run_name="small_run"))


@pytest.fixture(scope="session")
def splits(small: SimpleNamespace) -> Any:
    return small.splits()


@pytest.fixture(scope="session")
def reference(small: SimpleNamespace, splits: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished, uninterrupted run of `meru` with entailment: all of the state there is."""
    from geomclip.train import train

    config = small.config(**REFERENCE)
    return train(config, tmp_path_factory.mktemp("runs") / "reference", splits=splits)


REFERENCE = {"geometry": "meru", "entailment": 0.2, "entailment_full": 0.5, "final_min_radius": 0.3}


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    """What `reference` was trained with, as changes of the small configuration."""
    return dict(REFERENCE)


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts small_run.py in a process of its own, with one thread."""

    def popen(*arguments: object, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            **options,
        )

    return popen


@pytest.fixture(scope="session")
def weights() -> Callable[[Path], dict[str, Tensor]]:
    """The tensors of a run folder or a checkpoint."""

    def read(folder: Path) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        return load_file(folder / "model.safetensors")

    return read


@pytest.fixture(scope="session")
def same() -> Callable[[dict[str, Tensor], dict[str, Tensor]], bool]:
    """Bit for bit, not just close."""

    def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
        return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)

    return equal
