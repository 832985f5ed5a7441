"""Geometry runs in float32 or better, whatever dtype comes in and whatever autocast says."""

import torch
from torch import Tensor


def widen(x: Tensor, name: str) -> Tensor:
    """`x` in float64 if it is float64, in float32 otherwise.

    Raises:
        TypeError: no tensor.
        ValueError: not floating.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, got {x!r:.60} ({type(x).__name__})")
    if not x.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {x.dtype}; convert it with .float()")
    return x if x.dtype == torch.float64 else x.float()


def no_autocast(x: Tensor) -> torch.autocast:
    """A context in which matrix products on the device of `x` keep the dtype of their inputs."""
    return torch.autocast(device_type=x.device.type, enabled=False)


def check_together(name: str, x: Tensor, y: Tensor) -> None:
    """Whether x and y have one dtype and one device. Raises ValueError that begins with `name`."""
    if x.dtype != y.dtype or x.device != y.device:
        raise ValueError(
            f"{name}: x is {x.dtype} on {x.device}, y is {y.dtype} on {y.device}; bring them "
            "together with .to()"
        )
