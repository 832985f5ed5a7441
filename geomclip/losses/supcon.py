"""Supervised contrastive loss (Khosla et al., arXiv 2004.11362, equation 2) over the logits of any
geometry, with class labels or with the levels of a hierarchy.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.bands import by_bands
from geomclip.losses.lines import cross_entropy, join_bands, line_sums, log_sum, without_partners
from geomclip.losses.sums import check_pairs
from geomclip.precision import no_autocast
from manifolds.arguments import check_tensor

Labels = Int[Tensor, "n"] | Int[Tensor, "n l"]


def supcon_loss(
    geometry: Geometry,
    x: Float[Tensor, "n d"],
    labels: Labels,
    y: Float[Tensor, "n d"] | None = None,
    *,
    weights: Sequence[float] | None = None,
) -> Float[Tensor, ""]:
    """Supervised contrastive loss in nats: an anchor's positives are the points of its label.

        L = mean_i -1/|P(i)| sum_{p in P(i)} log( exp(l_ip) / sum_{a in A(i)} exp(l_ia) )

    Of one set of points, A(i) is every point but i and P(i) those of i's label; anchors with an
    empty P(i) are left out of the mean (`lonely_anchors` counts them). With `y` anchors are
    contrasted with the other modality, A(i) being all of its points and P(i) those of the label
    and the anchor's own partner; the loss is the mean of both directions, and labels that all
    differ give `info_nce`. With labels (n, l), one for each level of a hierarchy, it is the mean of
    the levels' losses by `weights`. Memory O(n).

    Args:
        x: points of one modality, or of several views one after the other.
        labels: class of each point, a negative one being unknown: it is nobody's positive.
        y: points of the other modality; y[i] belongs to x[i].
        weights: one for each level, >= 0, not all 0; equal by default.

    Raises:
        ValueError: shapes do not fit, weights do not fit the levels, or no anchor has a positive.
    """
    x, other = check_pairs(geometry, x, x if y is None else y, "supcon_loss")
    labels, weight = _levels(labels, weights, x)
    counts = positive_counts(labels, paired=y is not None)
    anchors = (counts > 0).sum(0)
    if not (anchors * weight).any():
        raise ValueError(
            f"supcon_loss: none of {len(x)} anchors has another point of its label; draw batches "
            "with several points a label, or give the other modality's points y"
        )
    each = weight / weight.sum() / anchors.clamp_min(1)
    of_anchor = (counts > 0) * each
    of_positive = (of_anchor / counts.clamp_min(1)).to(x.dtype)
    of_anchor = of_anchor.sum(1)
    with no_autocast(x):
        if y is None:
            bands = by_bands(_band, x, len(x), geometry, labels, of_anchor, of_positive, x)
            loss = torch.stack([part for (part,) in bands]).sum()
        else:
            parts = by_bands(_paired_band, x, len(x), geometry, labels, of_positive, other)
            sums = join_bands([(row, column, pair) for row, column, pair, _ in parts])
            lines = cross_entropy(sums.row, sums.pair) + cross_entropy(sums.column, sums.pair)
            # A pair of one label pulls as much in a row as in a column.
            loss = (of_anchor * lines).sum() / 2 + torch.stack([part[3] for part in parts]).sum()
    return loss.to(x.dtype)


def positive_counts(labels: Labels, *, paired: bool) -> Int[Tensor, "n l"]:
    """How many positives each anchor has at each level: the other points of its label, and with
    `paired` its partner in the other modality.
    """
    columns = labels.reshape(len(labels), -1).unbind(1)
    same = []
    for column in columns:
        _, place, count = torch.unique(column, return_inverse=True, return_counts=True)
        same.append(torch.where(column < 0, torch.ones_like(column), count[place]))
    return torch.stack(same, 1) - (0 if paired else 1)


def lonely_anchors(labels: Labels) -> Bool[Tensor, "n l"]:
    """Which anchors have no other point of their label at a level."""
    return positive_counts(labels, paired=False) == 0


# An anchor's loss is the cross-entropy of one of its positives, q, and how far others are below it:
#
#     log sum_a exp(l_ia) - mean_p l_ip = CE(q) + mean_p (l_iq - l_ip)
#
# which keeps its digits where an anchor has one positive and has found it.


def _band(
    start: int,
    x: Tensor,
    geometry: Geometry,
    labels: Tensor,
    of_anchor: Tensor,
    of_positive: Tensor,
    everything: Tensor,
) -> tuple[Tensor]:
    """Weighted sum over a band of anchors of one set; q is the likeliest positive."""
    logits = geometry.logits(x, everything)
    positive = _positives(start, logits, labels, of_positive)
    nearest = logits.detach().masked_fill(positive == 0, -torch.inf).argmax(1, keepdim=True)
    found = logits.gather(1, nearest)
    lowest = torch.finfo(logits.dtype).min
    others = log_sum(without_partners(logits, start).scatter(1, nearest, lowest), 1)
    losses = cross_entropy(others, found[:, 0].to(others.dtype))
    weight = of_anchor[start : start + len(x)]
    # q itself is no part of the mean: its gradient there is 0, but as w - w, with w's rounding.
    rest = positive.scatter(1, nearest, 0)
    return ((weight * losses).sum() + (rest * (found - logits)).sum(),)


def _paired_band(
    start: int,
    x: Tensor,
    geometry: Geometry,
    labels: Tensor,
    of_positive: Tensor,
    other: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`line_sums` of a band, and the weighted sum of what positives lie below q, the partner."""
    logits = geometry.logits(x, other)
    sums = line_sums(logits, start)
    positive = _positives(start, logits, labels, of_positive)
    pulled = (positive * (logits.diagonal(start)[:, None] - logits)).sum()
    return sums.row, sums.column, sums.pair, pulled


def _positives(
    start: int, logits: Tensor, labels: Tensor, of_positive: Tensor
) -> Float[Tensor, "n m"]:
    """Weights of the positives of a band of anchors, the anchors' own places left out."""
    rows = slice(start, start + len(logits))
    own = torch.arange(len(logits), device=logits.device)
    positive = torch.zeros_like(logits)
    for level in range(labels.shape[1]):
        column = labels[:, level]
        same = (column[rows, None] == column) & (column >= 0)
        same[own, own + start] = False
        positive += same * of_positive[rows, level, None]
    return positive


def _levels(
    labels: Tensor, weights: Sequence[float] | None, x: Tensor
) -> tuple[Int[Tensor, "n l"], Float[Tensor, "l"]]:
    check_tensor("supcon_loss", "labels", labels, "(n,) or (n, levels)")
    if labels.ndim not in (1, 2) or len(labels) != len(x) or labels.numel() == 0:
        raise ValueError(
            f"supcon_loss: labels are (n,) or (n, levels) for n = {len(x)} points, got "
            f"{tuple(labels.shape)}"
        )
    labels = labels.reshape(len(x), -1).to(x.device)
    given = [1.0] * labels.shape[1] if weights is None else list(weights)
    if len(given) != labels.shape[1] or not all(w >= 0 for w in given) or not any(given):
        raise ValueError(
            f"supcon_loss: weights are one number >= 0 for each of {labels.shape[1]} levels, not "
            f"all 0, got {given}"
        )
    return labels, torch.tensor(given, dtype=torch.float64, device=x.device)
