"""Analogies: is "a is to b" the same step everywhere?

A relation is a set of pairs (a, b); its step at a is u = log_a(b). Contrastive training lays
analogies out as parallel lines (Ri et al., arXiv 2306.08221). In a curved space two steps are
compared after parallel transport P along the geodesic between their starts:

    parallelism   mean over i != j of cos(u_i, P u_j); 1 for parallelograms
    closure       mean over i != j of d(exp_{a_j}(P u_i), b_j), over the mean step; 0 likewise
    completion    share of (i, j) in which b_j is the nearest of all to that predicted point

The nulls have the b's shuffled within the relation (parallelism) and take no step at all
(completion): what is nearest to a_j may be b_j anyway (Linzen, arXiv 1606.07736).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.neighbors import nearest
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import Space
from geomclip.embeddings import LABEL, Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured
from manifolds import Manifold

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

# Pairs of a relation that are looked at, pairs of steps that are compared, and questions that are
# put to all points.
PAIRS = 5000
COMPARED = 5000
ASKED = 1000
REPLICATES = 50
TILE = 2048
BINS = 60


@dataclass(frozen=True)
class Analogies(Result):
    """By relation, such as "text → image".

    Args:
        parallelism, closure, completion: as above.
        shuffled: parallelism of the null.
        without: completion of the null.
        steps: mean length of the steps.
        pairs: of each relation that were looked at, at random where there are more.
        of: pairs of each relation.
        candidates: points among which the answer is looked for.
        cosines: of the steps that were compared.
    """

    geometry: str
    parallelism: dict[str, Measured]
    shuffled: dict[str, Measured]
    closure: dict[str, Measured]
    completion: dict[str, Measured]
    without: dict[str, Measured]
    steps: dict[str, Measured]
    pairs: dict[str, int]
    of: dict[str, int]
    candidates: dict[str, int]
    cosines: dict[str, Float[Tensor, "_"]] = field(repr=False)
    sampled: str = ""

    def rows(self) -> list[Row]:
        """Parallelism and completion, each beside its null."""
        out = []
        for name in self.parallelism:
            key = name.replace(" → ", "_")
            out += [
                Row(f"parallelism.{key}", f"{name}: parallelism", self.parallelism[name], "cosine"),
                Row(
                    f"shuffled.{key}", f"{name}: the same, shuffled", self.shuffled[name], "cosine"
                ),
                Row(f"closure.{key}", f"{name}: miss / step", self.closure[name]),
                Row(
                    f"completion.{key}", f"{name}: completed", self.completion[name], is_share=True
                ),
                Row(f"without.{key}", f"{name}: without a step", self.without[name], is_share=True),
                Row(f"step.{key}", f"{name}: step", self.steps[name], "geodesic length"),
            ]
        return out

    def notes(self) -> list[str]:
        """Pairs, candidates, the sample."""
        out = [
            f"{name}: {n:,} of {self.of[name]:,} pairs, answers among {self.candidates[name]:,} "
            "points."
            for name, n in self.pairs.items()
        ]
        return out + ([self.sampled] if self.sampled else [])

    def charts(self) -> "list[Chart]":
        """Cosines of steps."""
        from geomclip.viz.densities import lines, name_of

        edges = torch.linspace(-1, 1, BINS + 1, dtype=torch.float64)
        middle = ((edges[1:] + edges[:-1]) / 2).tolist()
        series = {}
        for name, values in self.cosines.items():
            place = torch.bucketize(values.double(), edges[1:-1])
            counts = torch.bincount(place, minlength=BINS).double()
            series[name] = (middle, (100 * counts / counts.sum()).tolist())
        title = f"{name_of(self.geometry)}: are the steps parallel?"
        return [
            lines(
                "analogies", title, self.geometry, "cosine of two steps, transported",
                "per cent", series,
            )
        ]  # fmt: skip


@torch.no_grad()
def analogies(
    source: Embeddings | Space,
    relations: Mapping[str, Sequence[tuple[str, str]]] | None = None,
) -> Analogies:
    """How parallel the steps of each relation are.

    Args:
        relations: pairs of names by relation; a name is an id, a text, a label path joined by
            " > " or its end. By default what the space says, and else one relation: from a point
            of the second modality to its partner in the first, the step over the modality gap.

    Raises:
        RequestError: an unknown name, or one of several points; a relation of fewer than three
            pairs, or of equal points; nothing is paired and no relation is given.
    """
    space = Space.of(source)
    given = relations or space.analogies
    found = _paired(space) if given is None else _named(space.everything, given)
    out: dict[str, dict[str, Measured]] = {name: {} for name in _KINDS}
    pairs, of, candidates, cosines = {}, {}, {}, {}
    generator = torch.Generator().manual_seed(space.seed)
    for name, (a, b, pool, rows) in found.items():
        some = torch.randperm(len(a), generator=generator)[:PAIRS].sort().values
        pairs[name], of[name], candidates[name] = len(some), len(a), len(pool)
        measured, cosines[name] = _measure(space, a[some], b[some], pool, rows[some])
        for kind, value in measured.items():
            out[kind][name] = value
    sampled = space.sampled if given is None else ""
    return Analogies(
        space.geometry_name, **out, pairs=pairs, of=of, candidates=candidates, cosines=cosines,
        sampled=sampled,
    )  # fmt: skip


_KINDS = ("parallelism", "shuffled", "closure", "completion", "without", "steps")
# Points a and b of each pair, all that could be an answer, and the rows of b among them.
_Relation = tuple[Tensor, Tensor, Tensor, Int[Tensor, "p"]]


def _paired(space: Space) -> dict[str, _Relation]:
    """The step from one modality to the other."""
    e = space.embeddings
    count = 0 if space.pair is None else len(space.one_to_one_rows())
    if space.pair is None or count < 3:
        raise RequestError(
            f"{space.everything.source or 'embeddings'}: analogies need three pairs, there are "
            f"{count}",
            "Give pairs, or relations.",
        )
    answers, starts = space.pair
    rows = space.one_to_one_rows()
    name = f"{starts} → {answers}"
    a, b = e[starts][rows[:, 1]], e[answers][rows[:, 0]]
    return {name: (a, b, e[answers], rows[:, 0])}


def _named(
    e: Embeddings, relations: Mapping[str, Sequence[tuple[str, str]]]
) -> dict[str, _Relation]:
    """The points of names, which are looked for in one modality for all a's, in one for all b's."""
    indices = _names(e)
    out = {}
    for relation, pairs in relations.items():
        if len(pairs) < 3:
            raise RequestError(
                f'the relation "{relation}" has {len(pairs)} pairs', "Give at least three."
            )
        a, b = (_find(e, indices, relation, [p[i] for p in pairs]) for i in (0, 1))
        out[relation] = (e[a[0]][a[1]], e[b[0]][b[1]], e[b[0]], b[1])
    return out


def _names(e: Embeddings) -> dict[str, list[dict[str, int]]]:
    """By modality: rows by id, by text, by label path and its end; -1 where several have it."""
    out: dict[str, list[dict[str, int]]] = {}
    for m in e.points:
        named: list[Sequence[str]] = []
        if m in dict(e.ids):  # type: ignore[arg-type]
            named.append(dict(e.ids)[m])  # type: ignore[arg-type]
        if m == "text" and e.texts:
            named.append(e.texts)
        if m == LABEL:
            paths = e.label_paths(m) or []
            named += [[" > ".join(p) for p in paths], [p[-1] if p else "" for p in paths]]
        for names in named:
            index: dict[str, int] = {}
            for row, name in enumerate(names):
                index[name] = -1 if name in index else row
            out.setdefault(m, []).append(index)
    return out


def _find(
    e: Embeddings, indices: dict[str, list[dict[str, int]]], relation: str, names: list[str]
) -> tuple[str, Tensor]:
    """The first modality that has all names, and their rows."""
    best = None
    for m, ways in indices.items():
        for index in ways:
            rows = [index.get(name, -2) for name in names]
            if min(rows) >= 0:
                return m, torch.tensor(rows)
            missing = sum(row < 0 for row in rows)
            if best is None or missing < best[0]:
                at = next(i for i, row in enumerate(rows) if row < 0)
                best = (
                    missing,
                    m,
                    names[at],
                    "several rows have" if rows[at] == -1 else "no row has",
                )
    if best is None:
        raise RequestError(
            f"{e.source or 'embeddings'}: analogies are told by ids, texts or labels, and there "
            "are none",
            "Embed with `geomclip embed`, which keeps them.",
        )
    missing, m, name, what = best
    raise RequestError(
        f'{e.source or "embeddings"}: {what} the name "{name}" of the relation "{relation}" in '
        f"{m} ({missing:,} of {len(names):,} names fail)",
        "Take ids, texts or label paths of one modality for each side of a relation.",
    )


def _measure(
    space: Space, a: Tensor, b: Tensor, pool: Tensor, rows: Tensor
) -> tuple[dict[str, Measured], Tensor]:
    manifold, n = space.manifold, len(a)
    generator = torch.Generator().manual_seed(space.seed)
    i, j = _two(n, min(COMPARED, n * (n - 1)), generator)
    members = torch.stack([i, j], 1)
    step, length = _tiled(manifold.logmap, a, b), _tiled(manifold.dist, a, b)
    if float(length.max()) == 0:
        raise RequestError(
            f"{space.everything.source or 'embeddings'}: the pairs of a relation are equal points",
            "Name two things a pair.",
        )
    cosines = _cosines(manifold, a, step, i, j)
    other = b[torch.randperm(n, generator=generator)]
    wrong = _tiled(manifold.logmap, a, other)
    asked = torch.randperm(len(i), generator=generator)[:ASKED]
    i, j = i[asked], j[asked]
    predicted = torch.cat(
        [
            manifold.expmap(a[to], manifold.transp(a[since], a[to], step[since]))
            for since, to in zip(i.split(TILE), j.split(TILE), strict=True)
        ]
    )
    miss = manifold.dist(predicted, b[j]).double() / length.double().mean()

    def found(start: Tensor) -> Measured:
        right = nearest(space.everything.geometry, start, pool, 1).index[:, 0] == rows[j]
        return over(right.double(), members[asked])

    def over(values: Tensor, which: Tensor) -> Measured:
        return resampling.mean_over_tuples(values, which, n, replicates=REPLICATES, seed=space.seed)

    return {
        "parallelism": over(cosines, members),
        "shuffled": over(_cosines(manifold, a, wrong, *members.T), members),
        "closure": over(miss, members[asked]),
        "completion": found(predicted),
        "without": found(a[j]),
        "steps": resampling.mean(length),
    }, cosines


def _tiled(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([function(p, q) for p, q in zip(x.split(TILE), y.split(TILE), strict=True)])


def _two(n: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ordered pairs of two different things: all where there are no more."""
    if count == n * (n - 1):
        i, j = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
        apart = i != j
        return i[apart], j[apart]
    i = torch.randint(n, (count,), generator=generator)
    return i, (i + torch.randint(1, n, (count,), generator=generator)) % n


def _cosines(
    manifold: Manifold, a: Tensor, step: Tensor, i: Tensor, j: Tensor
) -> Float[Tensor, "m"]:
    """Of step i with step j brought to its start; 0 where one has no length."""
    out = []
    for here, there in zip(i.split(TILE), j.split(TILE), strict=True):
        x, u = a[here], step[here]
        v = manifold.transp(a[there], x, step[there])
        lengths = manifold.norm(x, u) * manifold.norm(x, v)
        out.append(manifold.inner(x, u, v) / lengths.clamp_min(1e-30))
    return torch.cat(out).double()
