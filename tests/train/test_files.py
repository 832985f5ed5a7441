"""Files and folders that are whole or absent."""

import os
from pathlib import Path

import pytest

from geomclip.errors import GeomclipError
from geomclip.train.files import (
    clear_temporaries,
    disk_errors,
    remove_folder,
    write_bytes,
    write_folder,
)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_bytes(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_folder(tmp_path / "a", {"one": b"1", "no/such/folder": b"2"})
    assert os.listdir(tmp_path) == []
    write_folder(tmp_path / "a", {"one": b"1", "two": b"2"})
    assert (tmp_path / "a" / "two").read_bytes() == b"2"


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".tmp-step-000010").mkdir()
    (tmp_path / ".tmp-step-000010" / "state.pt").write_bytes(b"half")
    (tmp_path / ".tmp-config.toml").write_bytes(b"half")
    (tmp_path / "mine").write_bytes(b"whole")
    clear_temporaries(tmp_path)
    assert os.listdir(tmp_path) == ["mine"]


def test_remove_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", {"one": b"1"})
    remove_folder(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_disk_errors_say_what_where_and_how(tmp_path: Path) -> None:
    with (
        pytest.raises(GeomclipError, match=r"saving: No such file .*missing.*\n  Make room\."),
        disk_errors("saving", "Make room."),
    ):
        (tmp_path / "missing" / "file").write_bytes(b"")
