"""Training of a model on the edges of a split, and its F1.

A batch is some children with all their training edges. Every child is scored against one set of
parents, every parent of the batch against one set of children, both drawn anew for each batch and
weighted by the edges that they stand for; training edges among them count nothing. Half or less of
the drawn parents are parents of training edges, the rest of everything uniform.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from cones_models import MODELS, Model, plant
from splits import LinkSplit
from torch import Tensor

from geomclip import dag
from geomclip.errors import GeomclipError
from geomclip.evaluate import best_threshold, f1_score
from geomclip.losses import edge_loss
from manifolds.optim import RiemannianAdam

INITS = ("random", "tree")


@dataclass(frozen=True)
class Settings:
    """What a run is trained with.

    Args:
        model: a row of `MODELS`.
        dim: coordinates of a point.
        shape: the cones' K, the balls' radius, the order's margin.
        init: "random", or "tree" (see `plant`; `step` and `spread` are its).
        sharpness: beta of the loss.
        lr: at the start; it falls to a twentieth along half a cosine.
        batch: children of a step.
        negatives: drawn parents, and drawn children, of a step.
        hard: share of the drawn parents that are parents of training edges.
        weight: of a drawn pair; each edge has one of either kind, the mean of them.
        restarts: trainings from different first points, of which the one with the best validation
            F1 is taken; test is computed for that one alone.
    """

    model: str
    dim: int
    shape: float
    init: str = "random"
    step: float = 0.4
    spread: float = 1.0
    sharpness: float = 5.0
    lr: float = 0.1
    epochs: int = 40
    batch: int = 128
    negatives: int = 64
    hard: float = 0.5
    weight: float = 1.0
    restarts: int = 1
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """What decides a run. Runs of one start keep the files of before there were several."""
        values = dataclasses.asdict(self)
        if self.restarts == 1:
            del values["restarts"]
        return values


class Edges:
    """Training edges (parent, child), by child.

    Args:
        edges: (m, 2).
    """

    def __init__(self, edges: np.ndarray, nodes: int) -> None:
        order = np.argsort(edges[:, 1], kind="stable")
        self.nodes = nodes
        self.parents = torch.from_numpy(edges[order, 0].copy())
        self.start = torch.from_numpy(dag.starts(np.bincount(edges[:, 1], minlength=nodes)))
        self.children = torch.nonzero(self.start.diff())[:, 0]

    def of(self, children: Tensor) -> tuple[Tensor, Tensor]:
        """All edges of some children: the child's place among them, and the parent."""
        count = self.start[children + 1] - self.start[children]
        row = torch.repeat_interleave(torch.arange(len(children)), count)
        first = torch.repeat_interleave(self.start[children] - (count.cumsum(0) - count), count)
        return row, self.parents[first + torch.arange(len(row))]

    def known(self, parents: Tensor, children: Tensor) -> Tensor:
        """(n, m) whether parents[i] is above children[j] in training, or is children[j].

        Both distinct.
        """
        place = torch.full((self.nodes,), -1)
        place[parents] = torch.arange(len(parents))
        row, above = self.of(children)
        out = torch.zeros(len(parents), len(children), dtype=torch.bool)
        there = place[above] >= 0
        out[place[above[there]], row[there]] = True
        same = place[children] >= 0
        out[place[children[same]], torch.nonzero(same)[:, 0]] = True
        return out


def drawn(size: int, nodes: int, generator: torch.Generator) -> Tensor:
    """Distinct nodes, at most `size`."""
    return torch.randint(nodes, (size,), generator=generator).unique()


def batch_loss(
    model: Model, edges: Edges, children: Tensor, s: Settings, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Summed loss of a batch in nats, and its number of edges."""
    row, above = edges.of(children)
    parents, column, shared = above.unique(return_inverse=True, return_counts=True)
    hard = round(s.hard * s.negatives)
    pool = edges.parents[torch.randint(len(edges.parents), (hard,), generator=generator)]
    uniform = drawn(s.negatives - hard, edges.nodes, generator)
    others_above = torch.cat([uniform, pool]).unique()
    others_below = drawn(s.negatives, edges.nodes, generator)

    groups = [children, parents, others_above, others_below]
    rows, place = torch.cat(groups).unique(return_inverse=True)
    points = model.table(rows)
    below, over, wrong_over, wrong_below = (
        points[part] for part in place.split([len(g) for g in groups])
    )
    count = torch.bincount(row, minlength=len(children))
    free_below = ~edges.known(parents, others_below)
    free_over = ~edges.known(others_above, children)
    loss = edge_loss(
        model.score(over[column], below[row]),
        torch.cat(
            [
                model.pairwise(over, wrong_below).flatten(),
                model.pairwise(wrong_over, below).flatten(),
            ]
        ),
        s.weight
        * torch.cat(
            [
                (free_below * (shared[:, None] / len(others_below))).flatten(),
                (free_over * (count / len(others_above))).flatten(),
            ]
        ),
        sharpness=s.sharpness,
    )
    return loss * len(row), len(row)


def train(
    split: LinkSplit,
    s: Settings,
    tell: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Model:
    """A trained model.

    Args:
        tell: of every step: which, of how many, the loss of an edge in nats.

    Raises:
        GeomclipError: the loss is not finite.
    """
    torch.manual_seed(s.seed)
    generator = torch.Generator().manual_seed(s.seed)
    model = MODELS[s.model](split.nodes, s.dim, s.shape)
    edges = Edges(split.train, split.nodes)
    if s.init == "tree":
        plant(model, split.basic, depths(split), s.step, s.spread)
    optimizer = RiemannianAdam([model.table.weight], lr=s.lr)
    steps = s.epochs * math.ceil(len(edges.children) / s.batch)
    done = 0
    for _ in range(s.epochs):
        order = edges.children[torch.randperm(len(edges.children), generator=generator)]
        for children in order.split(s.batch):
            cosine = (1 + math.cos(math.pi * done / steps)) / 2
            optimizer.param_groups[0]["lr"] = s.lr * (0.05 + 0.95 * cosine)
            loss, count = batch_loss(model, edges, children, s, generator)
            value = loss.item() / count
            if not math.isfinite(value):
                raise GeomclipError(
                    f"{s.model}, seed {s.seed}: the loss is {value} at step {done} of {steps}",
                    "Lower --lr.",
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            tell(done, steps, value)
    return model


def depths(split: LinkSplit) -> np.ndarray:
    """(n,) basic edges on the longest way from a top."""
    order = np.argsort(split.basic[:, 1], kind="stable")
    start = dag.starts(np.bincount(split.basic[:, 1], minlength=split.nodes))
    up = split.basic[order, 0]
    depth = np.zeros(split.nodes, np.int64)
    for d, level in enumerate(dag.levels(start, dag.transposed(start, up))):
        depth[level] = d
    return depth


@torch.no_grad()
def scores(model: Model, pairs: np.ndarray) -> np.ndarray:
    """The exact score of every pair (parent, child)."""
    w = model.table.weight.detach()
    parts = [
        model.score(w[part[:, 0]], w[part[:, 1]]) for part in torch.from_numpy(pairs).split(65_536)
    ]
    return torch.cat(parts).double().numpy()


def evaluate(model: Model, split: LinkSplit, *, test: bool) -> dict[str, Any]:
    """F1 on validation with its best threshold; on test with that threshold if asked for."""

    def of(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pairs = np.concatenate([positive, negative])
        return scores(model, pairs), np.arange(len(pairs)) < len(positive)

    threshold = best_threshold(*of(split.valid, split.valid_negatives))
    found: dict[str, Any] = {"valid_f1": threshold.f1, "threshold": threshold.value}
    if test:
        pairs = of(split.test, split.test_negatives)
        found["test_f1"] = f1_score(*pairs, threshold.value)
        found["test_f1_at_zero"] = f1_score(*pairs, 0.0)
    return found


def run(
    split: LinkSplit,
    s: Settings,
    tell: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    *,
    test: bool = True,
) -> dict[str, Any]:
    """Train and evaluate; the result of a run."""
    start = time.process_time()
    # One seed for each start; those of a table's runs lie below 1000.
    starts = [dataclasses.replace(s, seed=s.seed + 1000 * i) for i in range(s.restarts)]
    model, valid = None, []
    for i, one in enumerate(starts):
        trained = train(
            split, one, lambda at, of, loss, i=i: tell(i * of + at, len(starts) * of, loss)
        )
        valid.append(evaluate(trained, split, test=False)["valid_f1"])
        if valid[-1] == max(valid):
            model = trained
    assert model is not None
    seconds = time.process_time() - start
    return {
        **evaluate(model, split, test=test),
        **({"valid_f1_of_starts": valid} if len(starts) > 1 else {}),
        "split": split.to_dict(),
        "train_cpu_seconds": round(seconds, 2),
        "parameters": s.to_dict(),
    }
