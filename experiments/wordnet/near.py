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
from manifolds import Euclidean, Lorentz, Manifold, PoincareBall, Sphere, poincare_to_lorentz

# A look goes over tiles of NODES x WIDTH distances, which stay in the cache, and keeps the least of
# every GROUP; only those of the groups with the least are asked for again.
NODES, WIDTH, GROUP = 256, 1024, 16


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

    @torch.no_grad()
    def look(self, manifold: Manifold, points: Float[Tensor, "n d"]) -> None:
        """Take each node's nearest wrong nodes anew; of nodes without ancestors none is asked."""
        asked, k = self.ancestors.count.nonzero()[:, 0], self.nearest.shape[1]
        order = Order(manifold, points)
        # By their number: a block looks as far beyond k as its nodes have ancestors.
        for nodes in asked[self.ancestors.count[asked].argsort()].split(NODES):
            right = torch.cat([self.ancestors.table[nodes], nodes[:, None]], 1)
            found, far = order.nearest(nodes, k + int(self.ancestors.count[nodes].max()) + 1)
            far[(found[:, :, None] == right[:, None]).any(2)] = torch.inf
            self.nearest[nodes] = found.gather(1, far.topk(k, largest=False, sorted=False).indices)

    def of(self, nodes: Int[Tensor, "b"]) -> tuple[Int[Tensor, "b r"], Bool[Tensor, "b r"]]:
        """The rivals of each node, and which of them are wrong indeed: a draw may be none."""
        near = self.nearest[nodes]
        some = torch.randint(len(self.nearest), (len(nodes), self.drawn))
        right = (some[:, :, None] == self.ancestors.table[nodes][:, None]).any(2)
        right |= some == nodes[:, None]
        return torch.cat([near, some], 1), torch.cat([torch.ones_like(near).bool(), ~right], 1)


class Order:
    """What orders points by their distance from one another.

    Products of rows, in float64 since they cancel: at the optimizer's radius cap, 12, that of the
    hyperboloid is good to 1e-5 of cosh 0 = 1. A manifold without such is asked for its distance.
    `manifolds.topk` ranks again and proves every row, which costs several times as much and which
    rivals of a few epochs do not need.
    """

    def __init__(self, manifold: Manifold, points: Float[Tensor, "n d"]) -> None:
        self.manifold, self.points = manifold, points
        self.rows, self.columns = products(manifold, points.double()) or (None, None)
        whole = len(points) // GROUP * GROUP
        self.rest = torch.arange(whole, len(points))
        tiles = torch.arange(whole).split(WIDTH)
        self.groups = torch.cat([tile.view(GROUP, -1).T for tile in tiles])
        if self.columns is not None:
            self.tiles = [self.columns[tile].T.contiguous() for tile in tiles]
            # Filled again and again: new memory for every tile costs more than the products.
            self.block = self.columns.new_empty(NODES, WIDTH)
            self.minima = self.columns.new_empty(NODES, len(self.groups))

    def nearest(
        self, nodes: Int[Tensor, "b"], count: int
    ) -> tuple[Int[Tensor, "b m"], Float[Tensor, "b m"]]:
        """The `count` nearest points of each of at most NODES, all where there are fewer; in no
        order."""
        b, count = len(nodes), min(count, len(self.points))
        if self.columns is None:
            far = self.manifold.pairwise_dist(self.points[nodes], self.points)
            least = far.topk(count, largest=False, sorted=False)
            return least.indices, least.values
        rows, at = self.rows[nodes], 0
        for tile in self.tiles:
            block = self.block[:b, : tile.shape[1]]
            torch.mm(rows, tile, out=block)
            width = tile.shape[1] // GROUP
            torch.amin(block.view(b, GROUP, width), 1, out=self.minima[:b, at : at + width])
            at += width
        # One of the `count` least lies in one of as many groups with the least minima.
        size = min(count, len(self.groups))
        best = self.minima[:b].topk(size, largest=False, sorted=False).indices
        where = torch.cat([self.groups[best].flatten(1), self.rest.expand(b, -1)], 1)
        far = (self.columns[where] @ rows[:, :, None])[:, :, 0]
        least = far.topk(count, largest=False, sorted=False)
        return where.gather(1, least.indices), least.values


def products(
    manifold: Manifold, x: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]] | None:
    """Rows whose product with the others' columns grows with the distance: x_t y_t - <x, y> on the
    hyperboloid, |y|^2 - 2 <x, y> in Euclidean space, -<x, y> on the sphere. None for others."""
    if isinstance(manifold, PoincareBall):
        x = poincare_to_lorentz(x, manifold.c.double())
    square = x.square().sum(1, keepdim=True)
    if isinstance(manifold, Lorentz | PoincareBall):
        t = (1 / manifold.c + square).sqrt()
        return torch.cat([t, -x], 1), torch.cat([t, x], 1)
    if isinstance(manifold, Euclidean):
        return torch.cat([torch.ones_like(square), -2 * x], 1), torch.cat([square, x], 1)
    return (-x, x) if isinstance(manifold, Sphere) else None


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
    power = 2 if geometry.spec.logit == "-dist2" else 1
    others, wrong = rivals.of(nodes)
    away = -beta * distance(nodes[:, None], others) ** power
    lowest = torch.finfo(away.dtype).min
    sums = away.masked_fill(~wrong, lowest).logsumexp(1)
    table = ancestors.table[nodes]
    row, entry = (table >= 0).nonzero(as_tuple=True)
    near = beta * distance(nodes[row], table[row, entry]) ** power
    return F.softplus(sums[row] + near).mean()


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
            norm = unit.norm(dim=1, keepdim=True).clamp_min(1e-12)
            self.polar = torch.cat([unit / norm, norm, norm.asinh()], 1)

    def __call__(self, i: Tensor, j: Tensor) -> Tensor:
        if not isinstance(self.manifold, Lorentz):
            return self.manifold.dist(rows(self.points, i), rows(self.points, j))
        a, b = rows(self.polar, i), rows(self.polar, j)
        across = (a[..., :-2] - b[..., :-2]).square().sum(-1)
        along = ((a[..., -1] - b[..., -1]) / 2).sinh().square()
        u = 2 * along + a[..., -2] * b[..., -2] * across / 2
        # The root's slope is infinite at 0, where two points are one.
        u = u.clamp_min(1e-12)
        return (u + (u * (u + 2)).sqrt()).log1p() / self.manifold.c.sqrt()


def rows(table: Float[Tensor, "n d"], at: Int[Tensor, "*s"]) -> Float[Tensor, "*s d"]:
    """table[at], whose gradient is added up in half of the time."""
    return table.index_select(0, at.flatten()).unflatten(0, at.shape)
