"""SigLIP's tokenizers: sentence pieces, an end token, padding that the model reads.

From a `tokenizer.json`, which says all of it, or from a sentencepiece model (`spiece.model`), whose
protocol buffer is read here: pieces (field 1: text 1, score 2, kind 3), kind of model (field 2,
3), normaliser (field 3: character map 2, dummy prefix 3, white space 4 and 5).
"""

import re
import string
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int64
from torch import Tensor

from geomclip.errors import RequestError

if TYPE_CHECKING:
    import tokenizers

_MAX_FILE = 64 * 2**20
_UNIGRAM = 1
_UNKNOWN = 2
_SPACE = "▁"
_END = "</s>"


class PieceTokenizer:
    """Texts to token ids: pieces, the end token, then padding up to the context length.

    Args:
        backend: a tokenizer of the `tokenizers` library.
        eos: the end token, or its id; put behind every text.
        pad: the padding, or its id.

    Raises:
        RequestError: the vocabulary lacks one of them.
    """

    def __init__(
        self, backend: "tokenizers.Tokenizer", *, eos: int | str = 1, pad: int | str = 1
    ) -> None:
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self.eot, self.pad = self._id(eos), self._id(pad)
        self.vocab_size: int = 1 + max(backend.get_vocab(with_added_tokens=True).values())
        # A post-processor may add the end token, and one at the start too.
        marks = backend.encode("").ids
        self._before = marks[:-1] if marks and marks[-1] == self.eot else marks

    @classmethod
    def load(cls, path: Path, *, eos: int | str = 1, pad: int | str = 1) -> "PieceTokenizer":
        """Read a `tokenizer.json` or a sentencepiece model.

        Raises:
            RequestError: the file is missing, or neither, or lacks one of the two tokens.
        """
        from tokenizers import Tokenizer as Backend

        try:
            with open(path, "rb") as file:
                data = file.read(_MAX_FILE + 1)
        except OSError as error:
            raise RequestError(
                f"{path}: can't be read as a tokenizer file ({error})", "Check the path."
            ) from error
        if len(data) > _MAX_FILE:
            raise RequestError(
                f"{path}: larger than {_MAX_FILE >> 20} MB", "No tokenizer is that large."
            )
        if path.suffix != ".json":
            return cls(_from_sentencepiece(data, path), eos=eos, pad=pad)
        try:
            backend = Backend.from_str(data.decode("utf-8"))
        # The library raises plain Exception for every kind of bad file.
        except Exception as error:
            raise RequestError(
                f"{path}: no tokenizer ({error})", "Give a tokenizer.json."
            ) from error
        return cls(backend, eos=eos, pad=pad)

    def to_json(self) -> str:
        """What `tokenizer.json` holds."""
        return str(self._backend.to_str(pretty=True))

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`."""
        path.write_text(self.to_json(), encoding="utf-8")

    def token(self, id: int) -> str:
        """The token of an id of the vocabulary."""
        return str(self._backend.id_to_token(id))

    def __call__(self, texts: Sequence[str], context_length: int) -> Int64[Tensor, "n L"]:
        """Pieces, end, padding. A text that is too long loses its tail: the end stays."""
        if isinstance(texts, str):
            raise ValueError("PieceTokenizer: give a list of texts, got one string")
        room = context_length - 1 - len(self._before)
        if room < 0:
            raise ValueError(
                f"PieceTokenizer: context_length holds at least the marks, got {context_length}"
            )
        out = torch.full((len(texts), context_length), self.pad, dtype=torch.int64)
        for row, ids in zip(out, self.encode(texts), strict=True):
            kept = [*self._before, *ids[:room], self.eot]
            row[: len(kept)] = torch.tensor(kept)
        return out

    def _id(self, token: int | str) -> int:
        found = self._backend.token_to_id(token) if isinstance(token, str) else token
        if found is None or self._backend.id_to_token(found) is None:
            raise RequestError(
                f"the tokenizer's vocabulary has no token {token!r}",
                "Keep the tokenizer's files of one model together.",
            )
        return int(found)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, without start and end."""
        found = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        return str(self._backend.decode([int(i) for i in ids]))


def _from_sentencepiece(data: bytes, path: Path) -> "tokenizers.Tokenizer":
    """The pipeline of SigLIP's sentencepiece model: lower case, no punctuation, single spaces."""
    from tokenizers import (
        AddedToken,
        Regex,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )
    from tokenizers import Tokenizer as Backend

    pieces: list[tuple[str, float]] = []
    special: list[str] = []
    unknown, kind, charsmap = 0, _UNIGRAM, b""
    try:
        for number, value in _fields(data):
            if number == 1:
                piece = dict(_fields(value))
                if piece.get(3, 1) == _UNKNOWN:
                    unknown = len(pieces)
                if piece.get(3, 1) not in (1, 6):  # normal, byte
                    special.append(piece[1].decode("utf-8"))
                pieces.append((piece[1].decode("utf-8"), piece.get(2, 0.0)))
            elif number == 2:
                kind = dict(_fields(value)).get(3, _UNIGRAM)
            elif number == 3:
                charsmap = dict(_fields(value)).get(2, b"")
        if not pieces:
            raise ValueError("no pieces")
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, struct.error) as error:
        raise RequestError(
            f"{path}: no sentencepiece model ({error})", "Give spiece.model or tokenizer.json."
        ) from None
    if kind != _UNIGRAM:
        raise RequestError(
            f"{path}: a sentencepiece model of kind {kind}; only unigram models (1) are read",
            "Give the tokenizer.json of the same model.",
        )
    backend = Backend(models.Unigram(pieces, unknown, False))
    steps = [
        normalizers.Lowercase(),
        normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]
    if charsmap:
        steps.append(normalizers.Precompiled(charsmap))
    backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always")
    backend.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme="always")
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in special])
    if (end := backend.token_to_id(_END)) is not None:
        backend.post_processor = processors.TemplateProcessing(
            single=f"$A {_END}", special_tokens=[(_END, end)]
        )
    return backend


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of a protocol buffer's fields: ints, float32 numbers, bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value: Any
            value, at = _varint(data, at)
        elif wire == 1:
            value, at = data[at : at + 8], at + 8
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("it ends early")
            value, at = data[at : at + length], at + length
        elif wire == 5:
            value, at = struct.unpack("<f", data[at : at + 4])[0], at + 4
        else:
            raise ValueError(f"a field of wire type {wire}")
        yield number, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
