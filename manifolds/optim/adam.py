"""Riemannian Adam with defaults that do not diverge, decay along geodesics and learnable c."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import geoopt
import torch
from geoopt import ManifoldTensor
from torch import Tensor, nn

from manifolds.arguments import check_number
from manifolds.curvature import CurvedManifold
from manifolds.optim.groups import param_groups
from manifolds.optim.moves import Stored, cap_, decay_, hold, release_, slope, stored
from manifolds.optim.rows import Rows, taken

# torch wraps the step of a class once one of its instances exists; calling that from a subclass
# would run the step hooks twice.
_step = inspect.unwrap(geoopt.optim.RiemannianAdam.step)

Groups: TypeAlias = list[dict[str, Any]]

MAX_RADIUS = 12.0
"""Default radius cap; float32 coordinates of the ball resolve 0.003 there (0.13 at 16)."""

POINT_EPS = 0.1
"""Default eps for points. With 1e-8, points whose gradient is nearly 0 take full steps."""


@dataclass(frozen=True)
class StepReport:
    """What a step did beside stepping."""

    capped: int = 0
    """Points (per factor of a product) that lay beyond max_radius and were moved in to it."""
    bounds: dict[str, str] = field(default_factory=dict)
    """Parameters brought back to a bound, by name: "lower" or "upper"."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


class RiemannianAdam(geoopt.optim.RiemannianAdam):
    """`geoopt.optim.RiemannianAdam` for points, curvatures and ordinary parameters at once.

    A step is, in this order:

    1. Ordinary parameters: AdamW (decay p *= 1 - lr weight_decay, then Adam).
    2. Points: Riemannian Adam with one second moment a point and `point_eps`, then decay along the
       geodesic to the root, log_0(x) *= 1 - lr weight_decay, momentum parallel beside it.
    3. Curvatures (`log_c` of the manifolds that points lie on): Adam without decay, then the
       bounds. Points on those manifolds keep length and direction of their logmap0, points of a
       sphere their direction from its centre, and the gradient of log_c is the one along this move.
    4. Points beyond the radius cap move in to it, and are counted in `last_report`.

    A table of points whose gradient is sparse (`nn.functional.embedding(..., sparse=True)`) has the
    rows of that gradient stepped, decayed and capped alone, with momentum and second moment as of
    the last step that had them; the count of steps is the table's. With gradients for all rows that
    is the dense step. Curvatures move all points, as above.

    Sources: Becigneul & Ganea (arXiv 1810.00760), Loshchilov & Hutter (arXiv 1711.05101).

    Args:
        params: tensors or groups, as in torch, or a module: `param_groups(module, lr=lr,
            weight_decay=weight_decay)`, where weight_decay is that of matrices alone, and the
            bounds of the module's scalars (its `apply_bounds_`) are kept too.
        lr: learning rate; of points, about the geodesic length of a step.
        betas: decay rates of the first and second moment.
        eps: added to the root of the second moment of ordinary parameters.
        weight_decay: decoupled decay, as above.
        amsgrad: divide by the largest second moment so far.
        point_eps: `eps` of points.
        max_radius: cap on sqrt(c) dist0(x) of points on curved manifolds, without dimension; None
            for no cap.
        stabilize: apply `projx` to points every so many steps, as in geoopt.
        bounded: modules whose `apply_bounds_()` is called in each step.

    Raises:
        TypeError: lr, weight_decay or point_eps is no number.
        ValueError: an argument out of range, or nothing to learn.
    """

    def __init__(
        self,
        params: nn.Module | Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        point_eps: float = POINT_EPS,
        max_radius: float | None = MAX_RADIUS,
        stabilize: int | None = None,
        bounded: Sequence[nn.Module] = (),
    ) -> None:
        for name, value in (("lr", lr), ("weight_decay", weight_decay), ("point_eps", point_eps)):
            check_number("RiemannianAdam", name, value)
        if not point_eps > 0:
            raise ValueError(f"RiemannianAdam: point_eps must be positive, got {point_eps}")
        if max_radius is not None and not max_radius > 0:
            raise ValueError(
                f"RiemannianAdam: max_radius must be positive, got {max_radius}; None for no cap"
            )
        self._ours = {"point_eps": point_eps, "max_radius": max_radius}
        self._bounded = list(bounded)
        if isinstance(params, nn.Module):
            self._bounded.append(params)
            params = param_groups(params, lr=lr, weight_decay=weight_decay)
        self.last_report = StepReport()
        """What the last step did."""
        self.capped_total = 0
        """Sum of `last_report.capped` over all steps of this object."""
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            stabilize=stabilize,
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch; `point_eps` and `max_radius` may differ by group."""
        super().add_param_group({**self._ours, **param_group})

    def __getstate__(self) -> dict[str, Any]:
        # torch copies and pickles its own three entries only.
        names = ("_ours", "_bounded", "_stabilize", "last_report", "capped_total")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # torch turns the counts into float32 tensors, in which geoopt's bias correction rounds
        # differently: a resumed run would part from the uninterrupted one.
        for kept in self.state.values():
            if isinstance(kept.get("step"), Tensor):
                kept["step"] = int(kept["step"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns the closure's loss, None without closure.

        Args:
            closure: computes the loss and its gradients, and returns it.

        Raises:
            RuntimeError: the gradient of an ordinary parameter is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            self._step()
        return loss

    def _step(self) -> None:
        if any(
            p.grad.is_sparse and not isinstance(p, ManifoldTensor)
            for p, _ in _learned(self.param_groups)
        ):
            raise RuntimeError(
                "RiemannianAdam: the gradient of an ordinary parameter is sparse; only points may "
                "have one: use nn.Embedding(sparse=False)"
            )
        ordinary, points, curvature = self._sorted()
        slopes = self._slopes(points, curvature)
        for p, factor in _decays(ordinary):
            p.mul_(factor)
        parts, moving = self._taken(points)
        self._adam(ordinary + moving)
        for p, factor in _decays(moving):
            for entry in self._stored([p]):
                decay_(entry, factor)
        # A step of c changes every radius: then all points are looked at, after it.
        capped = 0 if slopes else self._cap(moving)
        for part in parts:
            part.put_back(self.state)

        # Points without a gradient in this step follow c too.
        held = [
            hold(entry)
            for group in points
            for entry in self._stored(group["params"])
            if _log_c(entry) in slopes
        ]
        partial = {p: p.grad for p in slopes}
        try:
            for p in slopes:
                p.grad = slopes[p]
            self._adam(curvature)
        finally:
            for p in slopes:
                p.grad = partial[p]
        bounds = self._apply_bounds()
        for record in held:
            release_(record)

        if slopes:
            capped = self._cap(points)
        self.capped_total += capped
        self.last_report = StepReport(capped, bounds)

    def _sorted(self) -> tuple[Groups, Groups, Groups]:
        """The groups, each split in ordinary parameters, points, and curvatures of points."""
        parts = [part for m in self._manifolds() for part in m.modules()]
        log_c = {id(m.log_c) for m in parts if isinstance(m, CurvedManifold)}
        ordinary, points, curvature = [], [], []
        for group in self.param_groups:
            on = [p for p in group["params"] if isinstance(p, ManifoldTensor)]
            off = [p for p in group["params"] if not isinstance(p, ManifoldTensor)]
            ordinary.append({**group, "params": [p for p in off if id(p) not in log_c]})
            points.append({**group, "params": on, "eps": group["point_eps"]})
            curvature.append({**group, "params": [p for p in off if id(p) in log_c]})
        return ordinary, points, curvature

    def _taken(self, points: Groups) -> tuple[list[Rows], Groups]:
        """The rows of sparse gradients, and the groups with these in place of their tables."""
        parts: list[Rows] = []

        def moving(p: ManifoldTensor) -> ManifoldTensor:
            if p.grad is None or not p.grad.is_sparse:
                return p
            parts.append(taken(p))
            parts[-1].take_state(self.state)
            return parts[-1].part

        groups = [{**group, "params": [moving(p) for p in group["params"]]} for group in points]
        return parts, groups

    def _cap(self, points: Groups) -> int:
        """Move points beyond their group's max_radius in to it; returns how many."""
        return sum(
            cap_(entry, group["max_radius"])
            for group in points
            if group["max_radius"] is not None
            for entry in self._stored(group["params"])
        )

    def _slopes(self, points: Groups, curvature: Groups) -> dict[Tensor, Tensor]:
        """The gradients of curvatures along their step, in which points follow (`moves.slope`)."""
        slopes = {p: p.grad.clone() for p, _ in _learned(curvature)}
        for p, _ in _learned(points) if slopes else ():
            whole = p.grad.to_dense() if p.grad.is_sparse else p.grad
            gradients = stored(p.manifold, whole, None)
            for entry, gradient in zip(self._stored([p]), gradients, strict=True):
                log_c = _log_c(entry)
                if log_c in slopes:
                    slopes[log_c] += slope(entry, gradient.points)
        return slopes

    def _adam(self, groups: Groups) -> None:
        """geoopt's step on these groups; its decay, added to the gradient, is left out."""
        kept = self.param_groups
        self.param_groups: Groups = [{**group, "weight_decay": 0} for group in groups]
        try:
            _step(self)
        finally:
            self.param_groups = kept

    def _stored(self, points: list[ManifoldTensor]) -> list[Stored]:
        return [
            entry
            for p in points
            for entry in stored(p.manifold, p.detach(), self.state.get(p, {}).get("exp_avg"))
        ]

    def _manifolds(self) -> list[nn.Module]:
        """The manifolds of all points, each once."""
        params = (p for group in self.param_groups for p in group["params"])
        found = {id(p.manifold): p.manifold for p in params if isinstance(p, ManifoldTensor)}
        return list(found.values())

    def _apply_bounds(self) -> dict[str, str]:
        touched: dict[str, str] = {}
        done: set[int] = set()
        for module in [*self._bounded, *self._manifolds()]:
            for path, part in module.named_modules():
                # The outermost module with bounds keeps those of its parts.
                if id(part) in done or not hasattr(part, "apply_bounds_"):
                    continue
                done |= {id(inner) for inner in part.modules()}
                prefix = f"{path}." if path else ""
                touched |= {prefix + name: bound for name, bound in part.apply_bounds_().items()}
        return touched


def _learned(groups: Groups) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The parameters that have a gradient, each with its group."""
    for group in groups:
        for p in group["params"]:
            if p.grad is not None:
                yield p, group


def _decays(groups: Groups) -> Iterator[tuple[Any, float]]:
    """The parameters that decay in this step, each with its factor."""
    for p, group in _learned(groups):
        if group["weight_decay"]:
            yield p, 1 - group["lr"] * group["weight_decay"]


def _log_c(entry: Stored) -> Tensor | None:
    return entry.manifold.log_c if isinstance(entry.manifold, CurvedManifold) else None
