"""Means of points on any manifold of constant curvature: centroid, Fréchet mean, tangent PCA.

Points are x_i (..., n, d) with weights w_i of sum 1, c the magnitude of the curvature, s = sqrt(c).
Everything runs in the work dtype (float64) and is rounded once, at the end.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from manifolds.arguments import holds, weighted
from manifolds.numerics import asinhc, dot, safe_divide, safe_norm, sinc, sinhc
from manifolds.polar import polar

if TYPE_CHECKING:
    from manifolds.base import Manifold


@runtime_checkable
class Space(Protocol):
    """What the algorithms need of a manifold: its name, its curvature and these operations."""

    @property
    def name(self) -> str: ...
    @property
    def curvature_sign(self) -> int: ...
    @property
    def codim(self) -> int: ...
    @property
    def c(self) -> Tensor: ...
    def dist(self, x: Tensor, y: Tensor) -> Tensor: ...
    def dist2(self, x: Tensor, y: Tensor) -> Tensor: ...
    def logmap(self, x: Tensor, y: Tensor) -> Tensor: ...
    def logmap0(self, x: Tensor) -> Tensor: ...
    def expmap(self, x: Tensor, u: Tensor) -> Tensor: ...
    def expmap0(self, u: Tensor) -> Tensor: ...
    def to_frame(self, x: Tensor, v: Tensor) -> Tensor: ...
    def from_frame(self, x: Tensor, z: Tensor) -> Tensor: ...
    def dist0(self, x: Tensor) -> Tensor: ...
    def weighted_midpoint(self, x: Tensor, w: Tensor | None = None, dim: int = -2) -> Tensor: ...
    def norm(self, x: Tensor, u: Tensor) -> Tensor: ...
    def proju(self, x: Tensor, u: Tensor) -> Tensor: ...
    def projx(self, x: Tensor) -> Tensor: ...
    def origin(self, *size: Any, **options: Any) -> Tensor: ...


def root_scale(space: Space, like: Tensor) -> tuple[Tensor, Tensor]:
    """The root (d,), and the metric length there of a unit chart vector: 2 on the ball, else 1."""
    root = space.origin(like.shape[-1], dtype=like.dtype, device=like.device)
    unit = torch.zeros_like(root)
    unit[..., -1] = 1  # tangent on a sphere too
    return root, space.norm(root, unit)


# --- weighted midpoint ---


def lorentz_centroid(x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """Centroid s/(sqrt(c) sqrt(-<s, s>_L)), s = sum w_i x_i, of space components: (..., d).

    Source: Law et al. 2019 (Lorentzian distance learning), equation 12.
    """
    total = (w * x).sum(-2, keepdim=True)
    norm, total_norm = safe_norm(x), safe_norm(total)
    # -<s, s>_L = (s_t - |s|)(s_t + |s|); the first factor cancels far from the root unless it is
    # formed as a sum of positive terms, x_t - |x| + |x|(1 - cos) with the angle between x and s.
    x_time = torch.hypot(c.rsqrt().expand_as(norm), norm)
    gap = w * (1 / (c * (x_time + norm)) + norm * polar(x, total.expand_as(x)).e2 / 2)
    inner = gap.sum(-2, keepdim=True)
    # Where the sum is 0 every direction serves; the terms above then hold 1 - cos = 0.
    inner = torch.where(total_norm == 0, (w * x_time).sum(-2, keepdim=True), inner)
    length = (inner * (inner + 2 * total_norm)).sqrt()
    return (total / (c.sqrt() * length)).squeeze(-2)


def sphere_centroid(op: str, x: Tensor, w: Tensor, c: Tensor, out: torch.dtype) -> Tensor:
    """Sum of the directions x_i/|x_i|, scaled to the sphere: (..., d).

    Raises:
        ValueError: the sum is 0 within rounding of dtype `out` (antipodal points).
    """
    total = (w * x / safe_norm(x)).sum(-2)
    length = safe_norm(total)
    if not holds(~(length < 8 * torch.finfo(out).eps)):
        raise ValueError(
            f"{op}: the points of {int((length < 8 * torch.finfo(out).eps).sum())} of "
            f"{length.numel()} sets sum to 0 (antipodal), so no midpoint is nearest; move a point "
            "or a weight"
        )
    return total / (c.sqrt() * length)


def weighted_midpoint(space: Space, x: Tensor, w: Tensor | None, dim: int) -> Tensor:
    """The midpoint of `Manifold.weighted_midpoint`, through logmap0 to the standard model."""
    op = f"{space.name}.weighted_midpoint"
    out, x, w = weighted(op, x, w, dim)
    root = space.origin(x.shape[-1], dtype=x.dtype, device=x.device)
    u = space.to_frame(root, space.logmap0(x))
    if space.curvature_sign == 0:
        mean = (w * u).sum(-2)
    else:
        c = space.c.to(x)
        z = c.sqrt() * safe_norm(u)
        if space.curvature_sign < 0:
            model = lorentz_centroid(u * sinhc(z), w, c)
            mean = model * asinhc(c.sqrt() * safe_norm(model))
        else:
            ambient = torch.cat([torch.cos(z) / c.sqrt(), u * sinc(z)], dim=-1)
            model = sphere_centroid(op, ambient, w, c, out)
            time, rest = model[..., :1], model[..., 1:]
            across = safe_norm(rest)
            mean = torch.atan2(across, time) / c.sqrt() * safe_divide(rest, across)
    return space.expmap0(space.from_frame(root, mean)).to(out)


# --- Fréchet mean ---


def frechet_mean(
    space: Space,
    x: Tensor,
    w: Tensor | None,
    dim: int,
    *,
    tol: float | None,
    max_iter: int,
) -> Tensor:
    """The mean of `Manifold.frechet_mean`: Newton's method with a line search in the tangent space.

    The Hessian of d^2/2 is 1 along the geodesic and z coth z, 1 or z cot z across it, z = s d. The
    gradient is that of one Newton step from the solution (implicit function theorem on
    sum w_i log_m(x_i) = 0).
    """
    op = f"{space.name}.frechet_mean"
    if not (max_iter >= 1 and (tol is None or tol > 0)):
        raise ValueError(
            f"{op}: tol must be positive and max_iter at least 1, got tol={tol}, "
            f"max_iter={max_iter}"
        )
    out, x, w = weighted(op, x, w, dim)
    batch, (n, d) = x.shape[:-2], x.shape[-2:]
    with torch.no_grad():
        flat = x.reshape(batch.numel(), n, d), w.reshape(batch.numel(), n, 1)
        mean = _descend(op, space, *flat, tol, max_iter).reshape(*batch, d)
    return _implicit(space, x, w, mean).to(out)


@dataclass(frozen=True)
class _State:
    """Sets (b, n, d) seen from the trial means m (b, d)."""

    m: Tensor
    logs: Tensor
    """log_m(x_i) in orthonormal coordinates (b, n, d)."""
    gradient: Tensor
    """sum w_i log_m(x_i) (b, d), minus the gradient of the loss."""
    loss: Tensor
    """sum w_i d_i^2 / 2 (b,)."""
    residual: Tensor
    """|gradient| (b,)."""


def _look(space: Space, m: Tensor, x: Tensor, w: Tensor) -> _State:
    base = m.unsqueeze(-2)
    logs = space.to_frame(base, space.logmap(base, x))
    gradient = (w * logs).sum(-2)
    loss = (w.squeeze(-1) * dot(logs, logs).squeeze(-1)).sum(-1) / 2
    return _State(m, logs, gradient, loss, safe_norm(gradient).squeeze(-1))


def _hessian(space: Space, logs: Tensor, w: Tensor) -> Tensor:
    """Second derivative (..., d, d) of sum w_i d_i^2 / 2 in the frame; 1 on normal directions."""
    length = safe_norm(logs)
    z = space.c.to(logs).sqrt() * length if space.curvature_sign else torch.zeros_like(length)
    near = z == 0
    z = torch.where(near, torch.ones_like(z), z)
    across = z / (torch.tanh(z) if space.curvature_sign < 0 else torch.tan(z))
    across = torch.where(near, torch.ones_like(z), across)
    unit = safe_divide(logs, length)
    eye = torch.eye(logs.shape[-1], dtype=logs.dtype, device=logs.device)
    root = space.origin(logs.shape[-1], dtype=logs.dtype, device=logs.device)
    tangent = space.proju(root, eye)
    flat = (w * across).sum(-2, keepdim=True) * tangent + (eye - tangent)
    return flat + unit.mT @ (w * (1 - across) * unit)


def _resolution(space: Space, state: _State, w: Tensor) -> Tensor:
    """How far rounding alone can keep the gradient from 0 (b,), a geodesic length.

    The coordinates of m round by eps sinh(s r)/s (eps r where space is flat, eps/s on the sphere),
    the logarithms by eps d_i.
    """
    r = space.dist0(state.m)
    if space.curvature_sign:
        root_c = space.c.to(r).sqrt()
        r = (
            1 + torch.sinh(root_c * r) if space.curvature_sign < 0 else torch.ones_like(r)
        ) / root_c
    spread = (w * safe_norm(state.logs)).sum((-2, -1))
    return 64 * torch.finfo(r.dtype).eps * (r + spread)


def _descend(
    op: str, space: Space, x: Tensor, w: Tensor, tol: float | None, max_iter: int
) -> Tensor:
    """Means (b, d) of x (b, n, d); each set has a step length of its own."""
    state = _look(space, space.weighted_midpoint(x, w=w.squeeze(-1)), x, w)
    step_size = torch.ones_like(state.loss)
    for _ in range(max_iter):
        limit = _resolution(space, state, w) if tol is None else torch.full_like(state.loss, tol)
        open_ = state.residual > limit  # false for NaN
        if not open_.any():
            return state.m
        step = _direction(_hessian(space, state.logs, w), state.gradient)
        moved = space.from_frame(state.m, step_size.unsqueeze(-1) * step)
        trial = _look(space, space.projx(space.expmap(state.m, moved)), x, w)
        slope = step_size * (state.gradient * step).sum(-1)
        # Near the solution the loss is flat to rounding; there the gradient decides.
        rounding = 1e-14 * state.loss
        better = (trial.loss <= state.loss - 1e-4 * slope) | (
            (trial.loss <= state.loss + rounding) & (trial.residual < state.residual)
        )
        take = better & open_
        state = _choose(take, trial, state)
        step_size = torch.where(take, torch.ones_like(step_size), step_size / 2)
    limit = _resolution(space, state, w) if tol is None else torch.full_like(state.loss, tol)
    bad = state.residual > limit
    if not bad.any():
        return state.m
    worst = state.residual[bad].max().item()
    raise RuntimeError(
        f"{op}: {int(bad.sum())} of {len(bad)} means have not converged after {max_iter} steps; "
        f"the largest gradient norm is {worst:.3g} (geodesic length), the tolerance "
        f"{limit[bad].max().item():.3g}; raise max_iter or tol"
    )


def _direction(hessian: Tensor, gradient: Tensor) -> Tensor:
    """Newton's step (b, d), a descent direction also where the loss is not convex."""
    factor, failed = torch.linalg.cholesky_ex(hessian)
    step = torch.cholesky_solve(gradient.unsqueeze(-1), factor).squeeze(-1)
    # Far pairs on a sphere: with the absolute values of its eigenvalues the Hessian leads away from
    # saddles instead of towards them.
    saddle = (failed > 0) & hessian.isfinite().all((-2, -1))
    if saddle.any():
        values, vectors = torch.linalg.eigh(hessian[saddle])
        weights = vectors.mT @ gradient[saddle].unsqueeze(-1)
        weights = weights / values.abs().clamp_min(1e-2).unsqueeze(-1)
        step[saddle] = (vectors @ weights).squeeze(-1)
    return step


def _choose(take: Tensor, new: _State, old: _State) -> _State:
    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(take.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return _State(*(pick(getattr(new, f), getattr(old, f)) for f in _State.__dataclass_fields__))


class _Newton(torch.autograd.Function):
    """A^-1 g for the Cholesky factor of the Hessian A, which is not differentiated.

    So the derivative holds for the first order only. `inputs` are what A depends on: a second
    derivative for them would be wrong, and is an error.
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, factor: Tensor, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(factor, *inputs)
        return torch.cholesky_solve(g.unsqueeze(-1), factor).squeeze(-1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        factor, *inputs = ctx.saved_tensors
        grad = torch.cholesky_solve(grads[0].unsqueeze(-1), factor).squeeze(-1)
        if torch.is_grad_enabled():  # create_graph=True
            grad = _Final.apply(grad, *inputs)
        return grad, None, *(None for _ in inputs)


class _Final(torch.autograd.Function):
    """The first argument; its derivative for any of them is an error."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *inputs: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        raise RuntimeError("frechet_mean: the implicit gradient can be differentiated once only")


def _implicit(space: Space, x: Tensor, w: Tensor, mean: Tensor) -> Tensor:
    """The mean with its derivative for x, w and c: one Newton step, of length 0."""
    if not torch.is_grad_enabled():
        return mean
    base = space.projx(mean)  # on the sphere its length follows c
    logs = space.to_frame(mean.unsqueeze(-2), space.logmap(base.unsqueeze(-2), x))
    factor, _ = torch.linalg.cholesky_ex(_hessian(space, logs.detach(), w.detach()).detach())
    step = _Newton.apply((w * logs).sum(-2), factor, x, w, space.c)
    return space.expmap(base, space.from_frame(mean, step))


# --- tangent PCA ---


@dataclass(frozen=True)
class TangentPCA:
    """Principal directions of points around their mean (`tangent_pca`)."""

    manifold: "Manifold"
    mean: Tensor
    """(d,)"""
    components: Tensor
    """Tangent vectors at the mean (k, d), orthonormal in the metric, by falling variance."""
    variance: Tensor
    """Weighted mean of the squared scores (k,), a squared geodesic length."""
    explained: Tensor
    """Share of the total variance (k,)."""

    def transform(self, x: Tensor) -> Tensor:
        """Scores (..., k) of points (..., d): the coordinates of log_mean(x), geodesic lengths."""
        log = self.manifold.logmap(self.mean, x)
        return self.manifold.inner(self.mean, log.unsqueeze(-2), self.components)

    def reconstruct(self, scores: Tensor) -> Tensor:
        """Points (..., d) with scores (..., k)."""
        return self.manifold.expmap(self.mean, scores @ self.components)

    def to_dict(self) -> dict[str, list]:
        """Everything but the manifold, as nested lists."""
        names = ("mean", "components", "variance", "explained")
        return {name: getattr(self, name).tolist() for name in names}


@torch.no_grad()
def tangent_pca(
    manifold: "Manifold",
    x: Tensor,
    w: Tensor | None = None,
    *,
    k: int | None = None,
    mean: Tensor | None = None,
) -> TangentPCA:
    """Principal component analysis of log_mean(x_i) in the metric at the mean.

    Source: Fletcher et al. 2004 (principal geodesic analysis, section 4.2).

    Args:
        x: points (n, d).
        w: weights (n,); equal if not given.
        k: number of components, at most n and the dimension of the manifold; that by default.
        mean: where the tangent space is taken, and from where variance counts; the Fréchet mean if
            not given.

    Raises:
        ValueError: x is not (n, d), k is out of range, or as `Manifold.frechet_mean`.
    """
    op = f"{manifold.name}.tangent_pca"
    if x.ndim != 2:
        raise ValueError(f"{op}: x must be (n, d), got {tuple(x.shape)}")
    most = min(x.shape[0], x.shape[1] - manifold.codim)
    k = most if k is None else k
    if not 1 <= k <= most:
        raise ValueError(f"{op}: k must lie between 1 and {most} (n and the dimension), got {k}")
    out, x, w = weighted(op, x, w, -2)
    mean = manifold.frechet_mean(x, w.squeeze(-1)) if mean is None else mean.to(x)
    z = manifold.to_frame(mean, manifold.logmap(mean, x))
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    root = manifold.origin(x.shape[-1], dtype=x.dtype, device=x.device)
    tangent = eye[manifold.proju(root, eye).diagonal() > 0.5]  # without the normal of a sphere
    _, length, axes = torch.linalg.svd(w.sqrt() * (z @ tangent.mT), full_matrices=False)
    # The largest entry of an axis is positive, so that equal data give equal signs.
    largest = axes.gather(-1, axes.abs().argmax(-1, keepdim=True))
    axes = torch.where(largest < 0, -axes, axes)[:k]
    variance = length.square()
    return TangentPCA(
        manifold,
        mean.to(out),
        manifold.from_frame(mean, axes @ tangent).to(out),
        variance[:k].to(out),
        (variance[:k] / variance.sum()).to(out),
    )
