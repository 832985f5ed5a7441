"""Traversals in a picture: the texts among its samples that are met on the way to the root."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.envelope import reaches
from geomclip.geometry import Geometry
from geomclip.traverse import STEPS, Traversal, TraversalStatistics, traversal_statistics, traverse
from geomclip.viz import style

# Multiplications that the ways of one space may cost: some seconds.
WORK = 1e11
# Texts that may be met, where all of them would cost more.
POOL = 2000


@dataclass(frozen=True)
class Plan:
    """Which samples start a way, and which may be met; the same in every space.

    Args:
        starts, texts: samples.
        note: what was left out; "" for nothing.
    """

    starts: tuple[int, ...]
    texts: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True)
class Ways:
    """The ways of one space.

    Args:
        found: by sample, the way that starts there; `Met.row` is a place in `plan.texts`.
    """

    plan: Plan
    found: dict[int, Traversal]

    def steps(self) -> dict[int, list[int]]:
        """By sample, the samples that it meets; -1 for the root."""
        texts = self.plan.texts
        return {
            i: [texts[met.row] if met.row >= 0 else -1 for met in way.met]
            for i, way in self.found.items()
        }

    def statistics(self) -> TraversalStatistics:
        """How many texts the ways meet (figure 5 of arXiv 2409.13079)."""
        return traversal_statistics(list(self.found.values()), len(self.plan.texts))


def plan_ways(
    starts: Sequence[int],
    labels: Sequence[int],
    texts: Sequence[int],
    work: int,
    seed: int = 0,
) -> Plan:
    """All pictures and texts where the work allows; else all pictures with random texts, labels
    before texts; else random pictures.

    Args:
        work: multiplications for one picture and one text, see `work_of`.
    """
    generator = torch.Generator().manual_seed(seed)

    def some(given: Sequence[int], most: int) -> list[int]:
        if len(given) <= most:
            return list(given)
        order = torch.randperm(len(given), generator=generator)[: max(0, most)]
        return sorted(given[i] for i in order.tolist())

    most = max(POOL, int(WORK / (work * max(1, len(starts)))))
    pool = [*some(labels, most), *some(texts, most - min(most, len(labels)))]
    begun = some(starts, int(WORK / (work * max(1, len(pool)))))
    note = ""
    if pool and (len(begun), len(pool)) != (len(starts), len(labels) + len(texts)):
        note = (
            f"Ways to the root: of {style.count(len(begun))} of {style.count(len(starts))} "
            f"pictures, among {style.count(len(pool))} of "
            f"{style.count(len(labels) + len(texts))} texts, drawn at random where not all are."
        )
    return Plan(tuple(begun), tuple(pool), note)


def work_of(geometry: Geometry, x: Float[Tensor, "n d"]) -> int:
    """Multiplications for a way's scores of one text: once where ways are straight lines for the
    score, else at every point of the way."""
    root = geometry.root.to(x)[None].detach()
    straight = reaches(geometry, x, root, x, published=True)
    # Beside the product, a text's scores at a dozen steps, each read, added and compared.
    return x.shape[1] + 5 * STEPS if straight else x.shape[1] * STEPS


def walk(geometry: Geometry, x: Float[Tensor, "n d"], captions: Sequence[str], plan: Plan) -> Ways:
    """Every way of the plan, as published: 50 points, each text once, no cones to filter by.

    Raises:
        ValueError: as `way`, for points of the sphere opposite to the root.
    """
    if not plan.starts or not plan.texts:
        return Ways(plan, {})
    rows = list(plan.texts)
    found = traverse(geometry, x[list(plan.starts)], [captions[i] for i in rows], x[rows])
    return Ways(plan, dict(zip(plan.starts, found, strict=True)))
