"""A module with points on a manifold beside parameters of every other kind, and its training."""

import geoopt
import torch
from torch import Tensor, nn

from manifolds import Manifold, Product, Sphere


class Model(nn.Module):
    """Points on a manifold beside parameters of every other kind."""

    def __init__(self, m: Manifold, *, n: int = 5, d: int = 4, std: float = 0.5) -> None:
        super().__init__()
        self.manifold = m
        self.points = geoopt.ManifoldParameter(m.random_normal(n, d, std=std), manifold=m)
        self.linear = nn.Linear(d, 3)
        self.norm = nn.LayerNorm((2, 3))
        self.bilinear = nn.Bilinear(2, 3, 4)
        self.logit_scale = nn.Parameter(torch.tensor(0.5))

    def loss(self, target: Tensor) -> Tensor:
        """Distances of the points to the target, and something of every other parameter."""
        near = self.manifold.dist2(self.points, target).sum()
        rest = self.logit_scale * self.linear(target).sum() + self.norm.weight.square().sum()
        return near + rest.square() + self.bilinear.weight.square().sum()


def target_for(model: Model) -> Tensor:
    """Points that the model's can go to."""
    generator = torch.Generator().manual_seed(1)
    like = model.points
    x = model.manifold.random_normal(*like.shape, std=0.5, dtype=like.dtype, generator=generator)
    return x.detach()


def run(model: Model, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Some steps toward the target."""
    target = target_for(model)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(target).backward()
        optimizer.step()


def directions(m: Manifold, x: Tensor) -> tuple[Tensor, Tensor]:
    """Of logmap0, direction and length; on the sphere those from its centre."""
    if isinstance(m, Product):
        parts = [directions(f, part) for f, part in zip(m.factors, m.split(x), strict=True)]
        both = zip(*parts, strict=True)
        return tuple(torch.cat([part.reshape(len(x), -1) for part in q], -1) for q in both)
    if isinstance(m, Sphere):
        return x * m.c.sqrt(), m.dist0(x) * m.c.sqrt()
    u = m.logmap0(x)
    return u / u.norm(dim=-1, keepdim=True), m.dist0(x)
