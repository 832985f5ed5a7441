"""A program: the contrastive losses of a batch by 1, 2 and 4 processes, each with its share.

    python sharded_losses.py FOLDER

Writes {case: {loss, gradients by name}} of every process to `WORLD-RANK.pt`. Processes are forked,
so that torch is imported once.
"""

import multiprocessing
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from geomclip import build_geometry
from geomclip.losses import info_nce, sharded_info_nce, sharded_sigmoid_loss, sigmoid_loss
from manifolds.kernels import tiles
from manifolds.kernels.sharded import gather_rows, sharded_sums

NAMES = ("clip", "elliptic", "euclidean", "hyperbolic", "poincare")
LOSSES = ("info_nce", "sigmoid")
EXCHANGES = ("gather", "ring")
WORLDS = (2, 4)
DTYPES = (torch.float64, torch.float32)
PAIRS = 36


def losses(rank: int, world: int, exchange: str, dtype: torch.dtype) -> dict:
    """{(name, loss): {loss, gradients}} of a process's share of the batch; all of it in one."""
    torch.manual_seed(0)
    f = torch.randn(PAIRS, 6, dtype=dtype)
    batch = f, f + 0.5 * torch.randn(PAIRS, 6, dtype=dtype)
    mine = slice(rank * PAIRS // world, (rank + 1) * PAIRS // world)
    results = {}
    for name in NAMES if dtype == torch.float64 else NAMES[3:4]:
        for loss in LOSSES:
            g = build_geometry(name, 6).to(dtype)
            f, h = (side[mine].clone().requires_grad_() for side in batch)
            x, y = g.lift(f, "image"), g.lift(h, "text")
            bias = torch.tensor(-2.0, dtype=dtype, requires_grad=True)
            inputs = (g, x, y) if loss == "info_nce" else (g, x, y, bias)
            if world == 1:
                value = (info_nce if loss == "info_nce" else sigmoid_loss)(*inputs)
            else:
                sharded = sharded_info_nce if loss == "info_nce" else sharded_sigmoid_loss
                value = sharded(*inputs, exchange=exchange)
            value.backward()
            scalars = {str(i): p.grad for i, p in enumerate(g.scalar_parameters())}
            grads = {"f": f.grad, "h": h.grad, "bias": bias.grad, **scalars}
            results[name, loss] = {"loss": value.detach(), **grads}
    return results


def process(rank: int, world: int, folder: Path) -> None:
    """One of several."""
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / f'meet{world}'}",
        timeout=timedelta(seconds=120),  # of the others, where one has failed
        rank=rank,
        world_size=world,
    )
    results: dict = {}
    for exchange in EXCHANGES:
        for dtype in DTYPES:
            results[exchange, dtype] = losses(rank, world, exchange, dtype)
    rows = torch.full((2, 3), float(rank), requires_grad=True)
    (gather_rows(rows) * torch.arange(2.0 * world)[:, None]).sum().backward()
    results["gathered"] = rows.grad
    m = build_geometry("hyperbolic", 6).manifold
    x = torch.randn(2 + rank, 6)
    try:
        sharded_sums(m, x, x)
    except ValueError as error:
        results["uneven"] = str(error)
    torch.save(results, folder / f"{world}-{rank}.pt")
    distributed.destroy_process_group()


def main(folder: Path) -> None:
    """One process, then all worlds at once."""
    torch.set_num_threads(1)
    tiles.CPU_TILE = (16, 16)
    torch.save({d: losses(0, 1, "", d) for d in DTYPES}, folder / "1-0.pt")
    fork = multiprocessing.get_context("fork")
    shares = [(rank, world, folder) for world in WORLDS for rank in range(world)]
    calls = [fork.Process(target=process, args=share) for share in shares]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    sys.exit(max(abs(call.exitcode or 0) for call in calls))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
