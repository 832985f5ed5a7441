"""SigLIP's tokenizer: a sentencepiece model written out here, against the best path over pieces."""

import json
import math
import re
import string
import struct
from pathlib import Path

import pytest

from geomclip.data.pieces import PieceTokenizer
from geomclip.errors import RequestError
from geomclip.loaders.vocabulary import piece_tokenizer

NORMAL, UNKNOWN, CONTROL = 1, 2, 3
WORDS = {"▁a": -2.0, "▁photo": -3.0, "▁of": -3.0, "▁dog": -4.0, "photo": -5.0, "graph": -4.5,
         "▁": -2.5, "s": -3.1, "er": -3.3, "▁b": -4.2}  # fmt: skip
LETTERS = {letter: -6.0 - i / 10 for i, letter in enumerate("abdefghoprt")}
PIECES = [
    ("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN),
    *((text, score, NORMAL) for text, score in (WORDS | LETTERS).items()),
]  # fmt: skip
SCORE = WORDS | LETTERS
PLACE = {text: i for i, (text, _, _) in enumerate(PIECES)}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def model(kind: int = 1) -> bytes:
    pieces = (
        field(1, field(1, text.encode()) + field(2, score) + field(3, what))
        for text, score, what in PIECES
    )
    return b"".join(pieces) + field(2, field(3, kind) + field(4, 300))


def best_path(word: str) -> list[int]:
    """The pieces of largest summed score; a letter that no piece has is unknown."""
    unknown = min(SCORE.values()) - 10
    best: list[tuple[float, list[str]]] = [(0.0, [])]
    for end in range(1, len(word) + 1):
        options = []
        for start in range(end):
            piece = word[start:end]
            if piece in SCORE or end - start == 1:
                total, path = best[start]
                options.append((total + SCORE.get(piece, unknown), [*path, piece]))
        best.append(max(options, key=lambda option: option[0], default=(-math.inf, [])))
    return [PLACE.get(piece, PLACE["<unk>"]) for piece in best[-1][1]]


def reference(text: str) -> list[int]:
    """Lower case, no punctuation, single spaces, then the best path of every word."""
    text = re.sub(f"[{re.escape(string.punctuation)}]", "", text.lower())
    return [i for word in text.split() for i in best_path("▁" + word)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spiece.model").write_bytes(model())
    return tmp_path


TEXTS = ["A photo of a dog.", "photographer's  PHOTOGRAPHS", "bad-adobe\n(a)", "dogs", "", "a zoo"]


def test_a_sentencepiece_model_cuts_texts_along_the_best_path(folder):
    tokenizer = piece_tokenizer(folder, None)
    assert tokenizer is not None and (tokenizer.eot, tokenizer.pad) == (1, 1)
    assert tokenizer.vocab_size == len(PIECES)
    assert tokenizer.encode(TEXTS) == [reference(text) for text in TEXTS]
    for text, row in zip(TEXTS, tokenizer(TEXTS, 12).tolist(), strict=True):
        ids = reference(text)[:11]
        assert row == [*ids, 1] + [1] * (11 - len(ids))
    assert tokenizer.decode(tokenizer(["A photo of a dog."], 12)[0].tolist()) == "a photo of a dog"


def test_marks_come_from_the_configuration_and_survive_as_json(folder):
    config = {"eos_token": "</s>", "pad_token": {"content": "<pad>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = piece_tokenizer(folder, None)
    assert tokenizer is not None and (tokenizer.eot, tokenizer.pad) == (1, 0)
    tokenizer.save(folder / "tokenizer.json")
    again = piece_tokenizer(folder, None)
    assert again is not None and again(TEXTS, 12).equal(tokenizer(TEXTS, 12))
    config["pad_token"] = "[PAD]"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match=r"has no token '\[PAD\]'"):
        piece_tokenizer(folder, None)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no sentencepiece model (no pieces)"),
        (model()[:50], "no sentencepiece model (it ends early)"),
        (b"\xff" * 40, "no sentencepiece model"),
        (model(kind=2), "kind 2; only unigram models"),
    ],
    ids=["empty", "cut", "noise", "byte pairs"],
)
def test_other_files_are_refused(tmp_path, data, says):
    (tmp_path / "spiece.model").write_bytes(data)
    with pytest.raises(RequestError, match=re.escape(says)):
        PieceTokenizer.load(tmp_path / "spiece.model")
    (tmp_path / "tokenizer.json").write_bytes(data)
    with pytest.raises(RequestError, match=r"tokenizer\.json: no tokenizer"):
        PieceTokenizer.load(tmp_path / "tokenizer.json")
    with pytest.raises(RequestError, match="can't be read as a tokenizer file"):
        PieceTokenizer.load(tmp_path / "absent.model")
