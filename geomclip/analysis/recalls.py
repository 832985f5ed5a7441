"""Retrieval within a modality and across: what does a point find nearest to it?

Two notions of right: a partner (pairs), and a point of the same label. Within a modality a point
is not its own answer. Neighbours are those of largest logit; equal ones in the order of rows.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import K, Space, leaf_labels
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured, share

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

RECALL_AT = (1, 5, 10)


@dataclass(frozen=True)
class Retrieval(Result):
    """Recalls by what is asked, what answers, and what is right.

    Args:
        recall: by "image → text, partner", R@1, R@5, R@10: share of queries with a right answer
            among the first k. Queries that have no right answer are not asked.
        chance: R@1 of a random order.
        candidates: how many points answer.
    """

    geometry: str
    recall: dict[str, dict[int, Measured]]
    chance: dict[str, Measured]
    candidates: dict[str, int]
    sampled: str

    def rows(self) -> list[Row]:
        """Recalls, then chance."""
        out = []
        for name, by_k in self.recall.items():
            key = name.replace(" → ", "_").replace(", ", ".")
            for k, value in by_k.items():
                out.append(Row(f"{key}.r{k}", f"{name}: R@{k}", value, is_share=True))
            out.append(Row(f"{key}.chance", f"{name}: chance", self.chance[name], is_share=True))
        return out

    def notes(self) -> list[str]:
        """Candidates, the sample."""
        pools = ", ".join(f"{name} among {n:,}" for name, n in self.candidates.items())
        return [f"Candidates: {pools}."] + ([self.sampled] if self.sampled else [])

    def charts(self) -> "list[Chart]":
        """R@1 within and across."""
        from geomclip.viz.densities import bars, name_of

        rows = [
            (name, 100 * by_k[1].value, 100 * (by_k[1].error or 0), by_k[1].n)
            for name, by_k in self.recall.items()
        ]
        title = f"{name_of(self.geometry)}: right answer found first"
        return [bars("retrieval", title, self.geometry, "R@1, per cent", rows)]


def retrieval(source: Embeddings | Space) -> Retrieval:
    """Recalls across the first two modalities and within each.

    Raises:
        RequestError: nothing is paired and no label has two points: no answer could be right.
    """
    space = Space.of(source)
    e = space.embeddings
    recall: dict[str, dict[int, Measured]] = {}
    chance: dict[str, Measured] = {}
    candidates = {}

    def add(name: str, a: str, b: str, right: Tensor, answers: Tensor) -> None:
        """`right` (n, k): which neighbours are; `answers` (n,): how many right ones there are."""
        asked = answers > 0
        n = int(asked.sum())
        if not n:
            return
        first = right[asked]
        pool = len(e[b]) - (a == b)
        recall[name] = {
            k: share(int(first[:, :k].any(1).sum()), n) for k in RECALL_AT if k <= first.shape[1]
        }
        chance[name] = Measured((answers[asked].double() / pool).mean().item(), None, n)
        candidates[name] = pool

    if space.pair is not None:
        for a, b in (space.pair, space.pair[::-1]):
            pairs = e.pairing(a, b)
            found = space.neighbors(a, b).index
            keys = torch.arange(len(e[a]))[:, None] * len(e[b]) + found
            right = torch.isin(keys, pairs[:, 0] * len(e[b]) + pairs[:, 1])
            count = torch.bincount(pairs[:, 0], minlength=len(e[a]))
            add(f"{a} → {b}, partner", a, b, right, count)
    labels = {m: leaf_labels(e, m) for m in e.modalities[:2]}
    for a in labels:
        for b in labels:
            mine, theirs = labels[a], labels[b]
            if mine is None or theirs is None:
                continue
            top = int(max(mine.max(), theirs.max())) + 1
            per_label = torch.bincount(theirs[theirs >= 0], minlength=top)
            count = per_label[mine.clamp_min(0)] - int(a == b)
            count[mine < 0] = 0
            # Across, labels of one point each would ask for partners once more.
            again = a != b and space.pair is not None and int(per_label.max()) < 2
            if again or not bool((count > 0).any()):
                continue
            found = space.neighbors(a, b).index
            add(f"{a} → {b}, same label", a, b, theirs[found] == mine[:, None], count)
    if not recall:
        raise RequestError(
            f"{e.source or 'embeddings'}: nothing is paired and no label has two points, so that "
            "no answer could be right",
            "Give pairs, or label paths.",
        )
    return Retrieval(space.geometry_name, recall, chance, candidates, space.sampled)


assert max(RECALL_AT) <= K
