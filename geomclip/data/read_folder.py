"""A folder of pictures: captions in files beside them, or sub-folders that are labels."""

import json
from collections.abc import Iterator
from pathlib import Path

from geomclip.data.config import DataConfig
from geomclip.data.files import IMAGE_SUFFIXES, SPLITS, Item, captions_of, clean, label, labels_of
from geomclip.data.record import BadRecord, Record
from geomclip.errors import RequestError

_LAYOUTS = (
    "Put 0001.txt beside 0001.jpg, or sort the pictures into a folder per class, or give a csv."
)


def read_folder(root: Path, config: DataConfig) -> Iterator[Item]:
    """The records of a folder, in the order of their names; ids are the paths below it.

    With a .txt or .json beside any picture, these are the captions (a line each) and a picture
    without one is a BadRecord. Otherwise the sub-folders are the label path and the last of them is
    the caption. Folders of digits, as img2dataset makes them, are no labels. Folders named train,
    val (and test) at the top are splits.

    Raises RequestError where there are no pictures, or neither captions nor folders.
    """
    pictures = list(_walk(root, set()))
    if not pictures:
        raise RequestError(
            f"{root} holds no pictures (looked for {', '.join(IMAGE_SUFFIXES)})",
            "Check the path; csv, tars and json are given by their own names.",
        )
    tops = {path.relative_to(root).parts[0] for path in pictures}
    has_splits = tops <= SPLITS.keys() and any(SPLITS[top] == "train" for top in tops)
    captioned = any(path.with_suffix(s).is_file() for path in pictures for s in (".txt", ".json"))
    skip = 1 if has_splits else 0
    if not captioned and all(len(p.relative_to(root).parts) == skip + 1 for p in pictures):
        raise RequestError(
            f"{root} has {len(pictures):,} pictures but neither captions nor class folders",
            _LAYOUTS,
        )

    for picture in pictures:
        relative = picture.relative_to(root)
        split = SPLITS[relative.parts[0]] if has_splits else ""
        labels = tuple(label(part) for part in relative.parent.parts[skip:])
        if captioned and all(part.isdigit() for part in labels):
            labels = ()
        yield _record(picture, relative, labels, split, captioned, config)


def _record(
    picture: Path,
    relative: Path,
    labels: tuple[str, ...],
    split: str,
    captioned: bool,
    config: DataConfig,
) -> Item:
    if not captioned:
        if not labels:
            return BadRecord(
                str(picture), "neither a caption beside it nor a class folder around it"
            )
        return Record(str(relative), picture, (labels[-1],), labels, str(picture.parent)), split
    text, about = picture.with_suffix(".txt"), picture.with_suffix(".json")
    captions: tuple[str, ...] = ()
    values = {}
    try:
        if about.is_file():
            values = json.loads(about.read_bytes())
        if text.is_file() and not config.caption_column:
            captions = clean(text.read_text(encoding=config.encoding).splitlines())
    except UnicodeDecodeError as error:
        return BadRecord(str(text), f"not {config.encoding}: {error.reason} at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return BadRecord(str(about), f"its json can't be read: {error}")
    captions = captions or captions_of(values, config.caption_column)
    if not captions:
        return BadRecord(
            str(picture), "no caption: neither a .txt nor a caption in a .json beside it"
        )
    if config.label_columns:
        path = labels_of(values, config.label_columns)
        if path is None:
            return BadRecord(
                str(picture),
                f"no label path: its json lacks one of {', '.join(config.label_columns)}",
            )
        labels = path
    return Record(str(relative), picture, captions, labels, str(picture.parent)), split


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """The pictures below a folder, sorted; links are followed, each folder once, so loops end."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise RequestError(
            f"{folder} can't be listed: {error.strerror}", "Check its permissions."
        ) from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, seen)
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            yield entry
