"""Directed acyclic graphs as ragged arrays: what `Hierarchy` is made of.

Row i of (start, values) is values[start[i] : start[i + 1]]: the parents, or the children, of
node i. All arrays are int64; n is the number of nodes.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def starts(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """(n + 1,) from the length of every row."""
    out = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=out[1:])
    return out


def gather(start: np.ndarray, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The entries of several rows, one after the other."""
    count = start[rows + 1] - start[rows]
    offset = np.repeat(start[rows] - starts(count)[:-1], count)
    return values[offset + np.arange(len(offset))]


def transposed(start: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The children of every node, from the parents."""
    n = len(start) - 1
    child = np.repeat(np.arange(n), np.diff(start))
    return starts(np.bincount(up, minlength=n)), child[np.argsort(up, kind="stable")]


def levels(start: np.ndarray, down: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    """Nodes by the length of their longest way to a root; those on and below a cycle are left out.

    Args:
        start: of the parents.
        down: the children.
    """
    left = np.diff(start).copy()
    level, found = np.flatnonzero(left == 0), []
    while level.size:
        found.append(level)
        below, count = np.unique(gather(*down, level), return_counts=True)
        left[below] -= count
        level = below[left[below] == 0]
    return found


def cycle(start: np.ndarray, up: np.ndarray, ordered: np.ndarray) -> list[int]:
    """A cycle of parents, its first node once more at the end, among what `levels` left out."""
    left = np.ones(len(start) - 1, bool)
    left[ordered] = False
    # What was left out has a parent that was left out too.
    way, place = [int(np.flatnonzero(left)[0])], {}
    while way[-1] not in place:
        place[way[-1]] = len(way) - 1
        above = up[start[way[-1]] : start[way[-1] + 1]]
        way.append(int(above[left[above]][0]))
    return way[place[way[-1]] :]


def shortest_depth(roots: np.ndarray, down: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Edges on the shortest way from a root, of every node."""
    depth = np.full(len(down[0]) - 1, -1, np.int64)
    level, d = roots, 0
    while level.size:
        depth[level] = d
        below = np.unique(gather(*down, level))
        level, d = below[depth[below] < 0], d + 1
    return depth


def reached(start: np.ndarray, values: np.ndarray, node: int | np.integer) -> np.ndarray:
    """What can be reached from a node by one step or more, ascending."""
    seen = np.zeros(len(start) - 1, bool)
    front = np.array([node])
    while front.size:
        front = np.unique(gather(start, values, front))
        front = front[~seen[front]]
        seen[front] = True
    return np.flatnonzero(seen)


def closure(start: np.ndarray, up: np.ndarray, longest: int, *, include_self: bool) -> "csr_array":
    """(n, n) boolean: [i, j] says that j is reached from i; indices sorted.

    Args:
        longest: edges on the longest way, at least.
        include_self: whether a node reaches itself.
    """
    from scipy.sparse import csr_array, eye_array

    n = len(start) - 1
    direct = csr_array((np.ones(len(up), bool), up, start), shape=(n, n))
    reach = direct + eye_array(n, dtype=bool, format="csr")
    # Squared until the longest way fits; booleans add up as "or".
    for _ in range(max(0, longest).bit_length()):
        reach = reach @ reach
    # direct @ reach: one step or more. No node of an acyclic graph comes back to itself.
    found = csr_array(reach if include_self else direct @ reach)
    found.sort_indices()
    return found


def redundant(start: np.ndarray, up: np.ndarray, above: "csr_array") -> np.ndarray:
    """Of every edge, whether another parent of its child leads to its parent as well."""
    from scipy.sparse import csr_array

    n = len(start) - 1
    direct = csr_array((np.ones(len(up), bool), up, start), shape=(n, n))
    around = csr_array(direct @ above)
    around.sort_indices()
    child = np.repeat(np.arange(n), np.diff(start))
    row = np.repeat(np.arange(n), np.diff(around.indptr))
    return np.isin(child * n + up, row * n + around.indices)


def lowest_common(
    above_or_self: "csr_array", longest_depth: np.ndarray, a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Of each pair the common ancestor of largest `longest_depth`, the first of equals; -1 where
    there is none."""
    common = above_or_self[a].multiply(above_or_self[b]).tocsr()
    common.sort_indices()
    n = len(longest_depth)
    found = np.full(len(a), -1, np.int64)
    rank = longest_depth * n + (n - 1 - np.arange(n))
    has = np.flatnonzero(np.diff(common.indptr))
    if has.size:
        best = np.maximum.reduceat(rank[common.indices], common.indptr[has])
        found[has] = n - 1 - best % n
    return found


def among(start: np.ndarray, up: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parents of the nodes `keep`, ascending, among themselves and by their new numbers."""
    n = len(start) - 1
    place = np.full(n, -1, np.int64)
    place[keep] = np.arange(len(keep))
    child = place[np.repeat(np.arange(n), np.diff(start))]
    inside = (child >= 0) & (place[up] >= 0)
    return starts(np.bincount(child[inside], minlength=len(keep))), place[up[inside]]


def passed_over(
    start: np.ndarray, up: np.ndarray, order: np.ndarray, gone: np.ndarray
) -> list[list[int]]:
    """The parents of the nodes that stay, by their new numbers, where those of a node that is
    `gone` take its place, each once.

    Args:
        order: every parent before its children.
        gone: (n,) boolean.
    """
    n = len(start) - 1
    place = np.cumsum(~gone) - 1
    standing: list[list[int]] = [[]] * n
    for i in order.tolist():
        several = (standing[p] if gone[p] else [int(place[p])] for p in up[start[i] : start[i + 1]])
        standing[i] = list(dict.fromkeys(p for some in several for p in some))
    return [standing[i] for i in range(n) if not gone[i]]


def one_parent(start: np.ndarray, up: np.ndarray, depth: np.ndarray) -> list[list[int]]:
    """Of every node the parent of least depth, the first of equals; none of a root."""
    parents = (up[a:b].tolist() for a, b in pairwise(start))
    return [[min(some, key=lambda p: int(depth[p]))] if some else [] for some in parents]
