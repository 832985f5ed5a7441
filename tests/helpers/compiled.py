"""A program: compiles operations of every manifold into one graph each, prints JSON.

It runs without the test runner's jaxtyping hook, which no compiled program has around it.

    python compiled.py BACKEND [OPERATION ...]     all operations on rows and pairs if none is named
"""

import json
import sys

import torch
from spaces import SPACES, graphs, make, pairwise, with_gradients


def differences(backend: str, operations: list[str]) -> dict[str, dict[str, float | str]]:
    """Largest difference between compiled and plain, or the error, by manifold and operation."""
    found: dict[str, dict[str, float | str]] = {}
    for name in SPACES:
        torch.manual_seed(0)
        m = make(name, learnable=True)
        x, y = m.random_normal(2, 5, 4, std=0.3).detach()
        rows = {op: f for op, f in graphs(m).items() if not operations or op in operations}

        def together(x, y, rows=rows):
            return [f(x, y) for f in rows.values()]

        torch._dynamo.reset()
        want = with_gradients(together, x, y)
        got = with_gradients(torch.compile(together, fullgraph=True, backend=backend), x, y)
        keys = [*rows, "gradient of x", "gradient of y"]
        pairs = zip(keys, want[0] + want[1], got[0] + got[1], strict=True)
        found[name] = {op: (a - b).abs().max().item() for op, a, b in pairs}
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
    print(json.dumps(differences(sys.argv[1], sys.argv[2:])))
