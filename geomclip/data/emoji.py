"""The embedded emoji set: 1,609 emoji in five renditions, 7,081 pictures of 32 x 32.

Records carry the emoji's name and keywords (Unicode, CLDR) as texts and (group, subgroup, name) as
label path. Two things are never trained on: the rendition Twemoji, and the tenth of the emoji that
`is_novel`. Licences: emoji/NOTICE and emoji/LICENSES.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import torch

from geomclip.data.fit import LETTERBOX, Fit
from geomclip.data.prompts import EVALUATION_TEMPLATES
from geomclip.data.record import Corpus, Record
from geomclip.data.splits import EvalSplit, Splits, hashed_tenth
from geomclip.errors import GeomclipError

FOLDER = Path(__file__).parent / "emoji"

LEVELS = ("group", "subgroup", "name")


@dataclass(frozen=True)
class Rendition:
    """One vendor's drawings: what they are, under which licence, in which shard, and how many."""

    title: str
    licence: str
    shard: str
    count: int
    sha256: str


def _rendition(name: str, title: str, licence: str) -> Rendition:
    shard = MANIFEST["shards"][name]
    return Rendition(title, licence, shard["file"], shard["images"], shard["sha256"])


# Written by build_emoji beside the shards, so that a rebuild changes no code.
MANIFEST: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))

RENDITIONS = {
    "noto": _rendition("noto", "Noto Emoji", "Apache-2.0"),
    "noto-v1": _rendition("noto-v1", "Noto Emoji, first design", "Apache-2.0"),
    "fluent": _rendition("fluent", "Fluent Emoji Flat", "MIT"),
    "emojione": _rendition("emojione", "EmojiOne 2.3", "CC-BY-4.0"),
    "twemoji": _rendition("twemoji", "Twemoji", "CC-BY-4.0"),
}


def is_novel(id: str) -> bool:
    """Whether an emoji is kept out of training in every rendition (147 of the 1,609)."""
    return hashed_tenth(id)


def label_text(label: str) -> str:
    """A Unicode label as text: "Animals & Nature" -> "animals and nature"; "-" becomes a space."""
    return label.lower().replace("-", " ").replace("&", "and")


def read_rendition(name: str) -> Iterator[Record]:
    """The records of one rendition, in Unicode's order.

    Raises GeomclipError where the shard is damaged, ValueError for an unknown name.
    """
    if name not in RENDITIONS:
        raise ValueError(f"unknown rendition {name!r}; one of {', '.join(RENDITIONS)}")
    rendition = RENDITIONS[name]
    data = (FOLDER / rendition.shard).read_bytes()
    if hashlib.sha256(data).hexdigest() != rendition.sha256:
        raise GeomclipError(
            f"{FOLDER / rendition.shard} is damaged: its checksum is not the recorded one",
            "Reinstall geomclip, or rebuild it with python -m geomclip.data.build_emoji.",
        )
    # A shard of ours is a tar of pairs <id>.png, <id>.json; tarfile reads all five in less time
    # than importing webdataset takes.
    with tarfile.open(fileobj=BytesIO(data), mode="r:gz") as tar:
        png = b""
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            if member.name.endswith(".png"):
                png = file.read()
                continue
            about = json.load(file)
            path = (label_text(about["group"]), label_text(about["subgroup"]), about["name"])
            yield Record(about["id"], png, (about["name"], *about["keywords"]), path, source=name)


def load_emoji(
    size: int = 32, *, protocol: Literal["final", "tuning"] = "final", fit: Fit = LETTERBOX
) -> Splits:
    """The emoji set, split.

    "final" trains on four renditions without the novel emoji (4,985 pictures) and asks in the pool
    of all 1,609 Twemoji: `heldout_rendition` for the 1,462 trained emoji, `heldout_emoji` for the
    147 novel ones. "tuning" is for choosing hyper-parameters and never reads Twemoji: it holds out
    Noto v1 and asks `validation` for the 1,109 of its 1,216 emoji that are trained on.

    Args:
        size: side of the pictures in pixels; 32 is their own, others are scaled from it.
        fit: how that is done.
    """
    trained: tuple[str, ...]
    if protocol == "final":
        trained, held_out = ("noto", "noto-v1", "fluent", "emojione"), "twemoji"
    elif protocol == "tuning":
        trained, held_out = ("noto", "fluent", "emojione"), "noto-v1"
    else:
        raise ValueError(f'load_emoji: protocol is "final" or "tuning", got {protocol!r}')
    records = (r for name in trained for r in read_rendition(name) if not is_novel(r.id))
    train, _ = Corpus.from_records(records, size, fit=fit)
    pool, _ = Corpus.from_records(read_rendition(held_out), size, fit=fit)
    novel = torch.tensor([is_novel(id) for id in pool.ids])
    queries = {"heldout_rendition": ~novel, "heldout_emoji": novel}
    if protocol == "tuning":
        queries = {"validation": ~novel}
    return Splits(
        train=train,
        evaluation={
            name: EvalSplit(name, pool, mask.nonzero().squeeze(1)) for name, mask in queries.items()
        },
        name="emoji" if protocol == "final" else "emoji-tuning",
        levels=LEVELS,
        templates=EVALUATION_TEMPLATES,
        keywords=True,
        description=(
            f"{len(train):,} emoji drawings in {len(trained)} renditions; asked about "
            f"{RENDITIONS[held_out].title}, which is not trained on"
        ),
    )
