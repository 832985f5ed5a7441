"""Order embeddings (Vendrov et al., arXiv 1511.06361): a hierarchy in the order of coordinates.

y is below x when no coordinate of y is smaller than that of x; the cones are orthants, all alike,
and every point has one. The paper's points have coordinates >= 0, which puts the root at 0; the
order itself knows no origin.
"""

from jaxtyping import Float
from torch import Tensor

from geomclip.precision import no_autocast, widen


def order_energy(parent: Float[Tensor, "n d"], child: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
    """How far each child is from being below its parent, in squared length; 0 where it is.

        E(x, y) = |max(0, x - y)|^2        (eq. 3)

    Raises:
        ValueError: not the same number of points.
    """
    if parent.shape != child.shape:
        raise ValueError(
            "order_energy needs as many children as parents in one dimension, got "
            f"{tuple(parent.shape)} and {tuple(child.shape)}"
        )
    parent, child = widen(parent, "parent"), widen(child, "child")
    with no_autocast(parent):
        return (parent - child).clamp_min(0).square().sum(-1)


def pairwise_order_energy(
    parents: Float[Tensor, "n d"], children: Float[Tensor, "m d"]
) -> Float[Tensor, "n m"]:
    """`order_energy(x_i, y_j)` of all pairs, a coordinate at a time: memory O(n m).

    Raises:
        ValueError: points of different dimensions.
    """
    if parents.shape[-1] != children.shape[-1]:
        raise ValueError(
            "pairwise_order_energy needs points of one dimension, got "
            f"{parents.shape[-1]} and {children.shape[-1]}"
        )
    parents, children = widen(parents, "parents"), widen(children, "children")
    with no_autocast(parents):
        total = parents.new_zeros(len(parents), len(children))
        for x, y in zip(parents.unbind(-1), children.unbind(-1), strict=True):
            total = total + (x[:, None] - y).clamp_min(0).square()
        return total
