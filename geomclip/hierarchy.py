"""Hierarchy: a label tree, or a directed acyclic graph of "is a" edges such as WordNet.

    h = Hierarchy.read("bird.n.01")                 # WordNet's birds; nouns, verbs, mammals, emoji
    h = Hierarchy.read("taxonomy.csv")              # columns child and parent
    h = Hierarchy.from_paths([("food", "fruit", "apple"), ("food", "bread")])

Nodes are numbered 0 to n - 1; every array of nodes is int64. An edge leads from a child to its
parent. The closure has an edge from every node to each of its proper ancestors. Loads no torch;
scipy with the first closure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geomclip import dag
from geomclip.errors import RequestError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Node = int | np.integer

# What a hierarchy with several tops is hung under.
ROOT = "[ROOT]"


class Cycle(RequestError):
    """Nodes that are their own ancestors. `nodes`: each one's parent follows it, the first comes
    again at the end."""

    def __init__(self, title: str, nodes: Sequence[str]) -> None:
        way = " -> ".join(f'"{name}"' for name in nodes)
        super().__init__(f"{title}: a cycle of parents: {way}", "Remove one of these edges.")
        self.nodes = tuple(nodes)


@dataclass(frozen=True, eq=False, repr=False)
class Hierarchy:
    """Nodes with their direct parents.

    Args:
        names: distinct names of the n nodes.
        start: (n + 1,): the parents of node i are `up[start[i] : start[i + 1]]`.
        up: parents, as nodes.
        labels: what a node is called where it need not be unique ("dog" for dog.n.01); the names
            when empty. The label of an artificial root is "".
        title: where it comes from, for messages.

    Raises:
        RequestError: two nodes of one name, a node that is its own parent or that has a parent
            twice, a cycle (its nodes are listed).
    """

    names: tuple[str, ...]
    start: np.ndarray
    up: np.ndarray
    labels: tuple[str, ...] = ()
    title: str = "hierarchy"

    def __post_init__(self) -> None:
        n = len(self.names)
        if len(self.start) != n + 1 or self.start[-1] != len(self.up):
            raise ValueError(f"Hierarchy: {n} names and parents of {len(self.start) - 1} nodes")
        if self.labels and len(self.labels) != n:
            raise ValueError(f"Hierarchy: {n} names and {len(self.labels)} labels")
        if len(self.index) != n:
            seen: set[str] = set()
            twice = next(a for a in self.names if a in seen or seen.add(a))  # type: ignore[func-returns-value]
            raise RequestError(f'{self.title}: two nodes are called "{twice}"', "Rename one.")
        child, parent = self.edges.T
        if (own := child[child == parent]).size:
            raise RequestError(
                f'{self.title}: "{self.names[own[0]]}" is its own parent', "Remove that edge."
            )
        key = np.sort(child * n + parent)
        if (again := key[1:][key[1:] == key[:-1]]).size:
            a, b = divmod(int(again[0]), n)
            raise RequestError(
                f'{self.title}: "{self.names[b]}" is given twice as parent of "{self.names[a]}"',
                "Remove one.",
            )
        if len(self.order) < n:
            raise Cycle(
                self.title, [self.names[i] for i in dag.cycle(self.start, self.up, self.order)]
            )

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        kind = "tree" if self.is_tree else "graph"
        return f"Hierarchy({self.title!r}, a {kind} of {len(self):,} nodes, {len(self.up):,} edges)"

    # --- making one ---

    @staticmethod
    def read(source: str | Path) -> "Hierarchy":
        """A hierarchy by name or path.

        Args:
            source: `nouns`, `verbs` or `mammals` of WordNet 3.0, any noun or verb synset with all
                that is below it (`bird.n.01`), `emoji`, or a csv or tsv file with the columns
                child and parent.

        Raises:
            RequestError: no such source, an unknown synset, a bad row with its number, a cycle.
        """
        from geomclip.data.read_hierarchy import read_hierarchy

        return read_hierarchy(source)

    @staticmethod
    def from_parents(
        names: Sequence[str],
        parents: Sequence[Sequence[int]],
        *,
        labels: Sequence[str] = (),
        title: str = "hierarchy",
    ) -> "Hierarchy":
        """From the list of every node's parents."""
        start = dag.starts([len(p) for p in parents])
        up = np.array([p for some in parents for p in some], np.int64)
        return Hierarchy(tuple(names), start, up, tuple(labels), title)

    @staticmethod
    def from_edges(
        edges: Iterable[tuple[str, str]], *, nodes: Iterable[str] = (), title: str = "hierarchy"
    ) -> "Hierarchy":
        """From pairs (child, parent) of names.

        Args:
            nodes: further nodes, or all of them in the order wanted; the others follow in the
                order of their first appearance.
        """
        pairs = list(edges)
        index = {name: i for i, name in enumerate(dict.fromkeys(nodes))}
        for pair in pairs:
            for name in pair:
                index.setdefault(name, len(index))
        parents: list[list[int]] = [[] for _ in index]
        for child, parent in pairs:
            parents[index[child]].append(index[parent])
        return Hierarchy.from_parents(list(index), parents, title=title)

    @staticmethod
    def from_paths(
        paths: Iterable[Sequence[str]], *, root: str = ROOT, title: str = "label paths"
    ) -> "Hierarchy":
        """The tree of label paths, the most general label first; empty paths are passed over.

        A node's name is its whole path joined by " > ", for one label may stand at several places;
        its label is the last entry. Where the paths have several tops these hang under `root`,
        whose label is "".

        Raises:
            RequestError: no path, or an empty label.
        """
        given = [tuple(path) for path in paths]
        tops = {path[0] for path in given if path}
        if not tops:
            raise RequestError(f"{title}: no label path", "Give labels, the most general first.")
        under: tuple[str, ...] = () if len(tops) == 1 else (root,)
        names, labels = list(under), ["" for _ in under]
        parents: list[list[int]] = [[] for _ in under]
        known: dict[tuple[str, ...], int] = {(): 0}
        for path in given:
            for depth, label in enumerate(path, 1):
                if path[:depth] in known:
                    continue
                if not label:
                    raise RequestError(
                        f"{title}: the path {' > '.join(path)!r} has an empty label", "Name it."
                    )
                known[path[:depth]] = len(names)
                parents.append([known[path[: depth - 1]]] if depth > 1 or under else [])
                names.append(" > ".join(path[:depth]))
                labels.append(label)
        return Hierarchy.from_parents(names, parents, labels=labels, title=title)

    # --- looking up ---

    @cached_property
    def index(self) -> dict[str, int]:
        """Node of each name."""
        return {name: i for i, name in enumerate(self.names)}

    def node(self, name: str) -> int:
        """The node called `name`. Raises RequestError with names like it for an unknown one."""
        if name in self.index:
            return self.index[name]
        from difflib import get_close_matches

        near = get_close_matches(name, [a for a in self.names if a[:1] == name[:1]], 3, 0.7)
        way = f"Did you mean {' or '.join(near)}?" if near else "Check its spelling."
        raise RequestError(f'{self.title}: there is no node "{name}"', way)

    def nodes(self, names: Iterable[str]) -> np.ndarray:
        """Their nodes. Raises as `node`."""
        return np.array([self.node(name) for name in names], np.int64)

    def label(self, node: Node) -> str:
        """What a node is called, not necessarily unique."""
        return self.labels[node] if self.labels else self.names[node]

    @cached_property
    def edges(self) -> np.ndarray:
        """(m, 2): child and parent of every edge."""
        child = np.repeat(np.arange(len(self.names)), np.diff(self.start))
        return np.stack([child, self.up], axis=1)

    def parents(self, node: Node) -> np.ndarray:
        """Direct parents."""
        return self.up[self.start[node] : self.start[node + 1]]

    def children(self, node: Node) -> np.ndarray:
        """Direct children."""
        start, down = self._down
        return down[start[node] : start[node + 1]]

    def ancestors(self, node: Node) -> np.ndarray:
        """Proper ancestors, ascending."""
        return dag.reached(self.start, self.up, node)

    def descendants(self, node: Node) -> np.ndarray:
        """Proper descendants, ascending."""
        return dag.reached(*self._down, node)

    @cached_property
    def roots(self) -> np.ndarray:
        """Nodes without parents."""
        return np.flatnonzero(np.diff(self.start) == 0)

    @cached_property
    def leaves(self) -> np.ndarray:
        """Nodes without children."""
        return np.flatnonzero(np.diff(self._down[0]) == 0)

    @property
    def is_tree(self) -> bool:
        """Whether there is one root, and one parent to every other node."""
        return len(self.roots) == 1 and len(self.up) == len(self) - 1

    def require_tree(self, what: str) -> None:
        """Raises RequestError that names two roots, or a node with two parents, unless a tree."""
        if self.is_tree:
            return
        if len(self.roots) > 1:
            a, b = (self.names[i] for i in self.roots[:2])
            raise RequestError(
                f'{self.title}: {what} needs one root; there are {len(self.roots):,}, "{a}" and '
                f'"{b}" among them',
                f'Hang them under one: give all but one a parent; in Python .rooted("{ROOT}").',
            )
        child = int(np.flatnonzero(np.diff(self.start) > 1)[0])
        a, b = (self.names[i] for i in self.parents(child)[:2])
        several = int((np.diff(self.start) > 1).sum())
        raise RequestError(
            f"{self.title}: {what} needs a tree; {several:,} nodes have several parents, "
            f'"{self.names[child]}" has "{a}" and "{b}"',
            "Keep one parent of each: .tree().",
        )

    # --- order and depth ---

    @cached_property
    def _down(self) -> tuple[np.ndarray, np.ndarray]:
        return dag.transposed(self.start, self.up)

    @cached_property
    def _levels(self) -> list[np.ndarray]:
        return dag.levels(self.start, self._down)

    @cached_property
    def order(self) -> np.ndarray:
        """All nodes, every parent before its children."""
        return np.concatenate(self._levels) if self._levels else np.empty(0, np.int64)

    @cached_property
    def longest_depth(self) -> np.ndarray:
        """Edges on the longest way from a root, of every node."""
        depth = np.empty(len(self), np.int64)
        for d, level in enumerate(self._levels):
            depth[level] = d
        return depth

    @cached_property
    def depth(self) -> np.ndarray:
        """Edges on the shortest way from a root, of every node."""
        return dag.shortest_depth(self.roots, self._down)

    # --- closure ---

    @cached_property
    def above(self) -> "csr_array":
        """(n, n) boolean matrix: [i, j] says that j is a proper ancestor of i; sorted indices."""
        return dag.closure(self.start, self.up, len(self._levels), include_self=False)

    @cached_property
    def above_or_self(self) -> "csr_array":
        """As `above`, with every node its own ancestor too."""
        return dag.closure(self.start, self.up, len(self._levels), include_self=True)

    @cached_property
    def closure(self) -> np.ndarray:
        """(m, 2): every node with each of its proper ancestors, in the order of the nodes."""
        row = np.repeat(np.arange(len(self)), np.diff(self.above.indptr))
        return np.stack([row, self.above.indices.astype(np.int64)], axis=1)

    def lca(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Lowest common ancestor of each pair (k,), a node being its own ancestor.

        Of several common ancestors the one with the largest `longest_depth`, the first of equals;
        -1 where there is none.
        """
        return dag.lowest_common(self.above_or_self, self.longest_depth, a, b)

    # --- parts ---

    def subtree(self, name: str) -> "Hierarchy":
        """A node and all that is below it."""
        top = self.node(name)
        keep = np.sort(np.append(self.descendants(top), top))
        return self._part(keep, f"{self.title}, {name}")

    def span(self, names: Iterable[str]) -> "Hierarchy":
        """Nodes and all their ancestors, such as the hierarchy over a set of classes."""
        wanted = self.nodes(names)
        above = [self.ancestors(int(i)) for i in np.unique(wanted)]
        return self._part(np.unique(np.concatenate([wanted, *above])), self.title)

    def without(self, names: Iterable[str]) -> "Hierarchy":
        """Without some nodes; their children fall to their parents, so that the closure of the rest
        stays what it was."""
        gone = np.isin(np.arange(len(self)), self.nodes(names))
        parents = dag.passed_over(self.start, self.up, self.order, gone)
        keep = np.flatnonzero(~gone)
        return Hierarchy.from_parents(
            [self.names[i] for i in keep],
            parents,
            labels=[self.labels[i] for i in keep] if self.labels else (),
            title=self.title,
        )

    def reduced(self) -> "Hierarchy":
        """The transitive reduction: without the edges to what another parent leads to as well."""
        kept = ~dag.redundant(self.start, self.up, self.above)
        child, parent = self.edges[kept].T
        start = dag.starts(np.bincount(child, minlength=len(self)))
        return Hierarchy(self.names, start, parent, self.labels, self.title)

    def tree(self) -> "Hierarchy":
        """One parent to each node: that of the least depth, the first listed among equals.

        Raises RequestError where there are several roots: see `rooted`.
        """
        single = dag.one_parent(self.start, self.up, self.depth)
        tree = Hierarchy.from_parents(self.names, single, labels=self.labels, title=self.title)
        tree.require_tree("a tree")
        return tree

    def rooted(self, name: str = ROOT) -> "Hierarchy":
        """With one root: itself where it has one, else all roots under a new node with label ""."""
        if len(self.roots) == 1:
            return self
        n = len(self)
        parents = [self.parents(i).tolist() or [n] for i in range(n)]
        labels = [*(self.labels or self.names), ""]
        return Hierarchy.from_parents(
            [*self.names, name], [*parents, []], labels=labels, title=self.title
        )

    def _part(self, keep: np.ndarray, title: str) -> "Hierarchy":
        """The nodes `keep`, ascending, with the edges among them."""
        start, up = dag.among(self.start, self.up, keep)
        return Hierarchy(
            tuple(self.names[i] for i in keep),
            start,
            up,
            tuple(self.labels[i] for i in keep) if self.labels else (),
            title,
        )

    def to_dict(self) -> dict[str, Any]:
        """Counts."""
        return {
            "title": self.title,
            "nodes": len(self),
            "edges": len(self.up),
            "roots": len(self.roots),
            "leaves": len(self.leaves),
            "depth": int(self.depth.max(initial=0)),
            "tree": self.is_tree,
        }
