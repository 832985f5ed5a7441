"""Embeddings in files: .safetensors and .npz, .npy; tables are in embedding_tables.py.

Ours: an array (n, d) for each modality, and

    geomclip.pairs (p, 2)    geomclip.empty (d,)    geomclip.rows: texts, paths, ids (JSON, UTF-8)
    geomclip: metadata of safetensors, an array of npz: the geometry, order, levels

Others': every array (n, d) of floating point is a modality of its name, less an ending such as
`_features`; beside them may stand `pairs` (p, 2), `texts` (n,), `labels` (n,) or `image_labels`,
`ids`, and the scalars `geometry` and `c`. Pickled arrays are refused, they could run code.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geomclip import array_files
from geomclip.array_files import BLOCK
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.geometry import Geometry
from geomclip.geometry_record import describe, named, rebuild, same
from geomclip.train.files import disk_errors, replacing

SUFFIXES = (".safetensors", ".npz", ".npy", ".parquet", ".csv")
KEY = "geomclip"
_ENDINGS = ("_features", "_embeddings", "_embedding", "_embeds", "_points", "_vectors", "_vector")


@dataclass
class Contents:
    """What a file holds, before its geometry is known."""

    points: dict[str, Tensor]
    texts: list[str] = field(default_factory=list)
    paths: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)
    pairs: Tensor | None = None
    empty: Tensor | None = None
    levels: list[str] = field(default_factory=list)
    record: dict[str, Any] | None = None
    """The geometry as `geometry_record.describe` writes it."""
    geometry: str | None = None
    """The geometry's name, where a file of others gives it."""
    c: float | None = None


def write(embeddings: Embeddings, path: Path) -> None:
    """`Embeddings.write`."""
    from geomclip.embedding_tables import write_csv, write_parquet

    writers = {
        ".safetensors": _write_safetensors,
        ".npz": _write_npz,
        ".npy": _write_npy,
        ".parquet": write_parquet,
        ".csv": write_csv,
    }
    suffix = check_suffix(path)
    with disk_errors(f"{path} can't be written", "Free some space, or choose another path."):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            writers[suffix](embeddings, temporary)


def check_suffix(path: Path, *, several: bool = False) -> str:
    """The suffix of a file to write, in lower case. Raises RequestError for one that is not
    written, or that does not hold `several` modalities."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or (several and suffix == ".npy"):
        written = [name for name in SUFFIXES if not (several and name == ".npy")]
        raise RequestError(
            f'{path}: embeddings are not written as "{suffix}"', f"One of {', '.join(written)}."
        )
    return suffix


def read(
    path: Path, geometry: str | Geometry | None, c: float | None, *, features: bool
) -> Embeddings:
    """`Embeddings.read`."""
    from geomclip.embedding_tables import read_csv, read_parquet

    readers = {
        ".safetensors": _read_safetensors,
        ".npz": _read_npz,
        ".npy": _read_npy,
        ".parquet": read_parquet,
        ".csv": read_csv,
    }
    suffix = path.suffix.lower()
    if not path.is_file():
        raise RequestError(f"{path}: there is no such file", "Check the path.")
    if suffix not in readers:
        raise RequestError(
            f'{path}: embeddings are not read from "{suffix}" files',
            f"One of {', '.join(SUFFIXES)}.",
        )
    try:
        found = readers[suffix](path)
    except OSError as error:
        raise RequestError(
            f"{path} can't be read: {error.strerror or error}", "Check the file."
        ) from error
    return settle(found, str(path), geometry, c, features=features)


def settle(
    found: Contents,
    source: str,
    geometry: str | Geometry | None,
    c: float | None,
    *,
    features: bool,
) -> Embeddings:
    """The embeddings of a file's contents under its own geometry, or the one that is given."""
    if not found.points:
        raise RequestError(f"{source}: holds no array of points (n, d)", "Check the file.")
    for name, x in found.points.items():
        if x.ndim != 2 or not len(x):
            raise RequestError(
                f"{source}: {name} has shape {tuple(x.shape)}, points have (n, d), n at least 1",
                "A row is a point: reshape the array, or drop it.",
            )
    g = _geometry(found, source, geometry, c)
    if features:
        for m, x in found.points.items():
            try:
                found.points[m] = _lifted(g, x, m if m in g.modalities else g.modalities[-1])
            except ValueError as error:
                raise RequestError(f"{source}: {error}", "Look at these rows.") from error
    usual = {"image": 0, "text": 1}
    order = sorted(found.points, key=lambda name: usual.get(name, 2))
    ours = found.record is not None
    return Embeddings(
        points=found.points if ours else {m: found.points[m] for m in order},
        geometry=g,
        texts=found.texts,
        paths=found.paths,
        ids=found.ids,
        pairs=found.pairs,
        empty=found.empty,
        levels=found.levels,
        source=source,
    )


@torch.no_grad()
def _lifted(g: Geometry, x: Tensor, modality: str) -> Tensor:
    """`g.lift` block by block: all at once takes several times the memory of the points."""
    points = None
    try:
        for start in range(0, len(x), BLOCK):
            part = g.lift(x[start : start + BLOCK], modality)
            if points is None:
                points = part.new_empty(len(x), part.shape[1])
            points[start : start + BLOCK] = part
    except ValueError:
        return g.lift(x, modality)  # whose error counts the bad rows among all
    assert points is not None
    return points


def _geometry(
    found: Contents, source: str, geometry: str | Geometry | None, c: float | None
) -> Geometry:
    x = next(iter(found.points.values()))
    if isinstance(geometry, Geometry):
        return geometry
    if found.record is not None:
        own = rebuild(found.record, source)
        if (geometry is not None or c is not None) and not same(own, geometry or own.name, c):
            scalars = "".join(f", {k} {v:g}" for k, v in own.scalars().items() if k == "c")
            raise RequestError(
                f"{source}: its points lie in the geometry {own.name}{scalars}, another was given",
                "Leave the geometry out.",
            )
        return own
    name = geometry or found.geometry
    if name is None:
        raise RequestError(
            f"{source} holds vectors of shape {tuple(x.shape)} but not how their distance is "
            "measured",
            "Add --geometry clip | elliptic | euclip | meru  (and --c for meru); in Python "
            "geometry=, c=.",
        )
    return named(name, x.shape[1], found.c if c is None else c, source)


# --- our own layout ---


def arrays_of(embeddings: Embeddings) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Arrays by name, and what stands in the metadata."""
    arrays = {name: x.contiguous() for name, x in embeddings.points.items()}
    pairs = embeddings.pairs
    if pairs is not None:
        arrays[f"{KEY}.pairs"] = pairs.contiguous()
    if embeddings.empty is not None:
        arrays[f"{KEY}.empty"] = embeddings.empty.contiguous()
    rows = {"texts": embeddings.texts, "paths": embeddings.paths, "ids": embeddings.ids}
    if any(rows.values()):
        data = json.dumps(rows, ensure_ascii=False).encode()
        arrays[f"{KEY}.rows"] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return arrays, metadata_of(embeddings)


def metadata_of(embeddings: Embeddings) -> dict[str, Any]:
    """The geometry, the order of the modalities, the names of the levels."""
    return {
        "geometry": describe(embeddings.geometry),
        "modalities": list(embeddings.points),
        "levels": list(embeddings.levels),
    }


def _write_safetensors(embeddings: Embeddings, path: Path) -> None:
    from safetensors.numpy import save_file  # torch's refuses tensors that share memory

    arrays, metadata = arrays_of(embeddings)
    plain = {name: x.numpy() for name, x in arrays.items()}
    save_file(plain, path, metadata={KEY: json.dumps(metadata, ensure_ascii=False)})


def _write_npz(embeddings: Embeddings, path: Path) -> None:
    arrays, metadata = arrays_of(embeddings)
    with open(path, "wb") as file:  # a name would get ".npz" appended
        text = np.array(json.dumps(metadata, ensure_ascii=False))
        np.savez(file, **{k: x.numpy() for k, x in arrays.items()}, **{KEY: text})  # type: ignore[arg-type]


def _write_npy(embeddings: Embeddings, path: Path) -> None:
    if len(embeddings.points) > 1:
        raise RequestError(
            f"a .npy file holds one array, these embeddings are {', '.join(embeddings.points)}",
            "Write .npz or .safetensors.",
        )
    with open(path, "wb") as file:
        np.save(file, next(iter(embeddings.points.values())).numpy(), allow_pickle=False)


def _read_safetensors(path: Path) -> Contents:
    arrays, metadata = array_files.read_safetensors(path)
    return _of(arrays, metadata.get(KEY), path)


def _read_npz(path: Path) -> Contents:
    arrays = array_files.read_npz(path)
    metadata = arrays.pop(KEY, None)
    return _of(arrays, None if metadata is None else str(metadata), path)


def _read_npy(path: Path) -> Contents:
    return _others({"points": array_files.read_npy(path)}, path)


def _of(arrays: dict[str, Any], metadata: str | None, path: Path) -> Contents:
    return _others(arrays, path) if metadata is None else _ours(arrays, metadata, path)


def _ours(arrays: dict[str, Tensor], metadata: str, path: Path) -> Contents:
    try:
        values = json.loads(metadata)
        rows = arrays.pop(f"{KEY}.rows", None)
        text = json.loads(rows.numpy().tobytes()) if rows is not None else {}
        found = Contents(
            points={name: arrays[name] for name in values["modalities"]},
            texts=text.get("texts", []),
            paths={m: [tuple(p) for p in rows] for m, rows in text.get("paths", {}).items()},
            ids=text.get("ids", {}),
            pairs=arrays.get(f"{KEY}.pairs"),
            empty=arrays.get(f"{KEY}.empty"),
            levels=values["levels"],
            record=values["geometry"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RequestError(
            f"{path}: written by geomclip, but damaged or by another version ({error})",
            "Write it again.",
        ) from error
    return found


def _others(arrays: dict[str, Any], path: Path) -> Contents:
    """Arrays whose meaning their names and shapes tell."""
    found = Contents(points={})
    rest = {}
    for name, value in arrays.items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.ndim == 2:
            found.points[modality_of(name)] = value
        else:
            rest[name] = value
    if not found.points:
        shapes = (
            "; ".join(f"{k} {tuple(v.shape)} {v.dtype}" for k, v in arrays.items()) or "nothing"
        )
        raise RequestError(
            f"{path}: holds no points, an array (n, d) of floating point; it holds {shapes}",
            "Save an array for each modality, such as np.savez(path, image=x, text=y).",
        )
    first = "image" if "image" in found.points else next(iter(found.points))
    for name, value in rest.items():
        _take(found, name, value, first, path)
    return found


def _take(found: Contents, name: str, value: Any, first: str, path: Path) -> None:
    """Put an array that holds no points where its name says."""
    modality, _, what = name.rpartition("_")
    modality = modality or ("text" if name in ("texts", "captions") else first)
    if name == "pairs":
        found.pairs = value
    elif name == "geometry" and value.ndim == 0:
        found.geometry = str(value)
    elif name in ("c", "curvature") and value.ndim == 0 and math.isfinite(float(value)):
        found.c = float(value)
    elif name in ("texts", "captions") and value.ndim == 1:
        found.texts = [str(v) for v in value]
    elif what in ("labels", "label") and value.ndim == 1 and modality in found.points:
        found.paths[modality] = [(str(v),) for v in value.tolist()]
    elif what in ("ids", "id") and value.ndim == 1 and modality in found.points:
        found.ids[modality] = [str(v) for v in value.tolist()]
    else:
        raise RequestError(
            f'{path}: what "{name}" of shape {tuple(value.shape)} and {value.dtype} holds is not '
            "known",
            "Known are arrays (n, d) of floating point, pairs, texts, labels, image_labels, ids, "
            "geometry and c; leave others out.",
        )


def modality_of(name: str) -> str:
    """`image_features` and `image` are both "image"."""
    for ending in _ENDINGS:
        if name.endswith(ending) and name != ending:
            return name.removesuffix(ending)
    return name
