"""Rebuild the embedded WordNet: `python -m geomclip.data.build_wordnet --cache DIR [--out DIR]`.

From Debian's `wordnet-base` (WordNet 3.0) it takes, of nouns and verbs, every synset's name, offset
and hypernyms, and of nouns and adjectives the commonest words, for traversals. Needs apt-get and
dpkg-deb, or the package in the cache.

A graph is one text, compressed by xz: a line of names, a line of offset differences, a line of
hypernyms, a synset an entry, separated by tabs, in the order of WordNet's data file. Hypernyms are
entry numbers joined by spaces, "*" behind those of instances (`@i`), "" where there is none.
"""

import argparse
import json
import lzma
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomclip.data.build_sources import Package, fetch, read_member
from geomclip.errors import GeomclipError

WORDNET = Package(
    "apt-get",
    "wordnet-base",
    "1:3.0-37",
    "wordnet-base_1%3a3.0-37_all.deb",
    "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
)

LETTERS = {"noun": "n", "verb": "v"}

# Hypernym, and instance hypernym ("Einstein" of "physicist").
UP = ("@", "@i")

# Lexicographer files whose nouns can be seen in a picture: animal, artifact, body, food, natural
# object, person, phenomenon, plant, substance (lexnames(5WN)).
VISIBLE = (5, 6, 8, 13, 17, 18, 19, 20, 27)

# A word with a sense in one of these usage domains does not belong in a default.
RUDE = {"ethnic_slur", "disparagement", "vulgarism", "obscenity", "dirty_word", "smut"}

POOL = {"noun": 700, "adjective": 200}


@dataclass(frozen=True)
class Synset:
    """One line of a data file. `words` as written there, `ids` their numbers in sense keys."""

    offset: str
    file: int
    kind: str
    words: tuple[str, ...]
    ids: tuple[int, ...]
    pointers: tuple[tuple[str, str, str], ...]  # symbol, offset, part of speech


def parse_data(text: str) -> list[Synset]:
    """The synsets of a `data.*` file (wndb(5WN))."""
    synsets = []
    for line in text.splitlines():
        if line.startswith("  "):  # the licence
            continue
        field = line.split(" ")
        words = int(field[3], 16)
        after = 4 + 2 * words
        pointers = [field[after + 1 + 4 * i : after + 4 + 4 * i] for i in range(int(field[after]))]
        synsets.append(
            Synset(
                offset=field[0],
                file=int(field[1]),
                kind=field[2],
                words=tuple(field[4 + 2 * i] for i in range(words)),
                ids=tuple(int(field[5 + 2 * i], 16) for i in range(words)),
                pointers=tuple((p[0], p[1], p[2]) for p in pointers),
            )
        )
    return synsets


def parse_index(text: str) -> dict[tuple[str, str], int]:
    """The sense number of (lemma, offset) from an `index.*` file."""
    number = {}
    for line in text.splitlines():
        if line.startswith("  "):
            continue
        field = line.split()
        senses = int(field[2])
        for i, offset in enumerate(field[-senses:], 1):
            number[field[0], offset] = i
    return number


def graph_text(synsets: Sequence[Synset], senses: dict[tuple[str, str], int], letter: str) -> str:
    """The three lines of a graph file. A synset is named `lemma.n.NN` after its first word."""
    row = {s.offset: i for i, s in enumerate(synsets)}
    names, steps, parents, last = [], [], [], 0
    for s in synsets:
        lemma = s.words[0].lower()
        names.append(f"{lemma}.{letter}.{senses[lemma, s.offset]:02d}")
        steps.append(str(int(s.offset) - last))
        last = int(s.offset)
        up = [(row[o], kind) for kind, o, pos in s.pointers if kind in UP and pos == letter]
        parents.append(" ".join(f"{r}{'*' if kind == '@i' else ''}" for r, kind in up))
    return "".join("\t".join(line) + "\n" for line in (names, steps, parents))


# ---- the pool of words


def parse_counts(text: str) -> dict[str, int]:
    """How often each sense key is tagged, from `cntlist.rev` (cntlist(5WN))."""
    fields = (line.split() for line in text.splitlines())
    return {key: int(count) for key, _, count in fields}


def common_words(
    synsets: Sequence[Synset], counts: dict[str, int], fits: Callable[[Synset], bool], most: int
) -> list[tuple[str, int]]:
    """The words whose commonest sense fits, with the tags of that sense; commonest first.

    One lower-case word of letters, at least three; words with a rude sense are left out.
    """
    rude_domains = {s.offset for s in synsets if RUDE & set(s.words)}
    best: dict[str, tuple[int, Synset]] = {}
    refused = set()
    for synset in synsets:
        rude = any(kind == ";u" and o in rude_domains for kind, o, _ in synset.pointers)
        for word, key in _keys(synset):
            if rude:
                refused.add(word)
            count = counts.get(key, 0)
            if count > best.get(word, (0, synset))[0]:
                best[word] = (count, synset)
    found = [
        (word, count)
        for word, (count, synset) in best.items()
        if len(word) > 2 and word.isalpha() and word.islower() and fits(synset)
        if word not in refused
    ]
    return sorted(found, key=lambda entry: (-entry[1], entry[0]))[:most]


def _keys(synset: Synset) -> Iterator[tuple[str, str]]:
    """(word, beginning of its sense key as in `parse_counts`) of a synset."""
    number = {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}[synset.kind]
    for word, id in zip(synset.words, synset.ids, strict=True):
        word = word.partition("(")[0]  # "old(p)": only predicative
        yield word, f"{word.lower()}%{number}:{synset.file:02d}:{id:02d}"


def without_heads(counts: dict[str, int]) -> dict[str, int]:
    """Counts by the key without the last two fields, the head of a satellite adjective."""
    short: dict[str, int] = defaultdict(int)
    for key, count in counts.items():
        short[":".join(key.split(":")[:3])] += count
    return dict(short)


def visible(synset: Synset) -> bool:
    """Whether a noun names a kind of thing that a picture can show."""
    return synset.file in VISIBLE and not any(kind == "@i" for kind, *_ in synset.pointers)


def attribute_test(adjectives: Sequence[Synset]) -> Callable[[Synset], bool]:
    """Whether an adjective, or the head that it is a satellite of, is a value of an attribute, as
    large is of size."""
    by_offset = {s.offset: s for s in adjectives}

    def is_value(s: Synset) -> bool:
        return any(kind == "=" for kind, *_ in s.pointers)

    def fits(synset: Synset) -> bool:
        heads = [o for kind, o, pos in synset.pointers if kind == "&" and pos == "a"]
        satellite = synset.kind == "s"
        return is_value(synset) or (satellite and any(is_value(by_offset[o]) for o in heads))

    return fits


# ---- all of it


def build(out: Path, cache: Path) -> dict[str, Any]:
    """Write nouns.xz, verbs.xz, words.tsv and manifest.json into `out`; returns the manifest."""
    archive = fetch(WORDNET, cache)

    def read(name: str) -> str:
        # The Debian build has bytes of Latin-1 in some glosses.
        return read_member(archive, f"./usr/share/wordnet/{name}").decode("latin-1")

    out.mkdir(parents=True, exist_ok=True)
    files = {}
    data = {pos: parse_data(read(f"data.{pos}")) for pos in (*LETTERS, "adj")}
    for pos, letter in LETTERS.items():
        text = graph_text(data[pos], parse_index(read(f"index.{pos}")), letter)
        packed = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
        (out / f"{pos}s.xz").write_bytes(packed)
        files[f"{pos}s.xz"] = {"synsets": len(data[pos]), "bytes": len(packed)}
    counts = without_heads(parse_counts(read("cntlist.rev")))
    # Domains are nouns: adjectives are asked about with them, and then sorted out by kind.
    fits = attribute_test(data["adj"])
    words = {
        "noun": common_words(data["noun"], counts, visible, POOL["noun"]),
        "adjective": common_words(
            [*data["adj"], *data["noun"]],
            counts,
            lambda s: s.kind in "as" and fits(s),
            POOL["adjective"],
        ),
    }
    rows = [f"{kind}\t{word}\t{n}\n" for kind, found in words.items() for word, n in found]
    (out / "words.tsv").write_text("kind\tword\ttags\n" + "".join(rows), encoding="utf-8")
    manifest = {
        "input": {
            "package": WORDNET.name,
            "version": WORDNET.version,
            "file": WORDNET.file,
            "sha256": WORDNET.sha256,
        },
        "files": files | {"words.tsv": {kind: len(found) for kind, found in words.items()}},
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (out / "manifest.json").write_text(text, encoding="utf-8")
    return manifest


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (1: the work failed, 2: the request was wrong)."""
    parser = argparse.ArgumentParser(
        prog="python -m geomclip.data.build_wordnet", description=__doc__
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "wordnet", help="where the files go"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("build/wordnet"),
        help="where the package is fetched to, or already lies",
    )
    args = parser.parse_args(argv)
    try:
        manifest = build(args.out, args.cache)
    except GeomclipError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(manifest["files"], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
