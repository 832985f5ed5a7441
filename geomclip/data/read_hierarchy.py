"""Hierarchies from names and files: WordNet's, the emoji set's, edges in a csv."""

from collections.abc import Iterator
from pathlib import Path

from geomclip.data.csv_rows import csv_rows
from geomclip.data.wordnet import PARTS, is_synset, load_wordnet
from geomclip.errors import RequestError
from geomclip.hierarchy import Cycle, Hierarchy

SUFFIXES = (".csv", ".tsv")

# Child and parent as the columns may be called; id1 and id2 in the published closures of WordNet.
COLUMNS = (("child", "parent"), ("id1", "id2"))

_WAYS = (
    f"Known are {', '.join(PARTS)}, a synset such as bird.n.01, emoji, and csv or tsv files with "
    "the columns child and parent."
)


def read_hierarchy(source: str | Path) -> Hierarchy:
    """What `Hierarchy.read` reads."""
    name = str(source)
    if name.lower().endswith(SUFFIXES):
        return read_edges(Path(source))
    if name in PARTS or is_synset(name):
        return load_wordnet(name)
    if name == "emoji":
        return emoji_hierarchy()
    raise RequestError(f'"{name}" is no hierarchy', _WAYS)


def emoji_hierarchy() -> Hierarchy:
    """The embedded set's groups, subgroups and names under one root: 1,609 leaves."""
    from geomclip.data.emoji import read_rendition

    # Twemoji has drawn every emoji.
    paths = [record.path for record in read_rendition("twemoji")]
    return Hierarchy.from_paths(paths, title="emoji")


def read_edges(path: Path) -> Hierarchy:
    """Edges from a csv or tsv with a header. A row with an empty parent names a node alone.

    Raises:
        RequestError: the file can't be read, lacks the columns, or has a bad row, which is named:
            an empty child, a node that is its own parent, an edge that is there twice, the rows of
            a cycle.
    """
    first: dict[tuple[str, str], int] = {}
    nodes: list[str] = []
    for row, child, parent in _rows(path):
        if not child:
            raise RequestError(f"{path} row {row}: the child is empty", "Name it.")
        nodes.append(child)
        if not parent:
            continue
        if child == parent:
            raise RequestError(f'{path} row {row}: "{child}" is its own parent', "Remove that row.")
        if (earlier := first.setdefault((child, parent), row)) != row:
            raise RequestError(
                f'{path} row {row}: the edge from "{child}" to "{parent}" is in row {earlier} too',
                "Remove one.",
            )
    if not nodes:
        raise RequestError(f"{path} has no rows", "Give one edge a row.")
    try:
        return Hierarchy.from_edges(first, nodes=nodes, title=path.name)
    except Cycle as error:
        rows = [first[edge] for edge in zip(error.nodes, error.nodes[1:], strict=False)]
        raise RequestError(
            f"{error.what}, rows {', '.join(map(str, rows))}", "Remove one of these rows."
        ) from None


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """(row, child, parent), the header being row 1."""

    def columns(header: list[str]) -> tuple[str, str]:
        named = next((pair for pair in COLUMNS if set(pair) <= set(header)), None)
        if named is None:
            raise RequestError(
                f"{path} has no columns child and parent (it has: {', '.join(header)})",
                "Name them in the first row; id1 and id2 will do as well.",
            )
        return named

    for row, (child, parent) in csv_rows(path, columns):
        yield row, child, parent
