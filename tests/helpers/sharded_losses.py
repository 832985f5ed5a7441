"""A program: a process of several computes the contrastive losses of its share of a batch.

    python sharded_losses.py RANK WORLD FOLDER

Reads `batch.pt` in the folder, writes {case: {loss, gradients by name}} to `RANK.pt`.
"""

import sys
from pathlib import Path

import torch
from torch import distributed

from geomclip import build_geometry
from geomclip.losses import sharded_info_nce, sharded_sigmoid_loss
from manifolds.kernels import tiles
from manifolds.kernels.sharded import gather_rows, sharded_sums

CASES = [
    (name, loss, exchange)
    for name in ("clip", "euclidean", "hyperbolic", "poincare")
    for loss in ("info_nce", "sigmoid")
    for exchange in ("gather", "ring")
]


def main(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    tiles.CPU_TILE = (8, 16)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world
    )
    batch = torch.load(folder / "batch.pt")
    results = {}
    for name, loss, exchange in CASES:
        g = build_geometry(name, 6)
        mine = slice(rank * len(batch["f"]) // world, (rank + 1) * len(batch["f"]) // world)
        f, h = (batch[key][mine].clone().requires_grad_() for key in "fh")
        x, y = g.lift(f, "image"), g.lift(h, "text")
        bias = torch.tensor(-2.0, requires_grad=True)
        if loss == "info_nce":
            value = sharded_info_nce(g, x, y, exchange=exchange)
        else:
            value = sharded_sigmoid_loss(g, x, y, bias, exchange=exchange)
        value.backward()
        scalars = {str(i): p.grad for i, p in enumerate(g.scalar_parameters())}
        results[name, loss, exchange] = {
            "loss": value.detach(),
            "f": f.grad,
            "h": h.grad,
            "bias": bias.grad,
            **scalars,
        }
    rows = torch.full((2, 3), float(rank), requires_grad=True)
    (gather_rows(rows) * torch.arange(2.0 * world)[:, None]).sum().backward()
    results["gather"] = {"grad": rows.grad}
    m = build_geometry("hyperbolic", 6).manifold
    x = torch.randn(2 + rank, 6)
    try:
        sharded_sums(m, x, x)
    except ValueError as error:
        results["uneven"] = str(error)
    torch.save(results, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
