"""Spaces whose truth is known."""

import torch

from geomclip.embeddings import Embeddings

GEOMETRIES = ("clip", "euclip", "meru", "poincare", "lorentz4xsphere4")
DIM = 8


def around(g, middle, n, std, seed):
    """Points scattered around one."""
    generator = torch.Generator().manual_seed(seed)
    x = g.manifold.random_normal(
        n, g.dim, mean=middle, std=std, dtype=torch.float64, generator=generator
    )
    return x.detach()


def two_clouds(g, gap, n=1200, std=0.1, seed=0):
    """Pictures around a point near the root, texts around one at a distance of `gap` from it."""
    m = g.manifold
    root = m.origin(g.dim, dtype=torch.float64)
    direction = torch.zeros(g.dim, dtype=torch.float64)
    direction[1] = 1.0
    away = m.geodesic_unit(torch.tensor(0.5).double(), root, m.proju(root, direction)).detach()
    other = m.geodesic_unit(torch.tensor(0.5 + gap).double(), root, m.proju(root, direction))
    points = {
        "image": around(g, away, n, std, 2 * seed),
        "text": around(g, other.detach(), n, std, 2 * seed + 1),
    }
    return Embeddings(points, g)
