"""Which pictures go with a cue word? (WinoGAViL, arXiv 2207.12576)

A row of the file has a cue, candidate pictures, and the k of them that people associate with it.
The k candidates of the highest score are chosen, and

    Jaccard = |chosen and associated| / |chosen or associated|

is averaged over the rows. Of equal scores the candidates that are not associated come first.
"""

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.data.record import BadRecord
from geomclip.errors import RequestError
from geomclip.evaluate.tested import Tested, mean_of

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel

COLUMNS = ("cue", "candidates", "associations")
_LAYOUT = 'The columns are cue, candidates and associations, the last two like ["eagle", "ash"].'


@dataclass(frozen=True)
class Association:
    """A cue, its candidates, and the place among them of those that go with it."""

    cue: str
    candidates: tuple[str, ...]
    right: frozenset[int]


@dataclass(frozen=True)
class AssociationEvaluation:
    """Mean Jaccard over rows.

    Args:
        jaccard: with its error over rows.
        exact: share of the rows whose chosen pictures are all right.
        chance: mean Jaccard of choices at random.
        by_candidates: Jaccard by the number of candidates.
    """

    jaccard: Tested
    exact: float
    chance: float
    by_candidates: dict[int, Tested]

    def to_dict(self) -> dict[str, Any]:
        """All numbers."""
        by = {str(n): found.to_dict() for n, found in self.by_candidates.items()}
        return {
            "jaccard": self.jaccard.to_dict(),
            "exact": self.exact,
            "chance": self.chance,
            "by_candidates": by,
        }


def read_associations(path: str | Path) -> tuple[Association, ...]:
    """A csv file in the layout of game_10_12.csv.

    Raises:
        RequestError: a missing column, no rows, or a row (named) whose lists can't be read or do
            not fit.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}", "Check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{path} can't be read as a table: {error}", "Fetch it again.") from None
    if not rows:
        raise RequestError(f"{path} has no rows", _LAYOUT)
    for column in COLUMNS:
        if column not in rows[0][1]:
            raise RequestError(
                f"{path} has no column {column} (it has: {', '.join(map(str, rows[0][1]))})",
                _LAYOUT,
            )
    return tuple(_association(row, f"{path} line {line}") for line, row in rows)


def _association(row: dict[str, str], where: str) -> Association:
    candidates, right = (_names(row[column], f"{where}: {column}") for column in COLUMNS[1:])
    if not (row["cue"] or "").strip():
        raise RequestError(f"{where}: the cue is empty", _LAYOUT)
    foreign = [name for name in right if name not in candidates]
    if foreign:
        raise RequestError(
            f"{where}: {foreign[0]} is associated, and no candidate ({', '.join(candidates)})",
            _LAYOUT,
        )
    return Association(
        row["cue"].strip(), candidates, frozenset(candidates.index(name) for name in right)
    )


def _names(text: str | None, where: str) -> tuple[str, ...]:
    try:
        names = json.loads(text or "")
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise RequestError(f"{where}: {(text or '')[:60]!r} is no list of names", _LAYOUT)
    if len(set(names)) < len(names):
        raise RequestError(f"{where}: a name stands there twice", _LAYOUT)
    return tuple(names)


def cue_prompt(cue: str) -> str:
    """The published prompt: "A werewolf", "An elf", by the first letter."""
    cue = cue.lower()
    return f"{'An' if cue[:1] in 'aeiou' else 'A'} {cue}"


def choose(scores: Float[Tensor, "n"], right: frozenset[int]) -> tuple[int, ...]:
    """The places of as many candidates as are right, by score; of equal ones the wrong first."""
    values = scores.tolist()
    order = sorted(range(len(values)), key=lambda i: (-values[i], i in right))
    return tuple(order[: len(right)])


def jaccard(chosen: Sequence[int], right: frozenset[int]) -> float:
    """|chosen and right| / |chosen or right|."""
    both = len(right.intersection(chosen))
    return both / (len(chosen) + len(right) - both)


def chance_jaccard(candidates: int, right: int) -> float:
    """Mean Jaccard of as many candidates drawn at random as are right (hypergeometric)."""
    ways = math.comb(candidates, right)
    return sum(
        math.comb(right, hit) * math.comb(candidates - right, right - hit) / ways
        * hit / (2 * right - hit)
        for hit in range(right + 1)
    )  # fmt: skip


def score_associations(
    items: Sequence[Association], scores: Sequence[Float[Tensor, "_"]]
) -> AssociationEvaluation:
    """The protocol's numbers from the scores of each row's candidates. At least one row."""
    values = [
        jaccard(choose(s, item.right), item.right) for item, s in zip(items, scores, strict=True)
    ]
    x = torch.tensor(values, dtype=torch.float64)
    sizes = torch.tensor([len(item.candidates) for item in items])
    return AssociationEvaluation(
        jaccard=mean_of(x),
        exact=(x == 1).double().mean().item(),
        chance=sum(chance_jaccard(len(i.candidates), len(i.right)) for i in items) / len(items),
        by_candidates={int(n): mean_of(x[sizes == n]) for n in sizes.unique()},
    )


def associations_of(
    model: "ContrastiveModel",
    path: str | Path,
    folder: str | Path,
    *,
    templates: Sequence[str] = (),
    skip_bad: bool = False,
    batch_size: int = 256,
    progress: Callable[[int], None] = lambda count: None,
) -> tuple[AssociationEvaluation, tuple[BadRecord, ...]]:
    """The protocol for a model, and the pictures that were left out with all rows that need them.

    Args:
        path: as `read_associations`.
        folder: holds the pictures, each candidate's called by its name and .jpg.
        templates: prompts with one {} for the cue; `cue_prompt` where empty.
        skip_bad: leave out pictures that are missing or damaged, instead of stopping.

    Raises:
        RequestError: as `read_associations` and `picture_points`; or no row has all its pictures.
    """
    from geomclip.evaluate.features import inference, text_points
    from geomclip.evaluate.pictures import below, picture_points

    items = read_associations(path)
    images = picture_points(
        model, [f"{name}.jpg" for item in items for name in item.candidates], below(folder),
        skip_bad=skip_bad, batch_size=batch_size, progress=progress,
    )  # fmt: skip
    kept = [i for i in items if all(f"{name}.jpg" in images.row for name in i.candidates)]
    if not kept:
        raise RequestError(f"{path}: no row has all its pictures", "Fetch them.")
    cues = [item.cue if templates else cue_prompt(item.cue) for item in kept]
    texts = text_points(model, cues, tuple(templates) or ("{}",), batch_size)
    scores = []
    with inference(model) as device:
        for item, point in zip(kept, texts.of(cues), strict=True):
            rows = torch.tensor([images.row[f"{name}.jpg"] for name in item.candidates])
            scores.append(model.geometry.score(images.points[rows.to(device)], point[None])[:, 0])
    return score_associations(kept, scores), images.bad
