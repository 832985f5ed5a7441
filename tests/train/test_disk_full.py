"""A full disk: a clear error, the checkpoint before intact, nothing half-written left behind."""

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from geomclip.errors import GeomclipError
from geomclip.train import train
from geomclip.train.checkpoint import checkpoints


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, where this user may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk: Path, small: SimpleNamespace, splits: Any) -> None:
    out = small_disk / "run"

    def fill_up(record: dict[str, Any]) -> None:
        if record["step"] == 16:
            with pytest.raises(OSError), (small_disk / "big").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

    with pytest.raises(GeomclipError, match=r"No space left.*\n.*step-000010.*--resume") as caught:
        train(small.config(), out, splits=splits, progress=fill_up)
    assert caught.value.exit_code == 1
    assert [p.name for p in checkpoints(out)] == ["step-000010"]
    assert not list(out.rglob(".tmp-*"))
    (small_disk / "big").unlink()
    assert train(small.config(), out, resume=True, splits=splits).step == 30


def test_a_file_that_may_not_grow_loses_nothing(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    """The same without privileges: no file may grow beyond a limit that the state exceeds."""
    out = tmp_path / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(record: dict[str, Any]) -> None:
        if record["step"] == 16:
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))

    try:
        with pytest.raises(GeomclipError, match=r"File too large.*\n.*step-000010.*--resume"):
            train(small.config(), out, splits=splits, progress=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in checkpoints(out)] == ["step-000010"]
    assert not list(out.rglob(".tmp-*"))
    assert train(small.config(), out, resume=True, splits=splits).step == 30
