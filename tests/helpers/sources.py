"""Small data sets on disk for the tests of the readers."""

import csv
import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from geomclip.data.config import DataConfig
from geomclip.data.record import BadRecord, Record
from geomclip.data.sources import read_source
from geomclip.errors import RequestError

COLOURS = ("red", "green", "blue", "white", "black", "orange", "purple", "brown", "pink", "gray")


def png(colour: str, size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def pictures(folder: Path, names: list[str] | tuple[str, ...], suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        (folder / f"{name}{suffix}").write_bytes(png(COLOURS[i % len(COLOURS)]))


def table(path: Path, rows: list[list[str]], separator: str = ",", encoding: str = "utf-8") -> Path:
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows(rows)
    path.write_bytes(out.getvalue().encode(encoding))
    return path


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as out:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def read(source: Path | str, **options: object) -> tuple[list[Record], list[BadRecord]]:
    items = list(read_source(DataConfig(source=str(source), **options)))
    return (
        [item for item in items if isinstance(item, Record)],
        [item for item in items if isinstance(item, BadRecord)],
    )


def fails(source: Path | str, **options: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        list(read_source(DataConfig(source=str(source), **options)))
    assert caught.value.how, "an error says the way out"
    return caught.value
