"""Retrieval of pictures and captions where a picture has several captions (Karpathy & Fei-Fei,
arXiv 1412.2306; on COCO the first five of each, on all 5,000 test pictures and in folds of 1,000).

- image to text: the queries are pictures, the candidates all captions; R@k is the share of pictures
  that have one of their own captions among the first k
- text to image: the queries are captions, the candidates pictures; R@k is the share of captions
  whose picture is among the first k

A caption is right for its own picture alone, also where another picture has the same words. Ties
are settled against the model (retrieval.py): a foreign caption with the same words as an own one
stands before it, where published programs leave it to a sort.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.evaluate.retrieval import RECALL_AT, chance_recall, retrieve
from geomclip.evaluate.tested import Tested, bootstrap_errors
from geomclip.geometry import Geometry

CAPTIONS, FOLD = 5, 1000


@dataclass(frozen=True)
class CaptionRetrieval:
    """Recalls of both directions.

    Args:
        pictures, captions: how many of each were ranked, in one fold.
        folds: of how many folds these are the means; 1 for all pictures at once.
        recall: by "i2t_r1", "t2i_r10", ...; errors over pictures (bootstrap: the captions of one
            picture are drawn together).
        median_rank: by "i2t" and "t2i", from 1.
        chance: of a random order, by the names of `recall`.
    """

    pictures: int
    captions: int
    folds: int
    recall: dict[str, Tested]
    median_rank: dict[str, float]
    chance: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return {**vars(self), "recall": {k: v.to_dict() for k, v in self.recall.items()}}


def retrieve_captions(
    geometry: Geometry,
    images: Float[Tensor, "n d"],
    texts: Float[Tensor, "m d"],
    image_of: Int[Tensor, "m"],
    *,
    fold: int = 0,
) -> CaptionRetrieval:
    """Rank by the geometry's own score, in both directions.

    Args:
        texts: points of the captions.
        image_of: row of each caption's picture; every picture has one at least.
        fold: pictures of a fold, consecutive rows; the rest that fills no fold is left out. 0 takes
            all pictures at once.

    Raises:
        ValueError: a picture without a caption, or fewer pictures than a fold.
    """
    n = len(images)
    count = torch.bincount(image_of.cpu(), minlength=n)
    if not n or len(count) > n or not bool((count > 0).all()):
        raise ValueError(
            f"retrieve_captions: {n} pictures, of which {int((count[:n] == 0).sum())} have no "
            f"caption, and captions of rows up to {len(count) - 1}"
        )
    if fold < 0 or fold > n:
        raise ValueError(f"retrieve_captions: a fold of {fold} among {n} pictures")
    size = fold or n
    starts = range(0, n - size + 1, size)
    parts = [_ranks(geometry, images, texts, image_of, range(i, i + size)) for i in starts]
    i2t = torch.cat([part[0] for part in parts])
    t2i = torch.cat([part[1] for part in parts])
    owner = torch.cat([part[2] for part in parts])
    captions = len(t2i) / len(parts)
    recall = _recalls(i2t, t2i, owner, [len(part[1]) for part in parts])
    kept = count[: len(i2t)].tolist()
    chance = {}
    for k in RECALL_AT:
        chance[f"i2t_r{k}"] = chance_recall(kept, round(captions), k)
        chance[f"t2i_r{k}"] = chance_recall([1], size, k)
    return CaptionRetrieval(
        pictures=size,
        captions=round(captions),
        folds=len(parts),
        recall=recall,
        median_rank={"i2t": i2t.double().median().item(), "t2i": t2i.double().median().item()},
        chance=chance,
    )


def _ranks(
    geometry: Geometry, images: Tensor, texts: Tensor, image_of: Tensor, rows: range
) -> tuple[Tensor, Tensor, Tensor]:
    """Ranks of the pictures, of their captions, and the captions' rows, within some rows."""
    inside = (image_of >= rows.start) & (image_of < rows.stop)
    owner, mine = image_of[inside], texts[inside]
    label = torch.arange(rows.start, rows.stop, device=owner.device)
    pictures = images[rows.start : rows.stop]

    def flipped(t: Tensor, x: Tensor) -> Tensor:
        return geometry.score(x, t).mT

    i2t = retrieve(geometry.score, pictures, mine, label, owner, k=1).rank
    t2i = retrieve(flipped, mine, pictures, owner, label, k=1).rank
    return i2t.cpu(), t2i.cpu(), owner.cpu()


def _recalls(i2t: Tensor, t2i: Tensor, owner: Tensor, sizes: list[int]) -> dict[str, Tested]:
    """The mean over folds of each recall, with the error that resampling pictures gives it."""
    n = len(i2t)
    hits: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    fold_of_caption = np.repeat(np.arange(len(sizes)), sizes)
    shown = np.bincount(owner.numpy(), minlength=n).astype(float)
    for k in RECALL_AT:
        hits[f"i2t_r{k}"] = (i2t <= k).double().numpy(), np.ones(n)
        found = (t2i <= k).double().numpy()
        hits[f"t2i_r{k}"] = np.bincount(owner.numpy(), weights=found, minlength=n), shown
    fold_of = np.zeros(n, np.int64)
    fold_of[owner.numpy()] = fold_of_caption

    def mean_of_folds(weight: np.ndarray) -> list[float]:
        values = []
        for top, bottom in hits.values():
            over = np.bincount(fold_of, weights=weight * top)
            under = np.bincount(fold_of, weights=weight * bottom)
            # A resample may leave a fold empty, and is then not counted.
            values.append(float(np.mean(over / under)) if under.all() else math.nan)
        return values

    errors = bootstrap_errors(mean_of_folds, n)
    values = mean_of_folds(np.ones(n))
    counts = [n if name.startswith("i2t") else len(t2i) for name in hits]
    return {
        name: Tested(value, error, count)
        for name, value, error, count in zip(hits, values, errors, counts, strict=True)
    }


def first_captions(
    texts: list[tuple[str, ...]], most: int = CAPTIONS
) -> tuple[list[str], Int[Tensor, "m"]]:
    """The captions of all pictures in a row, and the picture of each; at most so many a picture (0:
    all)."""
    kept = [captions[:most] if most else captions for captions in texts]
    flat = [text for captions in kept for text in captions]
    owner = [i for i, captions in enumerate(kept) for _ in captions]
    return flat, torch.tensor(owner, dtype=torch.long)
