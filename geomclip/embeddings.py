"""Embeddings: named arrays of points with their geometry, labels, texts and pairs; read and write.

    e = Embeddings({"image": x, "text": y}, geometry, texts=captions, paths=paths)
    e.write("e.safetensors")
    Embeddings.read("theirs.npz", geometry="meru", c=0.5)

The first two modalities (but for "label") are paired: row pairs[k, 0] of the first belongs to row
pairs[k, 1] of the second. The modality "label" holds one point for each node of the label tree,
the text of its last element, and is paired with nothing.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.array_files import BLOCK
from geomclip.errors import RequestError
from geomclip.geometry import Geometry
from manifolds import Manifold

LABEL = "label"

LabelPath = tuple[str, ...]
PathRows = Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Points of one geometry, by modality.

    Args:
        points: (n, d) by modality, "image" and "text" in the common case, any number of any names.
            float64 stays float64, other floating points become float32; kept on the CPU.
        geometry: where they lie, how they are scored, what their root is.
        texts: of each row of "text".
        paths: label path of each row, most general first; by modality, or those of the first one.
        ids: name of each row, by modality, or those of the first one.
        pairs: (p, 2) rows of the first two modalities that belong together, such as a picture with
            its five captions. Row i with row i where not given; (0, 2) says that none do.
        empty: (d,) the point of the text "", a root that some models have learned.
        levels: names of the elements of a path, most general first.
        source: what messages call these embeddings.

    Raises:
        RequestError: no points, points that are no finite points of the manifold, all the same or
            of another dimension; texts, paths, ids or pairs that do not fit the rows.
    """

    points: Mapping[str, Float[Tensor, "_ d"]]
    geometry: Geometry = field(repr=False)
    texts: Sequence[str] = field(default=(), repr=False)
    paths: Mapping[str, PathRows] | PathRows = field(default=(), repr=False)
    ids: Mapping[str, Sequence[str]] | Sequence[str] = field(default=(), repr=False)
    pairs: Int[Tensor, "p 2"] | None = field(default=None, repr=False)
    empty: Float[Tensor, "d"] | None = field(default=None, repr=False)
    levels: Sequence[str] = ()
    source: str = ""

    def __post_init__(self) -> None:
        points = self._checked_points()
        first = next(iter(points))
        paths = _by_modality(self.paths, first)
        ids = _by_modality(self.ids, first)
        settled: dict[str, Any] = {
            "points": points,
            "paths": {m: [tuple(map(str, path)) for path in rows] for m, rows in paths.items()},
            "ids": {m: [str(name) for name in rows] for m, rows in ids.items()},
            "texts": tuple(self.texts),
            "levels": tuple(self.levels),
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)
        for what, rows in (("label paths", self.paths), ("ids", self.ids)):
            for modality, values in dict(rows).items():  # type: ignore[arg-type]
                self._check_rows(what, modality, len(values))
        if self.texts:
            self._check_rows("texts", "text", len(self.texts))
        object.__setattr__(self, "pairs", self._checked_pairs())
        if self.empty is not None:
            empty = self.empty.detach().cpu().to(points[first].dtype)
            self._check_points('the text ""', empty[None])
            object.__setattr__(self, "empty", empty)

    # --- what they are ---

    @property
    def manifold(self) -> Manifold:
        """Where the points lie."""
        return self.geometry.manifold

    @property
    def dim(self) -> int:
        """d, the dimension of the points."""
        return self.geometry.dim

    @property
    def modalities(self) -> tuple[str, ...]:
        """Their names, "label" left out, in the order of `points`."""
        return tuple(name for name in self.points if name != LABEL)

    def __getitem__(self, modality: str) -> Float[Tensor, "n d"]:
        """The points of a modality. Raises RequestError that lists the modalities."""
        if modality not in self.points:
            raise RequestError(
                f'{self._where}there are no points of "{modality}"',
                f"There are: {', '.join(self.points)}.",
            )
        return self.points[modality]

    def __len__(self) -> int:
        return sum(map(len, self.points.values()))

    # --- rows that belong together ---

    def pairing(self, a: str, b: str) -> Int[Tensor, "p 2"]:
        """Rows of a and of b that belong together.

        Raises:
            RequestError: a modality that is not there, or nothing says which rows belong together.
        """
        n, m = len(self[a]), len(self[b])
        if self.pairs is not None and (a, b) == self.modalities[:2]:
            return self.pairs
        if self.pairs is not None and (b, a) == self.modalities[:2]:
            return self.pairs.flip(1)
        if n != m or LABEL in (a, b):
            raise RequestError(
                f"{self._where}nothing says which of {n:,} {a} and {m:,} {b} points belong "
                "together",
                f"Pairs are kept of the first two modalities, {' and '.join(self.modalities[:2])}.",
            )
        return torch.arange(n)[:, None].expand(n, 2)

    def paired(self, a: str, b: str) -> tuple[Float[Tensor, "p d"], Float[Tensor, "p d"]]:
        """The points of a and b, a row a pair. Raises as `pairing`."""
        rows = self.pairing(a, b)
        return self[a][rows[:, 0]], self[b][rows[:, 1]]

    @property
    def _paths(self) -> dict[str, list[LabelPath]]:
        return cast(dict[str, list[LabelPath]], self.paths)

    @cached_property
    def _shared_paths(self) -> list[LabelPath]:
        """Of each row of the second modality what the paths of its partners have in common."""
        first, second = self.modalities[:2]
        known = self._paths[first]
        found: list[LabelPath | None] = [None] * len(self.points[second])
        for i, j in self.pairing(first, second).tolist():
            before = found[j]
            found[j] = known[i] if before is None else _common(before, known[i])
        return [path or () for path in found]

    def label_paths(self, modality: str) -> list[LabelPath] | None:
        """The label path of each row, most general first; None where nothing is known.

        Rows of the second modality without paths of their own have what the paths of their partners
        in the first have in common.
        """
        self[modality]
        if modality in self._paths:
            return self._paths[modality]
        if self.modalities[1:2] == (modality,) and self.modalities[0] in self._paths:
            return self._shared_paths
        return None

    def subset(self, rows: Mapping[str, Int[Tensor, "_"]]) -> "Embeddings":
        """Some rows of some modalities, in the order given; other modalities as they are. Pairs
        are kept where both of their rows are."""
        where = {m: rows.get(m, torch.arange(len(x))) for m, x in self.points.items()}
        pairs = None
        if len(self.modalities) >= 2:
            place = []
            for m in self.modalities[:2]:
                back = torch.full((len(self.points[m]),), -1)
                back[where[m]] = torch.arange(len(where[m]))
                place.append(back)
            old = self.pairing(*self.modalities[:2])
            pairs = torch.stack([place[0][old[:, 0]], place[1][old[:, 1]]], dim=1)
            pairs = pairs[(pairs >= 0).all(1)]

        def pick(values: Any) -> dict[str, Any]:
            return {m: [v[i] for i in where[m].tolist()] for m, v in values.items()}

        return dataclasses.replace(
            self,
            points={m: x[where[m]] for m, x in self.points.items()},
            texts=[self.texts[i] for i in where["text"].tolist()] if self.texts else (),
            paths=pick(self.paths),
            ids=pick(self.ids),
            pairs=pairs,
        )

    # --- the root ---

    def with_root(self) -> "Embeddings":
        """These embeddings, with the mean of the first two modalities as the root where the
        geometry's root is a mean that was never set; otherwise themselves. Raises RequestError
        where the points cancel."""
        g = self.geometry
        if g.spec.root == "origin" or bool(g.root_point.any()):
            return self
        import copy

        first, *others = (self.points[m] for m in self.modalities[:2])
        rooted = copy.deepcopy(g)
        try:
            rooted.set_root_(first, others[0] if others else first[:0])
        except ValueError as error:
            raise RequestError(
                f"{self._where}the points cancel, so that their mean is no root ({error})",
                "Look at the points: opposite ones are no embeddings of a trained encoder.",
            ) from error
        return dataclasses.replace(self, geometry=rooted)

    def root_distance(self, modality: str) -> Float[Tensor, "n"]:
        """`geometry.root_distance` of the points of a modality. Where the root is a mean that the
        geometry does not have, it is that of these embeddings."""
        return self.with_root().geometry.root_distance(self[modality]).detach()

    # --- files ---

    def write(self, path: str | Path) -> None:
        """Write a .safetensors, .npz, .parquet, .csv or (one modality) .npy file, whole or not at
        all, from which `read` gives the same back; .npy holds the points alone.

        Raises:
            RequestError: another suffix, or a format that can't hold these embeddings.
            GeomclipError: the file can't be written, or pyarrow is missing (parquet).
        """
        from geomclip.embedding_files import write

        write(self, Path(path))

    @staticmethod
    def read(
        path: str | Path,
        geometry: str | Geometry | None = None,
        c: float | None = None,
        *,
        features: bool = False,
    ) -> "Embeddings":
        """The embeddings in a .safetensors, .npz, .npy, .parquet or .csv file.

        Args:
            geometry: name of the geometry, or the geometry itself, where the file doesn't say.
            c: curvature magnitude of a geometry that learns it and is given by name.
            features: the rows are raw features, which `geometry.lift` makes points of.

        Raises:
            RequestError: no such file, a format or contents that can't be read, a geometry that is
                missing or another than the file's, or as the constructor. Pickles are refused.
        """
        from geomclip.embedding_files import read

        return read(Path(path), geometry, c, features=features)

    def to_dict(self) -> dict[str, Any]:
        """What they are in plain values, without the points."""
        c = {k: v for k, v in self.geometry.scalars().items() if k.split(".")[-1] == "c"}
        return {
            "source": self.source,
            "geometry": self.geometry.name,
            "dim": self.dim,
            **c,
            "points": {name: len(x) for name, x in self.points.items()},
            "pairs": None if self.pairs is None else len(self.pairs),
            "labelled": [m for m in self.points if self.label_paths(m) is not None],
        }

    def _repr_html_(self) -> str:
        """Shown by notebooks."""
        from html import escape

        rows = "".join(
            f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>"
            for k, v in self.to_dict().items()
        )
        return f"<table>{rows}</table>"

    # --- checks ---

    @property
    def _where(self) -> str:
        return f"{self.source}: " if self.source else "embeddings: "

    def _checked_points(self) -> dict[str, Tensor]:
        if not any(name != LABEL for name in self.points):
            raise RequestError(f"{self._where}there are no points", "Give at least one modality.")
        wide = any(x.dtype == torch.float64 for x in self.points.values())
        out = {}
        for name, x in self.points.items():
            if x.ndim != 2 or not x.is_floating_point() or len(x) == 0:
                raise RequestError(
                    f"{self._where}{name} has shape {tuple(x.shape)} of {x.dtype}, points have "
                    "shape (n, d), n at least 1, of floating point",
                    "A row is a point: reshape the array, or drop it.",
                )
            if x.shape[1] != self.geometry.dim:
                raise RequestError(
                    f"{self._where}{name} has {x.shape[1]} coordinates a point, the geometry "
                    f"{self.geometry.name} has {self.geometry.dim}",
                    "All modalities and the geometry share one dimension.",
                )
            x = x.detach().cpu().to(torch.float64 if wide else torch.float32)
            self._check_points(name, x)
            if len(x) > 1 and all(bool((part == x[0]).all()) for part in x.split(BLOCK)):
                raise RequestError(
                    f"{self._where}all {len(x):,} points of {name} are the same",
                    "The encoder has collapsed, or the file holds something else.",
                )
            out[name] = x
        return out

    def _check_points(self, name: str, x: Tensor) -> None:
        # A check takes several times the memory of what it looks at; only where a block fails are
        # all points looked at together, for their count.
        if all(self.manifold.check_point(part) for part in x.split(BLOCK)):
            return
        ok, reason = self.manifold.check_point(x, explain=True)
        if not ok:
            finite = bool(x.isfinite().all())
            way = (
                "Give the geometry they were trained for; raw features become points with "
                "features=True, --features on the command line."
                if finite
                else "Drop these rows, or look at the encoder that made them."
            )
            raise RequestError(f"{self._where}{name}: {reason}", way)

    def _check_rows(self, what: str, modality: str, count: int) -> None:
        rows = len(self[modality])
        if count != rows:
            raise RequestError(
                f"{self._where}{count:,} {what} for {rows:,} points of {modality}",
                f"Give one for every row of {modality}, in their order.",
            )

    def _checked_pairs(self) -> Tensor | None:
        if len(self.modalities) < 2:
            return None
        a, b = self.modalities[:2]
        n, m = len(self.points[a]), len(self.points[b])
        if self.pairs is None:
            if n != m:
                raise RequestError(
                    f"{self._where}{a} has {n:,} points, {b} has {m:,}, and nothing says which "
                    "belong together",
                    f"Give pairs, an array (p, 2) of rows of {a} and {b}; an empty one for none.",
                )
            return torch.arange(n)[:, None].repeat(1, 2)
        pairs = torch.as_tensor(self.pairs).cpu()
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.is_floating_point():
            raise RequestError(
                f"{self._where}pairs has shape {tuple(pairs.shape)} of {pairs.dtype}",
                f"A row is a pair of integers: a row of {a}, a row of {b}.",
            )
        pairs = pairs.long()
        outside = (pairs < 0).any(1) | (pairs >= torch.tensor([n, m])).any(1)
        if bool(outside.any()):
            k = int(outside.nonzero()[0])
            raise RequestError(
                f"{self._where}{int(outside.sum()):,} of {len(pairs):,} pairs name rows that are "
                f"not there; the first: {pairs[k].tolist()} of {n:,} {a} and {m:,} {b} points",
                "Rows count from 0.",
            )
        distinct = len(torch.unique(pairs[:, 0] * m + pairs[:, 1]))
        if distinct < len(pairs):
            raise RequestError(
                f"{self._where}{len(pairs) - distinct:,} of {len(pairs):,} pairs are repeated",
                "Give each once.",
            )
        return pairs


def _by_modality(values: Any, first: str) -> dict[str, Any]:
    if isinstance(values, Mapping):
        return dict(values)
    return {first: values} if len(values) else {}


def _common(a: LabelPath, b: LabelPath) -> LabelPath:
    """The beginning that two paths share."""
    same = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        same += 1
    return a[:same]
