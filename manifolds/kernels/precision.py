"""The matrix products of the kernels, and the precision they may take.

    float32   IEEE products on every device, whatever the global settings say; the default
    bf16x3    CUDA only: x = h + l with h, l bfloat16, and hh + hl + lh as one product of width 3 d
    tf32      CUDA only: products with 10 bits of mantissa

A logit that is a product <x, y> is then off by at most about 2^-16 (bf16x3) or 2^-10 (tf32) of
factor * |x||y|. The relative error of a distance is below 1/(2 tau) times that: pairs closer than
tau = `closeness` are computed from differences. Gradients are multiplied in tf32 under both.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from manifolds.kernels.rounding import product_error

PRECISIONS = ("float32", "bf16x3", "tf32")

# Smallest share of `closeness`.
TAU = {"float32": 1 / 40, "bf16x3": 1 / 20, "tf32": 1 / 10}
# The same where float32 results come from float64 products: 0.1 eps of float32 is left.
WIDE_TAU = 1e-7


def closeness(precision: str, d: int, device: torch.device) -> float:
    """Share of A + B + h A B (`spaces`) below which u has lost its digits to the product.

    Half of the relative error of u reaches a distance: of a float32 product, at most 50 eps.
    """
    return max(TAU[precision], product_error(d, device) / 100)


def check_precision(precision: str, device: torch.device) -> None:
    """Raises ValueError for an unknown precision, or a reduced one off CUDA."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "float32" and device.type != "cuda":
        raise ValueError(
            f"precision={precision!r} exists on CUDA devices only, got tensors on {device}; leave "
            "it at 'float32'"
        )


@contextmanager
def exact_products(device: torch.device, precision: str = "float32") -> Iterator[None]:
    """Products in the precision asked for, whatever autocast and the global settings say.

    On CUDA float32 products run as IEEE ("float32") or tf32; the setting is put back.
    """
    with torch.autocast(device_type=device.type, enabled=False):
        if device.type != "cuda":
            yield
            return
        backend = torch.backends.cuda.matmul
        before = backend.fp32_precision
        backend.fp32_precision = "ieee" if precision == "float32" else "tf32"
        try:
            yield
        finally:
            backend.fp32_precision = before


def split_bf16(x: Tensor, twice: str) -> Tensor:
    """(n, 3 d) bfloat16: [h, h, l] for twice="high", [h, l, h] for "outer", with x = h + l."""
    high = x.to(torch.bfloat16)
    low = (x - high.to(x.dtype)).to(torch.bfloat16)
    return torch.cat([high, high, low] if twice == "high" else [high, low, high], dim=-1)


def product(x: Tensor, y: Tensor, precision: str = "float32", out: Tensor | None = None) -> Tensor:
    """x y^T (n, m) of rows, in the dtype of x."""
    if precision == "bf16x3" and x.dtype == torch.float32:
        left, right = split_bf16(x, "high"), split_bf16(y, "outer")
        return torch.mm(left, right.mT, out_dtype=torch.float32, out=out)
    return torch.mm(x, y.mT, out=out)
