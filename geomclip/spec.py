"""The named geometries as rows of data, with the initial values of the published code.

The rows are those of Chou & Alam (arXiv 2409.13079); `poincare` is `hyperbolic` on the ball, for a
cross-check. A new geometry is a new row; a new kind of lift or logit a function and a line in
lifts.py.
"""

import math
from dataclasses import dataclass
from typing import Literal

CLIP_LOGIT_SCALE = math.log(1 / 0.07)


@dataclass(frozen=True)
class GeometrySpec:
    """One geometry as data. d: dimension; alpha: scale of a feature; beta = exp(logit_scale)."""

    manifold: str
    """Key of `manifolds.MANIFOLDS`, or "product"."""
    lift: Literal["normalise", "scale", "expmap0", "frame"]
    """Key of `lifts.LIFTS`: how a feature becomes a point."""
    logit: Literal["dot", "minkowski", "-dist", "-dist2", "-mean_dist"]
    """Key of `lifts.LOGITS`: the logit of two points over beta."""
    init_logit_scale: float = CLIP_LOGIT_SCALE
    """Initial log beta."""
    init_logit_scale_entailment: float = CLIP_LOGIT_SCALE
    """Initial log beta of a model trained with the entailment loss."""
    learned_curvature: bool = False
    """Whether the curvature c is a scalar of the geometry."""
    learned_alpha: bool = False
    """Whether every modality learns its alpha, d^-1/2 at the start; it stays d^-1/2 without."""
    tangent_scale: float = 1.0
    """Chart length over metric length of a tangent vector at the origin; 1/2 on the ball. (The lift
    "frame" asks the manifold for it.)"""
    root: Literal["origin", "mean"] = "origin"
    """The origin, or the normalised mean of all embeddings of the training set."""
    root_distance: Literal["dist", "cosine"] = "dist"
    """Geodesic distance to the root, or (1 - cos) / 2."""


GEOMETRIES: dict[str, GeometrySpec] = {
    "clip": GeometrySpec("sphere", "normalise", "dot", root="mean", root_distance="cosine"),
    "elliptic": GeometrySpec("sphere", "normalise", "-dist", root="mean"),
    "euclidean": GeometrySpec("euclidean", "scale", "-dist"),
    "euclidean-squared": GeometrySpec(
        "euclidean", "scale", "-dist2", init_logit_scale=0.0, init_logit_scale_entailment=-1.0
    ),
    "euclidean-inner": GeometrySpec("euclidean", "scale", "dot"),
    "hyperbolic": GeometrySpec(
        "lorentz", "expmap0", "-dist", learned_curvature=True, learned_alpha=True
    ),
    "hyperbolic-squared": GeometrySpec(
        "lorentz",
        "expmap0",
        "-dist2",
        init_logit_scale=0.0,
        init_logit_scale_entailment=-1.0,
        learned_curvature=True,
        learned_alpha=True,
    ),
    "hyperbolic-inner": GeometrySpec(
        "lorentz", "expmap0", "minkowski", learned_curvature=True, learned_alpha=True
    ),
    "poincare": GeometrySpec(
        "poincare",
        "expmap0",
        "-dist",
        learned_curvature=True,
        learned_alpha=True,
        tangent_scale=0.5,
    ),
}

PRODUCT = GeometrySpec("product", "frame", "-dist", learned_curvature=True, learned_alpha=True)
"""Any product of manifolds, each factor with its own curvature; any other manifold with a root too.
"""

PHYCLIP = GeometrySpec("product", "frame", "-mean_dist", learned_curvature=True, learned_alpha=True)
"""PHyCLIP's: a product of hyperboloids whose logit is the mean of the factors' distances. Its root
distance is the product's, the l2 norm of the factors'.
"""
