"""What the readers share: which files are pictures, where they lie, how labels are spelt."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from geomclip.data.record import BadRecord, Record

# What a reader yields: a record with the name of its split ("" where the data name none), or what
# was wrong.
Item = tuple[Record, str] | BadRecord

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")

# restval is Karpathy's: validation pictures of COCO that everybody trains on.
SPLITS = {
    "train": "train",
    "training": "train",
    "restval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


def is_url(text: str) -> bool:
    """Whether a picture is given by an address, which no reader downloads."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def label(name: str) -> str:
    """A folder or column value as label text: "golden_retriever" -> "golden retriever"."""
    return " ".join(name.replace("_", " ").split())


def clean(texts: Iterable[str], *, repeats: bool = False) -> tuple[str, ...]:
    """Captions with their white space tidied, the empty and (but for `repeats`) the repeated ones
    left out."""
    tidy = [t for t in (" ".join(text.split()) for text in texts) if t]
    return tuple(tidy if repeats else dict.fromkeys(tidy))


class Pictures:
    """Finds pictures by name under one of several folders; absolute names stand for themselves."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = list(dict.fromkeys(folders))

    def find(self, name: str) -> Path | None:
        """The file, or None where no folder has it."""
        for i, folder in enumerate(self.folders):
            try:
                found = (folder / name).is_file()
            except (
                OSError,
                ValueError,
            ):  # a caption in the wrong column: too long for a name, or with a NUL
                return None
            if found:
                # Where one picture lies, the next is likely to lie too.
                self.folders.insert(0, self.folders.pop(i))
                return folder / name
        return None


def captions_of(about: Any, key: str = "") -> tuple[str, ...]:
    """The captions in a json object: a text or a list under `key`, or under a usual name."""
    if not isinstance(about, dict):
        return ()
    for name in (key,) if key else ("caption", "captions", "text", "title"):
        value = about.get(name)
        values = value if isinstance(value, list) else [value]
        if texts := clean(v for v in values if isinstance(v, str)):
            return texts
    return ()


def labels_of(about: Any, keys: Iterable[str]) -> tuple[str, ...] | None:
    """The label path in a json object, one entry a key; None where one is missing."""
    values = [about.get(key) if isinstance(about, dict) else None for key in keys]
    path = tuple(label(str(v)) for v in values if isinstance(v, str | int) and str(v).strip())
    return path if len(path) == len(values) else None
