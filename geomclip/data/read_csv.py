"""Csv and tsv tables: one row a picture and a caption; open_clip's column names are known.

Rows that name the same picture are one record with several captions, so that a picture never stands
on both sides of a split.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geomclip.data.config import DataConfig
from geomclip.data.files import SPLITS, Item, Pictures, clean, is_url, label
from geomclip.data.record import BadRecord, Record
from geomclip.errors import RequestError

# The first that a table has is taken. open_clip's own are filepath and title.
IMAGE_COLUMNS = (
    "filepath",
    "image",
    "image_path",
    "img_path",
    "path",
    "file_name",
    "filename",
    "file",
    "img",
)
CAPTION_COLUMNS = (
    "title",
    "caption",
    "captions",
    "text",
    "description",
    "sentence",
    "alt_text",
    "comment",
)
SPLIT_COLUMN = "split"
NOT_UTF8 = "Add --data.encoding latin-1 (or what it was saved in), or save it as UTF-8."
SEPARATORS = ("\t", ",", ";", "|")


@dataclass
class _Sample:
    """What the rows of one picture have said so far."""

    picture: str
    captions: list[str]
    path: tuple[str, ...]
    split: str
    row: int


def read_csv(path: Path, config: DataConfig) -> Iterator[Item]:
    """The records of a table; the header is row 1. All is read before the first record comes.

    Raises RequestError where the table as a whole can't be used: no rows, no header, a column that
    isn't there, addresses in place of files, an encoding that is not what `config.encoding` says. A
    row that can't be used is yielded as BadRecord.
    """
    lines = _Lines(path, config.encoding)
    header_line = next(iter(lines), "").rstrip("\r\n")
    if problem := lines.take_problem():
        raise RequestError(f"{path} row 1: {problem}", NOT_UTF8)
    if not header_line.strip():
        what = "has no header line" if path.stat().st_size else "is empty"
        raise RequestError(f"{path} {what}", "Give a header line and a row per picture.")
    separator = config.separator.replace("\\t", "\t") or _separator(header_line, path, config)
    if len(separator) != 1:
        raise RequestError(
            f"separator {config.separator!r} is not one character",
            "Give one, such as , or ; or \\t.",
        )
    header = [name.strip() for name in next(csv.reader([header_line], delimiter=separator))]
    columns = _columns(header, path, config)
    pictures = Pictures(
        [Path(config.image_folder)] if config.image_folder else [path.parent, Path()]
    )

    samples: dict[str, _Sample] = {}
    bad: list[BadRecord] = []
    for row, fields in _rows(path, lines, separator):
        reason = lines.take_problem() or _problem(fields, header, columns)
        if not reason:
            reason = _add(samples, row, fields, columns, config)
        if reason:
            bad.append(BadRecord(f"{path} row {row}", reason))
    if not samples and not bad:
        raise RequestError(f"{path} has a header and no rows", "Add a row per picture.")
    yield from bad
    for id, sample in samples.items():
        where = f"{path} row {sample.row}"
        picture = pictures.find(sample.picture)
        if picture is None:
            yield BadRecord(where, f"no such picture: {sample.picture}")
        elif not (captions := clean(sample.captions)):
            yield BadRecord(where, "the caption is empty")
        else:
            yield Record(id, picture, captions, sample.path, where), sample.split


@dataclass(frozen=True)
class _Columns:
    """Positions in a row."""

    image: int
    caption: int | None  # None: the last label is the caption
    id: int | None
    labels: tuple[int, ...]
    split: int | None


def _columns(header: Sequence[str], path: Path, config: DataConfig) -> _Columns:
    """Where the columns stand. One RequestError names all that are missing."""
    lower = [name.lower() for name in header]
    missing, ways = [], []

    def find(wanted: str, usual: Sequence[str], what: str, option: str) -> int:
        for name in (wanted,) if wanted else usual:
            if name in header:
                return header.index(name)
            if name.lower() in lower:
                return lower.index(name.lower())
        missing.append(f'"{wanted}"' if wanted else f"for the {what}")
        ways.append(f"--data.{option} NAME")
        return -1

    image = find(config.image_column, IMAGE_COLUMNS, "picture", "image-column")
    caption: int | None = None
    usual = {name for name in CAPTION_COLUMNS if name in lower}
    if config.caption_column or usual or not config.label_columns:
        caption = find(config.caption_column, CAPTION_COLUMNS, "caption", "caption-column")
    id = find(config.id_column, (), "id", "id-column") if config.id_column else None
    labels = tuple(find(name, (), "label", "label-columns") for name in config.label_columns)
    if missing:
        if "url" in lower and image < 0 and not config.image_column:
            raise RequestError(
                f"{path} lists pictures by address (column {header[lower.index('url')]})",
                "Nothing is downloaded here: run img2dataset first and give its folder of shards.",
            )
        raise RequestError(
            f"{path} has no column {' and none '.join(missing)} (it has: {', '.join(header)})",
            f"Add {' and '.join(dict.fromkeys(ways))}.",
        )
    split = lower.index(SPLIT_COLUMN) if SPLIT_COLUMN in lower else None
    return _Columns(image, caption, id, labels, split)


def _separator(header: str, path: Path, config: DataConfig) -> str:
    """The separator that gives the most columns that are looked for, then the most columns."""
    wanted = {*IMAGE_COLUMNS, *CAPTION_COLUMNS, "url"}
    wanted |= {name.lower() for name in (config.image_column, config.caption_column) if name}

    def score(separator: str) -> tuple[int, int]:
        names = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator))]
        return len(wanted & set(names)), len(names)

    best = max(SEPARATORS, key=score)
    if score(best)[1] == 1:
        raise RequestError(
            f'{path}: the header "{header[:80]}" is a single column',
            "Name a picture and a caption column in it, or give --data.separator.",
        )
    return best


def _rows(path: Path, lines: "_Lines", separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=separator)
    row = 1
    while True:
        row += 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise RequestError(
                f"{path} row {row}: not readable as a table: {error}",
                "Look for an unclosed quote in this row or before it.",
            ) from None
        if fields:
            yield row, fields


def _problem(fields: list[str], header: Sequence[str], columns: _Columns) -> str:
    if len(fields) != len(header):
        return f"wrong number of fields: {len(fields)} where the header has {len(header)}"
    name = fields[columns.image].strip()
    if not name:
        return "the path of the picture is empty"
    if is_url(name):
        return (
            f"an address in place of a file: {name} (download first, for example with img2dataset)"
        )
    if columns.split is not None and fields[columns.split].strip().lower() not in SPLITS:
        return f'unknown split: "{fields[columns.split]}" (train, val and test are known)'
    return ""


def _add(
    samples: dict[str, _Sample], row: int, fields: list[str], columns: _Columns, config: DataConfig
) -> str:
    """Lay a row into `samples`; the reason why it can't be, or ""."""
    picture = fields[columns.image].strip()
    path = tuple(label(fields[i]) for i in columns.labels)
    split = SPLITS[fields[columns.split].strip().lower()] if columns.split is not None else ""
    id = fields[columns.id].strip() if columns.id is not None else picture
    if not id:
        return "the id is empty"
    if not all(path):
        return f"a label is empty: {config.label_columns[path.index('')]}"
    caption = path[-1] if columns.caption is None else fields[columns.caption]
    known = samples.get(id)
    if known is None:
        samples[id] = _Sample(picture, [caption], path, split, row)
    elif known.picture != picture:
        return (
            f"duplicate id: {id} stands for {known.picture} in row {known.row}, here for {picture}"
        )
    elif (known.path, known.split) != (path, split):
        return f"contradicts row {known.row}: same picture, other labels or split"
    else:
        known.captions.append(caption)
    return ""


class _Lines:
    """The lines of a text file, decoded one by one, so that a bad byte is reported with its row.

    In UTF-8 such bytes pass through as surrogates and `take_problem` tells of them; other encodings
    stop at the first with a RequestError.
    """

    def __init__(self, path: Path, encoding: str) -> None:
        self.path = path
        self.encoding = encoding
        self._problem = ""
        self._lines = self._read()

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def take_problem(self) -> str:
        """What didn't fit since the last call, or ""."""
        problem, self._problem = self._problem, ""
        return problem

    def _read(self) -> Iterator[str]:
        if self.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
            yield from self._read_other()
            return
        offset = 0
        with self.path.open("rb") as file:
            for raw in file:
                if offset == 0 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise RequestError(
                        f"{self.path} is not UTF-8 but UTF-16 (byte order mark at position 0)",
                        "Add --data.encoding utf-16, or save it as UTF-8.",
                    )
                if offset == 0:
                    # Excel writes a mark before UTF-8 too; it would become part of the first
                    # column's name.
                    offset = len(raw)
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                    offset -= len(raw)
                try:
                    yield raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    position = offset + error.start
                    if not self._problem:
                        byte = f"0x{raw[error.start]:02x}"
                        self._problem = (
                            f"not UTF-8: byte {byte} at position {position:,} of the file"
                        )
                    yield raw.decode("utf-8", "surrogateescape")
                offset += len(raw)

    def _read_other(self) -> Iterator[str]:
        try:
            with self.path.open(encoding=self.encoding, newline="") as file:
                yield from file
        except LookupError:
            raise RequestError(
                f'there is no encoding "{self.encoding}"',
                "utf-8, latin-1, cp1252, utf-16 are usual.",
            ) from None
        except UnicodeError as error:
            raise RequestError(
                f"{self.path} is not {self.encoding}: {error}",
                "Give its encoding with --data.encoding.",
            ) from None
