"""How wrong is a wrong class? Distances in the tree of classes between prediction and truth.

With A(.) the set of ancestors up to the root, p the predicted and t the true class:

    TIE = edges between p and t            LCA = |A_p| - |A_p & A_t| (+ 1 as published)
    J   = |A_p & A_t| / |A_p or A_t|       P_H = |A_p & A_t| / |A_p|     R_H = |A_p & A_t| / |A_t|

The published variant (HyCoCLIP, arXiv 2410.06912, as its code has it) leaves the class itself out
of A: a sibling of the right class then scores J = P_H = R_H = 1 and LCA 1, as a right answer does.
With `include_self` a class is its own ancestor, and only right answers score 1 (LCA 0).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from geomclip.errors import RequestError
from geomclip.evaluate.tested import Tested, mean_of, permutations
from geomclip.hierarchy import Hierarchy

METRICS = ("tie", "lca", "jaccard", "precision", "recall")


@dataclass(frozen=True)
class TaxonomicErrors:
    """Means over the items; the null has the same predictions in another order.

    Args:
        include_self: whether a class counts as its own ancestor (False: as published).
        accuracy: share of right classes.
        tie: edges between prediction and truth.
        lca: how far up from the prediction the lowest common ancestor lies.
        jaccard, precision, recall: J, P_H, R_H above.
    """

    include_self: bool
    accuracy: Tested
    tie: Tested
    lca: Tested
    jaccard: Tested
    precision: Tested
    recall: Tested

    def to_dict(self) -> dict[str, Any]:
        """Every field with its errors."""
        values: dict[str, Any] = {"include_self": self.include_self}
        return values | {name: getattr(self, name).to_dict() for name in ("accuracy", *METRICS)}


def item_errors(
    hierarchy: Hierarchy, predicted: np.ndarray, true: np.ndarray, *, include_self: bool
) -> dict[str, np.ndarray]:
    """`METRICS` of every item.

    Args:
        hierarchy: a tree.
        predicted, true: (n,) nodes.

    Raises:
        RequestError: no tree; or (as published) a class that is the root, which has no ancestors.
    """
    hierarchy.require_tree("the distance between classes")
    depth = hierarchy.depth
    if not include_self and (depth[predicted].min() == 0 or depth[true].min() == 0):
        raise RequestError(
            f'{hierarchy.title}: a class is the root "{hierarchy.names[int(hierarchy.roots[0])]}", '
            "which has no ancestors but itself",
            "Take include_self=True, or classes below the root.",
        )
    lca = hierarchy.lca(predicted, true)
    own = 1 if include_self else 0
    # Of proper ancestors the lowest common one counts unless it is one of the two classes.
    shared = depth[lca] + (1 if include_self else (lca != predicted) & (lca != true))
    a, b = depth[predicted] + own, depth[true] + own
    return {
        "tie": (depth[predicted] + depth[true] - 2 * depth[lca]).astype(float),
        "lca": (a - shared + (0 if include_self else 1)).astype(float),
        "jaccard": shared / (a + b - shared),
        "precision": shared / a,
        "recall": shared / b,
    }


def taxonomic_errors(
    hierarchy: Hierarchy,
    predicted: np.ndarray,
    true: np.ndarray,
    *,
    include_self: bool = False,
    shuffles: int = 20,
) -> TaxonomicErrors:
    """The means, their standard errors over items, and what shuffled predictions give.

    Args:
        hierarchy: a tree; of a graph take `.tree()`.
        predicted, true: (n,) nodes, n at least 1.
        include_self: False is the published variant.
        shuffles: of the null; 0 leaves it out.

    Raises:
        RequestError: as `item_errors`.
    """
    predicted, true = np.asarray(predicted), np.asarray(true)
    values = item_errors(hierarchy, predicted, true, include_self=include_self)
    values["accuracy"] = (predicted == true).astype(float)
    null: dict[str, list[float]] = {name: [] for name in values}
    for order in permutations(len(true), shuffles):
        other = predicted[order]
        for name, v in item_errors(hierarchy, other, true, include_self=include_self).items():
            null[name].append(float(v.mean()))
        null["accuracy"].append(float((other == true).mean()))
    return TaxonomicErrors(
        include_self=include_self, **{name: mean_of(v, null[name]) for name, v in values.items()}
    )
