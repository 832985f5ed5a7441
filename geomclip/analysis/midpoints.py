"""Midpoints of many points, with and without some of them, in one pass.

The midpoint of `Manifold.weighted_midpoint` is the sum of the points in ambient coordinates, put
back on the manifold: sums of blocks therefore give all midpoints that leave a block out. Sums are
float64, in tiles.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import Euclidean, Lorentz, Manifold, Product, Sphere
from manifolds.maps import to_ambient
from manifolds.models import lift, lower

TILE = 8192


@torch.no_grad()
def midpoint(manifold: Manifold, x: Float[Tensor, "n d"]) -> Float[Tensor, "d"]:
    """`manifold.weighted_midpoint(x)` in the dtype of x. Raises ValueError where points of a
    sphere cancel."""
    return _point(manifold, _sum(manifold, x), len(x)).to(x.dtype)


@torch.no_grad()
def leaving_out(
    manifold: Manifold, x: Float[Tensor, "n d"], blocks: Sequence[Tensor]
) -> tuple[Float[Tensor, "d"], list[Float[Tensor, "d"]]]:
    """The midpoint of all points, float64, and those without one block each.

    Args:
        blocks: rows of x, which together are all of them.
    """
    sums = torch.stack([_sum(manifold, x[rows]) for rows in blocks])
    total, n = sums.sum(0), len(x)
    whole = _point(manifold, total, n)
    if len(blocks) < 2:
        return whole, []
    return whole, [
        _point(manifold, total - own, n - len(rows)) for own, rows in zip(sums, blocks, strict=True)
    ]


def _sum(manifold: Manifold, x: Tensor) -> Tensor:
    return torch.stack([_flat(manifold, part.double()).sum(0) for part in x.split(TILE)]).sum(0)


def _flat(manifold: Manifold, x: Tensor) -> Tensor:
    """Points in the coordinates whose sums count, float64."""
    if isinstance(manifold, Product):
        parts = zip(manifold.factors, x.split(list(manifold.dims), -1), strict=True)
        return torch.cat([_flat(m, part) for m, part in parts], -1)  # type: ignore[arg-type]
    if not _standard(manifold):
        x = lift(manifold, x)
    return to_ambient(x, manifold.c.double()) if manifold.curvature_sign < 0 else x


def _standard(manifold: Manifold) -> bool:
    """Whether its points are those of the model that `lift` leads to."""
    return isinstance(manifold, Euclidean | Lorentz | Sphere)


def _widths(product: Product) -> list[int]:
    """Numbers that `_flat` gives each factor."""
    out = []
    for m, d in zip(product.factors, product.dims, strict=True):
        if isinstance(m, Product):
            out.append(sum(_widths(m)))
        else:  # a sphere's d holds the ambient coordinate already
            assert isinstance(m, Manifold)
            out.append(d - m.codim + abs(m.curvature_sign))
    return out


def _point(manifold: Manifold, total: Tensor, count: int) -> Tensor:
    """The point (d,) of a sum over `count` points."""
    if isinstance(manifold, Product):
        parts = zip(manifold.factors, total.split(_widths(manifold)), strict=True)
        return torch.cat([_point(m, part, count) for m, part in parts])  # type: ignore[arg-type]
    on = _centre(manifold.curvature_sign, manifold.c.double(), total, count)
    return on if _standard(manifold) else lower(manifold, on)


def _centre(sign: int, c: Tensor, total: Tensor, count: int) -> Tensor:
    """The point of the standard model, (d,)."""
    if sign == 0:
        return total / count
    if sign > 0:
        length = torch.linalg.vector_norm(total)
        if length <= 1e-9 * count / c.sqrt():
            raise ValueError(f"{count:,} points of a sphere cancel and have no midpoint")
        return total / (length * c.sqrt())
    time, space = total[0], total[1:]
    size = torch.linalg.vector_norm(space)
    return space / (c * (time - size) * (time + size)).sqrt()
