"""InfoNCE in one direction: every x_i finds its partner among all y, not the other way round."""

from jaxtyping import Float
from torch import Tensor

from geomclip.geometry import Geometry
from geomclip.losses.lines import cross_entropy
from geomclip.losses.sums import check_pairs, pair_sums


def one_way_info_nce(
    geometry: Geometry, x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]
) -> Float[Tensor, ""]:
    """-(1/n) sum_i log softmax_j(l_ij)_i in nats; `info_nce` is the mean of both directions.

    Raises:
        ValueError: x and y are not the same number of points of the geometry's dimension, or none.
    """
    x, y = check_pairs(geometry, x, y, "one_way_info_nce")
    sums = pair_sums(geometry, x, y)
    return cross_entropy(sums.row, sums.pair).mean().to(x.dtype)
