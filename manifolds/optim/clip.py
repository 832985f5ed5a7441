"""Gradient clipping by the Riemannian norm."""

from collections.abc import Iterable

import torch
from geoopt import ManifoldTensor
from jaxtyping import Float
from torch import Tensor

from manifolds.base import Manifold


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, *, error_if_nonfinite: bool = False
) -> Float[Tensor, ""]:
    """Scale all gradients by one factor so that their total Riemannian norm is at most max_norm.

        norm^2 = sum |grad p|^2 + sum g(x)(grad x, grad x),    grad x = egrad2rgrad(x, x.grad)

    over Euclidean parameters p and points x: the steepest slope of the loss per unit of geodesic
    length, whatever the chart. On Euclidean parameters alone it is
    `torch.nn.utils.clip_grad_norm_`. Sparse gradients count by their rows.

    Returns:
        The norm before clipping, 0-dim; 0 without gradients.

    Raises:
        ValueError: max_norm is not positive.
        RuntimeError: the norm is NaN or infinite and `error_if_nonfinite` is set.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm_: max_norm must be positive, got {max_norm}")
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    learned = [p for p in given if p.grad is not None]
    if not learned:
        return torch.zeros(())
    device = learned[0].device
    norms = torch.stack([_norm(p).to(device) for p in learned])
    total = torch.linalg.vector_norm(norms)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"clip_grad_norm_: the gradients' norm is {total.item()}; look for NaN in loss and "
            "points, or pass error_if_nonfinite=False"
        )
    # Always multiplied, as in torch: asking whether would wait for the device.
    factor = (max_norm / (total + 1e-6)).clamp_max(1.0)
    for p in learned:
        assert p.grad is not None
        p.grad.mul_(factor.to(device=p.grad.device, dtype=p.grad.dtype))
    return total


def _norm(p: Tensor) -> Tensor:
    grad = p.grad
    assert grad is not None
    x = p.detach()
    if grad.is_sparse:
        grad = grad.coalesce()
        x, grad = x[grad.indices()[0]], grad.values()
    if isinstance(p, ManifoldTensor):
        manifold: Manifold = p.manifold
        grad = manifold.norm(x, manifold.egrad2rgrad(x, grad))
    # Half precision would overflow in the sum.
    return torch.linalg.vector_norm(grad if grad.dtype.itemsize > 2 else grad.float())
