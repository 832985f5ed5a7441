"""Neural collapse: have classes shrunk to points at the corners of a simplex?

Four measures of Papyan, Han & Donoho (arXiv 2008.08186), each 0 where training has ended so. They
speak of features, so they are taken in the flat coordinates h that the points were lifted from
(`tangent.flat`): with m_c the mean of class c of C, m the mean of the m_c, and w_c what a
classifier compares with,

    NC1  tr(S_W S_B^+) / C              scatter within classes over that between them
    NC2  s(|m_c - m|) / mean |m_c - m|, s(cos), mean |cos + 1/(C - 1)|
                                        of the angles between two m_c - m: the simplex's are equal
    NC3  |W/|W| - M/|M||^2              the classifier points where the means lie, both centred
    NC4  share of points that classifier and nearest mean put in different classes

The classifier of a contrastive model is its texts: the points of the labels where they are known,
else the means of the classes' texts.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Space, leaf_labels
from geomclip.analysis.tangent import flat, from_flat
from geomclip.embeddings import LABEL, Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured, share

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

# Classes among which angles are taken, products of a point and a class that are formed.
ANGLES = 2048
PRODUCTS = 50_000_000
# Eigenvalues below this share of the largest are rounding of float32 coordinates, squared.
_NOTHING = 1e-12


@dataclass(frozen=True)
class NeuralCollapse(Result):
    """By labelled modality; the classifier's two of the first one.

    Args:
        within: NC1.
        equinorm, equiangular, simplex: NC2: variation of the lengths, standard deviation of the
            cosines, mean distance of the cosines to the simplex's.
        duality: NC3, between 0 and 4.
        disagreement: NC4.
        nearest: share of points whose nearest class mean is their own, which then is the mean of
            the others of the class.
        classes: those that have two points.
        classifier: what it was made of.
        unlabelled: rows left out.
    """

    geometry: str
    within: dict[str, Measured]
    equinorm: dict[str, Measured]
    equiangular: dict[str, Measured]
    simplex: dict[str, Measured]
    duality: dict[str, Measured]
    disagreement: dict[str, Measured]
    nearest: dict[str, Measured]
    classes: dict[str, int]
    classifier: str
    unlabelled: dict[str, int]
    dimension: int
    sampled: str = ""

    def rows(self) -> list[Row]:
        """The four in their order, then nearest means."""
        kinds = [
            ("within", "NC1, scatter within / between", False),
            ("equinorm", "NC2, variation of lengths", False),
            ("equiangular", "NC2, spread of cosines", False),
            ("simplex", "NC2, distance to the simplex", False),
            ("duality", "NC3, classifier against means", False),
            ("disagreement", "NC4, classifier and nearest mean differ", True),
            ("nearest", "Nearest mean is the own", True),
        ]
        return [
            Row(f"{key}.{m}", f"{label}, {m}", value, is_share=is_share)
            for key, label, is_share in kinds
            for m, value in getattr(self, key).items()
        ]

    def notes(self) -> list[str]:
        """Classes, what was left out, the classifier, the sample."""
        counted = ", ".join(f"{n:,} of {m}" for m, n in self.classes.items())
        out = [f"Classes of at least two points: {counted}. Collapsed is 0 (nearest mean: 100 %)."]
        out += [
            f"{n:,} rows of {m} have no such class and are left out."
            for m, n in self.unlabelled.items()
            if n
        ]
        if max(self.classes.values()) > self.dimension + 1:
            out.append(
                f"So many classes have no simplex in {self.dimension} dimensions: NC2 can't be 0."
            )
        classifier = f"The classifier is {self.classifier}." if self.classifier else (
            "There is no classifier: neither points of the labels nor classes in a second modality."
        )  # fmt: skip
        return [*out, classifier] + ([self.sampled] if self.sampled else [])

    def charts(self) -> "list[Chart]":
        """The four, each with its interval."""
        from geomclip.viz.densities import bars, name_of

        rows = [
            (row.label, row.value.value, row.value.error, row.value.n)
            for row in self.rows()
            if not row.key.startswith("nearest")
        ]
        title = f"{name_of(self.geometry)}: neural collapse"
        return [bars("collapse", title, self.geometry, "0 where collapsed", rows)]


@torch.no_grad()
def neural_collapse(source: Embeddings | Space) -> NeuralCollapse:
    """NC1 to NC4 of every labelled one of the first two modalities; the class is the whole path.

    Errors are those of a block jackknife over the points of each class, which also takes off the
    bias that few points give the class means; of shares Agresti and Coull's.

    Raises:
        RequestError: no modality has two classes of two points, or all class means coincide.
    """
    space = Space.of(source)
    e = space.embeddings
    out: dict[str, dict[str, Measured]] = {name: {} for name in (*_KINDS, "nearest")}
    classes, unlabelled, classifier = {}, {}, ""
    for place, m in enumerate(e.modalities[:2]):
        found = _classes(e, m)
        if found is None:
            continue
        classes[m] = len(found.counts)
        unlabelled[m] = len(e[m]) - len(found.rows)
        weights = None
        if place == 0:
            weights, classifier = _classifier(e, m, found)
        u = flat(e.manifold, e[m][found.rows])
        for name, value in _measure(u, found, weights, space).items():
            out[name][m] = value
        means = _means(u, found)
        out["nearest"][m], differ = _decisions(e, m, u, found, means, weights, space.seed)
        if differ is not None:
            out["disagreement"][m] = differ
    if not classes:
        raise RequestError(
            f"{e.source or 'embeddings'}: neural collapse needs two classes of at least two "
            "points, and there are none",
            "Give label paths.",
        )
    return NeuralCollapse(
        space.geometry_name, **out, classes=classes, classifier=classifier,
        unlabelled=unlabelled, dimension=e.dim - e.manifold.codim, sampled=space.sampled,
    )  # fmt: skip


_KINDS = ("within", "equinorm", "equiangular", "simplex", "duality", "disagreement")


@dataclass(frozen=True)
class _Classes:
    """Rows (n,) that count, the class 0 .. C - 1 of each, points of each class, its label path."""

    rows: Int[Tensor, "n"]
    label: Int[Tensor, "n"]
    counts: Int[Tensor, "k"]
    paths: list[tuple[str, ...]] = field(repr=False)


def _classes(e: Embeddings, modality: str) -> _Classes | None:
    """Classes of at least two points; None where there are fewer than two of them."""
    labels = leaf_labels(e, modality)
    if labels is None:
        return None
    kept = torch.bincount(labels[labels >= 0]) >= 2
    if int(kept.sum()) < 2:
        return None
    rows = ((labels >= 0) & kept[labels.clamp_min(0)]).nonzero()[:, 0]
    label = (kept.cumsum(0) - 1)[labels[rows]]
    paths = e.label_paths(modality)
    assert paths is not None
    by_class = {c: paths[row] for row, c in zip(rows.tolist(), label.tolist(), strict=True)}
    return _Classes(rows, label, torch.bincount(label), [by_class[c] for c in range(len(by_class))])


def _classifier(e: Embeddings, modality: str, found: _Classes) -> tuple[Tensor | None, str]:
    """Flat coordinates (C, d) of what each class is compared with, and what they are."""
    if LABEL in e.points:
        place = {path: i for i, path in enumerate(e.label_paths(LABEL) or ())}
        if all(path in place for path in found.paths):
            rows = torch.tensor([place[path] for path in found.paths])
            return flat(e.manifold, e[LABEL][rows]), "the points of the labels"
    for other in e.modalities[1:2]:
        paths = e.label_paths(other)
        number = {path: c for c, path in enumerate(found.paths)}
        if paths is None or other == modality:
            continue
        label = torch.tensor([number.get(path, -1) for path in paths])
        rows = (label >= 0).nonzero()[:, 0]
        counts = torch.bincount(label[rows], minlength=len(number))
        if bool((counts > 0).all()):
            theirs = _Classes(rows, label[rows], counts, found.paths)
            means = _means(flat(e.manifold, e[other][rows]), theirs)
            return means.to(e[other].dtype), f"the mean of each class's {other} points"
    return None, ""


def _means(u: Tensor, found: _Classes) -> Float[Tensor, "k d"]:
    return _sums(u, found.label, len(found.counts)) / found.counts[:, None]


def _sums(u: Tensor, label: Tensor, classes: int) -> Tensor:
    out = torch.zeros(classes, u.shape[1], dtype=torch.float64)
    for part, where in zip(u.split(8192), label.split(8192), strict=True):
        out.index_add_(0, where, part.double())
    return out


def _measure(
    u: Tensor, found: _Classes, weights: Tensor | None, space: Space
) -> dict[str, Measured]:
    """NC1, NC2 and NC3 by leaving out blocks, to which the points of a class are dealt in turn."""
    n, classes = len(u), len(found.counts)
    middle = _means(u, found).mean(0)
    count = max(1, min(resampling.BLOCKS, n // classes))
    generator = torch.Generator().manual_seed(space.seed)
    order = torch.randperm(n, generator=generator)
    order = order[found.label[order].argsort(stable=True)]
    # Points of a class fall to blocks in turn, so that no block takes a class away.
    block = torch.empty(n, dtype=torch.long)
    block[order] = torch.arange(n) % count
    second = torch.zeros(count, u.shape[1], u.shape[1], dtype=torch.float64)
    for k in range(count):
        for part in (block == k).nonzero()[:, 0].split(8192):
            h = u[part].double() - middle
            second[k] += h.T @ h
    shown = torch.randperm(classes, generator=generator)[:ANGLES]
    sums = _sums(u, found.label, classes) - found.counts[:, None] * middle

    def statistics(left_out: int | None) -> dict[str, float]:
        s, total, counts = second.sum(0), sums, found.counts
        if left_out is not None:
            own = (block == left_out).nonzero()[:, 0]
            gone = torch.bincount(found.label[own], minlength=classes)
            total = total - _sums(u[own], found.label[own], classes) + gone[:, None] * middle
            s, counts = s - second[left_out], counts - gone
        wide = None if weights is None else weights.double()
        return _statistics(s, total / counts[:, None], counts, wide, shown)

    whole = statistics(None)
    without = [statistics(k) for k in range(count)] if count > 1 else []
    return {
        name: resampling.jackknife(value, [s[name] for s in without], n)
        for name, value in whole.items()
    }


def _statistics(
    second: Tensor, means: Tensor, counts: Tensor, weights: Tensor | None, shown: Tensor
) -> dict[str, float]:
    classes, n = len(means), int(counts.sum())
    scatter = second - (counts[:, None] * means).T @ means
    within = scatter / max(1, n - classes)
    m = means - means.mean(0)
    lengths = torch.linalg.vector_norm(m, dim=1)
    if float(lengths.max()) == 0:
        raise RequestError(
            f"the means of all {classes:,} classes are the same point",
            "Check that the labels belong to these rows.",
        )
    axes, size = _axes(m / classes**0.5)
    units = m[shown] / lengths[shown, None].clamp_min(torch.finfo(torch.float64).tiny)
    cosines = (units @ units.T)[~torch.eye(len(units), dtype=torch.bool)]
    out = {
        "within": (((axes @ within) * axes).sum(1) / size).sum().item() / classes,
        "equinorm": (lengths.std(correction=0) / lengths.mean()).item(),
        "equiangular": cosines.std(correction=0).item(),
        "simplex": (cosines + 1 / (classes - 1)).abs().mean().item(),
    }
    if weights is not None:
        w = weights - weights.mean(0)
        norms = torch.linalg.matrix_norm(w) * torch.linalg.matrix_norm(m)
        out["duality"] = 2 - 2 * ((w * m).sum() / norms).item() if norms > 0 else 2.0
    return out


def _axes(m: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (r, d) and sizes (r,) of the eigenvalues of mᵀm that are not 0."""
    if len(m) <= m.shape[1]:
        size, q = torch.linalg.eigh(m @ m.T)
        kept = size > _NOTHING * size[-1]
        return (q[:, kept] / size[kept].sqrt()).T @ m, size[kept]
    size, q = torch.linalg.eigh(m.T @ m)
    kept = size > _NOTHING * size[-1]
    return q[:, kept].T, size[kept]


def _decisions(
    e: Embeddings,
    modality: str,
    u: Tensor,
    found: _Classes,
    means: Tensor,
    weights: Tensor | None,
    seed: int,
) -> tuple[Measured, Measured | None]:
    """Share of points whose own mean, without them, is nearest; and of those that the classifier
    puts elsewhere than the nearest mean. Of so many points that products stay few."""
    generator = torch.Generator().manual_seed(seed)
    n = min(len(u), max(1000, PRODUCTS // len(means)))
    some = torch.randperm(len(u), generator=generator)[:n]
    means = means.to(u.dtype)
    squares = means.square().sum(1)
    prototypes = None if weights is None else from_flat(e.manifold, weights.to(u.dtype))
    right = differ = 0
    for part in some.split(max(1, 2**22 // len(means))):
        h, label = u[part], found.label[part]
        # |h - m|^2 less |h|^2.
        away = squares - 2 * h @ means.T
        nearest = away.argmin(1)
        own = (h - means[label]).square().sum(1)
        counts = found.counts[label].to(u.dtype)
        alone = own * (counts / (counts - 1)).square() - h.square().sum(1)
        rest = away.scatter(1, label[:, None], torch.inf).amin(1)
        right += int((alone < rest).sum())
        if prototypes is not None:
            points = e[modality][found.rows[part]]
            differ += int((e.geometry.score(points, prototypes).argmax(1) != nearest).sum())
    return share(right, n), None if prototypes is None else share(differ, n)
