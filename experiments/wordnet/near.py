"""Every node against wrong nodes of its own: its nearest ones, and some drawn evenly.

What costs a node its precision are the few nodes that lie nearer to it than its ancestors; nearly
all of an even draw from tens of thousands lies far beyond and teaches nothing. Here all distances
are looked at now and then, as an evaluation would, and each node's nearest wrong nodes are its
negatives until the next look. The even draw keeps the others from coming near unseen.
"""

import torch
from graph import Ancestors
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from geomclip.geometry import Geometry
from manifolds import Lorentz, Manifold

# Distances of one block of a look: 100 MB in float64.
BLOCK = 1 << 23
# Columns of which the least is taken first; a look is faster by a factor of three.
GROUP = 16


class Rivals:
    """The wrong nodes that nodes are ranked against.

    Args:
        ancestors: of the n nodes.
        nearest: how many of the nearest each node has.
        drawn: how many are drawn evenly for each node of a batch.
    """

    def __init__(self, ancestors: Ancestors, nearest: int, drawn: int) -> None:
        wrong = len(ancestors) - 1 - int(ancestors.count.max())
        self.ancestors, self.drawn = ancestors, drawn
        self.nearest: Int[Tensor, "n k"] = torch.full((len(ancestors), min(nearest, wrong)), -1)

    def look(self, manifold: Manifold, points: Float[Tensor, "n d"]) -> None:
        """Take each node's nearest wrong nodes anew; of nodes without ancestors none is asked."""
        asked = self.ancestors.count.nonzero()[:, 0]
        for nodes in asked.split(max(1, BLOCK // len(points))):
            far = rank(manifold, points, nodes)
            far[torch.arange(len(nodes)), nodes] = torch.inf
            table = self.ancestors.table[nodes]
            row, entry = (table >= 0).nonzero(as_tuple=True)
            far[row, table[row, entry]] = torch.inf
            self.nearest[nodes] = smallest(far, self.nearest.shape[1])

    def of(self, nodes: Int[Tensor, "b"]) -> tuple[Int[Tensor, "b r"], Bool[Tensor, "b r"]]:
        """The rivals of each node, and which of them are wrong indeed: a draw may be none."""
        near = self.nearest[nodes]
        some = torch.randint(len(self.nearest), (len(nodes), self.drawn))
        right = (some[:, :, None] == self.ancestors.table[nodes][:, None]).any(2)
        right |= some == nodes[:, None]
        return torch.cat([near, some], 1), torch.cat([torch.ones_like(near).bool(), ~right], 1)


@torch.no_grad()
def rank(
    manifold: Manifold, points: Float[Tensor, "n d"], nodes: Int[Tensor, "b"]
) -> Float[Tensor, "b n"]:
    """What orders all points by their distance from each of some.

    On the hyperboloid that is x_t y_t - <x, y>, one product of matrices, in float64 since it
    cancels: at the optimizer's radius cap, 12, it is good to 1e-5 of cosh d = 1.
    """
    if not isinstance(manifold, Lorentz):
        return manifold.pairwise_dist(points[nodes], points)
    x = points.double()
    t = (1 / manifold.c + x.square().sum(1)).sqrt()
    ambient = torch.cat([t[:, None], x], 1)
    return (torch.cat([t[nodes, None], -x[nodes]], 1) @ ambient.T).float()


def smallest(values: Float[Tensor, "b n"], k: int) -> Int[Tensor, "b k"]:
    """The places of each row's k smallest, in no order."""
    b, n = values.shape
    width = n // GROUP
    if width < 2 * k:
        return values.topk(k, largest=False, sorted=False).indices
    # A value among the k smallest lies in one of the k groups (i, i + width, ...) with the least
    # minima; what is left over at the end stands beside these.
    groups = values[:, : width * GROUP].view(b, GROUP, width).amin(1)
    best = groups.topk(k, largest=False, sorted=False).indices
    places = best[:, :, None] + width * torch.arange(GROUP)
    rest = torch.arange(width * GROUP, n).expand(b, -1)
    places = torch.cat([places.flatten(1), rest], 1)
    found = values.gather(1, places).topk(k, largest=False, sorted=False).indices
    return places.gather(1, found)


def near_loss(
    geometry: Geometry,
    points: Float[Tensor, "n d"],
    ancestors: Ancestors,
    rivals: Rivals,
    nodes: Int[Tensor, "b"],
) -> Float[Tensor, ""]:
    """`geomclip.losses.ranking_loss` of a batch, every node with candidates of its own.

    Mean over the pairs of a node and an ancestor, in nats.
    """
    distance = Distances(geometry.manifold, points)
    beta = geometry.logit_scale.exp()
    others, wrong = rivals.of(nodes)
    away = -beta * distance(nodes[:, None], others)
    lowest = torch.finfo(away.dtype).min
    sums = away.masked_fill(~wrong, lowest).logsumexp(1)
    table = ancestors.table[nodes]
    row, entry = (table >= 0).nonzero(as_tuple=True)
    return F.softplus(sums[row] + beta * distance(nodes[row], table[row, entry])).mean()


class Distances:
    """d(x_i, x_j) for places i and j that broadcast; the manifold's own, or on the hyperboloid

        cosh d - 1 = 2 sinh^2((r - s) / 2) + sinh r sinh s |p - q|^2 / 2

    of radii r, s and directions p, q, lengths times sqrt(c), where nothing cancels: a fifth of the
    time, with backward.
    """

    def __init__(self, manifold: Manifold, points: Float[Tensor, "n d"]) -> None:
        self.manifold, self.points = manifold, points
        if isinstance(manifold, Lorentz):
            unit = points * manifold.c.sqrt()
            self.norm = unit.norm(dim=1).clamp_min(1e-12)
            self.radius, self.direction = self.norm.asinh(), unit / self.norm[:, None]

    def __call__(self, i: Tensor, j: Tensor) -> Tensor:
        if not isinstance(self.manifold, Lorentz):
            return self.manifold.dist(self.points[i], self.points[j])
        across = (self.direction[i] - self.direction[j]).square().sum(-1)
        along = ((self.radius[i] - self.radius[j]) / 2).sinh().square()
        u = 2 * along + self.norm[i] * self.norm[j] * across / 2
        # The root's slope is infinite at 0, where two points are one.
        u = u.clamp_min(1e-12)
        return (u + (u * (u + 2)).sqrt()).log1p() / self.manifold.c.sqrt()
