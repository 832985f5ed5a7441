"""Fused row-wise operations: one call from the functional layer each.

passes   what touches (n, d) data; `PASSES` is where a compiled implementation takes over
fused    the autograd functions: value, first derivative, vmap, double backward
radial   operations of one point
pairs    distances and exterior angles
"""

from manifolds.rowwise.fused import rowwise
from manifolds.rowwise.pairs import (
    ArcDistance,
    BallDistance,
    ChordDistance,
    Frame,
    PolarAngle,
    PolarDistance,
)
from manifolds.rowwise.passes import PASSES, Passes, torch_passes
from manifolds.rowwise.radial import radial

__all__ = [
    "PASSES",
    "ArcDistance",
    "BallDistance",
    "ChordDistance",
    "Frame",
    "Passes",
    "PolarAngle",
    "PolarDistance",
    "radial",
    "rowwise",
    "torch_passes",
]
