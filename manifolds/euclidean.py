"""Euclidean space: c = 0, a constant; root 0; the K of its cones is a length.

Formulas: `manifolds.functional.euclidean`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import functional as F
from manifolds.arguments import sized
from manifolds.base import Manifold, Point, kept


class Euclidean(Manifold):
    """Flat space."""

    name = "Euclidean"
    reversible = True
    has_cones = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_zero", torch.zeros(()), persistent=False)

    @property
    def c(self) -> Tensor:
        """0, a constant."""
        return self._zero

    def dist(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.euclidean_dist(x, y), keepdim)

    def dist0(self, x: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.euclidean_dist0(x), keepdim)

    def dist2(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        """|x - y|^2, without a square root."""
        return kept(F.euclidean_dist2(x, y), keepdim)

    def pairwise_dist(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        return F.euclidean_pairwise_dist(x, y)

    def pairwise_dist2(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        """|x_i - y_j|^2 of all pairs, without a square root."""
        return F.euclidean_pairwise_dist2(x, y)

    def inner(self, x: Point, u: Point, v: Point | None = None, *, keepdim: bool = False) -> Tensor:
        return kept(F.euclidean_inner(x, u, u if v is None else v), keepdim)

    def norm(self, x: Point, u: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.euclidean_norm(x, u), keepdim)

    def egrad2rgrad(self, x: Point, u: Point) -> Tensor:
        return F.euclidean_egrad2rgrad(x, u)

    def expmap(self, x: Point, u: Point) -> Tensor:
        return F.euclidean_expmap(x, u)

    def expmap0(self, u: Point) -> Tensor:
        return F.euclidean_expmap0(u)

    def logmap(self, x: Point, y: Point) -> Tensor:
        return F.euclidean_logmap(x, y)

    def logmap0(self, x: Point) -> Tensor:
        return F.euclidean_logmap0(x)

    def transp(self, x: Point, y: Point, v: Point) -> Tensor:
        return F.euclidean_transp(x, y, v)

    def transp0(self, y: Point, v: Point) -> Tensor:
        return F.euclidean_transp0(y, v)

    def to_frame(self, x: Point, v: Point) -> Tensor:
        return F.euclidean_to_frame(x, v)

    def from_frame(self, x: Point, z: Point) -> Tensor:
        return F.euclidean_from_frame(x, z)

    def geodesic(self, t: float | int | Tensor, x: Point, y: Point) -> Tensor:
        return F.euclidean_geodesic(t, x, y)

    def midpoint(self, x: Point, y: Point) -> Tensor:
        return F.euclidean_midpoint(x, y)

    def weighted_midpoint(
        self, x: Float[Tensor, "*b d"], w: Tensor | None = None, dim: int = -2
    ) -> Tensor:
        return F.euclidean_weighted_midpoint(x, w, dim)

    def frechet_mean(
        self,
        x: Float[Tensor, "*b d"],
        w: Tensor | None = None,
        dim: int = -2,
        *,
        tol: float | None = None,
        max_iter: int = 100,
    ) -> Tensor:
        return F.euclidean_frechet_mean(x, w, dim, tol=tol, max_iter=max_iter)

    def origin(
        self,
        *size: int | tuple[int, ...],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = 42,
    ) -> Tensor:
        return torch.zeros(sized("Euclidean.origin", size, dtype), dtype=dtype, device=device)

    def half_aperture(self, x: Point, min_radius: float = 0.1) -> Tensor:
        """asin(min(1, min_radius/|x|)) (...), radians; min_radius is a length."""
        return F.euclidean_half_aperture(x, min_radius)

    def exterior_angle(self, x: Point, y: Point) -> Tensor:
        return F.euclidean_exterior_angle(x, y)

    def pairwise_exterior_angle(
        self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]
    ) -> Tensor:
        return F.euclidean_pairwise_exterior_angle(x, y)
