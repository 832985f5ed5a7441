"""Embeddings as tables, a row a point: .parquet (extra `data`) and .csv.

Columns: modality, id, text, label (the last element of the path), path, partners (rows of the first
modality, counted from 0, that a row of the second belongs to), and the point: `vector` in parquet,
x0, x1, ... in csv, where path and partners are JSON. The geometry stands in the metadata of
parquet, in csv in the first line, a comment. Others' tables need no column but those of points.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from geomclip.embedding_files import KEY, Contents, metadata_of, modality_of
from geomclip.errors import GeomclipError, RequestError

if TYPE_CHECKING:
    from geomclip.embeddings import Embeddings

_TEXT = ("modality", "id", "text", "label", "path", "partners")
_ALSO = {"caption": "text", "class": "label", "captions": "text", "name": "text"}
# Rows of one row group, and of one write.
ROWS = 16384


def rows_of(embeddings: "Embeddings") -> Iterator[tuple[dict[str, list[Any]], Tensor]]:
    """Blocks of rows: the text columns (None where nothing is known), and the points."""
    partners: dict[int, list[int]] = {}
    pairs = embeddings.pairs
    if pairs is not None:
        for i, j in pairs.tolist():
            partners.setdefault(j, []).append(i)
    second = embeddings.modalities[1] if pairs is not None else ""
    paths: dict[str, Any] = dict(embeddings.paths)  # type: ignore[arg-type]
    ids: dict[str, Any] = dict(embeddings.ids)  # type: ignore[arg-type]
    for modality, x in embeddings.points.items():
        for start in range(0, len(x), ROWS):
            rows = range(start, min(start + ROWS, len(x)))
            known = paths.get(modality)
            own = [known[i] for i in rows] if known else [None] * len(rows)
            names = ids.get(modality)
            text = modality == "text" and len(embeddings.texts) > 0
            yield (
                {
                    "modality": [modality] * len(rows),
                    "id": [names[i] for i in rows] if names else [None] * len(rows),
                    "text": [embeddings.texts[i] if text else None for i in rows],
                    "label": [path[-1] if path else None for path in own],
                    "path": [None if path is None else list(path) for path in own],
                    "partners": [partners.get(i, []) if modality == second else None for i in rows],
                },
                x[rows.start : rows.stop],
            )


def _metadata(embeddings: "Embeddings") -> dict[str, Any]:
    first = next(iter(embeddings.points.values()))
    empty = None if embeddings.empty is None else embeddings.empty.tolist()
    wide = first.dtype == torch.float64
    return metadata_of(embeddings) | {"empty": empty, "dtype": "float64" if wide else "float32"}


# --- parquet ---


def arrow() -> Any:
    """pyarrow with pyarrow.parquet. Raises GeomclipError that names the extra."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise GeomclipError(
            f"pyarrow is not installed ({error})", "Install it with: pip install 'geomclip[data]'"
        ) from error
    return pyarrow


def write_parquet(
    embeddings: "Embeddings", path: Path, beside: Mapping[str, Tensor] | None = None
) -> None:
    """One row group for every block of rows.

    Args:
        beside: further columns of numbers, a row a point of all modalities in turn.
    """
    more = dict(beside or {})
    pa = arrow()
    metadata = _metadata(embeddings)
    number = pa.float64() if metadata["dtype"] == "float64" else pa.float32()
    schema = pa.schema(
        [
            *((name, pa.float64()) for name in more),
            ("modality", pa.string()),
            ("id", pa.string()),
            ("text", pa.string()),
            ("label", pa.string()),
            ("path", pa.list_(pa.string())),
            ("partners", pa.list_(pa.int64())),
            ("vector", pa.list_(number, embeddings.dim)),
        ],
        metadata={KEY: json.dumps(metadata, ensure_ascii=False)},
    )
    with pa.parquet.ParquetWriter(path, schema) as writer:
        done = 0
        for columns, x in rows_of(embeddings):
            beside_x = [pa.array(v[done : done + len(x)].double().numpy()) for v in more.values()]
            done += len(x)
            flat = pa.array(x.contiguous().numpy().reshape(-1), type=number)
            arrays = [pa.array(columns[name], type=schema.field(name).type) for name in _TEXT]
            vectors = pa.FixedSizeListArray.from_arrays(flat, embeddings.dim)
            writer.write_table(pa.Table.from_arrays([*beside_x, *arrays, vectors], schema=schema))


def read_parquet(path: Path) -> Contents:
    """Every column of lists of numbers is a modality; one alone may be split by `modality`."""
    pa = arrow()
    try:
        table = pa.parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise RequestError(
            f"{path}: not readable as parquet ({reason})", "Check the file."
        ) from error
    metadata = (table.schema.metadata or {}).get(KEY.encode())
    text: dict[str, list[Any]] = {}
    vectors: dict[str, np.ndarray] = {}
    for name in table.column_names:
        kind = table.schema.field(name).type
        nested = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
        nested = nested or pa.types.is_large_list(kind)
        if nested and pa.types.is_floating(kind.value_type):
            vectors[name] = _matrix(table.column(name), name, path)
        elif (known := _ALSO.get(name, name)) in _TEXT and known not in text:
            text[known] = table.column(name).to_pylist()
    if not vectors:
        raise RequestError(
            f"{path}: no column holds vectors, lists of floating point; it has "
            f"{', '.join(table.column_names)}",
            'Write one list a row, such as a column "vector".',
        )
    if len(vectors) > 1:
        first = next(iter(vectors))
        points = {modality_of(name): torch.from_numpy(v) for name, v in vectors.items()}
        found = Contents(points=points)
        _whole_columns(found, text, modality_of(first))
        return found
    (matrix,) = vectors.values()
    return _split(text, matrix, json.loads(metadata) if metadata else None, path)


def _matrix(column: Any, name: str, path: Path) -> np.ndarray:
    pa = arrow()
    chunk = column.combine_chunks()
    lengths = np.asarray(pa.compute.list_value_length(chunk))
    if chunk.null_count or not len(lengths) or (lengths != lengths[0]).any():
        raise RequestError(
            f'{path}: the rows of column "{name}" are vectors of different lengths, or missing',
            "Every row is a point of the same dimension.",
        )
    flat = np.asarray(chunk.flatten())
    flat = flat if flat.dtype == np.float64 else flat.astype(np.float32)
    return np.array(flat.reshape(len(lengths), -1))


def _whole_columns(found: Contents, text: dict[str, list[Any]], first: str) -> None:
    """Text columns of a table whose rows are pairs."""
    if "text" in text and "text" in found.points:
        found.texts = [str(t or "") for t in text["text"]]
    if "path" in text:
        found.paths = {first: [tuple(map(str, p or ())) for p in text["path"]]}
    elif "label" in text:
        found.paths = {first: [() if v is None else (str(v),) for v in text["label"]]}
    if "id" in text:
        found.ids = {first: [str(v) for v in text["id"]]}


def _split(text: dict[str, list[Any]], matrix: np.ndarray, metadata: Any, path: Path) -> Contents:
    """Rows by their modality."""
    n = len(matrix)
    modality = text.get("modality") or ["points"] * n
    if None in modality:
        raise RequestError(
            f"{path}: row {modality.index(None) + 1} has no modality", "Name one in every row."
        )
    names = metadata["modalities"] if metadata else list(dict.fromkeys(map(str, modality)))
    where = {m: [i for i in range(n) if modality[i] == m] for m in names}
    found = Contents(points={m: torch.from_numpy(matrix[rows]) for m, rows in where.items()})
    ordered = [m for m in names if m != "label"]

    def some(column: str, m: str) -> list[Any] | None:
        values = [text[column][i] for i in where[m]] if column in text else []
        return values if any(v is not None for v in values) else None

    for m in names:
        if ids := some("id", m):
            found.ids[m] = [str(v) for v in ids]
        if paths := some("path", m):
            found.paths[m] = [tuple(map(str, p or ())) for p in paths]
        elif labels := some("label", m):
            found.paths[m] = [() if v in (None, "") else (str(v),) for v in labels]
    if "text" in where and (texts := some("text", "text")):
        found.texts = [str(t or "") for t in texts]
    if len(ordered) > 1 and (partners := some("partners", ordered[1])) is not None:
        pairs = [(i, j) for j, rows in enumerate(partners) for i in rows or ()]
        found.pairs = torch.tensor(sorted(pairs), dtype=torch.long).reshape(-1, 2)
    if metadata:
        found.record, found.levels = metadata["geometry"], metadata["levels"]
        empty = metadata["empty"]
        found.empty = None if empty is None else torch.tensor(empty, dtype=torch.float64)
    return found


# --- csv ---


def write_csv(embeddings: "Embeddings", path: Path) -> None:
    """Numbers with as many digits as bring them back exactly."""
    metadata = _metadata(embeddings)
    form = "%.17g" if metadata["dtype"] == "float64" else "%.9g"
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(f"# {KEY} {json.dumps(metadata, ensure_ascii=False)}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_TEXT, *(f"x{i}" for i in range(embeddings.dim))])
        for columns, x in rows_of(embeddings):
            for i, point in enumerate(x.tolist()):
                cells = [columns[name][i] for name in _TEXT]
                cells = [
                    "" if v is None else json.dumps(v, ensure_ascii=False) if type(v) is list else v
                    for v in cells
                ]
                writer.writerow([*cells, *(form % v for v in point)])


def read_csv(path: Path) -> Contents:
    """All columns but those of texts are coordinates; a table of numbers alone needs no header."""
    metadata = None
    limit = csv.field_size_limit(1 << 24)  # of the whole process: set back below
    try:
        with open(path, encoding="utf-8", newline="") as file:
            line = file.readline()
            if line.startswith(f"# {KEY} "):
                metadata = json.loads(line.removeprefix(f"# {KEY} "))
            else:
                file.seek(0)
            return _csv_rows(csv.reader(file), metadata, path)
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise RequestError(f"{path}: not readable as csv ({error})", "Write UTF-8.") from error
    finally:
        csv.field_size_limit(limit)


def _csv_rows(reader: Any, metadata: Any, path: Path) -> Contents:
    header = next(reader, None)
    if header is None:
        raise RequestError(f"{path}: the file is empty", "A row is a point.")
    points = []
    bare = all(map(_is_number, header))
    names = [] if bare else [_ALSO.get(name.strip().lower(), name.strip()) for name in header]
    text: dict[str, list[Any]] = {name: [] for name in names if name in _TEXT}
    columns = {name: names.index(name) for name in text}
    numbers = [i for i in range(len(header)) if i not in columns.values()]
    kind = np.float64 if metadata and metadata["dtype"] == "float64" else np.float32
    if bare:
        points.append(np.array(header, dtype=kind))
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            raise RequestError(
                f"{path} line {reader.line_num}: {len(row)} fields, the first row has "
                f"{len(header)}",
                "Quote fields that contain commas.",
            )
        try:
            points.append(np.array([row[i] for i in numbers], dtype=kind))
        except ValueError:
            bad = next(i for i in numbers if not _is_number(row[i]))
            name = names[bad] if names else str(bad + 1)
            raise RequestError(
                f'{path} line {reader.line_num}: column "{name}" is no number: {row[bad][:40]!r}',
                f"Columns of texts are {', '.join(_TEXT)}; all others are coordinates.",
            ) from None
        for name, i in columns.items():
            text[name].append(_cell(name, row[i], reader.line_num, path))
    if not points or not numbers:
        raise RequestError(f"{path}: holds no points", "A row is a point.")
    return _split(text, np.stack(points), metadata, path)


def _cell(name: str, value: str, line: int, path: Path) -> Any:
    if value == "":
        # The text "" of a caption and a missing one are the same in a csv.
        return None
    if name not in ("path", "partners"):
        return value
    try:
        found = json.loads(value)
        if not isinstance(found, list):
            raise ValueError
    except ValueError:
        raise RequestError(
            f"{path} line {line}: {name} is no JSON list: {value[:40]!r}",
            'Such as ["animal", "dog"]; a single label goes into the column "label".',
        ) from None
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
