"""The textbook formulas as operations of the table: arcosh and arccos of clamped products.

What MERU, HyperCore and most hyperbolic code compute, in the dtype of the points, with the usual
clamps; the ball by plain Möbius addition and 1 - c|x|^2.
"""

import math

import torch
from torch import Tensor

from manifolds.accuracy.measure import Operation

TINY = 1e-15


def textbook(quantity: str, manifold: str) -> Operation | None:
    """The formula of a quantity; dist0, expmap0, logmap0 are their maps from the origin."""
    known = FORMULAS.get(manifold, {})
    if quantity in known:
        return known[quantity]
    whole = known.get(quantity.removesuffix("0"))
    if not quantity.endswith("0") or whole is None or manifold in ("sphere", "halfspace"):
        return None

    def at_origin(c: float, *arguments: Tensor) -> Tensor:
        return whole(c, torch.zeros_like(arguments[0]), *arguments)

    return at_origin


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(-1, keepdim=True)


def _norm(x: Tensor) -> Tensor:
    return x.norm(dim=-1, keepdim=True).clamp_min(TINY)


# --- Euclidean ---


def euclidean_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    return (x - y).norm(dim=-1)


def euclidean_pairwise_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    squares = x.square().sum(-1)[:, None] + y.square().sum(-1) - 2 * x @ y.mT
    return squares.clamp_min(0).sqrt().diagonal()


def euclidean_exterior_angle(c: float, x: Tensor, y: Tensor) -> Tensor:
    step = y - x
    return torch.acos((_dot(x, step) / (_norm(x) * _norm(step))).clamp(-1, 1))[:, 0]


def euclidean_half_aperture(c: float, x: Tensor, min_radius: float) -> Tensor:
    return torch.asin((min_radius / _norm(x)).clamp(max=1))[:, 0]


# --- sphere ---


def sphere_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    return torch.acos((c * _dot(x, y)).clamp(-1, 1))[:, 0] / math.sqrt(c)


def sphere_pairwise_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    return (torch.acos((c * x @ y.mT).clamp(-1, 1)) / math.sqrt(c)).diagonal()


def sphere_expmap(c: float, x: Tensor, u: Tensor) -> Tensor:
    z = math.sqrt(c) * _norm(u)
    return torch.cos(z) * x + torch.sin(z) / z * u


def sphere_logmap(c: float, x: Tensor, y: Tensor) -> Tensor:
    across = y - c * _dot(x, y) * x
    return sphere_dist(c, x, y)[:, None] * across / _norm(across)


def sphere_transp(c: float, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    return v - c * _dot(y, v) / (1 + c * _dot(x, y)) * (x + y)


# --- hyperboloid ---


def _time(x: Tensor, c: float) -> Tensor:
    return torch.sqrt(1 / c + _dot(x, x))


def _cosh(x: Tensor, y: Tensor, c: float) -> Tensor:
    return c * (_time(x, c) * _time(y, c) - _dot(x, y))


def lorentz_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    return torch.acosh(_cosh(x, y, c).clamp_min(1.0))[:, 0] / math.sqrt(c)


def lorentz_pairwise_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    cosh = c * (_time(x, c) @ _time(y, c).mT - x @ y.mT)
    return (torch.acosh(cosh.clamp_min(1.0)) / math.sqrt(c)).diagonal()


def lorentz_expmap(c: float, x: Tensor, u: Tensor) -> Tensor:
    z = (_dot(u, u) - (_dot(x, u) / _time(x, c)).square()).clamp_min(TINY).sqrt() * math.sqrt(c)
    return torch.cosh(z) * x + torch.sinh(z) / z * u


def lorentz_expmap0(c: float, u: Tensor) -> Tensor:
    z = math.sqrt(c) * _norm(u)
    return torch.sinh(z) / z * u


def lorentz_logmap(c: float, x: Tensor, y: Tensor) -> Tensor:
    cosh = _cosh(x, y, c).clamp_min(1.0)
    return torch.acosh(cosh) / (cosh.square() - 1).clamp_min(TINY).sqrt() * (y - cosh * x)


def lorentz_logmap0(c: float, x: Tensor) -> Tensor:
    return torch.acosh(math.sqrt(c) * _time(x, c)) / (math.sqrt(c) * _norm(x)) * x


def lorentz_transp(c: float, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    inner = _dot(y, v) - _time(y, c) * _dot(x, v) / _time(x, c)
    return v + c * inner / (1 + _cosh(x, y, c)) * (x + y)


def lorentz_exterior_angle(c: float, x: Tensor, y: Tensor) -> Tensor:
    product = -_cosh(x, y, c)
    bottom = _norm(x) * (product.square() - 1).clamp_min(1e-8).sqrt()
    cosine = (_time(y, c) + product * _time(x, c)) / bottom
    return torch.acos(cosine.clamp(-1 + 1e-8, 1 - 1e-8))[:, 0]


def lorentz_half_aperture(c: float, x: Tensor, min_radius: float) -> Tensor:
    ratio = 2 * min_radius / (math.sqrt(c) * _norm(x))
    return torch.asin(ratio.clamp(-1 + 1e-8, 1 - 1e-8))[:, 0]


# --- ball ---


def _gap(x: Tensor, c: float) -> Tensor:
    return 1 - c * _dot(x, x)


def _add(x: Tensor, y: Tensor, c: float) -> Tensor:
    xx, yy, xy = _dot(x, x), _dot(y, y), _dot(x, y)
    top = (1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y
    return top / (1 + 2 * c * xy + c**2 * xx * yy).clamp_min(TINY)


def poincare_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    cosh = 1 + 2 * c * _dot(x - y, x - y) / (_gap(x, c) * _gap(y, c))
    return torch.acosh(cosh.clamp_min(1.0))[:, 0] / math.sqrt(c)


def poincare_pairwise_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    squares = (_dot(x, x) + _dot(y, y).mT - 2 * x @ y.mT).clamp_min(0)
    cosh = 1 + 2 * c * squares / (_gap(x, c) @ _gap(y, c).mT)
    return (torch.acosh(cosh.clamp_min(1.0)) / math.sqrt(c)).diagonal()


def poincare_expmap(c: float, x: Tensor, u: Tensor) -> Tensor:
    z = math.sqrt(c) * _norm(u)
    return _add(x, torch.tanh(z / _gap(x, c)) / z * u, c)


def poincare_logmap(c: float, x: Tensor, y: Tensor) -> Tensor:
    w = _add(-x, y, c)
    z = math.sqrt(c) * _norm(w)
    return _gap(x, c) * torch.atanh(z.clamp(max=1 - TINY)) / z * w


def poincare_transp(c: float, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    size = 4 * math.sqrt(c) * _norm(v)  # gyrations are linear; Möbius addition needs the ball
    turned = _add(-_add(y, -x, c), _add(y, _add(-x, v / size, c), c), c)
    return _gap(y, c) / _gap(x, c) * size * turned


def poincare_exterior_angle(c: float, x: Tensor, y: Tensor) -> Tensor:
    """Ganea et al. (arXiv 1804.01882), equation 28."""
    xx, yy, xy = c * _dot(x, x), c * _dot(y, y), c * _dot(x, y)
    top = xy * (1 + xx) - xx * (1 + yy)
    bottom = math.sqrt(c) * _norm(x) * math.sqrt(c) * _norm(x - y)
    cosine = top / (bottom * (1 + xx * yy - 2 * xy).clamp_min(TINY).sqrt())
    return torch.acos(cosine.clamp(-1 + 1e-8, 1 - 1e-8))[:, 0]


def poincare_half_aperture(c: float, x: Tensor, min_radius: float) -> Tensor:
    ratio = min_radius * _gap(x, c) / (math.sqrt(c) * _norm(x))
    return torch.asin(ratio.clamp(-1 + 1e-8, 1 - 1e-8))[:, 0]


# --- half-space ---


def halfspace_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    cosh = 1 + _dot(x - y, x - y) / (2 * x[:, -1:] * y[:, -1:])
    return torch.acosh(cosh)[:, 0] / math.sqrt(c)


def halfspace_pairwise_dist(c: float, x: Tensor, y: Tensor) -> Tensor:
    squares = (_dot(x, x) + _dot(y, y).mT - 2 * x @ y.mT).clamp_min(0)
    cosh = 1 + squares / (2 * x[:, -1:] @ y[:, -1:].mT)
    return (torch.acosh(cosh) / math.sqrt(c)).diagonal()


FORMULAS: dict[str, dict[str, Operation]] = {
    manifold: {
        name.removeprefix(f"{manifold}_"): function
        for name, function in list(globals().items())
        if name.startswith(f"{manifold}_")
    }
    for manifold in ("euclidean", "sphere", "lorentz", "poincare", "halfspace")
}
