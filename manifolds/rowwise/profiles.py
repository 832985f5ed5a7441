"""Row-wise operations of one point: a factor or a value that depends on |x| and c only.

    map     x -> f x        dx = f g + (f'/|x|) <g, x> x        dc = <g, x> df/dc
    value   x -> f          dx = g (f'/|x|) x                   dc = g df/dc

f is a formula in numbers, one a row, so autograd differentiates it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifolds.arguments import Scalar
from manifolds.numerics import deficit, safe_divide, safe_norm
from manifolds.rowwise.ball import gaps
from manifolds.rowwise.fused import Gradients, rowwise
from manifolds.rowwise.passes import Passes

Profile = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(|x|, 1 - c|x|^2 on a ball and 1 elsewhere, c), of shapes that broadcast -> f, elementwise."""


def radial(
    name: str,
    profile: Profile,
    x: Tensor,
    c: Scalar | None = None,
    *,
    vector: bool,
    ball: bool = False,
) -> Tensor:
    """f x (..., d) or f (...) for points x (..., d), as `rowwise`; vector: f x."""

    def formula(x: Tensor, c: Tensor) -> Tensor:
        norm = safe_norm(x)
        f = profile(norm, deficit(x, c) if ball else torch.ones_like(norm), c)
        return f * x if vector else f

    return rowwise(name, Radial(profile, vector, ball), formula, x, c=c)


@dataclass(frozen=True)
class Radial:
    """f x (vector) or f."""

    profile: Profile
    vector: bool
    ball: bool = False

    def value(self, passes: Passes, c: Tensor, points: list[Tensor]) -> tuple[Tensor, Tensor]:
        (x,) = points
        norm = passes.norms(x)
        gap = gaps(x, norm, c) if self.ball else torch.ones_like(norm)
        f = self.profile(norm, gap, c)
        return passes.scaled(x, f, torch.float32) if self.vector else f, torch.stack([norm, gap])

    def gradient(
        self,
        passes: Passes,
        c: Tensor,
        rows: Tensor,
        points: list[Tensor],
        grad: Tensor,
        needs: tuple[bool, ...],
    ) -> Gradients:
        (x,) = points
        f, f_norm, f_c = self._slopes(c, *rows, of_c=needs[0])
        slope = safe_divide(f_norm, rows[0])
        grad_x: Tensor | None
        if self.vector:
            grad_x, weight = passes.map_gradient(grad, x, f, slope)
        else:
            weight = grad.to(f.dtype)
            grad_x = passes.value_gradient(x, weight * slope) if needs[1] else None
        return None if f_c is None else (weight * f_c).sum(), grad_x if needs[1] else None

    def _slopes(
        self, c: Tensor, norm: Tensor, gap: Tensor, *, of_c: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """f and its derivatives for |x| and, row by row, for c."""
        with torch.enable_grad():
            norm = norm.detach().requires_grad_()
            each = c.expand_as(norm).clone().requires_grad_() if of_c else c
            if self.ball:
                plain = 1 - each * norm.square()
                gap = plain + (gap - plain).detach()  # the exact value with the plain derivative
            f = self.profile(norm, gap, each)
            of = (norm, each) if of_c else (norm,)
            f_norm, *f_c = torch.autograd.grad(f.sum(), of, materialize_grads=True)
        return f.detach(), f_norm, f_c[0] if of_c else None
