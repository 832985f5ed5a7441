"""Points as tangent vectors: where flat statistics are computed in a curved space."""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import Manifold


@torch.no_grad()
def coordinates(
    manifold: Manifold, base: Float[Tensor, "d"], x: Float[Tensor, "n d"]
) -> Float[Tensor, "n d"]:
    """log_base(x) in orthonormal coordinates: lengths are geodesic distances to the base.

    In Euclidean space x - base; on the sphere the first coordinate is 0.
    """
    return manifold.to_frame(base, manifold.logmap(base, x))
