"""A program: two processes train points on every manifold together, and say where they ended.

    python ddp.py RANK WORLD FOLDER

WORLD 1 trains on the data of both processes at once; what it writes is what the two should get.
"""

import sys
from pathlib import Path

import geoopt
import torch
from spaces import SPACES, make
from torch import Tensor, distributed, nn

from manifolds.optim import RiemannianAdam, clip_grad_norm_


class Points(nn.Module):
    """Six points on every manifold, each with a learnable c, and a matrix beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.spaces = nn.ModuleDict({name: make(name, learnable=True) for name in SPACES})
        self.points = nn.ParameterDict()
        for name, m in self.spaces.items():
            start = m.random_normal(6, 4, std=0.5)
            self.points[name] = geoopt.ManifoldParameter(start, manifold=m)
        self.linear = nn.Linear(4, 4)

    def forward(self, rows: Tensor) -> Tensor:
        """Mean over `rows`: how far each point is from the next, and a loss of its coordinates."""
        total = self.linear.weight.square().mean()
        for name, m in self.spaces.items():
            x, y = self.points[name][rows], self.points[name][(rows + 1) % 6]
            total = total + m.dist2(x, y).mean() + (self.linear(x) - 1).square().mean()
        return total


def main(rank: int, world: int, folder: Path) -> None:
    # Different seeds: DDP must hand out the first process's parameters.
    torch.manual_seed(rank)
    model = Points().double()
    rows = torch.arange(6) if world == 1 else torch.arange(6)[rank::world]
    wrapped: nn.Module = model
    if world > 1:
        distributed.init_process_group(
            "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world
        )
        wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = RiemannianAdam(model, lr=0.05, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        wrapped(rows).backward()
        clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()
    torch.save(model.state_dict(), folder / f"{world}-{rank}.pt")
    if world > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
