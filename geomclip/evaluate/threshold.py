"""A threshold for scores, chosen where truth is known and applied where it is asked for.

F1 = 2 true positives / (pairs called positive + pairs that are positive)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Threshold:
    """Pairs that score at least `value` are called positive. f1: on the pairs it was chosen on."""

    value: float
    f1: float

    def to_dict(self) -> dict[str, Any]:
        """Both."""
        return {"value": self.value, "f1": self.f1}


def best_threshold(scores: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]) -> Threshold:
    """The score as threshold that has the largest F1; of equal ones the highest.

    Raises:
        ValueError: no positive, or a score that is NaN.
    """
    _check("best_threshold", scores, positive)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    hits = np.cumsum(positive[order])
    found = 2 * hits / (np.arange(1, len(scores) + 1) + hits[-1])
    # Equal scores are on one side of a threshold: only the last of them counts.
    found[:-1][ordered[1:] == ordered[:-1]] = -1
    best = int(np.argmax(found))
    return Threshold(float(ordered[best]), float(found[best]))


def f1_score(
    scores: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"], threshold: float
) -> float:
    """F1 of calling positive what scores at least `threshold`, between 0 and 1.

    Raises:
        ValueError: no positive, or a score that is NaN.
    """
    _check("f1_score", scores, positive)
    called = scores >= threshold
    return float(2 * (called & positive).sum() / (called.sum() + positive.sum()))


def _check(op: str, scores: np.ndarray, positive: np.ndarray) -> None:
    if not positive.any():
        raise ValueError(f"{op}: none of {len(positive)} pairs is positive; F1 needs one")
    if (count := int(np.isnan(scores).sum())) > 0:
        raise ValueError(f"{op}: {count} of {len(scores)} scores are NaN")
