"""Pairwise distances: the torch reference."""

from manifolds.kernels.reference import Rows, gathered, pairwise

__all__ = ["Rows", "gathered", "pairwise"]
