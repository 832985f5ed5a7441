"""Two spaces of the same things: is one the other, but for a rotation?

Both are compared in the flat coordinates that their points were lifted from (`tangent.flat`), each
modality less its mean:

    Procrustes  the orthogonal Q of least sum |Q u_i - v_i|^2, fitted on one modality and tested on
                the other (Schönemann 1966; arXiv 2602.17584 finds one Q for both modalities of two
                contrastive models): mean cosine of Q u_i and v_i, and the share of sum |v_i|^2 that
                s Q u_i explains. Fitted on half of a modality and tested on the rest, beside it.
    CKA         linear centred kernel alignment (Kornblith et al., arXiv 1905.00414) with unbiased
                HSIC (Song et al. 2012; Nguyen et al., arXiv 2010.15327): 1 up to a rotation and a
                scale, 0 where nothing is shared, however few points and many dimensions.
    neighbours  mean share of the k nearest that a point has in both spaces (mutual k-NN of Huh et
                al., arXiv 2405.07987), by each geometry's own logit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip import resampling
from geomclip.analysis.cka import debiased_cka
from geomclip.analysis.neighbors import nearest
from geomclip.analysis.result import Result, Row
from geomclip.analysis.space import K, Space, without_self
from geomclip.analysis.tangent import flat
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.statistics import Measured

if TYPE_CHECKING:
    from geomclip.viz.charts import Chart

TILE = 8192


@dataclass(frozen=True)
class SpaceComparison(Result):
    """This space against a reference.

    Args:
        cosine: by "image → text", the modality Q is fitted on and the one it is tested on: mean
            cosine of Q u and v.
        explained: likewise, share of the variance of v that s Q u explains; below 0 where it is
            worse than the mean.
        before: by modality, mean cosine of u and v as they are; where dimensions agree.
        cka: by modality.
        overlap: by modality, mean share of common neighbours.
        chance: the overlap of a random order.
        by: how rows were told to be the same.
    """

    geometry: str
    reference: str
    cosine: dict[str, Measured]
    explained: dict[str, Measured]
    before: dict[str, Measured]
    cka: dict[str, Measured]
    overlap: dict[str, Measured]
    chance: dict[str, Measured]
    by: dict[str, str]
    dimensions: tuple[int, int]
    k: int = K
    sampled: str = ""

    def rows(self) -> list[Row]:
        """Procrustes, CKA, neighbours."""
        out = []
        for name in self.cosine:
            key = name.replace(" → ", "_")
            out += [
                Row(f"cosine.{key}", f"Rotated, {name}: cosine", self.cosine[name], "cosine"),
                Row(f"explained.{key}", f"Rotated, {name}: explained", self.explained[name],
                    is_share=True),
            ]  # fmt: skip
        out += [
            Row(f"before.{m}", f"Unrotated, {m}", value, "cosine")
            for m, value in self.before.items()
        ]
        out += [Row(f"cka.{m}", f"Linear CKA, {m}", value) for m, value in self.cka.items()]
        for m, value in self.overlap.items():
            out += [
                Row(f"overlap.{m}", f"Common neighbours, {m}", value, is_share=True),
                Row(f"chance.{m}", f"Common neighbours, {m}: chance", self.chance[m],
                    is_share=True),
            ]  # fmt: skip
        return out

    def notes(self) -> list[str]:
        """The reference, which rows, k, the sample."""
        out = [f"Against {self.reference}; arrows lead from what Q is fitted on to what it is "
               f"tested on, {self.k} neighbours."]  # fmt: skip
        out += [f"{m}: {how}." for m, how in self.by.items()]
        if self.dimensions[0] != self.dimensions[1]:
            a, b = self.dimensions
            out.append(f"Q leads from {a} to {b} dimensions and keeps what lengths it can.")
        return out + ([self.sampled] if self.sampled else [])

    def charts(self) -> "list[Chart]":
        """Everything that is 1 in equal spaces."""
        from geomclip.viz.densities import bars, name_of

        rows = [
            (row.label, row.value.value, row.value.error, row.value.n)
            for row in self.rows()
            if not row.key.startswith("chance")
        ]
        title = f"{name_of(self.geometry)} against {self.reference}"
        return [bars("comparison", title, self.geometry, "1 where the spaces agree", rows)]


@torch.no_grad()
def compare_spaces(
    source: Embeddings | Space, reference: Embeddings | Space | None = None
) -> SpaceComparison:
    """The space against a reference, over the modalities (the first two at most) that both have.

    Rows are the same things where their ids are; without ids, texts by their text, else by the ids
    of their partners, else by their place. Q leads from this space to the reference. Errors of
    cosines and shares are those of the tested rows, Q given; those of CKA are a block jackknife's.

    Raises:
        RequestError: no reference, no common modality; fewer than eight common ids; rows without
            ids of different number.
    """
    space = Space.of(source)
    other = space.reference if reference is None else Space.of(reference)
    if other is None:
        raise RequestError(
            f"{space.everything.source or 'embeddings'}: a comparison needs another space",
            "Name two SOURCEs.",
        )
    names = [m for m in space.embeddings.modalities[:2] if m in other.embeddings.modalities]
    if not names:
        raise RequestError(
            f"{_name(space)} and {_name(other)} have no modality in common: "
            f"{', '.join(space.embeddings.modalities)} and "
            f"{', '.join(other.embeddings.modalities)}",
            "Compare spaces of the same things.",
        )
    rows, by = {}, {}
    for m in names:
        rows[m], by[m] = common_rows(space, other, m)
    pairs = {m: _centred(space, other, m, rows[m]) for m in names}
    cosine: dict[str, Measured] = {}
    explained: dict[str, Measured] = {}
    for fitted in names:
        u, v = pairs[fitted]
        turn, scale = rotation(u, v)
        for tested in names:
            name = f"{fitted} → {tested}"
            if tested != fitted:
                cosine[name], explained[name] = _tested(*pairs[tested], turn, scale)
            else:
                cosine[name], explained[name] = _halves(u, v, space.seed)
    same = space.embeddings.dim == other.embeddings.dim
    before = {m: resampling.mean(_cosine(*pairs[m])) for m in names} if same else {}
    cka = {m: debiased_cka(*pairs[m], seed=space.seed) for m in names}
    overlap, chance, k = {}, {}, K
    for m in names:
        found = _overlap(space, other, m, rows[m])
        n, k = len(found[0]), found[1]
        overlap[m] = resampling.mean(found[0])
        chance[m] = Measured(k / (n - 1), None, n)
    return SpaceComparison(
        space.geometry_name, _name(other), cosine, explained, before, cka, overlap, chance, by,
        (space.embeddings.dim, other.embeddings.dim), k, space.sampled,
    )  # fmt: skip


def _name(space: Space) -> str:
    return space.everything.source or f"the {space.geometry_name} space"


def common_rows(a: Space, b: Space, modality: str) -> tuple[Int[Tensor, "n 2"], str]:
    """Rows of the two samples that are the same things, and how that is known.

    Raises RequestError where that can't be told, or fewer than eight are.
    """
    sides = [s.embeddings for s in (a, b)]
    n, m = (len(e[modality]) for e in sides)
    names = [_row_names(e, modality) for e in sides]
    if names[0] is None or names[1] is None:
        if n != m:
            raise RequestError(
                f"{_name(a)} has {n:,} points of {modality}, {_name(b)} has {m:,}, and without "
                "ids in both nothing says which are the same",
                "Give both the ids of their rows.",
            )
        rows, how = torch.arange(n)[:, None].expand(n, 2), f"{n:,} rows, the same by their place"
    else:
        place = {name: i for i, name in enumerate(names[1])}
        both = [(i, place[name]) for i, name in enumerate(names[0]) if name in place]
        rows = torch.tensor(both, dtype=torch.long).view(-1, 2)
        how = f"{len(both):,} rows of {n:,} and {m:,} with the same id, text or partner"
    if len(rows) < 8:
        raise RequestError(
            f"{_name(a)} and {_name(b)} have {len(rows)} {modality} ids in common, of {n:,} and "
            f"{m:,}",
            "Compare embeddings of the same things; at least eight.",
        )
    return rows, how


def _row_names(e: Embeddings, modality: str) -> list[tuple[str, int]] | None:
    """What tells the rows: ids, of texts else the texts, of the second modality else the ids of
    their first partners; the second of equal ones is another."""
    ids = dict(e.ids)  # type: ignore[arg-type]
    names: Sequence[str] = ids.get(modality) or (e.texts if modality == "text" else ())
    first = e.modalities[0]
    if not names and modality != first and first in ids:
        partner: dict[int, str] = {}
        for i, j in e.pairing(first, modality).tolist():
            partner.setdefault(j, ids[first][i])
        if len(partner) == len(e[modality]):
            names = [partner[j] for j in range(len(partner))]
    if not names:
        return None
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append((name, seen[name]))
    return out


def _centred(a: Space, b: Space, modality: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Flat coordinates (n, d) and (n, e) of the common rows, less their means."""
    out = []
    for side, space in enumerate((a, b)):
        e = space.embeddings
        u = flat(e.manifold, e[modality][rows[:, side]])
        out.append(u - u.double().mean(0).to(u))
    for space, u in zip((a, b), out, strict=True):
        if float(u.abs().amax()) == 0:
            raise RequestError(
                f"{_name(space)}: all {len(u):,} points of {modality} are the same",
                "The encoder has collapsed, or the file holds something else.",
            )
    return out[0], out[1]


def _product(u: Tensor, v: Tensor) -> Tensor:
    """uᵀv (d, e) in float64, in tiles."""
    out = torch.zeros(u.shape[1], v.shape[1], dtype=torch.float64)
    for p, q in zip(u.split(TILE), v.split(TILE), strict=True):
        out += p.double().T @ q.double()
    return out


def rotation(
    u: Float[Tensor, "n d"], v: Float[Tensor, "n e"]
) -> tuple[Float[Tensor, "d e"], float]:
    """Q and s of the least sum |s u_i Q - v_i|^2, Q orthogonal (with orthonormal rows or columns
    where d != e): from the singular vectors of uᵀv."""
    left, size, right = torch.linalg.svd(_product(u, v), full_matrices=False)
    turn = left @ right
    # |u Q|^2 is |u|^2 where no dimension is lost.
    length = u.double().square().sum() if len(turn) <= turn.shape[1] else _length(u, turn)
    return turn, (size.sum() / length).item()


def _length(u: Tensor, turn: Tensor) -> Tensor:
    return torch.stack([(p.double() @ turn).square().sum() for p in u.split(TILE)]).sum()


def _cosine(u: Tensor, v: Tensor) -> Float[Tensor, "n"]:
    lengths = torch.linalg.vector_norm(u, dim=1) * torch.linalg.vector_norm(v, dim=1)
    return ((u * v).sum(1) / lengths.clamp_min(1e-30)).double()


def _tested(u: Tensor, v: Tensor, turn: Tensor, scale: float) -> tuple[Measured, Measured]:
    """Mean cosine, and the explained share as a ratio of means by the delta method."""
    cosines, left, whole = [], [], []
    for p, q in zip(u.split(TILE), v.split(TILE), strict=True):
        turned, q = p.double() @ turn, q.double()
        cosines.append(_cosine(turned, q))
        left.append((scale * turned - q).square().sum(1))
        whole.append(q.square().sum(1))
    return resampling.mean(torch.cat(cosines)), _one_less(torch.cat(left), torch.cat(whole))


def _one_less(left: Float[Tensor, "n"], whole: Float[Tensor, "n"]) -> Measured:
    """1 - sum(left) / sum(whole)."""
    ratio = (left.sum() / whole.sum()).item()
    residual = (left - ratio * whole).std().item() / whole.mean().item()
    return Measured(1 - ratio, residual / math.sqrt(len(left)), len(left))


def _halves(u: Tensor, v: Tensor, seed: int) -> tuple[Measured, Measured]:
    """Fitted on each half of the rows, tested on the other."""
    order = torch.randperm(len(u), generator=torch.Generator().manual_seed(seed))
    cosines, left, whole = [], [], []
    halves = order.tensor_split(2)
    for fit, test in (halves, halves[::-1]):
        turn, scale = rotation(u[fit], v[fit])
        for rows in test.split(TILE):
            turned, q = u[rows].double() @ turn, v[rows].double()
            cosines.append(_cosine(turned, q))
            left.append((scale * turned - q).square().sum(1))
            whole.append(q.square().sum(1))
    return resampling.mean(torch.cat(cosines)), _one_less(torch.cat(left), torch.cat(whole))


def _overlap(a: Space, b: Space, modality: str, rows: Tensor) -> tuple[Float[Tensor, "n"], int]:
    """Share of common neighbours of each of the common rows among them, and k."""
    lists = [_lists(space, modality, rows[:, side]) for side, space in enumerate((a, b))]
    k = lists[0].shape[1]
    share = []
    for p, q in zip(lists[0].split(TILE), lists[1].split(TILE), strict=True):
        share.append((p[:, :, None] == q[:, None, :]).any(2).double().mean(1))
    return torch.cat(share), k


def _lists(space: Space, modality: str, rows: Tensor) -> Int[Tensor, "n k"]:
    """Neighbours within the common rows, numbered by their place among these: those that the space
    has already where all of its rows are common."""
    x = space.embeddings[modality]
    if len(rows) == len(x):
        back = torch.empty(len(x), dtype=torch.long)
        back[rows] = torch.arange(len(x))
        return back[space.neighbors(modality, modality).index[rows]]
    points = x[rows]
    k = min(K + 1, len(points))
    return without_self(nearest(space.everything.geometry, points, points, k)).index
