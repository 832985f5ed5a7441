"""Retrieval: at which rank does a query find a right answer?

Ties are settled against the model: a wrong candidate whose score equals the right one's stands
before it. A model that gives every candidate the same score therefore finds nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

RECALL_AT = (1, 5, 10)

# Entries of one block of scores: 16 MB in float32, whatever the size of the pool.
BLOCK = 1 << 22

Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Retrieved:
    """What a set of queries found among the candidates.

    Args:
        rank: place of the best right answer, from 1; candidates + 1 where none is right.
        top: the candidates with the highest scores, best first.
        score: their scores.
    """

    rank: Int[Tensor, "q"]
    top: Int[Tensor, "q k"]
    score: Float[Tensor, "q k"]

    def recall(self, k: int) -> float:
        """R@k: share of the queries with a right answer among the first k."""
        return (self.rank <= k).double().mean().item()


def rank_of_best(scores: Float[Tensor, "q n"], right: Bool[Tensor, "q n"]) -> Int[Tensor, "q"]:
    """1 + the number of wrong candidates that score at least as high as the best right one.

    NaN scores count as ahead: they never help.
    """
    best = scores.masked_fill(~right, -torch.inf).amax(-1, keepdim=True)
    # "not below" and not ">=": a NaN must not fall behind.
    return 1 + (~right & ~(scores < best)).sum(-1)


def retrieve(
    score: Score,
    queries: Float[Tensor, "q d"],
    candidates: Float[Tensor, "n d"],
    query_label: Int[Tensor, "q"],
    candidate_label: Int[Tensor, "n"],
    k: int = 5,
) -> Retrieved:
    """Rank all candidates for each query; a candidate is right when its label is the query's.

    Args:
        score: (q, d), (n, d) -> (q, n), larger is closer: `geometry.score`.
        k: how many of the best candidates to keep (fewer when there are fewer).
    """
    k = min(k, len(candidates))
    step = max(1, BLOCK // max(1, len(candidates)))
    ranks, tops, values = [], [], []
    for i in range(0, len(queries), step):
        scores = score(queries[i : i + step], candidates)
        right = query_label[i : i + step, None] == candidate_label[None, :]
        ranks.append(rank_of_best(scores, right))
        value, index = scores.topk(k, dim=-1)
        tops.append(index)
        values.append(value)
    if not ranks:
        empty = torch.empty(0, k)
        return Retrieved(torch.empty(0, dtype=torch.long), empty.long(), empty)
    return Retrieved(torch.cat(ranks), torch.cat(tops), torch.cat(values))


def chance_recall(right: Sequence[int], candidates: int, k: int) -> float:
    """R@k of a random order: the mean over queries of 1 - C(n - p, k) / C(n, k).

    Args:
        right: p, the number of right candidates of each query.
        candidates: n.
    """
    return sum(_chance(p, candidates, k) for p in right) / len(right)


def _chance(right: int, candidates: int, k: int) -> float:
    miss = 1.0
    for drawn in range(min(k, candidates)):
        miss *= max(0, candidates - right - drawn) / (candidates - drawn)
    return 1.0 - miss
