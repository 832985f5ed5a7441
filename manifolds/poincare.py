"""Poincaré ball model of hyperbolic space with curvature -c: points with c|x|^2 < 1.

The metric is (2/(1 - c|x|^2))^2 I.

Formulas: `manifolds.functional.poincare`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import functional as F
from manifolds.arguments import sized, verdict
from manifolds.base import Point, kept
from manifolds.curvature import CurvedManifold


class PoincareBall(CurvedManifold):
    """Ball of radius 1/sqrt(c) with curvature -c; c > 0 can be learned."""

    name = "PoincareBall"
    has_cones = True
    curvature_sign = -1

    def dist(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.poincare_dist(x, y, self.c), keepdim)

    def dist0(self, x: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.poincare_dist0(x, self.c), keepdim)

    def dist2(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.poincare_dist2(x, y, self.c), keepdim)

    def pairwise_dist(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        return F.poincare_pairwise_dist(x, y, self.c)

    def inner(self, x: Point, u: Point, v: Point | None = None, *, keepdim: bool = False) -> Tensor:
        return kept(F.poincare_inner(x, u, u if v is None else v, self.c), keepdim)

    def norm(self, x: Point, u: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.poincare_norm(x, u, self.c), keepdim)

    def egrad2rgrad(self, x: Point, u: Point) -> Tensor:
        return F.poincare_egrad2rgrad(x, u, self.c)

    def expmap(self, x: Point, u: Point) -> Tensor:
        return F.poincare_expmap(x, u, self.c)

    def expmap0(self, u: Point) -> Tensor:
        return F.poincare_expmap0(u, self.c)

    def logmap(self, x: Point, y: Point) -> Tensor:
        return F.poincare_logmap(x, y, self.c)

    def logmap0(self, x: Point) -> Tensor:
        return F.poincare_logmap0(x, self.c)

    def transp(self, x: Point, y: Point, v: Point) -> Tensor:
        return F.poincare_transp(x, y, v, self.c)

    def transp0(self, y: Point, v: Point) -> Tensor:
        return F.poincare_transp0(y, v, self.c)

    def to_frame(self, x: Point, v: Point) -> Tensor:
        return F.poincare_to_frame(x, v, self.c)

    def from_frame(self, x: Point, z: Point) -> Tensor:
        return F.poincare_from_frame(x, z, self.c)

    def geodesic(self, t: float | int | Tensor, x: Point, y: Point) -> Tensor:
        return F.poincare_geodesic(t, x, y, self.c)

    def midpoint(self, x: Point, y: Point) -> Tensor:
        return F.poincare_midpoint(x, y, self.c)

    def weighted_midpoint(
        self, x: Float[Tensor, "*b d"], w: Tensor | None = None, dim: int = -2
    ) -> Tensor:
        return F.poincare_weighted_midpoint(x, self.c, w, dim)

    def frechet_mean(
        self,
        x: Float[Tensor, "*b d"],
        w: Tensor | None = None,
        dim: int = -2,
        *,
        tol: float | None = None,
        max_iter: int = 100,
    ) -> Tensor:
        return F.poincare_frechet_mean(x, self.c, w, dim, tol=tol, max_iter=max_iter)

    def projx(self, x: Point) -> Tensor:
        return F.poincare_projx(x, self.c)

    def origin(
        self,
        *size: int | tuple[int, ...],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = 42,
    ) -> Tensor:
        return torch.zeros(sized("PoincareBall.origin", size, dtype), dtype=dtype, device=device)

    def half_aperture(self, x: Point, min_radius: float = 0.1) -> Tensor:
        return F.poincare_half_aperture(x, self.c, min_radius)

    def exterior_angle(self, x: Point, y: Point) -> Tensor:
        return F.poincare_exterior_angle(x, y, self.c)

    def pairwise_exterior_angle(
        self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]
    ) -> Tensor:
        return F.poincare_pairwise_exterior_angle(x, y, self.c)

    def _check_point_on_manifold(
        self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        ok, reason = super()._check_point_on_manifold(x)
        if not ok:
            return ok, reason
        off = F.poincare_dist0(x.detach(), self.c.detach()).isnan()
        square = self.c.detach().to(x) * F.euclidean_dist0(x.detach()).square()
        return verdict("points", "x", off, "have c|x|^2 >= 1 (use projx)", square)
