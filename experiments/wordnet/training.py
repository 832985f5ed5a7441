"""Trains a table of points to rank every node's ancestors first: the loop behind reconstruct.py.

A step takes a batch of nodes and one set of negatives for all of them, so that logits are one
matrix; the ancestors of the batch are candidates too, each for its own descendants alone. Batches
are stretches of the depth-first order: with `hard` the batch itself is among the negatives, and
a node's nearest rivals, its siblings and cousins, are met in most steps. With `nearest` every node
has rivals of its own instead (near.py).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import geoopt
import torch
from graph import Ancestors, depth_first
from jaxtyping import Int
from near import Rivals, near_loss
from torch import Tensor

from geomclip.errors import GeomclipError
from geomclip.geometry import Geometry, build_geometry
from geomclip.hierarchy import Hierarchy
from geomclip.losses import ranking_loss
from geomclip.towers import PointTable, tree_points
from manifolds.optim import RiemannianAdam

MANIFOLDS = ("poincare", "lorentz", "euclidean", "sphere", "product")
INITS = ("random", "tree")
OPTIMIZERS = ("geomclip", "geoopt")
LOGITS = {"poincare": "poincare", "lorentz": "hyperbolic", "sphere": "elliptic"}


@dataclass(frozen=True)
class Settings:
    """All that decides a run, beside the hierarchy.

    Args:
        manifold: one of `MANIFOLDS`; a product is a hyperboloid and a sphere (`space`).
        dim: dimension of the manifold; a sphere has one coordinate more.
        seed: of first points and batches.
        optimizer: "geomclip", `manifolds.optim.RiemannianAdam`; "geoopt", its own of that name
            with its own eps and no radius cap.
        init: "random", a wrapped normal of `spread` round the root (on spheres uniform); "tree".
        edge: geodesic length of an edge of the tree that "tree" starts from.
        epochs: how often every node is asked about.
        batch: nodes a step; at most a fifth of all, so that a small tree has steps enough too.
        block: nodes of a batch that are neighbours in depth-first order.
        negatives: how many are drawn uniformly for a step, shared by its nodes: at the start.
        last_negatives: at the end; their number grows geometrically.
        hard: whether the nodes of the batch are negatives of each other too.
        nearest: how many of its nearest wrong nodes a node is ranked against, in place of negatives
            shared by the batch; then `negatives` are drawn for every node, all through.
        look: epochs from one look at what is nearest to the next.
        lr: learning rate at its highest (`rate`).
        burn_in: share of the steps in which it rises.
        eps: `point_eps` of ours, for a loss that is a sum over the batch's pairs.
        scale: beta of the logits -beta d.
        squared: logits -beta d^2; Euclidean alone.
        spread: standard deviation of random first points, geodesic length.
        sparse: step the points of a batch alone; for many nodes, since otherwise all of them go on
            by their momentum in every step. Ours alone.
    """

    manifold: str
    dim: int
    seed: int = 0
    optimizer: str = "geomclip"
    init: str = "random"
    edge: float = 0.8
    epochs: int = 300
    batch: int = 128
    block: int = 1
    negatives: int = 50
    last_negatives: int = 1000
    hard: bool = False
    nearest: int = 0
    look: int = 20
    lr: float = 0.1
    burn_in: float = 0.3
    eps: float = 0.03
    scale: float = 1.0
    squared: bool = False
    spread: float = 0.01
    sparse: bool = False

    def __post_init__(self) -> None:
        if self.squared and self.manifold != "euclidean":
            raise ValueError(f"squared is for euclidean, not {self.manifold}")


def space(settings: Settings) -> Geometry:
    """The geometry of a run: c = 1, beta fixed."""
    beta = math.log(settings.scale)
    dim = settings.dim
    if settings.manifold == "product":
        # Half of the dimensions each, the hyperboloid the larger half; S^k has k + 1 coordinates.
        curved, round_ = dim - dim // 2, dim // 2 + 1
        name = f"lorentz{curved}xsphere{round_}"
        return build_geometry(name, curved + round_, learn_c=False, init_logit_scale=beta)
    if settings.manifold == "euclidean":
        name = "euclidean-squared" if settings.squared else "euclidean"
        return build_geometry(name, dim, init_logit_scale=beta)
    name, dim = LOGITS[settings.manifold], dim + (settings.manifold == "sphere")
    return build_geometry(name, dim, learn_c=False, init_logit_scale=beta)


@dataclass(frozen=True)
class Progress:
    """Where a run is."""

    step: int
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Trained:
    """What came out.

    Args:
        geometry: of the points.
        points: (n, d), float32; not finite where the training diverged.
        steps: that were made.
        cpu_seconds, wall_seconds: of the training alone.
        capped: how often a point was brought back to the optimizer's radius cap.
        diverged_at: the step before which points were no longer finite; None for none.
    """

    geometry: Geometry
    points: Tensor
    steps: int
    cpu_seconds: float
    wall_seconds: float
    capped: int
    diverged_at: int | None


def train(
    hierarchy: Hierarchy,
    settings: Settings,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """One run, in float32, on the threads that torch has.

    Raises:
        GeomclipError: the loss is not finite under our optimizer. geoopt's may end in NaN, and then
            does so in `Trained`.
    """
    start, wall = time.process_time(), time.perf_counter()
    torch.manual_seed(settings.seed)
    geometry = space(settings).requires_grad_(False)
    table = first_points(hierarchy, geometry, settings)
    optimizer = make_optimizer(table, settings)
    ancestors = Ancestors(hierarchy)
    batches = Batches(hierarchy, ancestors, settings)
    rivals = Rivals(ancestors, settings.nearest, settings.negatives) if settings.nearest else None
    steps, step, diverged = settings.epochs * len(batches), 0, None
    for epoch in range(settings.epochs):
        if rivals and epoch % settings.look == 0:
            rivals.look(geometry.manifold, table.weight.detach())
        for nodes in batches.epoch():
            done = step / steps
            optimizer.param_groups[0]["lr"] = settings.lr * rate(done, settings.burn_in)
            optimizer.zero_grad()
            if rivals:
                loss = near_loss(geometry, table.weight, ancestors, rivals, nodes)
            else:
                count = settings.negatives * (settings.last_negatives / settings.negatives) ** done
                loss = batch_loss(
                    geometry, table, ancestors, nodes, negatives=round(count), hard=settings.hard
                )
            # The sum over pairs: its gradients, and so eps, do not depend on the batch.
            (loss * ancestors.count[nodes].sum()).backward()
            optimizer.step()
            step += 1
            if step % 10 == 0 or step == steps:
                value = loss.item()
                if not math.isfinite(value):
                    diverged = step
                    break
                tell(Progress(step, steps, value, time.perf_counter() - wall))
        if diverged:
            break
    if diverged and settings.optimizer == "geomclip":
        raise GeomclipError(
            f"step {diverged}: the loss is not finite", f"Take a smaller --lr than {settings.lr:g}."
        )
    return Trained(
        geometry,
        table.weight.detach(),
        step,
        time.process_time() - start,
        time.perf_counter() - wall,
        getattr(optimizer, "capped_total", 0),
        diverged,
    )


def rate(done: float, burn_in: float) -> float:
    """Share of the learning rate at a share `done` of the steps.

    It rises from a hundredth, by one factor a step, and then falls linearly to a hundredth.
    While steps are short the points stay near the root, where what belongs together gathers with
    little in its way; farther out they would have to go round each other.
    """
    if done < burn_in:
        return 0.01 ** (1 - done / burn_in)
    return max((1 - done) / (1 - burn_in), 0.01)


def first_points(hierarchy: Hierarchy, geometry: Geometry, settings: Settings) -> PointTable:
    """The table at the start. geoopt's optimizer takes no sparse gradient."""
    table = PointTable(
        len(hierarchy),
        geometry.manifold,
        geometry.dim,
        init_std=None if settings.manifold == "sphere" else settings.spread,
        sparse=settings.sparse and settings.optimizer == "geomclip",
    )
    if settings.init == "tree":
        edge = settings.edge
        table.weight.data.copy_(tree_points(hierarchy, table.manifold, geometry.dim, edge=edge))
    return table


def make_optimizer(table: PointTable, settings: Settings) -> torch.optim.Optimizer:
    """Ours, or geoopt's with its defaults."""
    if settings.optimizer == "geoopt":
        return geoopt.optim.RiemannianAdam(table.parameters(), lr=settings.lr)
    return RiemannianAdam(table.parameters(), lr=settings.lr, point_eps=settings.eps)


class Batches:
    """Every node with an ancestor once an epoch."""

    def __init__(self, hierarchy: Hierarchy, ancestors: Ancestors, settings: Settings) -> None:
        order = depth_first(hierarchy)
        self.order: Int[Tensor, "q"] = order[ancestors.count[order] > 0]
        batch = min(settings.batch, math.ceil(len(self.order) / 5))
        self.block = min(settings.block, batch)
        self.per_batch = batch // self.block

    def __len__(self) -> int:
        return math.ceil(math.ceil(len(self.order) / self.block) / self.per_batch)

    def epoch(self) -> list[Int[Tensor, "b"]]:
        """Blocks in a new order, cut at new places."""
        shift = int(torch.randint(len(self.order), ()))
        blocks = self.order.roll(shift).split(self.block)
        order = torch.randperm(len(blocks)).tolist()
        return [
            torch.cat([blocks[j] for j in order[i : i + self.per_batch]])
            for i in range(0, len(order), self.per_batch)
        ]


def batch_loss(
    geometry: Geometry,
    table: PointTable,
    ancestors: Ancestors,
    nodes: Int[Tensor, "b"],
    *,
    negatives: int,
    hard: bool,
) -> Tensor:
    """`ranking_loss` of a batch, 0-dim."""
    drawn = torch.randint(len(ancestors), (negatives,))
    rivals = (torch.cat([drawn, nodes]) if hard else drawn).unique()
    candidates = torch.cat([ancestors.of(nodes), rivals]).unique()
    positive = ancestors.mask(nodes, candidates)
    negative = torch.zeros_like(positive)
    negative[:, torch.searchsorted(candidates, rivals)] = True
    negative &= ~positive & (nodes[:, None] != candidates)
    # Each row is asked of the table once: twice would be added up by sorting.
    rows = torch.cat([candidates, nodes]).unique()
    points = table(rows)
    x, y = (points[torch.searchsorted(rows, some)] for some in (nodes, candidates))
    return ranking_loss(geometry, x, y, positive, negative)
