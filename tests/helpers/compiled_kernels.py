"""A program: compiles pairwise operations and sums into one graph each, prints JSON.

{case: {path: largest difference between the compiled and the plain value and gradients, each over
the largest entry}}. It runs without the test runner's jaxtyping hook, which no compiled program has
around it.
"""

import json
import os
from collections.abc import Callable

import torch
from torch import Tensor

from manifolds import Lorentz, Manifold, Sphere, UpperHalfSpace
from manifolds.kernels import tiles
from manifolds.kernels.contrastive import logsumexp, softplus_sum

tiles.CPU_TILE = (16, 24)
Case = Callable[[Manifold, Tensor, Tensor, Tensor], Tensor]


def sums(m: Manifold, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """Both reductions."""
    lse = logsumexp(m, x, y, scale=scale, memory="tiled")
    others = softplus_sum(m, x, y, scale=scale, bias=-1.0)
    return lse.row.sum() + lse.column.sin().sum() - lse.pair.sum() + others.row.sum()


def distances(m: Manifold, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    return (scale * m.pairwise_dist(x, y)).sin().sum()


def own(m: Manifold, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """One set of points with itself."""
    both = m.pairwise_dist(x, x) + m.pairwise_exterior_angle(y, y)
    return (scale * both).sin().sum()


def angles(m: Manifold, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    return (scale * m.pairwise_entailment_energy(x, y)).sin().sum()


CASES: dict[str, tuple[Case, Manifold]] = {
    "sums": (sums, Lorentz(c=0.7, learnable=True)),
    "distances": (distances, Lorentz(c=0.7, learnable=True)),
    "own": (own, Lorentz(c=0.7, learnable=True)),
    "halfspace": (own, UpperHalfSpace(c=0.7, learnable=True)),
    "arcs": (distances, Sphere()),
    "angles": (angles, Lorentz(c=0.7, learnable=True)),
}


def main() -> None:
    found: dict[str, dict[str, float]] = {}
    for name, (case, m) in CASES.items():
        torch.manual_seed(0)
        compiled = torch.compile(case, fullgraph=True, backend="aot_eager")
        found[name] = dict.fromkeys(("torch", "auto"), 0.0)
        for n in (20, 33):  # the second size makes the graph's sizes symbols
            inputs = [m.random_normal(n, 6, std=0.6).detach().requires_grad_() for _ in range(2)]
            inputs.append(torch.tensor(3.0, requires_grad=True))
            wanted = inputs + [p for p in m.parameters() if p.requires_grad]
            for path in found[name]:  # the operators choose when they run
                os.environ["MANIFOLDS_KERNELS"] = path
                values = case(m, *inputs), compiled(m, *inputs)
                plain, whole = ((v, *torch.autograd.grad(v, wanted)) for v in values)
                parts = zip(plain, whole, strict=True)
                apart = max(((a - b).abs().max() / a.abs().max()).item() for a, b in parts)
                found[name][path] = max(found[name][path], apart)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
