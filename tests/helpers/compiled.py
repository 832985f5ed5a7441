"""A program: compiles operations of every manifold into one graph each, prints JSON.

It runs without the test runner's jaxtyping hook, which no compiled program has around it.

    python compiled.py BACKEND DTYPE [--values] [--space NAME] [OPERATION ...]

All operations on rows and pairs if none is named; with --values those on rows without gradients;
with --space one manifold alone.
"""

import argparse
import json

import torch
import torch._functorch.config
from spaces import SPACES, Operation, graphs, make, pairwise
from torch import Tensor

from manifolds import Manifold

# Gradients are taken of one result at a time out of one backward graph, which must live on.
torch._functorch.config.donated_buffer = False


def measured(
    run: Operation, rows: list[str], m: Manifold, x: Tensor, y: Tensor
) -> dict[str, Tensor]:
    """Values of the operations on rows, and each one's own gradients of x, y and c.

    Not those of their sum: it adds up in the order of the graph, which compiling changes.
    """
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    leaves = {"x": x, "y": y, **dict(m.named_parameters())}
    found = dict(zip(rows, run(x, y), strict=True))
    for op, value in list(found.items()):
        if value.requires_grad:
            slopes = torch.autograd.grad(
                value.sum(), list(leaves.values()), retain_graph=True, materialize_grads=True
            )
            found |= {f"{op}, gradient of {k}": g for k, g in zip(leaves, slopes, strict=True)}
    return found


def differences(
    backend: str,
    dtype: torch.dtype,
    operations: list[str],
    gradients: bool,
    spaces: list[str],
) -> dict[str, dict[str, float | str]]:
    """Largest difference between compiled and plain, or the error, by manifold and operation."""
    found: dict[str, dict[str, float | str]] = {}
    for name in spaces:
        torch.manual_seed(0)
        m = make(name, learnable=True).to(dtype)
        x, y = m.random_normal(2, 5, 4, std=0.3, dtype=dtype).detach()
        rows = {op: f for op, f in graphs(m).items() if not operations or op in operations}

        def together(x, y, rows=rows):
            return [f(x, y) for f in rows.values()]

        torch._dynamo.reset()
        compiled = torch.compile(together, fullgraph=True, backend=backend)
        with torch.no_grad():
            pairs = zip(rows, together(x, y), compiled(x, y), strict=True)
            found[name] = {op: (a - b).abs().max().item() for op, a, b in pairs}
        if not gradients:
            continue
        want, got = (measured(run, list(rows), m, x, y) for run in (together, compiled))
        assert set(got) == set(want), set(got) ^ set(want)
        for key in want:
            difference = (want[key] - got[key]).abs().max().item()
            found[name][key] = max(difference, found[name].get(key, 0.0))
        for op, f in pairwise(m).items():
            if operations and op not in operations:
                continue
            torch._dynamo.reset()
            try:
                a, b = torch.compile(f, fullgraph=True, backend=backend)(x, y), f(x, y)
                found[name][op] = (a - b).abs().max().item()
            except Exception as error:
                found[name][op] = f"{type(error).__name__}: {error}"[:200]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backend")
    parser.add_argument("dtype")
    parser.add_argument("--values", action="store_true")
    parser.add_argument("--space", choices=list(SPACES))
    parser.add_argument("operations", nargs="*")
    given = parser.parse_intermixed_args()
    spaces = [given.space] if given.space else list(SPACES)
    dtype = getattr(torch, given.dtype)
    print(json.dumps(differences(given.backend, dtype, given.operations, not given.values, spaces)))
