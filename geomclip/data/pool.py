"""Texts that a traversal may meet: the data's captions, labels and words, and common words."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from geomclip.data.wordnet import common_words, graph
from geomclip.errors import RequestError

# What a word is encoded as; it is shown as itself.
PROMPTS = {"noun": "a picture of {a} {}", "adjective": "{a} {} thing"}

PARTS = ("captions", "labels", "nouns", "adjectives", "words")

_WORD = re.compile(r"[a-z]{3,}")

# Nouns of WordNet that stand in captions as other words.
_NO_NOUNS = frozenset(
    "are can had has her his may not now one out per son two was who with".split()
)


@dataclass(frozen=True)
class TextPool:
    """Distinct texts, each with what is encoded in its place and what it is (an entry of PARTS
    without its s, or "text" from a file)."""

    texts: tuple[str, ...]
    prompts: tuple[str, ...]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @staticmethod
    def of(entries: Iterable[tuple[str, str, str]]) -> "TextPool":
        """From (text, prompt, kind); of equal texts the first stays."""
        known: dict[str, tuple[str, str]] = {}
        for text, prompt, kind in entries:
            if text:
                known.setdefault(text, (prompt, kind))
        return TextPool(
            tuple(known),
            tuple(prompt for prompt, _ in known.values()),
            tuple(kind for _, kind in known.values()),
        )


def build_pool(
    parts: Sequence[str],
    captions: Iterable[str] = (),
    paths: Iterable[Sequence[str]] = (),
    *,
    most: int = 1000,
) -> TextPool:
    """The pool of some parts of PARTS.

    `captions` and `labels` are those of the data; `nouns` and `adjectives` are the words of the
    data's captions that WordNet has as nouns, or that are among its common adjectives, the
    commonest first; `words` are the common nouns and adjectives of WordNet, whatever the data.

    Args:
        captions: of the data.
        paths: label paths of the data.
        most: nouns taken from the captions, at most, and adjectives.

    Raises:
        RequestError: an unknown part, or a pool without a text.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise RequestError(
            f"there is no part {unknown[0]} of a pool", f"One of {', '.join(PARTS)}."
        )
    captions = list(dict.fromkeys(captions))
    entries: list[tuple[str, str, str]] = []
    for part in parts:
        if part == "captions":
            entries += [(text, text, "caption") for text in captions]
        elif part == "labels":
            entries += [(label, label, "label") for path in paths for label in path]
        else:
            found = common_words() if part == "words" else words_of(captions, most)
            for kind in ("noun", "adjective"):
                if part in ("words", f"{kind}s"):
                    entries += [(w, prompt(kind, w), kind) for w in found[kind]]
    pool = TextPool.of(entries)
    if not len(pool):
        raise RequestError(
            f"the data have nothing for a pool of {', '.join(parts)}",
            "Add words to --pool, or give --texts FILE.",
        )
    return pool


def prompt(kind: str, word: str) -> str:
    """A word in its prompt: "a picture of an apple"."""
    return PROMPTS[kind].format(word, a="an" if word[0] in "aeiou" else "a")


def words_of(captions: Sequence[str], most: int) -> dict[str, tuple[str, ...]]:
    """{"noun": ..., "adjective": ...} of the words in captions, commonest first, ties by the
    alphabet. A plural counts as its singular where that is the noun."""
    names = graph("nouns").hierarchy.names
    nouns = {name.rsplit(".", 2)[0] for name in names} - _NO_NOUNS
    adjectives = set(common_words()["adjective"])
    counts: dict[str, Counter[str]] = {"noun": Counter(), "adjective": Counter()}
    for caption in captions:
        for word in _WORD.findall(caption.lower()):
            if word in adjectives:
                counts["adjective"][word] += 1
            elif word in nouns:
                counts["noun"][word] += 1
            elif word.endswith("s") and word[:-1] in nouns:
                counts["noun"][word[:-1]] += 1
    return {
        kind: tuple(sorted(found, key=lambda w, f=found: (-f[w], w))[:most])  # type: ignore[misc]
        for kind, found in counts.items()
    }


def read_pool(path: str | Path) -> TextPool:
    """A text a line, UTF-8; empty lines are passed over.

    Raises RequestError for a file that can't be read, or that has no text.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8: {error.reason}", "Save it as UTF-8.") from error
    pool = TextPool.of((line.strip(), line.strip(), "text") for line in lines)
    if not len(pool):
        raise RequestError(f"{path} has no text", "Write one a line.")
    return pool
