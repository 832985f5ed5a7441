"""The checks and the dtype rule that every operation shares.

Points are checked for shape, dtype and device, c for its sign. The arithmetic runs in float64 where
the device has it, so that float32 input keeps its last digit, and the result goes back: float64 in,
float64 out; everything else (also under autocast, which leaves float64 alone) comes out float32.
"""

import math
from typing import TypeAlias

import torch
from torch import Tensor

Scalar: TypeAlias = float | int | Tensor
"""Curvature magnitude c: a positive number, or a 0-dim tensor (gradients reach it)."""

_NO_FLOAT64 = {"mps"}


def work_dtype(device: torch.device) -> torch.dtype:
    """The dtype in which formulas are evaluated on a device."""
    return torch.float32 if device.type in _NO_FLOAT64 else torch.float64


def prepare(op: str, *tensors: Tensor, pairwise: bool = False) -> tuple[torch.dtype, list[Tensor]]:
    """Checked tensors in the work dtype, and the dtype of the result.

    Raises:
        ValueError: a dtype that is not floating, float64 mixed with something else, different
            devices, different last dimensions, or leading dimensions that do not broadcast; it
            names the operation and the shapes.
    """
    shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
    need = 2 if pairwise else 1
    if any(t.ndim < need for t in tensors):
        rule = "(..., n, d) and (..., m, d)" if pairwise else "(..., d)"
        raise ValueError(f"{op}: expects {rule}, got shapes {shapes}")
    if any(not t.is_floating_point() for t in tensors):
        kinds = ", ".join(str(t.dtype) for t in tensors)
        raise ValueError(
            f"{op}: expects floating point tensors, got {kinds}; convert with .float()"
        )
    doubles = [t.dtype == torch.float64 for t in tensors]
    if any(doubles) and not all(doubles):
        kinds = ", ".join(str(t.dtype) for t in tensors)
        raise ValueError(
            f"{op}: expects float64 throughout or not at all, got {kinds}; convert with .to(dtype)"
        )
    if any(t.device != tensors[0].device for t in tensors):
        places = ", ".join(str(t.device) for t in tensors)
        raise ValueError(f"{op}: expects one device, got {places}; move with .to(device)")
    if len({t.shape[-1] for t in tensors}) > 1 or tensors[0].shape[-1] == 0:
        raise ValueError(f"{op}: expects one last dimension d >= 1, got shapes {shapes}")
    _check_broadcast(op, [t.shape[: -1 - pairwise] for t in tensors], shapes)
    out = torch.float64 if doubles[0] else torch.float32
    work = work_dtype(tensors[0].device)
    return out, [t.to(work) for t in tensors]


def _check_broadcast(op: str, leading: list[torch.Size], shapes: str) -> None:
    if all(s == leading[0] for s in leading):
        return
    try:
        torch.broadcast_shapes(*leading)
    except RuntimeError:
        raise ValueError(
            f"{op}: leading dimensions do not broadcast, got shapes {shapes}"
        ) from None


def curvature(op: str, c: Scalar, like: Tensor) -> Tensor:
    """c as a 0-dim tensor beside `like`.

    Raises:
        ValueError: c <= 0, NaN or infinite, or not 0-dim. A tensor's value is looked at on the CPU
            only (on a GPU that would wait for the device; a bad c gives NaN there).
    """
    if not isinstance(c, Tensor):
        if not (c > 0 and math.isfinite(c)):
            raise ValueError(
                f"{op}: c must be positive and finite (curvature magnitude), got c={c}"
            )
        return torch.as_tensor(c, dtype=like.dtype, device=like.device)
    if c.ndim != 0:
        raise ValueError(f"{op}: c must be a number or a 0-dim tensor, got shape {tuple(c.shape)}")
    if c.device.type == "cpu" and not torch.compiler.is_compiling():
        try:
            good = bool((c > 0) & c.isfinite())
        except RuntimeError:  # c is batched by torch.vmap, which has no value to look at
            good = True
        if not good:
            raise ValueError(
                f"{op}: c must be positive and finite (curvature magnitude), got c={c.item()}"
            )
    return c.to(device=like.device, dtype=like.dtype)


def check_min_radius(op: str, min_radius: float) -> None:
    """Raises ValueError unless min_radius (the cones' K) is positive and finite."""
    if not (min_radius > 0 and math.isfinite(min_radius)):
        raise ValueError(f"{op}: min_radius must be positive and finite, got {min_radius}")
