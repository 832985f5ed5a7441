"""Tangent PCA at the root: the two directions in which the points vary most."""

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.viz.reduce.plane import Problem


@torch.no_grad()
def tangent_pca(problem: Problem, seed: int = 0) -> Float[Tensor, "n 2"]:
    """Tangent vectors at the root on their first two principal axes.

    The axes are those of the variance around the mean (Fletcher et al. 2004); the root stays at 0,
    so that directions and lengths are seen from it.
    """
    tangent = problem.tangent
    centred = tangent - tangent.mean(0)
    axes = torch.linalg.eigh(centred.mT @ centred).eigenvectors.flip(-1)[:, :2]
    if axes.shape[1] < 2:  # a line: nothing varies across it
        axes = torch.nn.functional.pad(axes, (0, 1))
    # The largest entry of an axis is positive, so that equal data give equal pictures.
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return tangent @ torch.where(largest < 0, -axes, axes)
