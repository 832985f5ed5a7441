"""The formulas that others compute, written from their papers, in the dtype of the points.

    lorentz      d = arcosh(max(1 + eps, -c <x, y>_L)) / sqrt(c)      MERU, arXiv 2304.09172
    poincare     d = arcosh(1 + 2c |x-y|^2 / ((1 - c|x|^2)(1 - c|y|^2))) / sqrt(c)      1705.08039
    euclidean    |x - y| from |x|^2 + |y|^2 - 2 <x, y>
    sphere       arccos of the clamped cosine

All over one matrix product. c is a 0-dim tensor that takes a gradient, as in MERU's training.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-8  # MERU's clamp
BLOCK = 512  # rows of `OneBuffer` at a time


def time_of(x: Tensor, c: Tensor) -> Tensor:
    """Time components (n, 1) of points on the hyperboloid."""
    return torch.sqrt(1 / c + x.square().sum(-1, keepdim=True))


def minkowski(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """<x, y>_L of all pairs."""
    return x @ y.mT - time_of(x, c) @ time_of(y, c).mT


def lorentz(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    return torch.acosh(torch.clamp(-c * minkowski(x, y, c), min=1 + EPS)) / c.sqrt()


def squares(x: Tensor, y: Tensor) -> Tensor:
    """|x - y|^2 of all pairs."""
    xx, yy = (t.square().sum(-1, keepdim=True) for t in (x, y))
    return (xx + yy.mT - 2 * x @ y.mT).clamp(min=0)


def poincare(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    x_gap, y_gap = (1 - c * t.square().sum(-1, keepdim=True) for t in (x, y))
    ratio = 2 * c * squares(x, y) / (x_gap * y_gap.mT)
    return torch.acosh(torch.clamp(1 + ratio, min=1 + EPS)) / c.sqrt()


def sphere(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    return torch.acos((c * (x @ y.mT)).clamp(-1 + EPS, 1 - EPS)) / c.sqrt()


def euclidean2(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    return squares(x, y)


def euclidean(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    return squares(x, y).clamp(min=EPS).sqrt()


DISTANCES = {
    "lorentz": lorentz,
    "poincare": poincare,
    "sphere": sphere,
    "euclidean": euclidean,
    "euclidean2": euclidean2,
}
"""(x (n, d), y (m, d), c) -> (n, m), by kernel kind."""


def score(space: str, logit: str, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """The score of a geometry: `logit` as in `geomclip.GeometrySpec`, `space` a manifold."""
    if logit == "dot":
        return x @ y.mT
    if logit == "minkowski":
        return minkowski(x, y, c)
    if logit == "-dist2" and space == "euclidean":
        return -squares(x, y)
    distance = DISTANCES[space](x, y, c)
    return -distance.square() if logit == "-dist2" else -distance


def cross_entropies(logits: Tensor) -> Tensor:
    """Symmetric InfoNCE of square logits, as published code computes it."""
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.mT, pairs)) / 2


class OneBuffer(torch.autograd.Function):
    """Symmetric InfoNCE over -beta times the hyperboloid distance in torch with a single n x n
    matrix, which holds the logits and then, block by block, what the gradients are made of.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, logit_scale: Tensor, log_c: Tensor) -> Tensor:
        c, scale = log_c.exp(), logit_scale.exp() * (-log_c / 2).exp()
        x_time, y_time = time_of(x, c), time_of(y, c)
        # u = -c <x, y>_L, then the logits -scale arcosh(u), in place.
        logits = torch.mm(x_time, y_time.mT).addmm_(x, y.mT, beta=c.item(), alpha=-c.item())
        logits.clamp_(min=1 + 2e-7).acosh_().mul_(-scale)
        row = torch.cat([part.logsumexp(1) for part in logits.split(BLOCK)])
        column = torch.cat([part.logsumexp(0) for part in logits.split(BLOCK, 1)])
        pair = logits.diagonal()
        ctx.save_for_backward(x, y, c, scale, logits, row, column)
        return (row - pair + column - pair).mean() / 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, y, c, scale, logits, row, column = ctx.saved_tensors
        by_logit = torch.zeros_like(c)
        for start in range(0, len(x), BLOCK):
            part = logits[start : start + BLOCK]
            weight = (part - row[start : start + BLOCK, None]).exp_().add_((part - column).exp_())
            weight.diagonal(start).sub_(2)
            weight.mul_(grad / (2 * len(x)))
            by_logit += (weight * part).sum()
            # dL/du: the slope of arcosh is 1 / sinh of the distance.
            part.div_(-scale).sinh_().reciprocal_().mul_(weight).mul_(-scale)
        x_time, y_time = time_of(x, c), time_of(y, c)
        to_x, to_y = logits @ y_time, logits.mT @ x_time
        v_x, v_y = logits @ y, logits.mT @ x
        g_x, g_y = c * (to_x * x / x_time - v_x), c * (to_y * y / y_time - v_y)
        through_time = (to_x / x_time).sum() + (to_y / y_time).sum()
        by_c = c * ((to_x * x_time).sum() - (v_x * x).sum()) - through_time / 2 - by_logit / 2
        return g_x, g_y, by_logit, by_c
