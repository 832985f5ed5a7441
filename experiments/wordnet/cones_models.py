"""Four models of "is below": entailment cones, hyperbolic and Euclidean, shadow cones, orders.

A model scores pairs (parent, child) of points: above 0 within the parent's cone. `score` is exact
and for pairs; `pairwise` is for the many pairs of a batch that are no edges.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from shadow import pairwise_umbral_score, umbral_score
from torch import Tensor

from geomclip.losses import order_energy, pairwise_order_energy
from geomclip.towers import PointTable
from manifolds import Euclidean, Lorentz, Manifold, UpperHalfSpace
from manifolds.numerics import safe_norm

Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Model:
    """Points and their scores.

    Args:
        table: the points.
        score: (n, d) parents and (n, d) children to (n,).
        pairwise: (n, d) parents and (m, d) children to (n, m), to float32's digits or better.
        outward: points to tangent vectors that lead deeper into their cones.
    """

    table: PointTable
    score: Score
    pairwise: Score
    outward: Callable[[Tensor], Tensor]


def pairwise_cone_score(
    manifold: Manifold, parents: Float[Tensor, "n d"], children: Float[Tensor, "m d"], k: float
) -> Float[Tensor, "n m"]:
    """half_aperture(x_i) - exterior_angle(x_i, y_j) in radians, on Lorentz and Euclidean.

    The angle is the library's pairwise one without its repair of pairs near the axis: within 1e-3
    of it, and backward in a fifth of the time.
    """
    c = manifold.c.to(parents).sqrt()
    norm_x, norm_y = safe_norm(parents), safe_norm(children).T
    cosine = (parents / norm_x) @ (children.T / norm_y)
    cosine = cosine.clamp(-1 + 1e-6, 1 - 1e-6)
    one = torch.ones_like(norm_x)
    along = torch.hypot(one, c * norm_x) * norm_y * cosine - norm_x * torch.hypot(
        torch.ones_like(norm_y), c * norm_y
    )
    across = norm_y * (1 - cosine.square()).sqrt()
    aperture = manifold.half_aperture(parents, min_radius=k)
    return aperture[:, None] - torch.atan2(across, along)


def cones(manifold: Manifold, nodes: int, dim: int, k: float) -> Model:
    """Entailment cones of a minimum radius K; random points lie round it, where cones are widest.

    score = half_aperture(x) - exterior_angle(x, y)        (radians)
    """
    table = PointTable(nodes, manifold, dim, sparse=True)
    # The radius at which the aperture is pi/2, from its formula.
    edge = k if isinstance(manifold, Euclidean) else math.asinh(2 * k) / math.sqrt(manifold.c)
    with torch.no_grad():
        direction = torch.nn.functional.normalize(torch.randn(nodes, dim), dim=1)
        radius = edge * (1 + torch.rand(nodes, 1) / 2)
        table.weight.copy_(manifold.expmap0(radius * direction))
    return Model(
        table,
        lambda x, y: manifold.half_aperture(x, min_radius=k) - manifold.exterior_angle(x, y),
        lambda x, y: pairwise_cone_score(manifold, x, y, k),
        lambda x: x,
    )


def umbral(nodes: int, dim: int, radius: float) -> Model:
    """Shadow cones of balls of a radius, with the light at infinity (see `shadow`)."""
    manifold = UpperHalfSpace().double()
    table = PointTable(nodes, manifold, dim, init_std=0.3 / math.sqrt(dim), sparse=True).double()
    down = torch.tensor([0.0] * (dim - 1) + [-1.0], dtype=torch.float64)
    return Model(
        table,
        lambda x, y: umbral_score(x, y, radius),
        lambda x, y: pairwise_umbral_score(x, y, radius),
        lambda x: down.expand_as(x),
    )


def orders(nodes: int, dim: int, margin: float) -> Model:
    """Order embeddings: margin minus the energy of Vendrov et al., which is 0 in the whole cone."""
    table = PointTable(nodes, Euclidean(), dim, init_std=0.3, sparse=True)
    return Model(
        table,
        lambda x, y: margin - order_energy(x, y),
        lambda x, y: margin - pairwise_order_energy(x, y),
        torch.ones_like,
    )


MODELS: Mapping[str, Callable[[int, int, float], Model]] = {
    "hyperbolic": lambda nodes, dim, shape: cones(Lorentz(), nodes, dim, shape),
    "euclidean": lambda nodes, dim, shape: cones(Euclidean(), nodes, dim, shape),
    "order": orders,
    "umbral": umbral,
}
"""By name, of nodes, dimension and shape: the cones' K, the balls' radius, the order's margin."""


@torch.no_grad()
def plant(model: Model, basic: np.ndarray, depth: np.ndarray, step: float, spread: float) -> None:
    """Move the points to a tree of the basic edges: each a step outward from its deepest parent.

    Args:
        basic: (m, 2) edges (parent, child) of the transitive reduction.
        depth: (n,) edges on the longest way from a top.
        step: geodesic length.
        spread: length of the random part of a direction, the outward part being 1.
    """
    w, m = model.table.weight, model.table.manifold
    parent = np.full(len(depth), -1)
    # Sorted by depth: of several parents the deepest is written last.
    for above, below in basic[np.argsort(depth[basic[:, 0]], kind="stable")]:
        parent[below] = above
    for level in range(1, int(depth.max()) + 1):
        below = np.flatnonzero(depth == level)
        x = w[parent[below]]
        out = model.outward(x)
        out = out / m.norm(x, out, keepdim=True)
        noise = torch.randn_like(x)
        noise = noise / m.norm(x, noise, keepdim=True)
        u = out + spread * noise
        w[below] = m.expmap(x, step * u / m.norm(x, u, keepdim=True))
