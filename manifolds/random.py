"""The wrapped normal distribution: a normal tangent vector at the mean, carried along by exp.

Source: Nagano et al. 2019 (arXiv 1902.02992), for any manifold of constant curvature.
"""

import math

import torch
from torch import Tensor

from manifolds.arguments import check_number, check_tensor, holds, prepare
from manifolds.models import Space
from manifolds.numerics import safe_sqrt, sinc, sinhc

_POLE = 1e-8


def normal(
    space: Space,
    size: tuple[int, ...],
    mean: Tensor | None,
    std: float | Tensor,
    dtype: torch.dtype | None,
    device: torch.device | str | None,
    generator: torch.Generator | None,
) -> Tensor:
    """Sample of shape `size`; see `Manifold.random_normal`.

    Raises:
        ValueError: mean does not broadcast to size or has another dtype or device, std
            is negative or does not broadcast.
    """
    op = f"{space.name}.random_normal"
    if mean is not None:
        check_tensor(op, "mean", mean)
        dtype, device = dtype or mean.dtype, device or mean.device
    spread = checked_std(op, std, size[:-1])
    wanted = (mean is not None and mean.requires_grad) or (
        isinstance(spread, Tensor) and spread.requires_grad
    )
    with torch.set_grad_enabled(wanted and torch.is_grad_enabled()):
        z = torch.randn(size, dtype=dtype, device=device, generator=generator)
        if isinstance(spread, Tensor):
            spread = spread.to(z)
        root = space.origin(z.shape[-1], dtype=z.dtype, device=z.device)
        z = space.proju(root, z) * spread
        if mean is None:
            return space.expmap0(space.from_frame(root, z))
        fits(op, "mean", mean.shape, size)
        prepare(op, mean, z)
        return space.expmap(mean, space.from_frame(mean, z))


def checked_std(op: str, std: float | Tensor, leading: tuple[int, ...]) -> float | Tensor:
    """std as a number, or as a tensor (..., 1)."""
    if isinstance(std, Tensor):
        if not holds(~(std < 0)):
            raise ValueError(f"{op}: std must not be negative, got {std.min().item():g}")
        fits(op, "std", std.shape, leading)
        return std.unsqueeze(-1)
    check_number(op, "std", std)
    if not 0 <= std < math.inf:
        raise ValueError(f"{op}: std must be finite and not negative, got {std}")
    return std


def fits(op: str, name: str, shape: torch.Size, to: tuple[int, ...]) -> None:
    """Raises ValueError unless a shape broadcasts to another."""
    try:
        same = torch.broadcast_shapes(shape, to) == torch.Size(to)
    except RuntimeError:
        same = False
    if not same:
        raise ValueError(f"{op}: {name} must broadcast to {tuple(to)}, got {tuple(shape)}")


def log_density(space: Space, x: Tensor, mean: Tensor | None, std: float | Tensor) -> Tensor:
    """Log density (...) of the wrapped normal at x, in nats, for the Riemannian volume.

        -d^2/(2 std^2) - n log(std sqrt(2 pi)) - (n - 1) log(sinh(z)/z),    z = sqrt(c) d(mean, x)

    in n dimensions (equation 11, with a common std); z/z where space is flat. On the sphere it is
    sin(z)/z, and the sum runs over all vectors that exp takes to x, of lengths |z + 2 pi k|: where
    more than 1e-17 of the mass lies beyond the antipode the density has a pole there and one at the
    mean, of finite mass; it is evaluated no nearer to them than 1e-8 rad.

    Raises:
        ValueError: x and mean do not fit, or std is not positive or does not broadcast.
    """
    op = f"{space.name}.log_normal_density"
    out, points = prepare(op, *((x,) if mean is None else (x, mean)))
    leading = torch.broadcast_shapes(*(p.shape[:-1] for p in points))
    spread = checked_std(op, std, leading)
    if isinstance(spread, Tensor):
        spread = spread.squeeze(-1).to(points[0])
    if not holds(torch.as_tensor(spread) > 0):
        raise ValueError(f"{op}: std must be positive, got {std}")
    # In the work dtype: a root rounded to float32 is not that of the sphere or the half-space.
    dtype, device = points[0].dtype, points[0].device
    base = points[1] if mean is not None else space.origin(x.shape[-1:], dtype=dtype, device=device)
    n = x.shape[-1] - space.codim
    constant = n * torch.log(
        torch.as_tensor(spread, dtype=dtype, device=device) * math.sqrt(2 * math.pi)
    )
    distance2 = space.dist2(base, points[0])
    gauss = -distance2 / (2 * spread**2)
    if space.curvature_sign == 0:
        return (gauss - constant).to(out)
    root_c = space.c.to(points[0]).sqrt()
    z = root_c * safe_sqrt(distance2)
    if space.curvature_sign < 0:
        return (gauss - constant - (n - 1) * torch.log(sinhc(z))).to(out)
    first = gauss - (n - 1) * torch.log(sinc(z))
    reach = float((root_c * spread).detach().max()) if z.numel() else 0.0
    turns = math.ceil((reach * (math.sqrt(n) + 9) - math.pi) / (2 * math.pi))
    terms = [first]
    for k in (k for k in range(-turns, turns + 1) if k):
        length = z + 2 * math.pi * k
        pole = torch.log(torch.sin(z).clamp_min(_POLE))
        terms.append(
            -((length / root_c / spread) ** 2) / 2 + (n - 1) * (torch.log(length.abs()) - pole)
        )
    return (torch.logsumexp(torch.stack(terms), 0) - constant).to(out)
