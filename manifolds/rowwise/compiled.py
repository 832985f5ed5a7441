"""The row passes of a compiled library: float32 points, where it is live.

Every other dtype, and a machine without the library, takes the passes in torch.
"""

from typing import Any

import torch
from torch import Tensor

from manifolds.kernels import library
from manifolds.rowwise import passes
from manifolds.rowwise.passes import WORK, Needs, Passes, Two, torch_passes


def _library(*tensors: Tensor) -> library.Library | None:
    if any(t.dtype != torch.float32 for t in tensors):
        return None
    return library.of(tensors[0])


def _rows(x: Tensor) -> tuple[Tensor, int]:
    """x (n, d) with unit stride in its rows, and the distance between rows."""
    if x.stride(1) != 1 and x.shape[1] != 1:
        x = x.contiguous()
    return x, x.stride(0)


def _call(found: library.Library, name: str, like: Tensor, *rest: Any) -> None:
    n, d = like.shape
    found.call(f"manifolds_row_{name}", n, d, *rest)


def norms(x: Tensor) -> Tensor:
    found = _library(x)
    if found is None:
        return passes.norms(x)
    out = x.new_empty(x.shape[0], dtype=WORK)
    _call(found, "norms", x, *_rows(x), out)
    return out


def scaled(x: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    found = _library(x) if dtype == torch.float32 else None
    if found is None:
        return passes.scaled(x, factor, dtype)
    out = x.new_empty(x.shape)
    _call(found, "scaled", x, *_rows(x), factor.contiguous(), out)
    return out


def value_gradient(x: Tensor, factor: Tensor) -> Tensor:
    found = _library(x)
    return passes.value_gradient(x, factor) if found is None else scaled(x, factor, x.dtype)


def map_gradient(g: Tensor, x: Tensor, f: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    found = _library(g, x)
    if found is None:
        return passes.map_gradient(g, x, f, k)
    out, product = x.new_empty(x.shape), x.new_empty(x.shape[0], dtype=WORK)
    f, k = f.contiguous(), k.contiguous()
    _call(found, "map", x, *_rows(g), *_rows(x), f, k, out, product)
    return out, product


def difference_rows(x: Tensor, y: Tensor, ends: bool) -> Tensor:
    found = _library(x, y)
    if found is None:
        return passes.difference_rows(x, y, ends)
    out = x.new_empty(3 if ends else 1, x.shape[0], dtype=WORK)
    _call(found, "difference", x, *_rows(x), *_rows(y), int(ends), out)
    return out


def difference_gradient(x: Tensor, y: Tensor, factors: Tensor, needs: Needs) -> Two:
    found = _library(x, y)
    if found is None:
        return passes.difference_gradient(x, y, factors, needs)
    out = passes.outputs(x, y, needs)
    ends = int(len(factors) > 1)
    _call(found, "pull", x, *_rows(x), *_rows(y), factors.contiguous(), ends, *out)
    return out


def polar_rows(x: Tensor, y: Tensor) -> Tensor:
    found = _library(x, y)
    if found is None:
        return passes.polar_rows(x, y)
    out = x.new_empty(6, x.shape[0], dtype=WORK)
    _call(found, "polar", x, *_rows(x), *_rows(y), out)
    return out


def polar_gradient(x: Tensor, y: Tensor, polar: Tensor, factors: Tensor, needs: Needs) -> Two:
    found = _library(x, y)
    if found is None:
        return passes.polar_gradient(x, y, polar, factors, needs)
    out = passes.outputs(x, y, needs)
    polar, factors = polar.contiguous(), factors.contiguous()
    _call(found, "polar_pull", x, *_rows(x), *_rows(y), polar, factors, *out)
    return out


compiled_passes = Passes(
    norms=norms,
    scaled=scaled,
    value_gradient=value_gradient,
    map_gradient=map_gradient,
    difference_rows=difference_rows,
    difference_gradient=difference_gradient,
    polar_rows=polar_rows,
    polar_gradient=polar_gradient,
)

__all__ = ["compiled_passes", "torch_passes"]
