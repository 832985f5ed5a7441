"""Does the distance to the root follow the hierarchy? Kendall's tau-b of distance against level."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

# The levels that have metrics of their own, by their place in the label path.
LEVELS = ("group", "subgroup")


def ancestors(path: tuple[str, ...]) -> dict[str, str]:
    """The labels of a path that stand for its group and its subgroup.

    The first element is the group. The second is the subgroup where something more special follows
    (emoji: group, subgroup, name); in a path of two it is the name's own level. No path, no levels.
    """
    return dict(zip(LEVELS, path[:1] if len(path) < 3 else path[:2], strict=False))


def chain(path: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The texts above a picture, most general first: its label path, then its name.

    The name is left out where the path ends in it.
    """
    return path if path and path[-1].casefold() == name.casefold() else (*path, name)


def kendall_tau_b(x: Float[Tensor, "n k"], y: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
    """Kendall's tau-b of each row of x with the same row of y.

        tau_b = (C - D) / sqrt(P_x P_y)

    with C, D the concordant and discordant pairs, P_x, P_y the pairs not tied in x and in y
    (Kendall 1945). Where all of x or all of y is tied there is no order to agree with, and the
    value is 0. Float64.
    """
    i, j = torch.triu_indices(x.shape[-1], x.shape[-1], offset=1).to(x.device)
    # Signs of comparisons, not of differences, which underflow to a tie for close float values.
    dx = (x[:, j] > x[:, i]).double() - (x[:, j] < x[:, i]).double()
    dy = (y[:, j] > y[:, i]).double() - (y[:, j] < y[:, i]).double()
    free = dx.square().sum(-1) * dy.square().sum(-1)
    return (dx * dy).sum(-1) / free.sqrt().masked_fill(free == 0, 1)


def root_tau(distances: Sequence[Float[Tensor, "n"]]) -> Float[Tensor, "n"]:
    """Per picture, tau-b between level 0, 1, ... and root distance.

    1 says that distance grows at every level down to the picture, -1 the contrary.

    Args:
        distances: root distances level by level, most general first, the pictures' own last.
    """
    y = torch.stack(list(distances), dim=-1)
    levels = torch.arange(y.shape[-1], dtype=y.dtype, device=y.device).expand_as(y)
    return kendall_tau_b(levels, y)
