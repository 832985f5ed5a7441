"""Parquet tables: pictures as bytes, paths or Hugging Face's structs, a row a picture.

Needs pyarrow, the extra `data`. Row groups are read one after the other, never a file at once.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geomclip.data.config import DataConfig
from geomclip.data.files import SPLITS, Item, Pictures, clean, is_url, label
from geomclip.data.read_csv import CAPTION_COLUMNS, IMAGE_COLUMNS, SPLIT_COLUMN
from geomclip.data.record import BadRecord, Record
from geomclip.data.shard_files import is_remote, local_path
from geomclip.data.shards import ShardError
from geomclip.errors import RequestError

if TYPE_CHECKING:
    import pyarrow.parquet

PARQUET_SUFFIX = ".parquet"
_IMAGES = (*IMAGE_COLUMNS, "image_bytes", "img_bytes", "bytes", "jpg", "jpeg", "png", "webp")

# Rows decoded at a time; a row group may hold gigabytes of pictures.
_ROWS = 64


def read_parquet(files: Sequence[str], config: DataConfig) -> Iterator[Item]:
    """The records of the files in order; a file or row group that breaks is a BadRecord.

    Raises RequestError without pyarrow, and for a column that isn't there.
    """
    for file in files:
        try:
            table = Table.open(file, config)
            for group in range(table.groups):
                yield from table.rows(group, 0)
        except ShardError as error:
            yield BadRecord(file, str(error))


@dataclass
class Table:
    """One file, open, with the columns that are used."""

    name: str
    file: "pyarrow.parquet.ParquetFile"
    config: DataConfig
    image: str
    caption: str | None
    split: str | None
    classes: dict[str, list[str]]
    pictures: Pictures

    @staticmethod
    def open(name: str, config: DataConfig) -> "Table":
        """Read the schema and find the columns. Raises RequestError, ShardError (damaged)."""
        parquet = _pyarrow_parquet()
        if is_remote(name):
            raise RequestError(
                f"{name}: parquet is read from files", "Copy it to a disk; tars are read remotely."
            )
        path = local_path(name)
        try:
            file = parquet.ParquetFile(path, pre_buffer=False)
        except Exception as error:  # ArrowInvalid, OSError, ...: pyarrow's own words
            raise ShardError(f"not readable as parquet: {_first_line(error)}") from error
        schema = file.schema_arrow
        image = _find(name, schema.names, config.image_column, _IMAGES, "picture", "image-column")
        caption: str | None = None
        lower = {n.lower() for n in schema.names}
        usual = any(n in lower for n in CAPTION_COLUMNS)
        if config.caption_column or usual or not config.label_columns:
            caption = _find(
                name, schema.names, config.caption_column, CAPTION_COLUMNS, "caption",
                "caption-column",
            )  # fmt: skip
        for column in config.label_columns:
            _find(name, schema.names, column, (), "label", "label-columns")
        if config.id_column:
            _find(name, schema.names, config.id_column, (), "id", "id-column")
        folders = [Path(config.image_folder)] if config.image_folder else [path.parent, Path()]
        split = SPLIT_COLUMN if SPLIT_COLUMN in schema.names else None
        classes = _class_names(schema.metadata or {})
        return Table(name, file, config, image, caption, split, classes, Pictures(folders))

    @property
    def groups(self) -> int:
        return self.file.num_row_groups

    def sizes(self) -> list[int]:
        """Rows of each row group."""
        return [self.file.metadata.row_group(g).num_rows for g in range(self.groups)]

    def rows(self, group: int, start: int) -> Iterator[Item]:
        """The records of a row group from row `start` of it on. Raises ShardError."""
        config = self.config
        columns = [self.image, *config.label_columns]
        columns += [c for c in (self.caption, self.split, config.id_column) if c]
        first = sum(self.sizes()[:group])
        batches = self.file.iter_batches(
            _ROWS, row_groups=[group], columns=list(dict.fromkeys(columns)), use_threads=False
        )
        row = 0
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except Exception as error:
                raise ShardError(
                    f"row group {group} can't be read: {_first_line(error)}"
                ) from error
            skip = max(0, min(start - row, len(batch)))
            for i, values in enumerate(batch.slice(skip).to_pylist(), row + skip):
                yield self._record(values, first + i)
            row += len(batch)

    def _record(self, values: dict[str, Any], row: int) -> Item:
        where = f"{self.name} row {row}"
        image = values[self.image]
        if isinstance(image, dict):  # Hugging Face's Image feature
            image = image.get("bytes") or image.get("path")
        if not image:
            return BadRecord(where, "no picture: the cell is empty")
        if isinstance(image, str):
            if is_url(image):
                return BadRecord(where, f"an address in place of a picture: {image}")
            found = self.pictures.find(image)
            if found is None:
                return BadRecord(where, f"no such picture: {image}")
            image = found
        elif not isinstance(image, bytes):
            kind = type(image).__name__
            return BadRecord(where, f"no picture: {kind} is neither bytes nor a path")
        path = tuple(self._label(name, values[name]) for name in self.config.label_columns)
        if not all(path):
            return BadRecord(
                where, f"a label is empty: {self.config.label_columns[path.index('')]}"
            )
        captions: Any = path[-1:] if self.caption is None else values[self.caption]
        captions = [captions] if isinstance(captions, str) else captions or []
        texts = clean(text for text in captions if isinstance(text, str))
        if not texts:
            return BadRecord(where, "the caption is empty")
        split = values[self.split] if self.split else ""
        if split and str(split).lower() not in SPLITS:
            return BadRecord(where, f'unknown split: "{split}" (train, val and test are known)')
        id = values[self.config.id_column] if self.config.id_column else f"{self.name}/{row}"
        if id is None or str(id) == "":
            return BadRecord(where, "the id is empty")
        return Record(str(id), image, texts, path, where), SPLITS.get(str(split).lower(), "")

    def _label(self, column: str, value: Any) -> str:
        names = self.classes.get(column)
        if names and isinstance(value, int) and 0 <= value < len(names):
            value = names[value]
        return "" if value is None else label(str(value))


@dataclass
class ParquetShards:
    """Row groups as shards. The files are opened where they are read."""

    name: str
    files: list[str]
    groups: list[tuple[int, int]]
    """Number of the file and of the row group in it."""
    counts: list[int]
    config: DataConfig
    attempts: int = 1

    @staticmethod
    def open(name: str, files: list[str], config: DataConfig) -> "ParquetShards":
        """Read the footers. Raises RequestError for a damaged file or one that names splits."""
        groups, sizes = [], []
        for number, file in enumerate(files):
            try:
                table = Table.open(file, config)
            except ShardError as error:
                raise RequestError(f"{file}: {error}", "Write it anew, or leave it out.") from None
            if table.split:
                raise RequestError(
                    f'{file} has a column "{table.split}", and rows of other splits can\'t be left '
                    "out of a stream",
                    "Write one file a split, or read it into memory with --data.stream never.",
                )
            groups += [(number, group) for group in range(table.groups)]
            sizes += table.sizes()
        return ParquetShards(name, files, groups, sizes, config)

    @property
    def sizes(self) -> np.ndarray:
        return np.array(self.counts, dtype=np.int64)

    def where(self, shard: int) -> str:
        file, group = self.groups[shard]
        return f"{self.files[file]} row group {group}"

    def read(self, shard: int, start: int) -> Iterator[Record | BadRecord]:
        file, group = self.groups[shard]
        for item in Table.open(self.files[file], self.config).rows(group, start):
            yield item if isinstance(item, BadRecord) else item[0]


def _pyarrow_parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise RequestError(
            "parquet is read by pyarrow, which is not installed", "pip install 'geomclip[data]'"
        ) from None
    return pyarrow.parquet


def _find(
    where: str, names: list[str], wanted: str, usual: Sequence[str], what: str, option: str
) -> str:
    lower = [name.lower() for name in names]
    for name in (wanted,) if wanted else usual:
        if name in names:
            return name
        if name.lower() in lower:
            return names[lower.index(name.lower())]
    if "url" in lower and what == "picture" and not wanted:
        raise RequestError(
            f"{where} lists pictures by address (column {names[lower.index('url')]})",
            "Nothing is downloaded here: run img2dataset first and give its folder of shards.",
        )
    missing = f'"{wanted}"' if wanted else f"for the {what}"
    raise RequestError(
        f"{where} has no column {missing} (it has: {', '.join(names)})",
        f"Add --data.{option} NAME.",
    )


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Names of the classes that Hugging Face's files store as numbers, by column."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in about["names"]]
            for column, about in features.items()
            if isinstance(about, dict) and isinstance(about.get("names"), list)
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
