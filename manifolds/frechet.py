"""Fréchet means in the standard models: flat space, hyperboloid, sphere in its ambient space.

Newton's method with a line search for the minimum m of sum w_i d(m, x_i)^2 / 2. Vectors at m are
kept as orthonormal coordinates z in the frame that is transported from the root. The second
derivative of d^2/2 is 1 along the geodesic, and z coth z, 1 or z cot z across it, z = sqrt(c) d.

Points x (b, n, d) in space components or ambient coordinates, weights w (b, n, 1) of sum 1, c
0-dim, all in the work dtype; sign is that of the curvature.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from manifolds.arguments import check_search
from manifolds.functional import sphere
from manifolds.models import centroid
from manifolds.numerics import asinhc, dot, safe_divide, safe_norm, safe_sqrt, sinhc
from manifolds.polar import hyperbolic_q


def frechet_mean(
    op: str, sign: int, x: Tensor, w: Tensor, c: Tensor, tol: float | None, max_iter: int
) -> Tensor:
    """Means (..., d) of x (..., n, d), with the implicit gradient for x, w and c, once.

    Raises:
        TypeError: tol or max_iter is no number.
        ValueError: tol or max_iter is not positive; or, on the sphere, the points sum to 0.
        RuntimeError: no convergence.
    """
    check_search(op, tol, max_iter)
    batch, (n, d) = x.shape[:-2], x.shape[-2:]
    with torch.no_grad():
        flat = x.reshape(batch.numel(), n, d), w.reshape(batch.numel(), n, 1)
        mean = _descend(op, sign, *flat, c, tol, max_iter).reshape(*batch, d)
    return _implicit(sign, x, w, c, mean) if torch.is_grad_enabled() else mean


# --- the models ---


def _log(sign: int, m: Tensor, x: Tensor, c: Tensor) -> Tensor:
    """log_m(x) in the frame."""
    if sign == 0:
        return x - m
    if sign > 0:
        root = sphere.sphere_root(m, c)
        return sphere.sphere_transp(m, root, sphere.sphere_logmap(m, x, c), c)
    # The plain form: its error next to a far mean is that of the mean's own coordinates, which
    # `_resolution` allows for, and it is cheaper by far than the operation `logmap`.
    q = hyperbolic_q(m, x, c)
    v = asinhc(safe_sqrt(q)) / (1 + q).sqrt() * ((x - m) - 2 * q * m)
    norm = safe_norm(m)
    unit, cosh = safe_divide(m, norm), torch.hypot(torch.ones_like(norm), c.sqrt() * norm)
    along = dot(unit, v)
    return v - along * unit + along / cosh * unit


def _exp(sign: int, m: Tensor, z: Tensor, c: Tensor) -> Tensor:
    """exp_m of the vector with coordinates z in the frame."""
    if sign == 0:
        return m + z
    if sign > 0:
        u = sphere.sphere_transp(sphere.sphere_root(m, c), m, z, c)
        return sphere.sphere_projx(sphere.sphere_expmap(m, u, c), c)
    length, norm = c.sqrt() * safe_norm(z), safe_norm(m)
    cosh = torch.hypot(torch.ones_like(norm), c.sqrt() * norm)
    u = z + c * dot(m, z) / (1 + cosh) * m
    return torch.cosh(length) * m + sinhc(length) * u


def _hessian(sign: int, logs: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """Second derivative (..., d, d) in the frame; 1 for the normal of a sphere."""
    length = safe_norm(logs)
    eye = torch.eye(logs.shape[-1], dtype=logs.dtype, device=logs.device)
    if sign == 0:
        return eye.expand(*logs.shape[:-2], *eye.shape)
    z = c.sqrt() * length
    near = z == 0
    z = torch.where(near, torch.ones_like(z), z)
    across = torch.where(near, torch.ones_like(z), z / (torch.tanh(z) if sign < 0 else z.tan()))
    normal = torch.zeros_like(eye)
    if sign > 0:
        normal[0, 0] = 1  # the root is (1/sqrt(c), 0, ..., 0)
    unit = safe_divide(logs, length)
    flat = (w * across).sum(-2, keepdim=True) * (eye - normal) + normal
    return flat + unit.mT @ (w * (1 - across) * unit)


# --- the minimum ---


@dataclass(frozen=True)
class _State:
    """The sets as trial means m (b, d) see them."""

    m: Tensor
    logs: Tensor
    """log_m(x_i) in the frame (b, n, d)."""
    gradient: Tensor
    """sum w_i log_m(x_i) (b, d), minus the gradient of the loss."""
    loss: Tensor
    """sum w_i d_i^2 / 2 (b,)."""
    residual: Tensor
    """|gradient| (b,), a geodesic length."""
    rounding: Tensor
    """How far from 0 rounding alone may keep the residual (b,)."""


def _look(sign: int, m: Tensor, x: Tensor, w: Tensor, c: Tensor) -> _State:
    logs = _log(sign, m.unsqueeze(-2), x, c)
    gradient = (w * logs).sum(-2)
    loss = (w * dot(logs, logs)).sum((-2, -1)) / 2
    residual = safe_norm(gradient).squeeze(-1)
    # The coordinates of m round by eps |m| (across the radius that is a length), on a sphere by
    # eps/sqrt(c), and the logarithms by eps d_i.
    size = safe_norm(m).squeeze(-1) + (c.rsqrt() if sign else 0)
    spread = (w * safe_norm(logs)).sum((-2, -1))
    rounding = 64 * torch.finfo(m.dtype).eps * (size + spread)
    return _State(m, logs, gradient, loss, residual, rounding)


def _descend(
    op: str, sign: int, x: Tensor, w: Tensor, c: Tensor, tol: float | None, max_iter: int
) -> Tensor:
    """Means (b, d); each set has a step length of its own."""
    state = _look(sign, centroid(op, sign, x, w, c), x, w, c)
    size = torch.ones_like(state.loss)
    for _ in range(max_iter):
        still = state.residual > (tol or state.rounding)  # false for NaN
        if not still.any():
            return state.m
        step = _direction(_hessian(sign, state.logs, w, c), state.gradient)
        trial = _look(sign, _exp(sign, state.m, size.unsqueeze(-1) * step, c), x, w, c)
        enough = 1e-4 * size * (state.gradient * step).sum(-1)
        # Near the solution the loss is flat to rounding; there the gradient decides.
        flat = trial.loss <= state.loss + (2 * state.loss).sqrt() * state.rounding
        better = trial.loss <= state.loss - enough
        take = still & (better | (flat & (trial.residual < state.residual)))
        state = _choose(take, trial, state)
        size = torch.where(take, torch.ones_like(size), size / 2)
    limit = state.rounding if tol is None else torch.full_like(state.rounding, tol)
    bad = state.residual > limit
    if not bad.any():
        return state.m
    raise RuntimeError(
        f"{op}: {int(bad.sum())} of {len(bad)} means have not converged after {max_iter} steps; "
        f"the largest gradient norm is {state.residual[bad].max().item():.3g} (geodesic length), "
        f"the tolerance {limit[bad].max().item():.3g}; raise max_iter or tol"
    )


def _direction(hessian: Tensor, gradient: Tensor) -> Tensor:
    """Newton's step (b, d), a descent direction also where the loss is not convex."""
    factor, failed = torch.linalg.cholesky_ex(hessian)
    step = torch.cholesky_solve(gradient.unsqueeze(-1), factor).squeeze(-1)
    # Far pairs on a sphere: with the absolute values of its eigenvalues the Hessian leads away from
    # saddles instead of towards them.
    saddle = (failed > 0) & hessian.isfinite().all(-1).all(-1)
    if saddle.any():
        values, vectors = torch.linalg.eigh(hessian[saddle])
        weights = vectors.mT @ gradient[saddle].unsqueeze(-1)
        weights = weights / values.abs().clamp_min(1e-2).unsqueeze(-1)
        step[saddle] = (vectors @ weights).squeeze(-1)
    return step


def _choose(take: Tensor, new: _State, old: _State) -> _State:
    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(take.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return _State(*(pick(getattr(new, f.name), getattr(old, f.name)) for f in fields(_State)))


# --- its derivative ---


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


def _implicit(sign: int, x: Tensor, w: Tensor, c: Tensor, mean: Tensor) -> Tensor:
    """The mean with its derivative: one Newton step from the solution, of length 0.

    Implicit function theorem on sum w_i log_m(x_i) = 0.
    """
    base = sphere.sphere_projx(mean, c) if sign > 0 else mean  # its length follows c
    logs = _log(sign, base.unsqueeze(-2), x, c)
    with torch.no_grad():
        factor, _ = torch.linalg.cholesky_ex(_hessian(sign, logs, w, c))
    return _exp(sign, base, _Newton.apply((w * logs).sum(-2), factor, x, w, c), c)
