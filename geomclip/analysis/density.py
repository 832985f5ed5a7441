"""Kernel density estimates on one grid, and how far two of them overlap; O(n) by binning."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.resampling import LARGEST, REPLICATES
from geomclip.statistics import Measured

GRID = 512


@dataclass(frozen=True)
class Densities:
    """Densities of several sets of values on one grid."""

    grid: Float[Tensor, "g"]
    height: dict[str, Float[Tensor, "g"]]
    counts: dict[str, Float[Tensor, "g"]]
    """Values in the cell around each point of the grid."""
    bandwidth: dict[str, float]
    """Standard deviation of each kernel, in the values' unit."""


def densities(series: Mapping[str, Float[Tensor, "_"]]) -> Densities:
    """Gaussian kernel density estimates with Silverman's bandwidth,
    0.9 min(s, IQR / 1.34) n^-1/5 (Silverman 1986, eq. 3.31).

    Where all values of a set are equal the bandwidth is one cell.
    """
    values = {name: v.double() for name, v in series.items()}
    widths = {name: _silverman(v) for name, v in values.items()}
    low = min(v.min().item() for v in values.values())
    high = max(v.max().item() for v in values.values())
    margin = 5 * max(widths.values()) or max(abs(high), 1.0) * 1e-3
    grid = torch.linspace(low - margin, high + margin, GRID, dtype=torch.float64)
    cell = (grid[1] - grid[0]).item()
    counts, height = {}, {}
    for name, v in values.items():
        widths[name] = max(widths[name], cell)
        place = ((v - grid[0]) / cell).round().long().clamp(0, GRID - 1)
        counts[name] = torch.bincount(place, minlength=GRID).double()
        height[name] = _smooth(counts[name][None], widths[name], cell)[0] / (len(v) * cell)
    return Densities(grid, height, counts, widths)


def overlap(found: Densities, a: str, b: str, seed: int = 0) -> Measured:
    """Integral of min(f, g) of two densities: 1 where they are the same, 0 where they are apart.

    The error is that of the bootstrap, by drawing counts of the cells.
    """
    cell = (found.grid[1] - found.grid[0]).item()
    generator = torch.Generator().manual_seed(seed)
    value = torch.minimum(found.height[a], found.height[b]).sum().item() * cell
    drawn = []
    for name in (a, b):
        counts = found.counts[name]
        n = int(counts.sum())
        m = min(n, LARGEST)
        rows = torch.multinomial(counts.expand(REPLICATES, -1), m, True, generator=generator)
        again = torch.zeros(REPLICATES, GRID, dtype=torch.float64)
        again.scatter_add_(1, rows, torch.ones_like(rows, dtype=torch.float64))
        # A smaller draw scatters more: brought back to what n values would scatter.
        smooth = _smooth(again, found.bandwidth[name], cell) / (m * cell)
        drawn.append(found.height[name] + (smooth - found.height[name]) * math.sqrt(m / n))
    error = (torch.minimum(*drawn).sum(1) * cell).std().item()
    n = int(sum(found.counts[name].sum() for name in (a, b)))
    return Measured(value, error, n)


def _silverman(values: Tensor) -> float:
    n = len(values)
    if n < 2:
        return 0.0
    ordered = values.sort().values
    quarter = (ordered[3 * (n - 1) // 4] - ordered[(n - 1) // 4]).item() / 1.34
    deviation = values.std().item()
    return 0.9 * (min(deviation, quarter) if quarter > 0 else deviation) * n**-0.2


def _smooth(counts: Tensor, width: float, cell: float) -> Tensor:
    """Rows of counts convolved with a Gaussian whose weights sum to 1."""
    away = torch.arange(GRID, dtype=torch.float64) * cell / width
    # As a matrix of all pairs of cells, which is faster than a convolution with so wide a kernel.
    kernel = torch.exp(-0.5 * (away[:, None] - away).square())
    whole = torch.exp(-0.5 * torch.cat([-away[1:].flip(0), away]).square()).sum()
    return counts @ (kernel / whole)
