"""The tokenizer of a checkpoint: beside its weights, at a path, or in a package that ships CLIP's.

Nothing is downloaded.
"""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geomclip.errors import RequestError

if TYPE_CHECKING:
    from geomclip.data.pieces import PieceTokenizer
    from geomclip.data.tokenizer import Tokenizer

BPE = "bpe_simple_vocab_16e6.txt.gz"
# Packages that ship OpenAI's file. They are looked for, not imported.
_SHIPPED_BY = ("open_clip", "clip")


def clip_tokenizer(folder: Path, given: Path | None, vocab_size: int) -> "Tokenizer | None":
    """CLIP's tokenizer from `given`, or beside the weights, or where a package has CLIP's own.

    Args:
        folder: where the weights lie.
        given: a file, or the folder that holds it; nothing else is looked at then.
        vocab_size: entries of the text tower's table; CLIP's own vocabulary fits one size alone.

    Raises:
        RequestError: `given` is no vocabulary, or what lies there is damaged.
    """
    from geomclip.data.tokenizer import CLIP_VOCAB_SIZE, Tokenizer

    place = given or folder
    if place.is_dir():
        files = {name: place / name for name in ("vocab.json", "merges.txt", "tokenizer.json", BPE)}
        there = {name for name, path in files.items() if path.is_file()}
        if {"vocab.json", "merges.txt"} <= there:
            return Tokenizer.from_clip(files["vocab.json"], files["merges.txt"])
        if "tokenizer.json" in there:
            return Tokenizer.load(files["tokenizer.json"])
        if BPE in there:
            return Tokenizer.from_clip(files[BPE])
    elif place.suffix == ".gz":
        return Tokenizer.from_clip(place)
    elif place.name.endswith(("vocab.json", "merges.txt")):
        return Tokenizer.from_clip(place.parent / "vocab.json", place.parent / "merges.txt")
    elif given is not None:
        return Tokenizer.load(place)
    if given is not None:
        raise RequestError(
            f"{given} holds no tokenizer", f"Give tokenizer.json, vocab.json or {BPE}."
        )
    if vocab_size != CLIP_VOCAB_SIZE:
        return None
    for package in _SHIPPED_BY:
        spec = importlib.util.find_spec(package)
        for place in map(Path, (spec and spec.submodule_search_locations) or ()):
            if (place / BPE).is_file():
                return Tokenizer.from_clip(place / BPE)
    return None


def piece_tokenizer(folder: Path, given: Path | None) -> "PieceTokenizer | None":
    """SigLIP's tokenizer from `given`, or beside the weights.

    Its end token and padding are those of `tokenizer_config.json`; 1 and 1, SigLIP's own, where
    that names none.

    Raises:
        RequestError: `given` is no tokenizer, or what lies there is damaged.
    """
    from geomclip.data.pieces import PieceTokenizer

    place = given or folder
    if place.is_dir():
        found = [place / n for n in ("tokenizer.json", "spiece.model") if (place / n).is_file()]
        if not found:
            if given is None:
                return None
            raise RequestError(
                f"{given} holds no tokenizer", "Give tokenizer.json or spiece.model."
            )
        place = found[0]
    named = read_json(place.parent / "tokenizer_config.json")
    marks = [named.get(mark) for mark in ("eos_token", "pad_token")]
    eos, pad = (m.get("content") if isinstance(m, Mapping) else m for m in marks)
    return PieceTokenizer.load(place, eos=eos or 1, pad=pad or 1)


def read_json(path: Path) -> dict[str, Any]:
    """A json table; an empty one where there is no such file. Raises RequestError for no table."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: not readable as json ({error})", "Copy it again.") from None
    if not isinstance(values, dict):
        raise RequestError(f"{path}: holds no json table", "Copy it again.")
    return values
