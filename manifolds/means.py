"""Means on any manifold of constant curvature: weighted midpoint, Fréchet mean, tangent PCA.

Points are x (..., n, d). Everything runs in the work dtype and is rounded once, at the end.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifolds import frechet
from manifolds.arguments import check_tensor, weighted, whole
from manifolds.models import Space, centroid, lift, lower
from manifolds.values import check_manifold

if TYPE_CHECKING:
    from manifolds.base import Manifold


def weighted_midpoint(space: Space, x: Tensor, w: Tensor | None, dim: int) -> Tensor:
    """`Manifold.weighted_midpoint` of any manifold, through the standard model."""
    op = f"{space.name}.weighted_midpoint"
    out, x, w = weighted(op, x, w, dim)
    mean = centroid(op, space.curvature_sign, lift(space, x), w, space.c.to(x))
    return lower(space, mean).to(out)


def frechet_mean(
    space: Space, x: Tensor, w: Tensor | None, dim: int, tol: float | None, max_iter: int
) -> Tensor:
    """`Manifold.frechet_mean` of any manifold, through the standard model."""
    op = f"{space.name}.frechet_mean"
    out, x, w = weighted(op, x, w, dim)
    sign, c = space.curvature_sign, space.c.to(x)
    return lower(space, frechet.frechet_mean(op, sign, lift(space, x), w, c, tol, max_iter)).to(out)


# --- tangent PCA ---


@dataclass(frozen=True)
class TangentPCA:
    """Principal directions of points around their mean (`tangent_pca`)."""

    manifold: "Manifold"
    mean: Tensor
    """(d,)"""
    components: Tensor
    """Tangent vectors at the mean (k, d), orthonormal in the metric, by falling variance."""
    variance: Tensor
    """Weighted mean of the squared scores (k,), a squared geodesic length."""
    explained: Tensor
    """Share of the total variance (k,)."""

    def transform(self, x: Tensor) -> Tensor:
        """Scores (..., k) of points (..., d): the coordinates of log_mean(x), geodesic lengths."""
        log = self.manifold.logmap(self.mean, x)
        return self.manifold.inner(self.mean, log.unsqueeze(-2), self.components)

    def reconstruct(self, scores: Tensor) -> Tensor:
        """Points (..., d) with scores (..., k)."""
        return self.manifold.expmap(self.mean, scores @ self.components)

    def to_dict(self) -> dict[str, list]:
        """Everything but the manifold, as nested lists."""
        names = ("mean", "components", "variance", "explained")
        return {name: getattr(self, name).tolist() for name in names}


@torch.no_grad()
def tangent_pca(
    manifold: "Manifold",
    x: Tensor,
    w: Tensor | None = None,
    *,
    k: int | None = None,
    mean: Tensor | None = None,
) -> TangentPCA:
    """Principal component analysis of log_mean(x_i) in the metric at the mean.

    Source: Fletcher et al. 2004 (principal geodesic analysis, section 4.2).

    Args:
        x: points (n, d).
        w: weights (n,); equal if not given.
        k: number of components, at most n and the dimension of the manifold; that by default.
        mean: where the tangent space is taken, and from where variance counts; the Fréchet mean if
            not given.

    Raises:
        TypeError: no manifold, x is no tensor, or k no whole number.
        ValueError: x is not (n, d), k is out of range, or as `Manifold.frechet_mean`.
    """
    check_manifold("tangent_pca", manifold)
    op = f"{manifold.name}.tangent_pca"
    check_tensor(op, "x", x, "(n, d)")
    if x.ndim != 2:
        raise ValueError(f"{op}: x must be (n, d), got {tuple(x.shape)}")
    most = min(x.shape[0], x.shape[1] - manifold.codim)
    k = most if k is None else whole(op, "k", k, k)
    if not 1 <= k <= most:
        raise ValueError(f"{op}: k must lie between 1 and {most} (n and the dimension), got {k}")
    out, x, w = weighted(op, x, w, -2)
    mean = manifold.frechet_mean(x, w.squeeze(-1)) if mean is None else mean.to(x)
    z = manifold.to_frame(mean, manifold.logmap(mean, x))
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    root = manifold.origin(x.shape[-1], dtype=x.dtype, device=x.device)
    tangent = eye[manifold.proju(root, eye).diagonal() > 0.5]  # without the normal of a sphere
    _, length, axes = torch.linalg.svd(w.sqrt() * (z @ tangent.mT), full_matrices=False)
    # The largest entry of an axis is positive, so that equal data give equal signs.
    largest = axes.gather(-1, axes.abs().argmax(-1, keepdim=True))
    axes = torch.where(largest < 0, -axes, axes)[:k]
    variance = length.square()
    return TangentPCA(
        manifold,
        mean.to(out),
        manifold.from_frame(mean, axes @ tangent).to(out),
        variance[:k].to(out),
        (variance[:k] / variance.sum()).to(out),
    )
