"""First points for the nodes of a hierarchy: every child beyond its parent, in a random direction.

    table.weight.data.copy_(tree_points(hierarchy, table.manifold, dim))

The idea, though not the placement of the children, is that of the combinatorial construction
(Sarkar 2011; Sala et al., arXiv 1804.03329): a tree has nearly no distortion where its edges are
long enough for the subtrees not to meet. Here they do meet, and training has to part them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.hierarchy import Hierarchy
from manifolds import Manifold


def tree_points(
    hierarchy: Hierarchy,
    manifold: Manifold,
    dim: int,
    *,
    edge: float = 0.8,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "n d"]:
    """Points of the n nodes: each at geodesic distance `edge` from its parent, farther out than it.

    The direction is uniform in the half space that looks away from the root of the manifold. Of
    several parents the deepest counts (`longest_depth`), the first listed of equals; a node without
    parents lies at `edge` from the manifold's root where there are several such, and on it where
    it is the only one.

    Args:
        edge: geodesic length; on a sphere the depth of the hierarchy times it should stay below a
            half circle, for beyond that there is no farther out.
        generator: of the directions.

    Raises:
        ValueError: edge is not positive.
    """
    if not edge > 0:
        raise ValueError(f"tree_points: edge must be positive, got {edge}")
    points = manifold.origin(len(hierarchy), dim, dtype=dtype)
    above = _parents(hierarchy)
    for depth in range(int(hierarchy.longest_depth.max(initial=0)) + 1):
        level = torch.from_numpy((hierarchy.longest_depth == depth).nonzero()[0])
        if depth == 0 and len(level) == 1:
            continue
        start = points[above[level]] if depth else points[level]
        points[level] = _beyond(manifold, start, edge, generator)
    return points


def _parents(hierarchy: Hierarchy) -> Tensor:
    """The deepest parent of every node; itself where there is none."""
    depth = hierarchy.longest_depth
    out = torch.arange(len(hierarchy))
    for node in range(len(hierarchy)):
        parents = hierarchy.parents(node)
        if parents.size:
            out[node] = int(parents[depth[parents].argmax()])
    return out


def _beyond(
    manifold: Manifold, x: Tensor, edge: float, generator: torch.Generator | None
) -> Tensor:
    """A point at distance `edge` from each x, in a random direction away from the root."""
    outward = manifold.to_frame(x, -manifold.logmap(x, manifold.origin(*x.shape, dtype=x.dtype)))
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    # Of the sphere's frame the first coordinate is not a direction.
    z = manifold.to_frame(x, manifold.from_frame(x, z))
    z = torch.where((z * outward).sum(-1, keepdim=True) < 0, -z, z)
    z = edge * z / z.norm(dim=-1, keepdim=True)
    return manifold.expmap(x, manifold.from_frame(x, z))
