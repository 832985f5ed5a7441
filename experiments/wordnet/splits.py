"""Splits for link prediction in the transitive closure of a hierarchy (arXiv 1804.01882).

An edge is a pair (parent, child). The basic ones, the transitive reduction, are always trained on.
Of the others 5 % validate, 5 % test, and a percentage of all of them is added to training. Each
positive of validation and test has ten negatives, half (parent, another node) and half (another
node, child), that are no edges. A single top is left out: it is above everything.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geomclip.errors import RequestError
from geomclip.hierarchy import Hierarchy

HELD_OUT = 0.05
NEGATIVES = 10
PERCENTS = (0, 10, 25, 50, 90)

# Where the published files of a hierarchy begin.
STEMS = {"mammals": "mammal_closure.tsv", "nouns": "noun_closure.tsv"}


@dataclass(frozen=True, eq=False)
class LinkSplit:
    """Edges as rows (parent, child) of nodes, int64.

    Args:
        nodes: how many nodes there are.
        basic, train: (m, 2); train has the basic edges first.
        valid, test: positives.
        valid_negatives, test_negatives: ten for each of them.
        origin: "published", "own", or "published valid and test, own training draw".
        draw: the seed of what was drawn; None where nothing was.
    """

    nodes: int
    basic: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    valid_negatives: np.ndarray
    test: np.ndarray
    test_negatives: np.ndarray
    origin: str
    draw: int | None

    def to_dict(self) -> dict[str, int | str | None]:
        """Counts and origin."""
        return {
            "nodes": self.nodes,
            "basic": len(self.basic),
            "train": len(self.train),
            "valid": len(self.valid),
            "test": len(self.test),
            "origin": self.origin,
            "draw": self.draw,
        }


def keys(edges: np.ndarray, nodes: int) -> np.ndarray:
    """One number for each edge."""
    return edges[:, 0] * nodes + edges[:, 1]


def without_top(hierarchy: Hierarchy) -> Hierarchy:
    """Without its one root; itself where it has several."""
    roots = hierarchy.roots
    return hierarchy.without([hierarchy.names[roots[0]]]) if len(roots) == 1 else hierarchy


def draw_split(hierarchy: Hierarchy, percent: int, seed: int) -> LinkSplit:
    """A split of a hierarchy by seed; validation and test are the same for every percentage.

    Raises:
        RequestError: a percentage beyond 90, or too few edges to hold any out.
    """
    _check_percent(percent)
    h = without_top(hierarchy)
    n = len(h)
    closure = h.closure[:, ::-1]
    basic = h.reduced().edges[:, ::-1]
    rest = closure[~np.isin(keys(closure, n), keys(basic, n))]
    held = round(HELD_OUT * len(rest))
    if not held:
        raise RequestError(
            f"{hierarchy.title}: {len(rest)} edges beside the basic ones, 5 % of which is none",
            "Link prediction needs a hierarchy of three levels and more nodes.",
        )
    generator = np.random.default_rng(seed)
    rest = rest[generator.permutation(len(rest))]
    valid, test, free = np.split(rest, [held, 2 * held])
    known = np.sort(keys(closure, n))
    negatives = [draw_negatives(edges, known, n, generator) for edges in (valid, test)]
    extra = free[: round(percent / 100 * len(rest))]
    return LinkSplit(
        n, basic, np.concatenate([basic, extra]), valid, negatives[0], test, negatives[1],
        "own", seed,
    )  # fmt: skip


def draw_negatives(
    edges: np.ndarray, known: np.ndarray, nodes: int, generator: np.random.Generator
) -> np.ndarray:
    """Ten pairs for each edge, five with another child and five with another parent.

    Args:
        known: `keys` of all edges of the closure, ascending.

    Raises:
        RequestError: a node to which no other is unrelated.
    """
    half = NEGATIVES // 2
    drawn = np.repeat(edges, NEGATIVES, axis=0)
    side = np.tile(np.repeat([1, 0], half), len(edges))
    wrong = np.arange(len(drawn))
    for _ in range(1000):
        drawn[wrong, side[wrong]] = generator.integers(0, nodes, len(wrong))
        key = keys(drawn[wrong], nodes)
        place = np.minimum(np.searchsorted(known, key), len(known) - 1)
        bad = (known[place] == key) | (drawn[wrong, 0] == drawn[wrong, 1])
        wrong = wrong[bad]
        if not wrong.size:
            return drawn
    parent, child = edges[wrong[0] // NEGATIVES]
    raise RequestError(
        f"no pair that is no edge was found for the edge of nodes {parent} and {child}",
        "One of them is related to nearly every node: give a hierarchy without it.",
    )


def read_split(folder: Path, data: str, percent: int, draw: int = 0) -> LinkSplit:
    """The published split of "mammals" or "nouns".

    Where the training file of a percentage is missing its edges beyond the basic ones are drawn,
    by the seed `draw`, from the closure without validation and test.

    Raises:
        RequestError: no such file or hierarchy, or a file that does not fit the closure.
    """
    _check_percent(percent)
    if data not in STEMS:
        raise RequestError(
            f"there is no published split of {data}", f"They are of {' and '.join(STEMS)}."
        )
    stem = STEMS[data]
    names = [line.split("\t")[1] for line in _lines(folder, f"{stem}.vocab")]
    n = len(names)

    def edges(part: str) -> np.ndarray:
        rows = [line.split("\t") for line in _lines(folder, f"{stem}.{part}")]
        return np.array(rows, np.int64).reshape(-1, 2)

    basic, valid, test = edges("train_0percent"), edges("valid"), edges("test")
    origin, seed = "published", None
    if percent == 0:
        train = basic
    elif _path(folder, f"{stem}.train_{percent}percent") is not None:
        train = edges(f"train_{percent}percent")
        train = np.concatenate([basic, train[~np.isin(keys(train, n), keys(basic, n))]])
    else:
        closure = _closure(data, names)
        held = np.concatenate([basic, valid, test])
        rest = closure[~np.isin(keys(closure, n), keys(held, n))]
        count = round(percent / 100 * (len(closure) - len(basic)))
        drawn = np.random.default_rng(draw).permutation(len(rest))[:count]
        train = np.concatenate([basic, rest[drawn]])
        origin, seed = "published valid and test, own training draw", draw
    return LinkSplit(
        n, basic, train, valid, edges("valid_neg"), test, edges("test_neg"), origin, seed
    )


def _closure(data: str, names: list[str]) -> np.ndarray:
    """Edges (parent, child) of the packaged hierarchy, in the numbers of the vocabulary."""
    h = without_top(Hierarchy.read(data))
    if set(h.names) != set(names):
        raise RequestError(
            f"the published vocabulary of {data} is not that of WordNet 3.0",
            "Check the folder given by --splits.",
        )
    place = np.empty(len(names), np.int64)
    place[h.nodes(names)] = np.arange(len(names))
    return place[h.closure[:, ::-1]]


def _path(folder: Path, name: str) -> Path | None:
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    return found[0] if found else None


def _lines(folder: Path, name: str) -> list[str]:
    path = _path(folder, name)
    if path is None:
        raise RequestError(
            f"{folder}: no file {name} (or {name}.gz)",
            "Give --splits the folder data/maxn of github.com/dalab/hyperbolic_cones, or leave it "
            "out for a split by seed.",
        )
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()


def _check_percent(percent: int) -> None:
    if not 0 <= percent <= 90:
        raise RequestError(
            f"--percent {percent}: percentages go from 0 to 90",
            "The other 10 % validate and test.",
        )
