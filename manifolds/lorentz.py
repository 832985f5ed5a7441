"""Lorentz (hyperboloid) model of hyperbolic space with curvature -c.

A point is stored by its d space components x; the time component follows:

    x_t = sqrt(1/c + |x|^2)          <x, y>_L = <x, y> - x_t y_t

so every finite tensor is a point, and `projx` and `proju` change nothing. The metric in this chart
is I - c x x^T/(1 + c|x|^2). Formulas: `manifolds.functional.lorentz`; ambient coordinates:
`manifolds.maps`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import functional as F
from manifolds.arguments import sized
from manifolds.base import Point, kept
from manifolds.curvature import CurvedManifold


class Lorentz(CurvedManifold):
    """Hyperboloid of curvature -c in space components; c > 0 can be learned."""

    name = "Lorentz"
    has_cones = True
    curvature_sign = -1

    def dist(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.lorentz_dist(x, y, self.c), keepdim)

    def dist0(self, x: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.lorentz_dist0(x, self.c), keepdim)

    def dist2(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.lorentz_dist2(x, y, self.c), keepdim)

    def pairwise_dist(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        return F.lorentz_pairwise_dist(x, y, self.c)

    def inner(self, x: Point, u: Point, v: Point | None = None, *, keepdim: bool = False) -> Tensor:
        return kept(F.lorentz_inner(x, u, u if v is None else v, self.c), keepdim)

    def norm(self, x: Point, u: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.lorentz_norm(x, u, self.c), keepdim)

    def egrad2rgrad(self, x: Point, u: Point) -> Tensor:
        return F.lorentz_egrad2rgrad(x, u, self.c)

    def expmap(self, x: Point, u: Point) -> Tensor:
        return F.lorentz_expmap(x, u, self.c)

    def expmap0(self, u: Point) -> Tensor:
        return F.lorentz_expmap0(u, self.c)

    def logmap(self, x: Point, y: Point) -> Tensor:
        return F.lorentz_logmap(x, y, self.c)

    def logmap0(self, x: Point) -> Tensor:
        return F.lorentz_logmap0(x, self.c)

    def transp(self, x: Point, y: Point, v: Point) -> Tensor:
        return F.lorentz_transp(x, y, v, self.c)

    def transp0(self, y: Point, v: Point) -> Tensor:
        return F.lorentz_transp0(y, v, self.c)

    def to_frame(self, x: Point, v: Point) -> Tensor:
        return F.lorentz_to_frame(x, v, self.c)

    def from_frame(self, x: Point, z: Point) -> Tensor:
        return F.lorentz_from_frame(x, z, self.c)

    def geodesic(self, t: float | int | Tensor, x: Point, y: Point) -> Tensor:
        return F.lorentz_geodesic(t, x, y, self.c)

    def midpoint(self, x: Point, y: Point) -> Tensor:
        return F.lorentz_midpoint(x, y, self.c)

    def weighted_midpoint(
        self, x: Float[Tensor, "*b d"], w: Tensor | None = None, dim: int = -2
    ) -> Tensor:
        return F.lorentz_weighted_midpoint(x, self.c, w, dim)

    def frechet_mean(
        self,
        x: Float[Tensor, "*b d"],
        w: Tensor | None = None,
        dim: int = -2,
        *,
        tol: float | None = None,
        max_iter: int = 100,
    ) -> Tensor:
        return F.lorentz_frechet_mean(x, self.c, w, dim, tol=tol, max_iter=max_iter)

    def origin(
        self,
        *size: int | tuple[int, ...],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = 42,
    ) -> Tensor:
        return torch.zeros(sized("Lorentz.origin", size, dtype), dtype=dtype, device=device)

    def half_aperture(self, x: Point, min_radius: float = 0.1) -> Tensor:
        return F.lorentz_half_aperture(x, self.c, min_radius)

    def exterior_angle(self, x: Point, y: Point) -> Tensor:
        return F.lorentz_exterior_angle(x, y, self.c)

    def pairwise_exterior_angle(
        self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]
    ) -> Tensor:
        return F.lorentz_pairwise_exterior_angle(x, y, self.c)
