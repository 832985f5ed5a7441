"""Multidimensional scaling in the plane of the same curvature: distances as they are.

Minimises Kruskal's stress, sum (d_ij - D_ij)² / sum D_ij² (Kruskal 1964), over random pairs, by the
Riemannian Adam of `manifolds.optim` on points of the plane.
"""

import torch
from geoopt import ManifoldParameter
from jaxtyping import Float
from torch import Tensor

import manifolds.optim
from geomclip.viz.reduce.plane import Problem
from geomclip.viz.reduce.tangent import tangent_pca

STEPS = 400
PAIRS = 4  # of a step, for each point


def mds(problem: Problem, seed: int = 0, steps: int = STEPS) -> Float[Tensor, "n 2"]:
    """Points whose distances in the plane are the full space's as nearly as may be, from tangent
    PCA on. A pair is asked about 4 x 400 / n times on average: of n points, `4 n` pairs a step."""
    generator = torch.Generator().manual_seed(seed)
    start = tangent_pca(problem).float()
    problem = problem.single()
    n = len(start)
    # Points that coincide have no direction in which to part.
    start = start + 1e-3 * torch.randn(start.shape, generator=generator, dtype=start.dtype)
    plane = problem.plane
    points = ManifoldParameter(plane.points(start), manifold=plane.manifold)
    optimizer = manifolds.optim.RiemannianAdam([points], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        i = torch.randint(n, (PAIRS * n,), generator=generator)
        j = (i + torch.randint(1, n, (PAIRS * n,), generator=generator)) % n
        with torch.no_grad():
            wanted = problem.dist(i, j)
        optimizer.zero_grad()
        found = plane.manifold.dist(points[i], points[j])
        stress = (found - wanted).square().sum() / wanted.square().sum().clamp_min(1e-300)
        (n * stress).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return plane.tangent(points.detach()).double()
