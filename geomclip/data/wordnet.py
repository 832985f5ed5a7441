"""The embedded WordNet 3.0: nouns and verbs with their hypernyms, and the commonest words.

Licence: wordnet/LICENSE. The files are written by build_wordnet, which says what is in them.
"""

import lzma
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from geomclip.dag import starts
from geomclip.errors import GeomclipError, RequestError
from geomclip.hierarchy import Hierarchy

FOLDER = Path(__file__).parent / "wordnet"

PARTS = ("nouns", "verbs", "mammals")

# Left out of the mammals by the published experiments (Nickel & Kiela, arXiv 1705.08039).
NOT_MAMMALS = ("tusker.n.01", "female_mammal.n.01")


@dataclass(frozen=True, eq=False)
class Graph:
    """Nouns or verbs. `offset`: of every synset, WordNet's number for it; `instance`: of every
    edge, whether it leads up from an instance (`@i`: a person, a place) and not from a kind."""

    hierarchy: Hierarchy
    offset: np.ndarray
    instance: np.ndarray


@cache
def graph(pos: str) -> Graph:
    """All of the "nouns" (82,115 synsets, one root) or "verbs" (13,767, many roots).

    Both kinds of hypernym are edges. Raises GeomclipError where the file is damaged.
    """
    path = FOLDER / f"{pos}.xz"
    try:
        text = lzma.decompress(path.read_bytes()).decode()
    except (lzma.LZMAError, EOFError) as error:
        raise GeomclipError(
            f"{path} is damaged: {error}",
            "Reinstall geomclip, or rebuild it with python -m geomclip.data.build_wordnet.",
        ) from None
    names, steps, parents = (line.split("\t") for line in text.splitlines())
    start = starts([entry.count(" ") + 1 if entry else 0 for entry in parents])
    flat = " ".join(filter(None, parents)).split(" ")
    labels = tuple(name.rsplit(".", 2)[0].replace("_", " ") for name in names)
    up = np.array([int(entry.rstrip("*")) for entry in flat], np.int64)
    return Graph(
        Hierarchy(tuple(names), start, up, labels, f"WordNet {pos}"),
        np.cumsum([int(step) for step in steps]),
        np.array([entry.endswith("*") for entry in flat]),
    )


@cache
def load_wordnet(part: str) -> Hierarchy:
    """A part of WordNet.

    Args:
        part: "nouns"; "verbs", those with a hypernym or a hyponym, as published experiments count
            them (13,542); "mammals", mammal.n.01 without the two nodes that those leave out
            (1,180); or a synset (`bird.n.01`, `move.v.03`): it and all below it.

    Raises:
        RequestError: an unknown synset, with names like it.
    """
    if part == "nouns":
        return graph("nouns").hierarchy
    if part == "verbs":
        verbs = graph("verbs").hierarchy
        alone = set(verbs.roots.tolist()) & set(verbs.leaves.tolist())
        return verbs.without([verbs.names[i] for i in alone])
    if part == "mammals":
        return graph("nouns").hierarchy.subtree("mammal.n.01").without(NOT_MAMMALS)
    return graph("verbs" if is_synset(part, "v") else "nouns").hierarchy.subtree(part)


def is_synset(name: str, letters: str = "nv") -> bool:
    """Whether a name has the form of a synset's: lemma.n.01."""
    parts = name.rsplit(".", 2)
    return len(parts) == 3 and bool(parts[0]) and parts[1] in tuple(letters) and parts[2].isdigit()


def is_wnid(label: str) -> bool:
    """Whether a label has the form of ImageNet's numbers: n02084071."""
    return len(label) == 9 and label[0] in "nv" and label[1:].isdigit()


def of_wnid(wnid: str) -> str:
    """The synset that ImageNet calls by WordNet's offset: "n02084071" is "dog.n.01".

    Raises RequestError for one that WordNet 3.0 does not have.
    """
    if is_wnid(wnid):
        found = graph({"n": "nouns", "v": "verbs"}[wnid[0]])
        place = int(np.searchsorted(found.offset, int(wnid[1:])))
        if place < len(found.offset) and found.offset[place] == int(wnid[1:]):
            return found.hierarchy.names[place]
    raise RequestError(
        f"{wnid} is no synset of WordNet 3.0", "A wnid is n and eight digits, as n02084071."
    )


@cache
def common_words() -> dict[str, tuple[str, ...]]:
    """The commonest nouns that a picture can show, and adjectives that are values of an attribute,
    by WordNet's tag counts: {"noun": 700 words, "adjective": 200}, commonest first."""
    words: dict[str, list[str]] = {}
    for line in (FOLDER / "words.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        kind, word, _ = line.split("\t")
        words.setdefault(kind, []).append(word)
    return {kind: tuple(found) for kind, found in words.items()}
