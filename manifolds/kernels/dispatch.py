"""One door to the pairwise operations: checks, then the compiled kernels or torch.

    float32, bfloat16, float16    the C++ or CUDA library where it is live (`ops`)
    everything else               torch with float64 products (`plain`)

Under torch.compile and torch.func transforms the operator is taken in any case: it chooses inside.
"""

import torch
from torch import Tensor

from manifolds.arguments import Scalar, check, curvature, work_dtype
from manifolds.kernels import ops
from manifolds.kernels.plain import PLAIN


def pairwise(op: str, kind: str, x: Tensor, y: Tensor, c: Scalar | None = None) -> Tensor:
    """The operation `kind` of `plain.PLAIN` on all pairs, (..., n, m).

    Args:
        op: "Manifold.name", for errors.
        x, y: points (..., n, d) and (..., m, d).
        c: curvature magnitude; None where there is none.

    Raises:
        ValueError: as `arguments.check` and `arguments.curvature`.
        KernelError: MANIFOLDS_KERNELS forces a path that does not exist.
    """
    check(op, x, y, pairwise=True)
    scalar = torch.ones((), dtype=work_dtype(x.device), device=x.device)
    if c is not None:
        scalar = curvature(op, c, scalar)
    if x is y and torch.compiler.is_compiling():
        y = x.view_as(x)  # dynamo refuses an autograd function one tensor twice
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return ops.Transformed.apply(x, y, scalar, kind)
    if torch.compiler.is_compiling() or ops.compiled(x, y) is not None:
        return ops.pairwise(x, y, scalar, kind)
    return PLAIN[kind](x, y, scalar)
