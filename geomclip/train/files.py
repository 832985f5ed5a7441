"""Files that are either whole or absent, whatever happens while they are written."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from geomclip.errors import GeomclipError, RequestError

# What is being written or removed carries this prefix, so that no reader takes it for finished.
TEMPORARY = ".tmp-"


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside `path`, fsync, rename over it. Raises OSError; `path` is then untouched."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        _write(temporary, data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed over it at the end of the block, whole.

    For what is too large to be held in memory a second time. Raises OSError; `path` is then
    untouched, as after any error in the block.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            # As open() would have made it: some libraries make files that nobody else may read.
            os.umask(mask := os.umask(0))
            os.fchmod(file.fileno(), 0o666 & ~mask)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Create the folder `path` with these files in one rename.

    Raises OSError; `path` then does not exist.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, data in files.items():
            _write(temporary / name, data)
        sync_folder(temporary)
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder in one rename: a kill half-way leaves no folder that looks complete."""
    doomed = path.with_name(f"{TEMPORARY}{path.name}")
    os.rename(path, doomed)
    shutil.rmtree(doomed)


def clear_temporaries(folder: Path) -> None:
    """Remove what a killed process was writing or removing in `folder`."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextlib.contextmanager
def disk_errors(doing: str, how: str) -> Iterator[None]:
    """Turn an OSError (disk full, quota, permission) into a GeomclipError that says what failed."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise GeomclipError(f"{doing}: {error.strerror or error}{where}", how) from error


def require_writable(folder: Path) -> None:
    """Whether files can be made in the folder of --out, which need not exist: asked before what
    takes minutes. Leaves nothing behind. Raises RequestError."""
    place = folder.absolute()
    there = next(path for path in (place, *place.parents) if path.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=TEMPORARY, dir=there))
    except OSError as error:
        raise RequestError(
            f"{folder} can't be written: {error.strerror}", "Choose another --out."
        ) from error


def sync_folder(folder: Path) -> None:
    """fsync a folder, which makes a rename in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
