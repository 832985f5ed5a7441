"""A table of points on a manifold: the encoder of things that are known by their number."""

import geoopt
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from manifolds import Sphere
from manifolds.base import Manifold


class PointTable(nn.Module):
    """Rows (n,) to points (n, d), which are learned where they lie: no features, no lift.

        table = PointTable(len(labels), geometry.manifold, geometry.dim)
        points = table(rows)

    `weight` is a `geoopt.ManifoldParameter`: `manifolds.optim.RiemannianAdam` moves it along
    geodesics, other optimizers would move it off the manifold. The manifold is no submodule: its
    curvature is learned, saved and sent to devices by the module that owns it (a `Geometry`, or a
    module of your own with `module.manifold = manifold`).

    Args:
        n: number of points.
        manifold: where they lie.
        dim: d, the number of their coordinates.
        sparse: give the weight a sparse gradient, of the rows that were asked for; a step of
            `manifolds.optim.RiemannianAdam` then costs what these cost, however large the table.
        init_std: the first points are a wrapped normal round the root with this standard deviation
            in every direction, geodesic length. None takes 0.01, and on a sphere all of it evenly.

    Raises:
        ValueError: n or dim below 1, or an init_std that is not positive.
    """

    gives_points = True
    """Tells a `ContrastiveModel` that what comes out are points already."""

    def __init__(
        self,
        n: int,
        manifold: Manifold,
        dim: int,
        *,
        init_std: float | None = None,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        if n < 1 or dim < 1 or not (init_std is None or init_std > 0):
            raise ValueError(
                "PointTable needs n and dim of at least 1 and a positive init_std, got "
                f"n={n}, dim={dim}, init_std={init_std}"
            )
        if init_std is None and isinstance(manifold, Sphere):
            start = manifold.random(n, dim)
        else:
            start = manifold.random_normal(n, dim, std=0.01 if init_std is None else init_std)
        self.sparse = sparse
        self.weight = geoopt.ManifoldParameter(start, manifold=manifold)

    @property
    def manifold(self) -> Manifold:
        """Where the points lie."""
        return self.weight.manifold

    def forward(self, rows: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        return F.embedding(rows, self.weight, sparse=True) if self.sparse else self.weight[rows]

    def extra_repr(self) -> str:
        """For print(table)."""
        n, dim = self.weight.shape
        return f"{n}, dim={dim}, manifold={self.manifold!r}"
