"""The reference without a model: the training picture whose pixels are nearest."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from geomclip.data.transforms import on_white

# Queries and candidates a block: 12 MB of pixels at 32 x 32 each.
CHUNK = 1024
# Candidates kept by the matrix product and then compared exactly.
SHORTLIST = 4


def nearest_pictures(
    queries: UInt8[Tensor, "q 4 _ _"], candidates: UInt8[Tensor, "n 4 _ _"]
) -> Int[Tensor, "q"]:
    """Row of the candidate with the smallest squared pixel distance to each query, both on white.

    At least one candidate.

    Raises:
        ValueError: the two sets have pictures of different sizes.
    """
    if queries.shape[1:] != candidates.shape[1:]:
        raise ValueError(
            f"nearest_pictures: queries {tuple(queries.shape[1:])} and candidates "
            f"{tuple(candidates.shape[1:])} have different sizes; decode both to one size"
        )
    best = torch.empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.long)
    ink = [_ink(queries[i : i + CHUNK]) for i in range(0, len(queries), CHUNK)]
    for start in range(0, len(candidates), CHUNK):
        block = _ink(candidates[start : start + CHUNK])
        norm = block.square().sum(-1)
        # |q - x|^2 without its |q|^2, which is the same for all candidates.
        near = torch.cat([norm - 2 * (q @ block.T) for q in ink])
        best = torch.cat([best, near], dim=1)
        rows = torch.cat([rows, torch.arange(start, start + len(block)).expand_as(near)], dim=1)
        best, order = best.topk(min(SHORTLIST, best.shape[1]), dim=1, largest=False)
        rows = rows.gather(1, order)
    return _exact(ink, candidates, rows.sort(dim=1).values)


def share_of_same(
    nearest: Int[Tensor, "q"], query_label: Sequence[object], candidate_label: Sequence[object]
) -> float:
    """Share of the queries whose nearest candidate has the query's own label."""
    found = [candidate_label[j] for j in nearest.tolist()]
    same = [a == b for a, b in zip(query_label, found, strict=True)]
    return sum(same) / len(same)


def _ink(images: UInt8[Tensor, "n 4 h w"]) -> Float[Tensor, "n p"]:
    # Measured from white, so that the empty background adds nothing to the norms and the split form
    # of the distance keeps its digits.
    return (1 - on_white(images)).flatten(1)


def _exact(
    ink: list[Tensor], candidates: UInt8[Tensor, "n 4 h w"], rows: Int[Tensor, "q s"]
) -> Int[Tensor, "q"]:
    """The nearest of each shortlist, by differences: the split form can swap near equals."""
    distances = []
    for short in rows.T:
        parts = []
        for i, q in enumerate(ink):
            other = _ink(candidates[short[i * CHUNK : i * CHUNK + len(q)]])
            parts.append((q - other).square().sum(-1, dtype=torch.float64))
        distances.append(torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64))
    nearest = torch.stack(distances).argmin(0)
    return rows.gather(1, nearest[:, None]).squeeze(1)
