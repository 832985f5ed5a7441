"""Pairs of captions of one picture, one right and one changed: which scores higher?

A pair is right when the right caption scores strictly higher; equal scores are a miss, and are
counted. Two layouts are read, in a json file or a folder of them, each file being a category:

    SugarCrepe (arXiv 2306.14610)    {"0": {"filename", "caption", "negative_caption"}, ...}
    VL-CheckList (arXiv 2207.00221)  [["VG_100K/1.jpg", {"POS": [text, ...], "NEG": [text, ...]}]]

Of POS and NEG the first texts are compared, as published ("itc").
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.data.record import BadRecord
from geomclip.errors import RequestError
from geomclip.evaluate.tested import bootstrap_intervals
from geomclip.geometry import Geometry
from geomclip.statistics import Z95

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

KEYS = ("filename", "caption", "negative_caption")
# Pairs scored at a time.
BLOCK = 4096

_LAYOUTS = (
    "SugarCrepe's entries are objects with filename, caption and negative_caption, VL-CheckList's "
    '[picture, {"POS": [text], "NEG": [text]}].'
)


@dataclass(frozen=True)
class Pair:
    """A picture by its file's name, its caption, and the changed one."""

    picture: str
    caption: str
    negative: str


@dataclass(frozen=True)
class PairAccuracy:
    """Share of pairs that are right, of one category, or the plain mean over several.

    Args:
        accuracy: from 0 to 1; chance is 1/2.
        low, high: 95 % interval over pictures (bootstrap; the pairs of one picture are drawn
            together). Where all or none are right, that of Wilson for so many pictures.
        pairs, pictures: how many.
        ties: pairs with equal scores, which are misses.
    """

    accuracy: float
    low: float
    high: float
    pairs: int
    pictures: int
    ties: int

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


@dataclass(frozen=True)
class PairEvaluation:
    """By category; by group (what stands before the first / or _ of several categories); and the
    mean over all categories."""

    categories: dict[str, PairAccuracy]
    groups: dict[str, PairAccuracy]
    mean: PairAccuracy

    def to_dict(self) -> dict[str, Any]:
        """All numbers."""
        return {
            "categories": {k: v.to_dict() for k, v in self.categories.items()},
            "groups": {k: v.to_dict() for k, v in self.groups.items()},
            "mean": self.mean.to_dict(),
        }


def read_pairs(path: str | Path) -> dict[str, tuple[Pair, ...]]:
    """The pairs of a json file, or of all below a folder, by category: the path without .json.

    Raises:
        RequestError: no json file; one that can't be read, that is empty or has another layout; an
            entry without a key, or with an empty text (file, entry and key are named).
    """
    path = Path(path)
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise RequestError(f"{path} holds no json file", "Give a file, or a folder of them.")
    base = path if path.is_dir() else path.parent
    found = {}
    for file in files:
        found[file.relative_to(base).with_suffix("").as_posix()] = tuple(_pairs(file))
    return found


def _pairs(file: Path) -> list[Pair]:
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RequestError(f"{file}: {error.strerror or error}", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{file} is not readable as json: {error}", "Is it complete?") from None
    if not isinstance(data, dict | list) or not data:
        raise RequestError(f"{file} holds no list of pairs", _LAYOUTS)
    entries = data.items() if isinstance(data, dict) else enumerate(data)
    return [_pair(entry, f'{file} entry "{name}"') for name, entry in entries]


def _pair(entry: Any, where: str) -> Pair:
    if isinstance(entry, dict):
        return Pair(*(_text(entry, key, where) for key in KEYS))
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict):
        texts = []
        for key in ("POS", "NEG"):
            value = entry[1].get(key)
            first = value[0] if isinstance(value, list) and value else value
            texts.append(_text({**entry[1], key: first} if value else entry[1], key, where))
        return Pair(_text({"picture": entry[0]}, "picture", where), *texts)
    raise RequestError(f"{where} is no pair: {json.dumps(entry)[:60]}", _LAYOUTS)


def _text(entry: dict[str, Any], key: str, where: str) -> str:
    if key not in entry:
        raise RequestError(f'{where}: no key "{key}" (it has: {", ".join(entry)})', _LAYOUTS)
    value = entry[key]
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f'{where}: "{key}" is {json.dumps(value)[:40]}, no text', _LAYOUTS)
    return value.strip()


@torch.no_grad()
def prefer(
    geometry: Geometry,
    images: Float[Tensor, "n d"],
    captions: Float[Tensor, "n d"],
    negatives: Float[Tensor, "n d"],
) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs are right, and which are ties, (n,) each, by the geometry's own score."""
    right, tied = [], []
    for i in range(0, len(images), BLOCK):
        rows = slice(i, i + BLOCK)
        both = torch.stack([captions[rows], negatives[rows]], 1)
        score = geometry.score(images[rows, None], both)[:, 0]
        right.append(score[:, 0] > score[:, 1])
        tied.append(score[:, 0] == score[:, 1])
    return torch.cat(right).cpu().numpy(), torch.cat(tied).cpu().numpy()


def pair_accuracy(
    pictures: Mapping[str, Sequence[str]],
    right: Mapping[str, np.ndarray],
    ties: Mapping[str, np.ndarray],
) -> PairEvaluation:
    """Accuracies with their intervals from what was found of each pair, by category.

    Args:
        pictures: each pair's picture, by its name: one that several pairs have is drawn once for
            all of them.
        right, ties: of each pair. Every category has one pair at least.
    """
    names = list(right)
    number = {p: i for i, p in enumerate(dict.fromkeys(p for c in names for p in pictures[c]))}
    rows = {c: np.array([number[p] for p in pictures[c]]) for c in names}
    hits = {c: np.bincount(rows[c], weights=right[c], minlength=len(number)) for c in names}
    count = {c: np.bincount(rows[c], minlength=len(number)).astype(float) for c in names}
    groups: dict[str, list[str]] = {}
    for c in names:
        groups.setdefault((c.split("/") if "/" in c else c.split("_"))[0], []).append(c)
    groups = {g: members for g, members in groups.items() if 1 < len(members) < len(names)}
    asked = [*([c] for c in names), *groups.values(), names]

    def shares(weight: np.ndarray) -> list[float]:
        one = {}
        for c in names:
            under = float(weight @ count[c])
            one[c] = float(weight @ hits[c]) / under if under else float("nan")
        return [float(np.mean([one[c] for c in members])) for members in asked]

    values = shares(np.ones(len(number)))
    ends = bootstrap_intervals(shares, len(number))
    found = []
    for members, value, interval in zip(asked, values, ends, strict=True):
        shown = len(np.unique(np.concatenate([rows[c] for c in members])))
        low, high = interval if interval and 0 < value < 1 else _wilson(value, shown)
        n, tied = (
            sum(int(f(c)) for c in members)
            for f in (lambda c: len(rows[c]), lambda c: ties[c].sum())
        )
        found.append(PairAccuracy(value, low, high, n, shown, tied))
    split = len(names)
    return PairEvaluation(
        dict(zip(names, found[:split], strict=True)),
        dict(zip(groups, found[split:-1], strict=True)),
        found[-1],
    )


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval (1927): its width is not 0 where all things, or none, are right."""
    z2 = Z95**2
    middle = (share * n + z2 / 2) / (n + z2)
    half = Z95 / (n + z2) * (share * (1 - share) * n + z2 / 4) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def pairs_of(
    model: "ContrastiveModel",
    path: str | Path,
    folder: str | Path,
    *,
    skip_bad: bool = False,
    batch_size: int = 256,
    progress: Callable[[int], None] = lambda count: None,
) -> tuple[PairEvaluation, tuple[BadRecord, ...]]:
    """The accuracies of a model, and the pictures that were left out with all their pairs.

    Args:
        path: as `read_pairs`.
        folder: holds the pictures, or folders that do (vg, swig and hake of VL-CheckList).
        skip_bad: leave out pictures that are missing or damaged, instead of stopping.

    Raises:
        RequestError: as `read_pairs` and `picture_points`; or a category none of whose pictures is
            left.
    """
    from geomclip.evaluate.features import inference, text_points
    from geomclip.evaluate.pictures import below, picture_points

    pairs = read_pairs(path)
    names = [pair.picture for category in pairs.values() for pair in category]
    images = picture_points(
        model, names, below(folder), skip_bad=skip_bad, batch_size=batch_size, progress=progress
    )
    kept = {c: [p for p in some if p.picture in images.row] for c, some in pairs.items()}
    if empty := [category for category, some in kept.items() if not some]:
        raise RequestError(
            f"{path}: no picture of the category {empty[0]} is left", "Fetch its pictures."
        )
    flat = [pair for category in kept.values() for pair in category]
    texts = text_points(
        model, [t for pair in flat for t in (pair.caption, pair.negative)], batch_size=batch_size
    )
    right, ties, pictures = {}, {}, {}
    with inference(model):
        for category, some in kept.items():
            rows = torch.tensor([images.row[pair.picture] for pair in some])
            right[category], ties[category] = prefer(
                model.geometry,
                images.points[rows.to(images.points.device)],
                texts.of([pair.caption for pair in some]),
                texts.of([pair.negative for pair in some]),
            )
            pictures[category] = [pair.picture for pair in some]
    return pair_accuracy(pictures, right, ties), images.bad
