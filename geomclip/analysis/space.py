"""What the analyses of one space share: the points, a sample of them, and nearest neighbours.

Analyses that look at every point once take all of them (`everything`); those that look at every
pair of points take `embeddings`, a random sample where there are more than `limit` of a modality.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from geomclip.analysis.neighbors import nearest
from geomclip.embeddings import Embeddings
from geomclip.hierarchy import Hierarchy
from manifolds import Manifold
from manifolds.kernels.neighbors import Neighbors

Root = Literal["own", "origin", "mean", "empty"]

# Points of a modality that pairs are formed of.
LIMIT = 50_000
# Neighbours that are kept of every point.
K = 10


@dataclass(eq=False)
class Space:
    """Embeddings under analysis.

    Args:
        everything: the embeddings; where their root is a mean that was never set, it is theirs.
        limit: points of a modality among which pairs are formed.
        min_radius: K of the entailment cones.
        root: what root distances start from, see `root_distances`.
        seed: of every sample.
        tree: what distances are compared with; that of the label paths where None.
        analogies: pairs of names by relation; the pairs of the modalities where None.
        reference: another space of the same things, which this one is compared with.
    """

    everything: Embeddings
    limit: int = LIMIT
    min_radius: float = 0.1
    root: Root = "own"
    seed: int = 0
    tree: Hierarchy | None = None
    analogies: Mapping[str, Sequence[tuple[str, str]]] | None = None
    reference: "Space | None" = None
    embeddings: Embeddings = field(init=False)
    _neighbors: dict[tuple[str, str], Neighbors] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.everything = self.everything.with_root()
        self.embeddings = sample(self.everything, self.limit, self.seed)

    @staticmethod
    def of(source: "Space | Embeddings") -> "Space":
        """The space of some embeddings, with the defaults; a space is itself."""
        return source if isinstance(source, Space) else Space(source)

    @property
    def manifold(self) -> Manifold:
        """Where the points lie."""
        return self.everything.manifold

    @property
    def geometry_name(self) -> str:
        """As the user called it."""
        return self.everything.geometry.name

    @property
    def pair(self) -> tuple[str, str] | None:
        """The first two modalities; None where there is one, or nothing of them is paired."""
        names = self.everything.modalities
        if len(names) < 2 or not len(self.everything.pairing(*names[:2])):
            return None
        return names[0], names[1]

    @property
    def sampled(self) -> str:
        """A sentence about the sample; "" where there is none."""
        parts = [
            f"{len(self.embeddings[m]):,} of {len(x):,} {m}"
            for m, x in self.everything.points.items()
            if len(self.embeddings[m]) < len(x)
        ]
        # An array without modalities is called "points" itself.
        listed = " and ".join(parts).removesuffix(" points")
        return f"A random sample of {listed} points." if parts else ""

    def neighbors(self, a: str, b: str) -> Neighbors:
        """Up to `K` points of b of largest logit with every point of a, itself left out; computed
        once."""
        key = (a, b)
        if key not in self._neighbors:
            x, y = self.embeddings[a], self.embeddings[b]
            k = min(K + (a == b), len(y))
            found = nearest(self.everything.geometry, x, y, k)
            self._neighbors[key] = without_self(found) if a == b else found
        return self._neighbors[key]

    def one_to_one_rows(self) -> Int[Tensor, "q 2"]:
        """The sample's pairs such that no row stands twice: the first of each."""
        assert self.pair is not None
        return first_pairs(self.embeddings.pairing(*self.pair))

    def one_to_one(self) -> tuple[Tensor, Tensor]:
        """Points of `one_to_one_rows`."""
        assert self.pair is not None
        rows = self.one_to_one_rows()
        return self.embeddings[self.pair[0]][rows[:, 0]], self.embeddings[self.pair[1]][rows[:, 1]]


def sample(embeddings: Embeddings, limit: int, seed: int = 0) -> Embeddings:
    """At most `limit` points of each modality: random points of the first with all their partners,
    or random ones where nothing is paired. The label tree stays as it is."""
    names = embeddings.modalities
    sizes = {m: len(embeddings[m]) for m in names}
    if max(sizes.values()) <= limit:
        return embeddings
    generator = torch.Generator().manual_seed(seed)

    def some(count: int, of: int) -> Tensor:
        return torch.randperm(of, generator=generator)[:count].sort().values

    rows = {m: some(limit, n) for m, n in sizes.items()}
    if len(names) > 1 and len(pairs := embeddings.pairing(*names[:2])):
        a, b = names[:2]
        # Both modalities keep to the limit when every point of the first brings all its partners.
        count = min(limit, max(2, int(limit * sizes[a] / len(pairs))))
        keep = torch.zeros(sizes[a], dtype=torch.bool)
        keep[some(count, sizes[a])] = True
        partners = torch.unique(pairs[keep[pairs[:, 0]], 1])
        if len(partners) > limit:
            partners = partners[some(limit, len(partners))]
        rows[a], rows[b] = keep.nonzero()[:, 0], partners
    return embeddings.subset(rows)


def first_pairs(pairs: Int[Tensor, "p 2"]) -> Int[Tensor, "q 2"]:
    """Pairs such that no row of either side stands twice, taken in order: of a picture with five
    captions the first caption."""
    kept = pairs[_first_of(pairs[:, 0])]
    return kept[_first_of(kept[:, 1])]


def _first_of(values: Tensor) -> Tensor:
    """Places at which a value stands for the first time, ascending."""
    order = values.argsort(stable=True)
    ordered = values[order]
    new = torch.ones(len(values), dtype=torch.bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return order[new].sort().values


def leaf_labels(embeddings: Embeddings, modality: str) -> Tensor | None:
    """(n,) the number of each row's whole label path, -1 where it has none; None where no row has
    one. Equal paths have equal numbers in all modalities."""
    paths = embeddings.label_paths(modality)
    if paths is None or not any(paths):
        return None
    number: dict[tuple[str, ...], int] = {}
    for name in embeddings.modalities:
        for path in embeddings.label_paths(name) or ():
            number.setdefault(path, len(number))
    return torch.tensor([number[path] if path else -1 for path in paths])


def without_self(found: Neighbors) -> Neighbors:
    """Lists without the row itself, or without the last where it isn't in its own list (among more
    than K equal points)."""
    rows = torch.arange(len(found.index))[:, None]
    own = found.index == rows
    own[~own.any(1), -1] = True
    shape = (len(rows), found.index.shape[1] - 1)
    return Neighbors(found.value[~own].view(shape), found.index[~own].view(shape))
