"""HoroPCA: the two ideal points along whose horospheres hyperbolic data spread most.

Source: Chami, Gu, Nguyen and Ré, HoroPCA: Hyperbolic Dimensionality Reduction via Horospherical
Projections (ICML 2021, arXiv 2106.03306), sections 3 and 4. A projection to the plane of the root
and the ideal points p_1, p_2 keeps the two Busemann functions B_p(x) = log(-<x, p>_L); of the two
points that do, it takes the one nearer to the root. On the hyperboloid, with p = (1, p) lightlike,
keeping them is linear, and the rest is the root of a square.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.viz.reduce.plane import Problem
from geomclip.viz.reduce.tangent import tangent_pca

STEPS = 150
SAMPLE = 600


def horopca(problem: Problem, seed: int = 0) -> Float[Tensor, "n 2"]:
    """Horospherical projection on the two ideal points of largest variance, by gradient ascent from
    the axes of tangent PCA, on a sample of at most 600 points.

    Raises:
        RequestError: the space is not hyperbolic.
    """
    if problem.plane.name != "hyperbolic":
        raise RequestError(
            f"HoroPCA needs a hyperbolic space, this one is drawn on the {problem.plane.name} one",
            "Take tangent-pca or mds.",
        )
    generator = torch.Generator().manual_seed(seed)
    tangent = problem.tangent
    n, dim = tangent.shape
    rows = torch.randperm(n, generator=generator)[:SAMPLE]
    start = tangent_pca(problem)
    axes = torch.linalg.lstsq(tangent, start).solution.mT  # (2, dim), the axes of tangent PCA
    if dim < 2:
        return start
    free = torch.nn.functional.normalize(axes, dim=-1).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([free], lr=0.05)
    sample = tangent[rows]
    for _ in range(STEPS):
        optimizer.zero_grad()
        y = problem.plane.manifold.expmap0(project(sample, free))
        spread = problem.plane.manifold.pairwise_dist(y, y).square().mean()
        (-spread).backward()
        optimizer.step()
    with torch.no_grad():
        return project(tangent, free)


def project(
    tangent: Float[Tensor, "n k"], directions: Float[Tensor, "2 k"]
) -> Float[Tensor, "n 2"]:
    """Tangent vectors at the root of the horospherical projections.

    Args:
        tangent: of the points, at the root.
        directions: of the two ideal points, of any length, not parallel.
    """
    first, second = torch.nn.functional.normalize(directions, dim=-1)
    cosine = (first * second).sum()
    across = second - cosine * first
    sine = across.norm()
    # <x, p>_L = sinh(r) <u, p> - cosh(r) for x = (cosh r, sinh(r) u).
    r = tangent.norm(dim=-1, keepdim=True)
    space = tangent * torch.where(r > 0, r.sinh() / r.clamp_min(1e-300), torch.ones_like(r))
    time = r.cosh()[:, 0]
    a1, a2 = space @ first - time, space @ second - time
    g = cosine - 1
    beta, alpha = a1 / g, a2 / g  # the part in the span of (1, p_1) and (1, p_2)
    normal = (1 + cosine) / sine  # cot of half their angle: (cot, cot, 1) is orthogonal to both
    gamma = -(-1 - 2 * a1 * a2 / g).clamp_min(0).sqrt()
    u = alpha + beta * cosine + gamma * normal
    v = beta * sine + gamma
    y = torch.stack([u, v], -1)
    s = y.norm(dim=-1, keepdim=True)
    return y * torch.where(s > 0, s.asinh() / s.clamp_min(1e-300), torch.ones_like(s))
