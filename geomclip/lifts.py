"""How features become points (`LIFTS`) and pairs of points become logits (`LOGITS`).

Arguments are float32 or float64 and autocast is off: `Geometry` sees to both.
"""

from collections.abc import Callable

import torch
from torch import Tensor

import manifolds
from manifolds.base import Manifold
from manifolds.product import Product

Scale = Tensor | float


def normalise(manifold: Manifold, features: Tensor, scale: Scale, what: str) -> Tensor:
    """f / |f|, a point of the unit sphere; neither the manifold nor the scale is read."""
    return unit(features, what)


def unit(features: Tensor, what: str) -> Tensor:
    """f / |f|. Raises ValueError that counts the zero features; `what` names them."""
    # Divided by the largest entry first: the squares of a feature of 1e-23 underflow in float32.
    largest = features.detach().abs().amax(-1, keepdim=True)
    zeros = int((largest == 0).sum())
    if zeros:
        raise ValueError(
            f"{what}: {zeros} of {largest.numel()} features are zero and have no direction; look "
            "for dead units or empty input in the encoder, or take a Euclidean or hyperbolic space"
        )
    features = features / largest
    return features / torch.linalg.vector_norm(features, dim=-1, keepdim=True)


def scale(manifold: Manifold, features: Tensor, scale: Scale, what: str) -> Tensor:
    """scale * f, a point of Euclidean space."""
    return features * scale


def expmap0(manifold: Manifold, features: Tensor, scale: Scale, what: str) -> Tensor:
    """exp_0(scale * f), with f a tangent vector at the origin."""
    return manifold.expmap0(features * scale)


def frame(manifold: Manifold, features: Tensor, scale: Scale, what: str) -> Tensor:
    """exp_0 of the vector whose coordinates in an orthonormal basis at the root are scale * f.

    On any manifold; on a sphere the first coordinate, along the root, has no effect.
    """
    root = manifold.origin(features.shape[-1], dtype=features.dtype, device=features.device)
    along = manifold.proju(root, features * scale)
    return manifold.expmap0(manifold.from_frame(root, along))


def tangent_mean(features: Tensor, directions: bool, what: str) -> Tensor:
    """Mean over the k of features (..., k, d), of their directions where only those count.

    Raises ValueError for no features, or as `normalise`.
    """
    if features.ndim < 2 or features.shape[-2] == 0:
        raise ValueError(
            f"{what}: a prototype needs features (..., k, d) with at least one prompt k, got "
            f"{tuple(features.shape)}"
        )
    return (unit(features, what) if directions else features).mean(-2)


def dot(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """<x, y>; on the unit sphere the cosine."""
    return x @ y.mT


def minkowski(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """<x, y>_L = <x, y> - x_t y_t, at most -1/c."""
    return manifolds.functional.lorentz_pairwise_inner(x, y, manifold.c)


def minus_dist(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """-d(x, y)."""
    return -manifold.pairwise_dist(x, y)


def minus_dist2(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """-d(x, y)^2."""
    return -manifold.pairwise_dist2(x, y)


def minus_mean_dist(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """-mean_i d(x_i, y_i) over the factors of a product: l1 where its own distance is l2 (PHyCLIP).

    Raises ValueError for another manifold.
    """
    if not isinstance(manifold, Product):
        raise ValueError(f"-mean_dist is a logit of products, got {manifold.name}")
    parts = zip(manifold.factors, manifold.split(x), manifold.split(y), strict=True)
    total = x.new_zeros(())
    for factor, a, b in parts:
        total = total + factor.pairwise_dist(a, b)  # type: ignore[operator]
    return -total / len(manifold.factors)


LIFTS: dict[str, Callable[[Manifold, Tensor, Scale, str], Tensor]] = {
    "normalise": normalise,
    "scale": scale,
    "expmap0": expmap0,
    "frame": frame,
}

LOGITS: dict[str, Callable[[Manifold, Tensor, Tensor], Tensor]] = {
    "dot": dot,
    "minkowski": minkowski,
    "-dist": minus_dist,
    "-dist2": minus_dist2,
    "-mean_dist": minus_mean_dist,
}
