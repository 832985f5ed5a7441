"""CO-SNE: t-SNE between curved spaces, with root distances kept.

Source: Guo, Guo and Yu, CO-SNE: Dimensionality Reduction and Visualization for Hyperbolic Data
(CVPR 2022, arXiv 2111.15037): Gaussian similarities of geodesic distances in the full space, Cauchy
ones in the plane, and a term for the distance to the root. In the Euclidean plane this is t-SNE
with that term.
"""

import math

import torch
from geoopt import ManifoldParameter
from jaxtyping import Float
from torch import Tensor

import manifolds.optim
from geomclip.errors import RequestError
from geomclip.viz.reduce.plane import Problem
from geomclip.viz.reduce.tangent import tangent_pca

MOST = 3000
PERPLEXITY = 30.0
GAMMA = 0.1  # scale of the Cauchy distribution
STEPS = 500


def cosne(problem: Problem, seed: int = 0, steps: int = STEPS) -> Float[Tensor, "n 2"]:
    """Points of the plane with like neighbours and like root distances; all pairs at every step.

    Raises:
        RequestError: more than 3,000 points.
    """
    n = len(problem.x)
    if n > MOST:
        raise RequestError(
            f"CO-SNE looks at all pairs of {n:,} points at every step; {MOST:,} are the most",
            f"Take --max-points {MOST}, or tangent-pca or mds.",
        )
    start = tangent_pca(problem).float()
    problem = problem.single()
    x = problem.x
    with torch.no_grad():
        distances = problem.scale * problem.manifold.pairwise_dist(x, x)
        p = similarities(distances.square(), min(PERPLEXITY, (n - 1) / 3))
    plane, wanted = problem.plane, problem.radius
    points = ManifoldParameter(plane.points(start), manifold=plane.manifold)
    optimizer = manifolds.optim.RiemannianAdam([points], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    off = ~torch.eye(n, dtype=torch.bool)
    for step in range(steps):
        exaggeration = 4.0 if step < steps // 4 else 1.0
        optimizer.zero_grad()
        q = 1 / (plane.manifold.pairwise_dist(points, points).square() + GAMMA**2)
        logq = (q / q[off].sum()).log()
        divergence = -(exaggeration * p * logq)[off].sum()
        radial = (plane.manifold.dist0(points) - wanted).square().mean()
        (n * divergence + n * radial).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return plane.tangent(points.detach()).double()


@torch.no_grad()
def similarities(squared: Float[Tensor, "n n"], perplexity: float) -> Float[Tensor, "n n"]:
    """Symmetric joint probabilities of t-SNE (van der Maaten and Hinton 2008): Gaussian, of a width
    per row that gives the perplexity, by bisection."""
    n = len(squared)
    target = math.log(perplexity)
    low = torch.full((n, 1), -40.0, dtype=squared.dtype)
    high = -low
    scale = squared.sum(1, keepdim=True) / max(1, n - 1)
    eye = torch.eye(n, dtype=torch.bool)
    for _ in range(60):
        middle = (low + high) / 2
        logits = (-squared / scale * middle.exp()).masked_fill(eye, -math.inf)
        log = logits.log_softmax(-1)
        entropy = -(log.exp() * log.masked_fill(eye, 0)).sum(-1, keepdim=True)
        wide = entropy > target
        low, high = torch.where(wide, middle, low), torch.where(wide, high, middle)
    p = log.exp()
    return (p + p.mT) / (2 * n)
