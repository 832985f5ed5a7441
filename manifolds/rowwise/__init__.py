"""Fused row-wise operations: one call from the functional layer each.

compiled the passes in C++, where the library is live
passes   what touches (n, d) data; `PASSES` is where a compiled implementation takes over
fused    the autograd functions: value, first derivative, vmap, double backward
profiles operations of one point
pairs    distances and exterior angles
"""

from manifolds.rowwise.compiled import compiled_passes
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
from manifolds.rowwise.profiles import radial

PASSES["cpu"] = PASSES["cuda"] = compiled_passes

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
