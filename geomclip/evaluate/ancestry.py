"""Are a thing's ancestors found among all labels, and told from what is no ancestor?

Retrieval ranks all labels for each query; its ancestors are the right answers (Nickel & Kiela,
arXiv 1705.08039):

    AP = mean over ancestors of (ancestors so far) / (labels so far)
    rank of an ancestor = 1 + the labels before it that are no ancestors

Entailment asks of pairs (label, query) whether the label is above the query, by a score, and counts
how well it sorts them: area under the ROC curve and average precision, as ARGENT's probabilistic
entailment protocol does (arXiv 2603.23311). Its probability 1 - angle / pi sorts as -angle does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.evaluate.retrieval import BLOCK
from geomclip.evaluate.roots import pairwise_exterior_angle
from geomclip.evaluate.tested import (
    Tested,
    bootstrap_error,
    bootstrap_errors,
    mean_of,
    permutations,
    tested,
)
from geomclip.geometry import Geometry

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# (labels (k, d), queries (q, d)) -> (k, q), larger where the label is more likely above the query.
Above = Callable[[Tensor, Tensor], Tensor]


def scores_of(
    geometry: Geometry, root: Tensor | None = None, min_radius: float = 0.1
) -> dict[str, Above]:
    """What can say that a label is above a query.

    `score`: the geometry's own, which knows no direction; `angle`: minus the exterior angle at the
    label. `cone`, where there are cones: the margin aperture - angle, with K = `min_radius`.
    """
    found: dict[str, Above] = {"score": lambda labels, x: geometry.score(x, labels).T}
    if geometry.has_cones and root is None:
        m = geometry.manifold
        found["angle"] = lambda labels, x: -m.pairwise_exterior_angle(labels, x)
        found["cone"] = lambda labels, x: (
            m.half_aperture(labels, min_radius=min_radius)[:, None]
            - m.pairwise_exterior_angle(labels, x)
        )
    else:
        found["angle"] = lambda labels, x: -pairwise_exterior_angle(geometry, labels, x, root)
    return found


@dataclass(frozen=True)
class AncestorRetrieval:
    """Ancestors among all labels; the null has the labels' points shuffled.

    Args:
        average_precision: mean over queries (MAP).
        rank: mean over all pairs of a query and an ancestor of its rank, 1 at best.
    """

    average_precision: Tested
    rank: Tested

    def to_dict(self) -> dict[str, Any]:
        """Both, with their errors."""
        return {"average_precision": self.average_precision.to_dict(), "rank": self.rank.to_dict()}


def ranked(
    scores: Float[np.ndarray, "n"], right: np.ndarray
) -> tuple[float, Float[np.ndarray, "r"]]:
    """Average precision of one query and the rank of every right answer among the wrong ones.

    Ties are settled against the query: a wrong answer that scores as high stands before.

    Args:
        scores: of all candidates.
        right: the candidates that are right, at least one.
    """
    wrong = np.ones(len(scores), bool)
    wrong[right] = False
    good = np.sort(scores[right])[::-1]
    before = np.searchsorted(np.sort(-scores[wrong]), -good, side="right")
    place = np.arange(1, len(good) + 1)
    return float((place / (place + before)).mean()), 1.0 + before


def ancestor_retrieval(
    score: Above,
    labels: Float[Tensor, "k d"],
    queries: Float[Tensor, "q d"],
    above: "csr_array",
    itself: np.ndarray | None = None,
    *,
    shuffles: int = 5,
) -> AncestorRetrieval:
    """Rank all labels for each query that has an ancestor.

    Args:
        score: one of `scores_of`.
        above: (q, k) boolean, which labels are above which query.
        itself: (q,) the label that a query is, left out of its candidates; -1 for none.
        shuffles: of the null; 0 leaves it out.

    Raises:
        ValueError: no query has an ancestor.
    """
    has = np.flatnonzero(np.diff(above.indptr))
    if not has.size:
        raise ValueError("ancestor_retrieval: no query has an ancestor among the labels")
    precision, rank = _retrieve(score, labels, queries, above, itself, has)
    null = [
        _retrieve(score, labels[torch.from_numpy(order)], queries, above, itself, has)
        for order in permutations(len(labels), shuffles)
    ]
    pairs = np.concatenate(rank)
    sums, counts = np.array([r.sum() for r in rank]), np.array([len(r) for r in rank])
    # The pairs of one query are not independent: its error is that of the queries.
    error = bootstrap_error(lambda w: (w @ sums) / (w @ counts), len(sums))
    return AncestorRetrieval(
        mean_of(precision, [float(p.mean()) for p, _ in null]),
        tested(
            float(pairs.mean()), error, len(pairs),
            [float(np.concatenate(r).mean()) for _, r in null],
        ),
    )  # fmt: skip


def _retrieve(
    score: Above,
    labels: Tensor,
    queries: Tensor,
    above: "csr_array",
    itself: np.ndarray | None,
    rows: np.ndarray,
) -> tuple[np.ndarray, list[np.ndarray]]:
    precision, rank = [], []
    step = max(1, BLOCK // len(labels))
    for i in range(0, len(rows), step):
        some = rows[i : i + step]
        with torch.no_grad():
            values = score(labels, queries[torch.from_numpy(some)]).T.cpu().numpy()
        for row, scores in zip(some, values, strict=True):
            right = above.indices[above.indptr[row] : above.indptr[row + 1]]
            if itself is not None and itself[row] >= 0:
                keep = np.arange(len(scores)) != itself[row]
                right = right - (right > itself[row])
                scores = scores[keep]
            found = ranked(scores, right)
            precision.append(found[0])
            rank.append(found[1])
    return np.array(precision), rank


@dataclass(frozen=True)
class Entailment:
    """Pairs (label, query) told apart; errors by resampling queries, the null as in retrieval.

    Args:
        auc: area under the ROC curve, 1/2 by chance.
        average_precision: its chance is the share of positive pairs.
        positive, negative: how many pairs.
    """

    auc: Tested
    average_precision: Tested
    positive: int
    negative: int

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return {
            "auc": self.auc.to_dict(),
            "average_precision": self.average_precision.to_dict(),
            "positive": self.positive,
            "negative": self.negative,
        }


def entailment_auc(
    score: Above,
    labels: Float[Tensor, "k d"],
    queries: Float[Tensor, "q d"],
    above: "csr_array",
    itself: np.ndarray | None = None,
    *,
    negatives: int = 10,
    shuffles: int = 5,
    seed: int = 0,
) -> Entailment:
    """Does the score sort the pairs with the label above the query before the others?

    Args:
        score: one of `scores_of`.
        above, itself: as in `ancestor_retrieval`.
        negatives: labels drawn for each positive pair among those that are neither above its query
            nor the query itself.

    Raises:
        ValueError: no query has an ancestor, or every label is above every query.
    """
    positive = np.stack(above.nonzero(), axis=1)
    if not len(positive):
        raise ValueError("entailment_auc: no query has an ancestor among the labels")
    generator = np.random.default_rng(seed)
    query = np.repeat(positive[:, 0], negatives)
    drawn = np.stack([query, generator.integers(0, len(labels), len(query))], axis=1)
    taken = positive[:, 0] * len(labels) + positive[:, 1]
    key = drawn[:, 0] * len(labels) + drawn[:, 1]
    fine = ~np.isin(key, taken)
    if itself is not None:
        fine &= drawn[:, 1] != itself[drawn[:, 0]]
    drawn = drawn[fine]
    if not len(drawn):
        raise ValueError("entailment_auc: every label is above every query; there is no negative")
    pairs = np.concatenate([positive, drawn])
    truth = np.arange(len(pairs)) < len(positive)

    def sort(order: np.ndarray | None = None) -> "_Sorted":
        shown = labels if order is None else labels[torch.from_numpy(order)]
        return _Sorted(_pair_scores(score, shown, queries, pairs), truth, pairs[:, 0])

    found = sort()
    null = [sort(order).areas() for order in permutations(len(labels), shuffles)]
    errors = bootstrap_errors(found.areas, len(queries))
    auc, ap = found.areas()
    return Entailment(
        tested(auc, errors[0], len(pairs), [n[0] for n in null]),
        tested(ap, errors[1], len(pairs), [n[1] for n in null]),
        len(positive),
        len(drawn),
    )


def _pair_scores(score: Above, labels: Tensor, queries: Tensor, pairs: np.ndarray) -> np.ndarray:
    """The score of each pair (query, label), by blocks of queries."""
    out = np.empty(len(pairs))
    order = np.argsort(pairs[:, 0], kind="stable")
    step = max(1, BLOCK // len(labels))
    sorted_rows = pairs[order, 0]
    for i in range(0, len(queries), step):
        low, high = np.searchsorted(sorted_rows, [i, i + step])
        if high > low:
            with torch.no_grad():
                block = score(labels, queries[i : i + step]).cpu().double().numpy()
            some = order[low:high]
            out[some] = block[pairs[some, 1], pairs[some, 0] - i]
    return out


class _Sorted:
    """Pairs by descending score, so that weights of queries cost no further sort."""

    def __init__(self, scores: np.ndarray, truth: np.ndarray, query: np.ndarray) -> None:
        order = np.argsort(-scores, kind="stable")
        self.truth, self.query = truth[order], query[order]
        ordered = scores[order]
        # Ends of runs of equal scores: a tie has one place in the order.
        self.ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))

    def areas(self, weight: np.ndarray | None = None) -> tuple[float, float]:
        """(area under the ROC curve, average precision) with a weight for each query."""
        w = np.ones(len(self.query)) if weight is None else weight[self.query]
        hits = np.cumsum(w * self.truth)[self.ends]
        misses = np.cumsum(w * ~self.truth)[self.ends]
        if hits[-1] == 0 or misses[-1] == 0:
            return math.nan, math.nan
        gained = np.diff(hits, prepend=0.0)
        # Negatives beyond the tie count whole, those within it half.
        middle = misses - np.diff(misses, prepend=0.0) / 2
        auc = float(1 - gained @ middle / (hits[-1] * misses[-1]))
        total = hits + misses
        share = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
        return auc, float(gained @ share / hits[-1])
