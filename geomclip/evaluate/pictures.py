"""Points of pictures that a file names: found in folders, each encoded once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.data.files import Pictures
from geomclip.data.record import BadImage, BadRecord, decode_image
from geomclip.errors import RequestError
from geomclip.evaluate.features import image_points
from geomclip.model import ContrastiveModel


@dataclass(frozen=True, eq=False)
class PicturePoints:
    """Points of pictures by name.

    Args:
        points: of the pictures that could be used.
        row: of each of them by its name.
        bad: what was left out, and why.
    """

    points: Float[Tensor, "n d"]
    row: dict[str, int]
    bad: tuple[BadRecord, ...] = ()


def picture_points(
    model: ContrastiveModel,
    names: Iterable[str],
    folders: Iterable[str | Path],
    *,
    skip_bad: bool = False,
    batch_size: int = 256,
    progress: Callable[[int], None] = lambda count: None,
) -> PicturePoints:
    """Encode the distinct pictures among `names`, each looked for in one folder after another.

    Args:
        skip_bad: leave out pictures that are missing or damaged, instead of stopping.
        progress: called with the number of pictures so far.

    Raises:
        RequestError: pictures that are missing, or that don't open (counted, the first named); or
            that all of them are.
    """
    paths = [Path(folder) for folder in folders]
    finder, distinct = Pictures(paths), list(dict.fromkeys(names))
    found = {name: path for name in distinct if (path := finder.find(name)) is not None}
    missing = [name for name in distinct if name not in found]
    where = paths[0]
    if missing and not (skip_bad and found):
        raise RequestError(
            f"{where} lacks {len(missing):,} of {len(distinct):,} pictures, {missing[0]} the first",
            "Fetch the pictures that the file names into this folder; --skip-bad leaves out what "
            "is missing, and counts it.",
        )
    bad = [BadRecord(str(where / name), "there is no such picture") for name in missing]
    damaged: list[BadRecord] = []
    points: list[Tensor] = []
    batch: list[Tensor] = []
    row: dict[str, int] = {}
    for count, (name, path) in enumerate(found.items(), 1):
        try:
            batch.append(decode_image(path, model.image_size, model.fit))
            row[name] = len(row)
        except BadImage as error:
            damaged.append(BadRecord(str(path), str(error)))
        if batch and (len(batch) == batch_size or count == len(found)):
            points.append(image_points(model, torch.stack(batch), batch_size))
            batch = []
            progress(count)
    if damaged and not (skip_bad and row):
        raise RequestError(
            f"{damaged[0].where}: {damaged[0].reason}",
            f"{len(damaged):,} of {len(found):,} pictures can't be used; --skip-bad leaves them "
            "out, and counts them.",
        )
    return PicturePoints(torch.cat(points), row, (*bad, *damaged))


def below(folder: str | Path) -> list[Path]:
    """A folder and the folders in it, by name. Raises RequestError where it is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RequestError(f"{folder} is no folder", "Give the folder of the pictures.")
    return [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
