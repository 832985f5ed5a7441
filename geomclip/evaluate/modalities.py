"""A model of more than two modalities: retrieval between each two of them, root distances of each.

What is right is what shares its name with the query, as between pictures and names. Nothing is
drawn and no prompt is averaged: texts are read as the root's mean reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.data.transforms import on_white
from geomclip.data.views import keywords
from geomclip.evaluate.features import check_finite, inference
from geomclip.evaluate.items import Items
from geomclip.evaluate.retrieval import RECALL_AT, Retrieved, chance_recall, retrieve
from geomclip.model import ContrastiveModel


@dataclass(frozen=True, eq=False)
class PairRetrieval:
    """What one modality found in another."""

    queries: int
    candidates: int
    found: Retrieved
    right: list[int]
    """Candidates that are right, for each query."""

    def recalls(self) -> dict[str, float]:
        """R@1, R@5 and R@10 by "r1", "r5", "r10"."""
        return {f"r{k}": self.found.recall(k) for k in RECALL_AT}

    def chances(self) -> dict[str, float]:
        """The same of a random order."""
        return {f"r{k}": chance_recall(self.right, self.candidates, k) for k in RECALL_AT}

    def to_dict(self) -> dict[str, Any]:
        """Counts and recalls."""
        return {"queries": self.queries, "candidates": self.candidates, **self.recalls()}


@dataclass(frozen=True, eq=False)
class ModalityEvaluation:
    """A split by modality.

    Args:
        pairs: by "A_to_B"; those without a query left out.
        root_distance: of the queries, by modality.
    """

    pairs: Mapping[str, PairRetrieval]
    root_distance: Mapping[str, Float[Tensor, "n"]]

    def metrics(self) -> dict[str, float]:
        """Recalls "A_to_B_r1" and medians "root_distance_A", geodesic length."""
        recalls = {
            f"{way}_{name}": value
            for way, pair in self.pairs.items()
            for name, value in pair.recalls().items()
        }
        medians = {f"root_distance_{m}": d.median().item() for m, d in self.root_distance.items()}
        return recalls | medians

    def to_dict(self) -> dict[str, Any]:
        """Counts, recalls and medians."""
        return {
            "pairs": {way: pair.to_dict() for way, pair in self.pairs.items()},
            "median_root_distance": {m: d.median().item() for m, d in self.root_distance.items()},
        }


@dataclass(frozen=True)
class _Side:
    """The points of one modality in a pool, and the names that they have."""

    points: Float[Tensor, "n d"]
    names: Int[Tensor, "n"]
    asked: Int[Tensor, "q"]
    """Which of them are asked about."""


def evaluate_modalities(
    model: ContrastiveModel, items: Items, batch_size: int = 256
) -> ModalityEvaluation | None:
    """Every two modalities of a split against each other; None for a model of two.

    Boxes and their words are no part of a pool, and are left out. An item that the model's table
    has no row for is neither a query nor a candidate.
    """
    if len(model.modalities) < 3:
        return None
    geometry = model.geometry
    with inference(model):
        sides = {name: _side(model, name, items, batch_size) for name in model.modalities}
        known = {name: side for name, side in sides.items() if side is not None}
        pairs = {}
        for a, b in permutations(known, 2):
            left, right = known[a], known[b]
            asked = left.asked[torch.isin(left.names[left.asked], right.names)]
            if not len(asked):
                continue
            names = left.names[asked]
            found = retrieve(geometry.score, left.points[asked], right.points, names, right.names)
            counts = torch.bincount(right.names, minlength=int(names.max()) + 1)
            found = Retrieved(found.rank.cpu(), found.top.cpu(), found.score.cpu())
            pairs[f"{a}_to_{b}"] = PairRetrieval(
                len(asked), len(right.points), found, counts[names].tolist()
            )
        distances = {
            name: geometry.root_distance(side.points[side.asked]).cpu()
            for name, side in known.items()
            if len(side.asked)
        }
    return ModalityEvaluation(pairs, distances)


def _side(model: ContrastiveModel, name: str, items: Items, batch_size: int) -> _Side | None:
    modality, pool, device = model.modalities[name], items.pool, model.pixel_mean.device
    if modality.reads in ("box", "phrase"):
        return None
    if modality.kind == "pixels":
        rows = (items.name_of >= 0).nonzero().squeeze(1)
    else:
        rows = items.first  # one of each name
    inputs: Any
    if modality.kind == "rows":
        place = {item: number for number, item in enumerate(model.items)}
        rows = torch.tensor([r for r in rows.tolist() if pool.ids[r] in place], dtype=torch.int64)
        inputs = torch.tensor([place[pool.ids[r]] for r in rows.tolist()], dtype=torch.int64)
    elif modality.reads == "keywords":
        rows = torch.tensor([r for r in rows.tolist() if pool.texts[r][1:]], dtype=torch.int64)
        inputs = [keywords(pool.texts[r]) for r in rows.tolist()]
    elif modality.kind == "tokens":
        inputs = [items.names[label] for label in items.name_of[rows].tolist()]
    if not len(rows):
        return None
    points = []
    for i in range(0, len(rows), batch_size):
        if modality.kind == "pixels":
            part: Any = on_white(pool.images[rows[i : i + batch_size]]).to(device)
        else:
            part = inputs[i : i + batch_size]
            part = part.to(device) if isinstance(part, Tensor) else part
        points.append(model.encode(part, name))
    names = items.name_of[rows]
    wanted = items.query if modality.kind == "pixels" else items.first[items.name_of[items.query]]
    asked = torch.isin(rows, wanted).nonzero().squeeze(1)
    stacked = check_finite(torch.cat(points), f"{name}: points of")
    return _Side(stacked, names.to(device), asked.to(device))
