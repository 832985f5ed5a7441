"""Json files of captions: COCO's, Karpathy's (with splits), or a plain list."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from geomclip.data.config import DataConfig
from geomclip.data.files import SPLITS, Item, Pictures, captions_of, clean, labels_of
from geomclip.data.record import BadRecord, Record
from geomclip.errors import RequestError

_KNOWN = "Known: COCO (images, annotations), Karpathy (images with sentences), [{image, caption}]."


def read_coco(
    path: Path, config: DataConfig, only: Collection[str] = (), *, repeats: bool = False
) -> Iterator[Item]:
    """The records of a json file, all captions of a picture in one record.

    Karpathy's restval counts as train. Pictures are looked for under `config.image_folder`, or
    beside the file, one folder up, and in `images` and the split's folder (train2017 for
    captions_train2017.json) of both. Raises RequestError for a file that is no json or has another
    layout.

    Args:
        only: splits to read, whose pictures alone need to be there; all where empty.
        repeats: keep captions that a picture has twice, as protocols of retrieval count them.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{path} is not UTF-8: byte at position {error.start:,}", "Save it as UTF-8."
        ) from None
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path} is not readable as json: {error}", "Is it complete?") from None
    pictures = Pictures(_folders(path, config))
    for where, name, id, captions, split, about in _entries(data, path, config, repeats):
        if only and SPLITS.get(split, split) not in only:
            continue
        where = f"{path} {where}"
        labels = labels_of(about, config.label_columns)
        picture = next((p for n in name if (p := pictures.find(n))), None)
        if not name:
            yield BadRecord(where, "no file name")
        elif picture is None:
            yield BadRecord(where, f"no such picture: {name[0]}")
        elif not captions:
            yield BadRecord(where, f"no caption: {name[0]}")
        elif split not in ("", *SPLITS):
            yield BadRecord(
                where, f'unknown split: "{split}" (train, restval, val and test are known)'
            )
        elif labels is None:
            yield BadRecord(
                where, f"no label path: it lacks one of {', '.join(config.label_columns)}"
            )
        else:
            yield Record(id, picture, captions, labels, where), SPLITS.get(split, "")


# where, names to try, id, captions, split, the object itself
_Entry = tuple[str, list[str], str, tuple[str, ...], str, dict[str, Any]]


def _entries(data: Any, path: Path, config: DataConfig, repeats: bool) -> Iterator[_Entry]:
    if isinstance(data, list):
        images = data
    elif isinstance(data, dict) and isinstance(data.get("images"), list):
        images = data["images"]
    else:
        found = (
            f"an object with {', '.join(list(data)[:5])}"
            if isinstance(data, dict)
            else f"a {type(data).__name__}"
        )
        raise RequestError(f"{path} has no list of images: it is {found}", _KNOWN)
    if not images:
        raise RequestError(f"{path} lists no images", _KNOWN)
    objects = [image for image in images if isinstance(image, dict)]
    if len(objects) != len(images):
        raise RequestError(f"{path}: an entry of its images is no object", _KNOWN)
    if isinstance(data, list):
        yield from _plain(objects, config, repeats)
    elif any("sentences" in image for image in objects):
        yield from _karpathy(objects, repeats)
    elif isinstance(data.get("annotations"), list):
        yield from _coco(objects, data["annotations"], path, repeats)
    else:
        raise RequestError(f"{path} has images but neither annotations nor sentences", _KNOWN)


def _coco(
    images: list[dict[str, Any]], annotations: list[Any], path: Path, repeats: bool
) -> Iterator[_Entry]:
    captions: dict[str, list[str]] = {}
    for note in annotations:
        if isinstance(note, dict) and isinstance(note.get("caption"), str):
            captions.setdefault(str(note.get("image_id")), []).append(note["caption"])
    if not captions:
        raise RequestError(
            f"{path}: its annotations hold no captions (is it an instances file?)",
            "Give captions_*.json.",
        )
    known = set()
    for i, image in enumerate(images):
        id = str(image.get("id", i))
        known.add(id)
        name = image.get("file_name")
        names = [name] if isinstance(name, str) else []
        yield f"image {id}", names, id, clean(captions.get(id, ()), repeats=repeats), "", image
    for id in captions.keys() - known:
        yield f"image {id}", [], id, (), "", {}


def _karpathy(images: list[dict[str, Any]], repeats: bool) -> Iterator[_Entry]:
    for i, image in enumerate(images):
        id = next((image[k] for k in ("cocoid", "imgid", "filename") if k in image), i)
        sentences = image.get("sentences") or []
        raw = [s["raw"] for s in sentences if isinstance(s, dict) and isinstance(s.get("raw"), str)]
        name, folder = image.get("filename"), image.get("filepath")
        names = [name] if isinstance(name, str) else []
        if names and isinstance(folder, str):
            names = [f"{folder}/{name}", *names]
        yield (
            f"image {id}",
            names,
            str(id),
            clean(raw, repeats=repeats),
            str(image.get("split", "")),
            image,
        )


def _plain(images: list[dict[str, Any]], config: DataConfig, repeats: bool) -> Iterator[_Entry]:
    """Entries that name the same picture are one record, as in BLIP's lists."""
    keys = (
        (config.image_column,)
        if config.image_column
        else ("image", "file_name", "filename", "path")
    )
    merged: dict[str, tuple[int, list[str], dict[str, Any]]] = {}
    for i, image in enumerate(images):
        name = next((image[k] for k in keys if isinstance(image.get(k), str)), "")
        if not name:
            yield f"entry {i}", [], "", (), "", image
            continue
        captions = captions_of(image, config.caption_column)
        merged.setdefault(name, (i, [], image))[1].extend(captions)
    for name, (i, texts, image) in merged.items():
        yield (
            f"entry {i}",
            [name],
            name,
            clean(texts, repeats=repeats),
            str(image.get("split", "")),
            image,
        )


def _folders(path: Path, config: DataConfig) -> list[Path]:
    if config.image_folder:
        return [Path(config.image_folder)]
    bases = [path.parent, path.parent.parent]
    names = ["", "images", path.stem.rpartition("_")[2]]
    return [base / name for base in bases for name in names]
