"""Linear probe: multinomial logistic regression on the pictures' coordinates (CLIP,
arXiv 2103.00020, appendix A.3).

    minimise  sum_i -log softmax(W z_i + b)[y_i] + lambda/2 |W|^2        by L-BFGS

z are the points themselves on the sphere and in Euclidean space; elsewhere they are the tangent
vectors log_0(x) at the origin, in orthonormal coordinates, whose lengths are the distances to it.
On the sphere a linear classifier of the points cuts it along circles, and has no use for the pole
that the map would distinguish.

lambda is the best on a validation part out of 97 values from 1e-6 to 1e6, eight a decade, found as
there: seven values two decades apart, then the neighbours of the best at half the spacing, down to
an eighth of a decade. Best is the largest share of right answers; of equals the smallest mean
cross-entropy. With it the probe is fitted again to training and validation part together.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.evaluate.classification import Classification, classified
from geomclip.evaluate.retrieval import rank_of_best
from geomclip.geometry import Geometry
from manifolds import Euclidean, Sphere

# Places on the grid: lambda = 10^(place / 8).
LOWEST, HIGHEST, COARSE = -48, 48, 16
ITERATIONS = 1000


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe's answers.

    Args:
        found: its answers on the pictures asked about.
        regularisation: lambda.
        validation: share of the validation part that it got right before the last fit.
        at_end: whether lambda lies at an end of the grid, beyond which a better one may lie.
        converged: whether the last fit came to a minimum within its iterations.
        training, validating: pictures that the first fits were made on, and judged by.
        unseen: pictures asked about whose class no training picture has: all misses.
        coordinates: "points", or "tangent at the origin".
    """

    found: Classification
    regularisation: float
    validation: float
    at_end: bool
    converged: bool
    training: int
    validating: int
    unseen: int
    coordinates: str

    def to_dict(self) -> dict[str, Any]:
        """The classification's numbers beside the probe's own."""
        own = {k: v for k, v in vars(self).items() if k != "found"}
        return self.found.to_dict() | own


@dataclass(frozen=True, eq=False)
class Labelled:
    """Points with their classes."""

    points: Float[Tensor, "n d"]
    labels: Int[Tensor, "n"]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, rows: Int[Tensor, "m"]) -> "Labelled":
        """Some of them."""
        return Labelled(self.points[rows], self.labels[rows])


def linear_probe(
    geometry: Geometry,
    asked: Labelled,
    training: Labelled,
    validation: Labelled | None = None,
    *,
    classes: int,
    seed: int = 0,
    progress: Callable[[int], None] = lambda fits: None,
) -> LinearProbe:
    """Fit to the training part, choose lambda on the validation part, answer.

    Args:
        validation: a fifth of each class of the training part, drawn by `seed`, where not given.
        classes: labels are numbers below it.
        progress: called with the number of fits so far, of about 16.

    Raises:
        RequestError: scikit-learn is missing; training pictures of fewer than two classes, or one
            of each, of which no part can be held out.
    """
    if validation is None:
        training, validation = held_out_fifth(training, seed)
    if len(training.labels.unique()) < 2:
        raise RequestError(
            f"a linear probe needs training pictures of two classes, got {len(training)} of "
            f"{len(training.labels.unique())}",
            "Give more training data, or leave the task out.",
        )
    x, named = coordinates_of(geometry, training.points)
    z, _ = coordinates_of(geometry, validation.points)
    y = training.labels.numpy()
    values: dict[int, tuple[float, float]] = {}

    def at(place: int) -> tuple[float, float]:
        if place not in values:
            values[place] = _Fitted(x, y, place, classes).quality(z, validation.labels)
            progress(len(values))
        return values[place]

    best = search(at)
    both = np.concatenate([x, z]), np.concatenate([y, validation.labels.numpy()])
    final = _Fitted(*both, best, classes)
    rank = final.rank(coordinates_of(geometry, asked.points)[0], asked.labels)
    seen = torch.zeros(classes, dtype=torch.bool)
    seen[torch.from_numpy(both[1])] = True
    return LinearProbe(
        found=classified(rank, asked.labels, classes),
        regularisation=10 ** (best / 8),
        validation=values[best][0],
        at_end=best in (LOWEST, HIGHEST),
        converged=final.converged,
        training=len(training),
        validating=len(validation),
        unseen=int((~seen[asked.labels]).sum()),
        coordinates=named,
    )


def coordinates_of(
    geometry: Geometry, points: Float[Tensor, "n d"]
) -> tuple[Float[np.ndarray, "n d"], str]:
    """z of the points, float64, and what it is."""
    m = geometry.manifold
    if isinstance(m, Euclidean | Sphere):
        return points.double().cpu().numpy(), "points"
    # geomclip.analysis imports this package.
    from geomclip.analysis.tangent import coordinates

    wide = points.double()
    origin = m.origin(wide.shape[1], dtype=wide.dtype, device=wide.device)
    return coordinates(m, origin, wide).cpu().numpy(), "tangent at the origin"


def held_out_fifth(training: Labelled, seed: int = 0) -> tuple[Labelled, Labelled]:
    """A fifth of each class, at least one of a class that has two, and the rest before it.

    Raises RequestError where no class has two pictures.
    """
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randperm(len(training), generator=generator)
    # Stable, so that each class keeps its mixed order.
    order = mixed[training.labels[mixed].argsort(stable=True)]
    counts = torch.bincount(training.labels)
    place = torch.arange(len(order)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    taken = torch.where(counts > 1, (counts // 5).clamp_min(1), 0)
    out = place < taken.repeat_interleave(counts)
    if not out.any():
        raise RequestError(
            "no class has two training pictures, and nothing can be held out to choose the linear "
            "probe's regularisation on",
            "Give data with a validation split, or more training pictures.",
        )
    return training.rows(order[~out]), training.rows(order[out])


def search(at: Callable[[int], Any]) -> int:
    """The place with the largest value, where there is one peak: coarse, then ever finer."""
    best = _peak(at, range(LOWEST, HIGHEST + 1, COARSE))
    step = COARSE // 2
    while step:
        near = (best - step, best, best + step)
        best = _peak(at, [p for p in near if LOWEST <= p <= HIGHEST])
        step //= 2
    return best


def _peak(at: Callable[[int], Any], places: "range | list[int]") -> int:
    """The best place; where all is equal the strongest regularisation."""
    return max(places, key=lambda place: (at(place), place))


class _Fitted:
    """One fit at 10^(place / 8)."""

    def __init__(self, x: np.ndarray, y: np.ndarray, place: int, classes: int) -> None:
        try:
            from sklearn.exceptions import ConvergenceWarning
            from sklearn.linear_model import LogisticRegression
        except ImportError:
            raise RequestError(
                "a linear probe is fitted by scikit-learn, which is not installed",
                "Install geomclip with the extra probe, or leave the task out.",
            ) from None
        self.classes = classes
        self.model = LogisticRegression(C=10 ** (-place / 8), max_iter=ITERATIONS)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            self.model.fit(x, y)
        self.converged = not any(issubclass(w.category, ConvergenceWarning) for w in told)

    def rank(self, x: np.ndarray, labels: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
        """Rank of each row's own class; a class that was not fitted stands last."""
        return rank_of_best(self._logits(x), torch.arange(self.classes) == labels[:, None])

    def quality(self, x: np.ndarray, labels: Int[Tensor, "n"]) -> tuple[float, float]:
        """Share of right answers, and minus the mean cross-entropy of the classes fitted, nats."""
        own = self._logits(x).log_softmax(-1).gather(1, labels[:, None])
        right = (self.rank(x, labels) == 1).double().mean().item()
        return right, own[own.isfinite()].mean().nan_to_num().item()

    def _logits(self, x: np.ndarray) -> Float[Tensor, "n k"]:
        score = torch.from_numpy(self.model.decision_function(x))
        if score.ndim == 1:  # of two classes the second's, over the first's
            score = torch.stack([torch.zeros_like(score), score], 1)
        whole = score.new_full((len(x), self.classes), -torch.inf)
        whole[:, torch.from_numpy(self.model.classes_)] = score
        return whole
