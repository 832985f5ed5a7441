"""Embeddings for other tools: `geomclip export SOURCE OUT --to parquet | faiss | projector`.

parquet    one table that `Embeddings.read` reads too, with x, y: the plane of largest variance
faiss      an index a modality, and index.json that says how to ask it
projector  TensorBoard's embedding projector: vectors.tsv, metadata.tsv and their configuration
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import manifolds
from geomclip.analysis.midpoints import midpoint
from geomclip.analysis.tangent import coordinates, principal_plane
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.train.files import disk_errors, replacing, write_text

_QUERIES = {
    "Euclidean": "the points themselves",
    "Sphere": "points over their length",
    "Lorentz": "(x, -x_t) with x_t = sqrt(1/c + |x|^2)",
    "PoincareBall": "(x, -x_t) of the hyperboloid's space components x = 2p / (1 - c |p|^2)",
}


def write_parquet(embeddings: Embeddings, out: Path) -> list[str]:
    """The table OUT, or embeddings.parquet in the folder OUT; what was written.

    x, y are coordinates in the tangent space at the midpoint of all modalities, geodesic lengths.

    Raises:
        GeomclipError: pyarrow is missing, or the file can't be written.
    """
    from geomclip.embedding_tables import write_parquet as write_table

    path = out if out.suffix.lower() == ".parquet" else out / "embeddings.parquet"
    every = torch.cat(list(embeddings.points.values()))
    middle = midpoint(embeddings.manifold, every)
    plane = principal_plane(embeddings.manifold, middle, every)
    with disk_errors(f"{path} can't be written", "Choose another path."):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            write_table(embeddings, temporary, {"x": plane[:, 0], "y": plane[:, 1]})
    return [path.name]


def write_faiss(embeddings: Embeddings, out: Path) -> list[str]:
    """MODALITY.faiss for each modality, exact, and index.json; what was written.

    Raises:
        GeomclipError: FAISS is missing, or a file can't be written.
        RequestError: a manifold that FAISS can't rank.
    """
    from geomclip.analysis.ann import faiss_index, load_faiss

    faiss = load_faiss()
    manifold = embeddings.manifold
    if manifold.name not in _QUERIES:
        raise RequestError(
            f"{embeddings.source or 'embeddings'}: no FAISS index ranks {manifold.name}",
            "Export to parquet or projector.",
        )
    about: dict[str, Any] = {
        "geometry": embeddings.geometry.name,
        "manifold": manifold.name,
        "c": float(manifold.c),
        "metric": "L2" if manifold.name == "Euclidean" else "inner product",
        "queries": _QUERIES[manifold.name],
        "indexes": {},
    }
    written = []
    with disk_errors(f"{out} can't be written", "Choose another folder."):
        out.mkdir(parents=True, exist_ok=True)
        for name, x in embeddings.points.items():
            file = f"{name}.faiss"
            index = faiss_index(x, manifold).index
            with replacing(out / file) as temporary:
                faiss.write_index(index, str(temporary))
            about["indexes"][name] = {"file": file, "points": len(x), "dimension": index.d}
            written.append(file)
        write_text(out / "index.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    return [*written, "index.json"]


def write_projector(embeddings: Embeddings, out: Path) -> list[str]:
    """vectors.tsv, metadata.tsv, projector_config.pbtxt (TensorBoard's log folder) and
    projector.json (the standalone page); what was written.

    Points of flat spaces and spheres stand as they are; of others, tangent vectors at the origin,
    whose lengths are root distances. Tabs and line ends in texts become spaces: the format has no
    way to write them.

    Raises:
        GeomclipError: a file can't be written.
    """
    from geomclip.embedding_tables import rows_of

    manifold = embeddings.manifold
    flat = isinstance(manifold, manifolds.Euclidean | manifolds.Sphere)

    def vectors() -> Iterator[Tensor]:
        for _, x in rows_of(embeddings):
            root = manifold.origin(x.shape[1], dtype=x.dtype)
            yield x if flat else coordinates(manifold, root, x)

    header = ("modality", "label", "text", "id")
    with disk_errors(f"{out} can't be written", "Choose another folder."):
        out.mkdir(parents=True, exist_ok=True)
        with (
            replacing(out / "vectors.tsv") as temporary,
            open(temporary, "w", encoding="utf-8") as file,
        ):
            for block in vectors():
                for row in block.tolist():
                    file.write("\t".join(f"{v:.7g}" for v in row) + "\n")
        with (
            replacing(out / "metadata.tsv") as temporary,
            open(temporary, "w", encoding="utf-8") as file,
        ):
            file.write("\t".join(header) + "\n")
            for columns, x in rows_of(embeddings):
                for i in range(len(x)):
                    cells = (columns[name][i] or "" for name in header)
                    file.write("\t".join(" ".join(cell.split()) for cell in cells) + "\n")
        name = embeddings.source or embeddings.geometry.name
        write_text(
            out / "projector_config.pbtxt",
            "embeddings {\n"
            f"  tensor_name: {json.dumps(name)}\n"
            '  tensor_path: "vectors.tsv"\n  metadata_path: "metadata.tsv"\n}\n',
        )
        about = {
            "tensorName": name,
            "tensorShape": [len(embeddings), embeddings.dim],
            "tensorPath": "vectors.tsv",
            "metadataPath": "metadata.tsv",
        }
        write_text(out / "projector.json", json.dumps({"embeddings": [about]}, indent=2) + "\n")
    return ["vectors.tsv", "metadata.tsv", "projector_config.pbtxt", "projector.json"]
