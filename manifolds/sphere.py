"""Sphere of curvature +c: ambient points (..., d) of norm 1/sqrt(c), root (1/sqrt(c), 0, ..., 0).

Formulas: `manifolds.functional.sphere`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from manifolds import functional as F
from manifolds.arguments import sized, verdict
from manifolds.base import Point, kept
from manifolds.curvature import CurvedManifold


class Sphere(CurvedManifold):
    """Sphere of radius 1/sqrt(c) in R^d; c > 0 can be learned. It has no cones."""

    name = "Sphere"
    has_cones = False
    curvature_sign = 1
    codim = 1
    min_dim = 2

    def dist(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.sphere_dist(x, y, self.c), keepdim)

    def dist0(self, x: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.sphere_dist0(x, self.c), keepdim)

    def dist2(self, x: Point, y: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.sphere_dist2(x, y, self.c), keepdim)

    def pairwise_dist(self, x: Float[Tensor, "*#b n d"], y: Float[Tensor, "*#b m d"]) -> Tensor:
        return F.sphere_pairwise_dist(x, y, self.c)

    def inner(self, x: Point, u: Point, v: Point | None = None, *, keepdim: bool = False) -> Tensor:
        return kept(F.sphere_inner(x, u, u if v is None else v, self.c), keepdim)

    def norm(self, x: Point, u: Point, *, keepdim: bool = False) -> Tensor:
        return kept(F.sphere_norm(x, u, self.c), keepdim)

    def proju(self, x: Point, u: Point) -> Tensor:
        return F.sphere_proju(x, u, self.c)

    def egrad2rgrad(self, x: Point, u: Point) -> Tensor:
        return F.sphere_egrad2rgrad(x, u, self.c)

    def expmap(self, x: Point, u: Point) -> Tensor:
        return F.sphere_expmap(x, u, self.c)

    def expmap0(self, u: Point) -> Tensor:
        return F.sphere_expmap0(u, self.c)

    def logmap(self, x: Point, y: Point) -> Tensor:
        return F.sphere_logmap(x, y, self.c)

    def logmap0(self, x: Point) -> Tensor:
        return F.sphere_logmap0(x, self.c)

    def transp(self, x: Point, y: Point, v: Point) -> Tensor:
        return F.sphere_transp(x, y, v, self.c)

    def transp0(self, y: Point, v: Point) -> Tensor:
        return F.sphere_transp0(y, v, self.c)

    def retr(self, x: Point, u: Point) -> Tensor:
        """x + u, scaled back to the sphere."""
        return F.sphere_retr(x, u, self.c)

    def to_frame(self, x: Point, v: Point) -> Tensor:
        return F.sphere_to_frame(x, v, self.c)

    def from_frame(self, x: Point, z: Point) -> Tensor:
        return F.sphere_from_frame(x, z, self.c)

    def geodesic(self, t: float | int | Tensor, x: Point, y: Point) -> Tensor:
        return F.sphere_geodesic(t, x, y, self.c)

    def midpoint(self, x: Point, y: Point) -> Tensor:
        return F.sphere_midpoint(x, y, self.c)

    def weighted_midpoint(
        self, x: Float[Tensor, "*b d"], w: Tensor | None = None, dim: int = -2
    ) -> Tensor:
        return F.sphere_weighted_midpoint(x, self.c, w, dim)

    def frechet_mean(
        self,
        x: Float[Tensor, "*b d"],
        w: Tensor | None = None,
        dim: int = -2,
        *,
        tol: float | None = None,
        max_iter: int = 100,
    ) -> Tensor:
        return F.sphere_frechet_mean(x, self.c, w, dim, tol=tol, max_iter=max_iter)

    def projx(self, x: Point) -> Tensor:
        return F.sphere_projx(x, self.c)

    def origin(
        self,
        *size: int | tuple[int, ...],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = 42,
    ) -> Tensor:
        x = torch.zeros(sized("Sphere.origin", size, dtype), dtype=dtype, device=device)
        x[..., 0] = self.c.detach().to(x).rsqrt()
        return x

    @torch.no_grad()
    def random(  # type: ignore[override]
        self,
        *size: int | tuple[int, ...],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Uniform on the sphere: the direction of a normal vector (Muller 1959)."""
        x = torch.randn(
            sized("Sphere.random", size, dtype), dtype=dtype, device=device, generator=generator
        )
        return F.sphere_projx(x, self.c)

    def _check_point_on_manifold(
        self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        ok, reason = super()._check_point_on_manifold(x)
        if not ok:
            return ok, reason
        norm = F.euclidean_dist0(x.detach()) * self.c.detach().to(x).sqrt()
        rule = f"have sqrt(c)|x| away from 1 by more than {rtol:g} (use projx)"
        return verdict("points", "x", (norm - 1).abs() > rtol, rule, norm)

    def _check_vector_on_tangent(
        self, x: Tensor, u: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        ok, reason = super()._check_vector_on_tangent(x, u)
        if not ok:
            return ok, reason
        across = F.sphere_proju(x.detach(), u.detach(), self.c.detach())
        off, length = F.euclidean_dist(u.detach(), across), F.euclidean_dist0(u.detach())
        rule = "have a part along x (use proju)"
        return verdict("vectors", "u", off > atol + rtol * length, rule, off)
