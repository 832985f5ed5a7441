"""Two dimensions for points of any geometry, in a plane of the same kind: one method, one file."""

from geomclip.viz.reduce.reduction import METHODS, Kept, Reduction, reduce

__all__ = ["METHODS", "Kept", "Reduction", "reduce"]
