"""The checks and the dtype rule that every operation shares.

Points are checked for shape, dtype and device, c for its sign. The arithmetic runs in float64 where
the device has it, so that float32 input keeps its last digit, and the result goes back: float64 in,
float64 out; everything else (also under autocast, which leaves float64 alone) comes out float32.
"""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Scalar: TypeAlias = float | int | Tensor
"""Curvature magnitude c: a positive number, or a 0-dim tensor (gradients reach it)."""

_NO_FLOAT64 = {"mps"}

_NAMES: dict[str, str | tuple[str, ...]] = {
    "dist0": "x",
    "logmap0": "x",
    "projx": "x",
    "half_aperture": "x",
    "expmap0": "u",
    "expmap": "xu",
    "retr": "xu",
    "proju": "xu",
    "egrad2rgrad": "xu",
    "norm": "xu",
    "to_frame": "xv",
    "from_frame": "xz",
    "log_normal_density": ("x", "mean"),
    "check_vector": "xu",
    "geodesic_unit": "xu",
    "inner": "xuv",
    "push": "xv",
    "retr_transp": "xuv",
    "transp0": "yv",
    "dist2plane": "xpa",
    "pairwise_dist2plane": "xpa",
    "HyperplaneRegression": "xpa",
    "translate": ("x", "by"),
    "boost": ("by",),
    "gyration": "xyz",
    "rotation": "uv",
    "rotate": ("x", "matrix"),
    "topk": ("query", "database"),
}
"""What an operation calls its tensors, for errors; x, y, v if it is not listed."""

SMALLEST: dict[str, int] = {}
"""The smallest d of each manifold, by its name: `Manifold.min_dim`, entered by its class."""


def smallest(op: str) -> int:
    """The smallest d that points of "Manifold.name" can have."""
    return SMALLEST.get(op.partition(".")[0], 1)


def work_dtype(device: torch.device) -> torch.dtype:
    """The dtype in which formulas are evaluated on a device."""
    return torch.float32 if device.type in _NO_FLOAT64 else torch.float64


def is_double(x: object) -> bool:
    """Whether x is a float64 tensor; False for what is no tensor, which `check` refuses."""
    return isinstance(x, Tensor) and x.dtype == torch.float64


def prepare(op: str, *tensors: Tensor, pairwise: bool = False) -> tuple[torch.dtype, list[Tensor]]:
    """Checked tensors in the work dtype, and the dtype of the result.

    Raises:
        ValueError: as `check`.
    """
    out = check(op, *tensors, pairwise=pairwise)
    work = work_dtype(tensors[0].device)
    return out, [t.to(work) for t in tensors]


def check(op: str, *tensors: Tensor, pairwise: bool = False) -> torch.dtype:
    """The dtype of the result of an operation, "Manifold.name", on these tensors.

    Raises:
        TypeError: something else than a tensor.
        ValueError: a sparse tensor, a dtype that is not floating, float64 mixed with something
            else, different devices, different last dimensions, fewer than the manifold's smallest
            d, or leading dimensions that do not broadcast; it names the operation, its arguments
            and their shapes.
    """
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            check_tensor(op, _names(op)[i], t)
    if any(t.layout != torch.strided for t in tensors):
        kinds = _list(op, [t.layout for t in tensors])
        raise ValueError(f"{op}: expects dense tensors, got {kinds}; convert with .to_dense()")
    need = 2 if pairwise else 1
    if any(t.ndim < need for t in tensors):
        rule = "x (..., n, d) and y (..., m, d)" if pairwise else "(..., d)"
        raise ValueError(f"{op}: expects {rule}, got shapes {shapes_of(op, tensors)}")
    if any(not t.is_floating_point() for t in tensors):
        kinds = _list(op, [t.dtype for t in tensors])
        raise ValueError(
            f"{op}: expects floating point tensors, got {kinds}; convert with .float()"
        )
    doubles = [t.dtype == torch.float64 for t in tensors]
    if any(doubles) and not all(doubles):
        kinds = _list(op, [t.dtype for t in tensors])
        raise ValueError(
            f"{op}: expects float64 throughout or not at all, got {kinds}; convert with .to(dtype)"
        )
    if any(t.device != tensors[0].device for t in tensors):
        places = _list(op, [t.device for t in tensors])
        raise ValueError(f"{op}: expects one device, got {places}; move with .to(device)")
    least, dims = smallest(op), [t.shape[-1] for t in tensors]
    if dims[0] < least or any(d != dims[0] for d in dims):
        shapes = shapes_of(op, tensors)
        raise ValueError(f"{op}: expects one last dimension d >= {least}, got shapes {shapes}")
    leading = [t.shape[: -1 - pairwise] for t in tensors]
    if any(s != leading[0] for s in leading):
        try:
            torch.broadcast_shapes(*leading)
        except RuntimeError:
            shapes = shapes_of(op, tensors)
            raise ValueError(
                f"{op}: leading dimensions do not broadcast, got shapes {shapes}"
            ) from None
    return torch.float64 if doubles[0] else torch.float32


def sized(
    op: str, size: tuple[int | Sequence[int], ...], dtype: torch.dtype | None = None
) -> tuple[int, ...]:
    """The shape (..., d) of what "Manifold.name" makes; (3, 4) and ((3, 4),) mean the same.

    Raises:
        TypeError: something else than whole numbers.
        ValueError: it is empty, d below the manifold's smallest, a negative number, or a dtype that
            is not floating.
    """
    entries = size[0] if len(size) == 1 and isinstance(size[0], Sequence) else size
    flat = tuple(s if isinstance(s, int) else whole(op, "size", s, size) for s in entries)
    least = smallest(op)
    if not flat or flat[-1] < least or any(s < 0 for s in flat):
        raise ValueError(f"{op}: size must be (..., d) with d >= {least}, got {flat}")
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"{op}: dtype must be floating point, as torch.float32, got {dtype!r}")
    return flat


def whole(op: str, name: str, value: object, given: object) -> int:
    """A whole number, NumPy's own among them; TypeError for others, which shows all of `given`."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        kind = type(value).__name__
        raise TypeError(
            f"{op}: {name} must be {'a whole number' if value is given else 'whole numbers'}, got "
            f"{name}={given!r} ({'' if value is given else f'{value!r} is '}{kind})"
        ) from None


def shapes_of(op: str, tensors: tuple[Tensor, ...]) -> str:
    """The shapes of the tensors of an operation by their names, for an error."""
    return _list(op, [tuple(t.shape) for t in tensors])


def _list(op: str, values: list) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(_names(op), values, strict=False))


def _names(op: str) -> str | tuple[str, ...]:
    """What an operation calls its tensors."""
    return _NAMES.get(op.partition(".")[2], "xyv")


def holds(condition: Tensor) -> bool:
    """Whether a condition is true everywhere, as far as one can see.

    Values are looked at on the CPU only (on a GPU that would wait for the device), not while
    torch.compile traces, and not inside torch.vmap, which has no value to look at: True there.
    """
    if condition.device.type != "cpu" or torch.compiler.is_compiling():
        return True
    try:
        return bool(condition.all())
    except RuntimeError:  # batched by torch.vmap
        return True


def check_number(op: str, name: str, value: object) -> None:
    """Raises TypeError unless an argument is a real number."""
    if not isinstance(value, (float, int)) and not isinstance(value, numbers.Real):
        kind = type(value).__name__
        raise TypeError(f"{op}: {name} must be a real number, got {name}={value!r} ({kind})")


def check_tensor(op: str, name: str, value: object, shape: str = "(..., d)") -> None:
    """Raises TypeError unless an argument is a tensor."""
    if not isinstance(value, Tensor):
        shown, kind = repr(value), type(value).__name__
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise TypeError(
            f"{op}: {name} must be a tensor {shape}, got {shown} ({kind}); torch.as_tensor makes "
            "one of lists and arrays"
        )


def curvature(op: str, c: Scalar, like: Tensor) -> Tensor:
    """c as a 0-dim tensor beside `like`.

    Raises:
        TypeError: c is neither a real number nor a tensor of real numbers.
        ValueError: c <= 0, NaN or infinite, or not 0-dim. A tensor's value is looked at where
            `holds` can (elsewhere a bad c gives NaN).
    """
    if not isinstance(c, Tensor):
        check_number(op, "c", c)
        if not (c > 0 and math.isfinite(c)):
            raise ValueError(
                f"{op}: c must be positive and finite (curvature magnitude), got c={c}"
            )
        return torch.as_tensor(c, dtype=like.dtype, device=like.device)
    if c.ndim != 0:
        raise ValueError(f"{op}: c must be a number or a 0-dim tensor, got shape {tuple(c.shape)}")
    if c.is_complex() or c.dtype == torch.bool:
        raise TypeError(f"{op}: c must be a real number, got a tensor of {c.dtype}")
    if not holds((c > 0) & c.isfinite()):
        raise ValueError(
            f"{op}: c must be positive and finite (curvature magnitude), got c={c.item()}"
        )
    return c.to(device=like.device, dtype=like.dtype)


def check_min_radius(op: str, min_radius: float) -> None:
    """Raises ValueError unless min_radius (the cones' K) is positive and finite, or TypeError."""
    check_number(op, "min_radius", min_radius)
    if not (min_radius > 0 and math.isfinite(min_radius)):
        raise ValueError(f"{op}: min_radius must be positive and finite, got {min_radius}")


def check_search(op: str, tol: float | None, max_iter: int) -> None:
    """Raises TypeError or ValueError unless a search can end: where tol is reached, or by steps."""
    if tol is not None:
        check_number(op, "tol", tol)
    check_number(op, "max_iter", max_iter)
    if not (max_iter >= 1 and (tol is None or tol > 0)):
        raise ValueError(
            f"{op}: tol must be positive and max_iter at least 1, got tol={tol}, "
            f"max_iter={max_iter}"
        )


def verdict(what: str, name: str, bad: Tensor, rule: str, value: Tensor) -> tuple[bool, str | None]:
    """Whether no row of `bad` (...) is true, and if not how many are and which is the first.

    Args:
        what: of what there are rows, "points".
        name: of the tensor.
        rule: what the bad ones do.
        value: what to show of the first: a number (...) or coordinates (..., d) of each row.
    """
    count = int(bad.sum()) if bad.device.type != "meta" else 0  # there are no values to look at
    if not count:
        return True, None
    at = tuple(bad.nonzero()[0].tolist())
    shown = value[at].reshape(-1)[:6].tolist()
    entries = ", ".join(f"{v:.6g}" for v in shown) + (", ..." if value[at].numel() > 6 else "")
    entries = entries if value.ndim == bad.ndim else f"[{entries}]"
    place = f"{name}[{', '.join(map(str, at))}]" if at else name
    return False, f"{count} of {bad.numel()} {what} {rule}; the first is {place}: {entries}"


def time(op: str, t: float | int | Tensor, *points: Tensor) -> float | Tensor:
    """The time of a point on a geodesic, a number or as (..., 1) beside checked points (..., d).

    Raises:
        TypeError: t is neither a real number nor a tensor.
        ValueError: the points do not fit, or t is no real tensor on their device (a 0-dim one may
            lie anywhere) that broadcasts with their leading dimensions.
    """
    dtype = check(op, *points)
    if not isinstance(t, Tensor):
        check_number(op, "t", t)
        return float(t)
    if t.is_complex() or t.dtype == torch.bool:
        raise ValueError(f"{op}: t must be a real number or tensor, got {t.dtype}")
    if t.ndim and t.device != points[0].device:
        places = f"{t.device}, points on {points[0].device}"
        raise ValueError(f"{op}: expects one device, got t on {places}; move with .to(device)")
    try:
        torch.broadcast_shapes(t.shape, *(p.shape[:-1] for p in points))
    except RuntimeError:
        shapes = f"{tuple(t.shape)}, {shapes_of(op, points)}"
        raise ValueError(
            f"{op}: t (...) must broadcast with the leading dimensions of the points, got shapes "
            f"t {shapes}"
        ) from None
    return t.to(device=points[0].device, dtype=dtype).unsqueeze(-1)


def weighted(op: str, x: Tensor, w: Tensor | None, dim: int) -> tuple[torch.dtype, Tensor, Tensor]:
    """Points (..., n, d) and weights (..., n, 1) of sum 1 in the work dtype, the result's dtype.

    Raises:
        TypeError: x or w is no tensor, dim no whole number.
        ValueError: x as in `check`; dim is not one of the leading dimensions of x, it has no
            points; w does not fit x, has a negative entry, or sums to 0.
    """
    out = check(op, x)
    shape = tuple(x.shape)
    if not isinstance(dim, int):
        kind = type(dim).__name__
        raise TypeError(f"{op}: dim must be a whole number, got dim={dim!r} ({kind})")
    if x.ndim < 2 or not -x.ndim <= dim < x.ndim or dim % x.ndim == x.ndim - 1:
        raise ValueError(
            f"{op}: x must be (..., n, d) and dim one of its dimensions but the last (that is d), "
            f"got dim={dim} for shape {shape}"
        )
    dim %= x.ndim
    if x.shape[dim] == 0:
        raise ValueError(f"{op}: no points to average, got shape {shape} with dim={dim}")
    work = work_dtype(x.device)
    w = torch.ones(x.shape[dim], dtype=work, device=x.device) if w is None else w
    check_tensor(op, "w", w, "(n,) or (..., n)")
    if not w.is_floating_point() or w.device != x.device:
        raise ValueError(
            f"{op}: w must be floating point on the device of x, got {w.dtype} on {w.device} "
            f"for {x.dtype} on {x.device}"
        )
    if w.ndim == 1:
        fits = w.shape[0] == x.shape[dim]
        full = w.reshape(-1, *(1,) * (x.ndim - 2 - dim))
    else:
        fits = w.ndim < x.ndim and all(
            a in (1, b) for a, b in zip(w.shape[::-1], shape[-2::-1], strict=False)
        )
        full = w
    if not fits:
        raise ValueError(
            f"{op}: w must be (n,) = ({x.shape[dim]},) or broadcast with {shape[:-1]}, the shape "
            f"of x without d, got {tuple(w.shape)}"
        )
    full = full.to(work).expand(shape[:-1]).movedim(dim, -1).unsqueeze(-1)
    total = full.sum(-2, keepdim=True)
    if not holds(~(full < 0)):
        raise ValueError(f"{op}: w must not be negative, got {w.min().item():g}")
    if not holds(total != 0):
        raise ValueError(f"{op}: w sums to 0; a mean needs a positive weight")
    return out, x.to(work).movedim(dim, -2), full / total
