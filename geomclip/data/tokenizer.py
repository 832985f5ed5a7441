"""Byte-pair encoding as in CLIP, trained on the data at hand or read from CLIP's own files.

A text is cleaned and lower-cased, split into words, and each word's UTF-8 bytes are merged, best
pair first; the last symbol of a word carries the marker "</w>". The vocabulary lists 256 byte
symbols, the same 256 with the marker, the merges in order, <|startoftext|> and <|endoftext|>. There
is no padding token: ids after the end are 0, as in CLIP.
"""

import gzip
import html
import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from geomclip.errors import RequestError

if TYPE_CHECKING:
    import tokenizers

SOT = "<|startoftext|>"
EOT = "<|endoftext|>"
WORD_END = "</w>"
CLIP_VOCAB_SIZE = 49408

# CLIP's pattern (Radford et al., arXiv 2103.00020, published tokenizer): contractions, runs of
# letters, single digits, runs of anything else.
PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"

# The published merges take 3 MB; a few kilobytes of gzip could claim all of memory.
_MAX_FILE = 64 * 2**20
# Caption mixes make ever new strings of the same words; a cache starts anew at this many entries.
_MAX_CACHE = 100_000
# Letters, digits and other characters on either side of a blank.
_PROBE = "a b 1 c ! d é 2 3 ! 4 é . , a 's"


def byte_symbols() -> list[str]:
    """The 256 printable characters that stand for bytes, in the order of CLIP's vocabulary.

    Printable Latin-1 bytes stand for themselves and come first; the others follow from U+0100 on.
    """
    return list(_byte_to_symbol().values())


def _byte_to_symbol() -> dict[int, str]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable}
    return symbols | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


def clean(text: str) -> str:
    """CLIP's clean-up: HTML entities resolved twice, white space collapsed, lower-cased.

    CLIP repairs broken encodings with ftfy first; of that only Unicode's NFC is done here.
    """
    text = html.unescape(html.unescape(unicodedata.normalize("NFC", text)))
    return re.sub(r"\s+", " ", text).strip().lower()


class Tokenizer:
    """Texts to token ids. Make one with `train`, `from_clip` or `load`.

    Args:
        backend: a tokenizer of the `tokenizers` library whose vocabulary holds <|startoftext|> and
            <|endoftext|>. Raises RequestError where it does not.
    """

    def __init__(self, backend: "tokenizers.Tokenizer") -> None:
        start, end = backend.token_to_id(SOT), backend.token_to_id(EOT)
        if start is None or end is None:
            raise RequestError(
                f"the tokenizer's vocabulary has no {SOT if start is None else EOT}",
                "Give CLIP's tokenizer.json, vocab.json with merges.txt, or bpe_*.txt.gz.",
            )
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._texts: dict[str, list[int]] = {}
        self._words: dict[str, list[int]] = {}
        whole, *parts = backend.encode_batch([_PROBE, *_PROBE.split(" ")], add_special_tokens=False)
        # Of CLIP's files; another tokenizer.json may count a blank to the word behind it.
        self._words_stand_alone: bool = whole.ids == [i for part in parts for i in part.ids]
        self.sot: int = start
        self.eot: int = end
        self.pad = 0
        # Not the number of tokens: a vocabulary may skip ids, and an embedding table is indexed.
        self.vocab_size: int = 1 + max(backend.get_vocab(with_added_tokens=True).values())

    # ---- making one

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 2000) -> "Tokenizer":
        """Merge the texts' most frequent pairs; the same texts give the same merges.

        The vocabulary is smaller than asked where fewer pairs occur twice. Raises ValueError below
        514 entries, which are taken before the first merge.
        """
        from tokenizers import Tokenizer as Backend
        from tokenizers import models, pre_tokenizers, trainers

        symbols = byte_symbols()
        room = vocab_size - 2 * len(symbols) - 2
        if room < 0:
            raise ValueError(
                f"Tokenizer.train: vocab_size must be at least 514 (bytes, bytes at a word's end, "
                f"start and end of text), got {vocab_size}"
            )
        # With the library's own word-end marker, ties fall by the order of a randomly seeded hash
        # map. So a word's last symbol is trained as a character of its own (private use area).
        marked = {symbol: chr(0xE000 + i) for i, symbol in enumerate(symbols)}
        spelled = {mark: symbol + WORD_END for symbol, mark in marked.items()}
        split = _pre_tokenizer()
        words = (
            word[:-1] + marked[word[-1]]
            for text in texts
            for word, _ in split.pre_tokenize_str(clean(text))
        )
        backend = Backend(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        trainer = trainers.BpeTrainer(
            vocab_size=2 * len(symbols) + room,
            min_frequency=2,
            initial_alphabet=[*symbols, *spelled],
            show_progress=False,
        )
        backend.train_from_iterator(words, trainer)
        merges = [
            tuple("".join(spelled.get(char, char) for char in part) for part in pair)
            for pair in json.loads(backend.to_str())["model"]["merges"]
        ]
        return cls.from_merges([(left, right) for left, right in merges])

    @classmethod
    def from_clip(
        cls, vocab: Path, merges: Path | None = None, *, vocab_size: int = CLIP_VOCAB_SIZE
    ) -> "Tokenizer":
        """Read CLIP's vocabulary.

        Args:
            vocab: Hugging Face's `vocab.json`, or OpenAI's `bpe_simple_vocab_16e6.txt.gz` (a header
                line, then merges, of which the first vocab_size - 514 are taken).
            merges: Hugging Face's `merges.txt`; with the first form only.

        Raises:
            RequestError: a file is missing or is not of that form.
        """
        if merges is None:
            lines = _read_text(vocab).split("\n")[1 : vocab_size - 2 * 256 - 1]
            return cls.from_merges(_parse_merges(lines, vocab))
        pairs = _parse_merges(_read_text(merges).split("\n"), merges)
        try:
            ids = json.loads(_read_text(vocab))
        except json.JSONDecodeError as error:
            raise RequestError(f"{vocab}: no JSON ({error})", "Give CLIP's vocab.json.") from error
        if not isinstance(ids, dict) or not all(type(i) is int and i >= 0 for i in ids.values()):
            raise RequestError(f"{vocab}: no table of token ids", "Give CLIP's vocab.json.")
        return cls(_backend(ids, pairs, str(merges)))

    @classmethod
    def read(cls, path: Path, *, vocab_size: int = CLIP_VOCAB_SIZE) -> "Tokenizer":
        """A file of either kind by its name: `tokenizer.json`, `vocab.json` with `merges.txt`
        beside it, or OpenAI's list of merges, of which as many are taken as make `vocab_size`.

        Raises RequestError where it can't be read.
        """
        if path.name == "vocab.json":
            return cls.from_clip(path, path.with_name("merges.txt"))
        if path.suffix == ".json":
            return cls.load(path)
        return cls.from_clip(path, vocab_size=vocab_size)

    @classmethod
    def from_merges(cls, merges: list[tuple[str, str]]) -> "Tokenizer":
        """The vocabulary that these merges make, best first: bytes, merged symbols, the marks."""
        symbols = byte_symbols()
        tokens = [*symbols, *(s + WORD_END for s in symbols), *(a + b for a, b in merges), SOT, EOT]
        return cls(_backend({token: i for i, token in enumerate(tokens)}, merges, "merges"))

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a `tokenizer.json`, ours or a Hugging Face CLIP's."""
        from tokenizers import Tokenizer as Backend

        text = _read_text(path)
        try:
            backend = Backend.from_str(text)
        # The library raises plain Exception for every kind of bad file.
        except Exception as error:
            raise RequestError(
                f"{path}: no tokenizer ({error})", "Give a tokenizer.json."
            ) from error
        return cls(backend)

    def to_json(self) -> str:
        """What `tokenizer.json` holds."""
        return str(self._backend.to_str(pretty=True))

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`, which Hugging Face's fast tokenizers read too."""
        path.write_text(self.to_json(), encoding="utf-8")

    def token(self, id: int) -> str:
        """The token of an id of the vocabulary."""
        return str(self._backend.id_to_token(id))

    # ---- using it

    def __call__(self, texts: Sequence[str], context_length: int) -> Int64[Tensor, "n L"]:
        """Start, tokens, end, then zeros. A text that is too long loses its tail: the end stays."""
        if isinstance(texts, str):
            raise ValueError("Tokenizer: give a list of texts, got one string")
        if context_length < 2:
            raise ValueError(
                f"Tokenizer: context_length holds at least start and end, got {context_length}"
            )
        kept = [ids[: context_length - 2] for ids in self.encode(texts)]
        lengths = np.fromiter(map(len, kept), dtype=np.int64, count=len(kept))
        place = np.arange(context_length)
        out = np.full((len(texts), context_length), self.pad, dtype=np.int64)
        out[:, 0] = self.sot
        inside = (place > 0) & (place <= lengths[:, None])
        out[inside] = np.fromiter(itertools.chain.from_iterable(kept), dtype=np.int64)
        out[np.arange(len(kept)), lengths + 1] = self.eot
        return torch.from_numpy(out)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, without start and end."""
        known = self._texts
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if len(known) + len(new) > _MAX_CACHE:
            known.clear()
            new = list(dict.fromkeys(texts))
        if new:
            parts = [self._parts(clean(text)) for text in new]
            words = self._encode_parts(list(itertools.chain.from_iterable(parts)))
            for text, own in zip(new, parts, strict=True):
                known[text] = [i for part in own for i in words[part]]
        return [known[text] for text in texts]

    def _parts(self, text: str) -> list[str]:
        """Parts of a cleaned text whose ids, one after the other, are the text's."""
        return text.split(" ") if self._words_stand_alone else [text]

    def _encode_parts(self, parts: Sequence[str]) -> dict[str, list[int]]:
        """The token ids of these parts, and of others."""
        known = self._words
        new = [part for part in dict.fromkeys(parts) if part not in known]
        if len(known) + len(new) > _MAX_CACHE:
            known.clear()
            new = list(dict.fromkeys(parts))
        encoded = self._backend.encode_batch(new, add_special_tokens=False) if new else []
        known.update((part, e.ids) for part, e in zip(new, encoded, strict=True))
        return known

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids up to the first end token, words separated by single spaces."""
        symbols = []
        for i in ids:
            if i == self.eot:
                break
            if i != self.sot:
                token = self._backend.id_to_token(int(i))
                if token is None:
                    raise ValueError(
                        f"Tokenizer: ids lie between 0 and {self.vocab_size - 1}, got {i}"
                    )
                symbols.append(token)
        to_byte = {symbol: byte for byte, symbol in _byte_to_symbol().items()}
        words = "".join(symbols).split(WORD_END)
        if strange := set("".join(words)) - to_byte.keys():
            raise ValueError(f"Tokenizer: not a byte-level vocabulary, it has {min(strange)!r}")
        raw = b" ".join(bytes(to_byte[char] for char in word) for word in words)
        return raw.decode("utf-8", errors="replace").strip()


def _pre_tokenizer() -> "tokenizers.pre_tokenizers.PreTokenizer":
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _backend(
    vocab: dict[str, int], merges: list[tuple[str, str]], where: str
) -> "tokenizers.Tokenizer":
    """CLIP's pipeline over a vocabulary and merges."""
    from tokenizers import AddedToken, Regex, decoders, models, normalizers, processors
    from tokenizers import Tokenizer as Backend

    try:
        model = models.BPE(vocab, merges, unk_token=EOT, end_of_word_suffix=WORD_END)
    # The library raises plain Exception, as for a merge of symbols that the vocabulary lacks.
    except Exception as error:
        raise RequestError(
            f"{where}: vocabulary and merges do not fit together ({error})",
            "Give the two files of one model.",
        ) from error
    backend = Backend(model)
    # What clean() does beyond this (HTML entities) other readers of tokenizer.json don't expect.
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            normalizers.Lowercase(),
        ]
    )
    backend.pre_tokenizer = _pre_tokenizer()
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace(WORD_END, " ")])
    if SOT in vocab and EOT in vocab:
        backend.add_special_tokens(
            [AddedToken(SOT, normalized=True), AddedToken(EOT, normalized=True)]
        )
        backend.post_processor = processors.TemplateProcessing(
            single=f"{SOT} $A {EOT}", special_tokens=[(SOT, vocab[SOT]), (EOT, vocab[EOT])]
        )
    return backend


def _parse_merges(lines: Sequence[str], where: Path) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#version") or not line.strip():
            continue
        left, _, right = line.strip("\r\n").partition(" ")
        if not left or not right or " " in right:
            raise RequestError(
                f"{where}: merge {number} is not two symbols: {line[:40]!r}",
                "Give CLIP's merges.txt or bpe_simple_vocab_16e6.txt.gz.",
            )
        pairs.append((left, right))
    return pairs


def _read_text(path: Path) -> str:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise RequestError(
                f"{path}: larger than {_MAX_FILE >> 20} MB unpacked", "No tokenizer is that large."
            )
        return data.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise RequestError(
            f"{path}: can't be read as a tokenizer file ({error})", "Check the path."
        ) from error
