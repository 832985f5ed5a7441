"""Symmetric InfoNCE, forward and backward: ours, the plain formula, and the products alone."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from geomclip.bench import formulas
from geomclip.bench.config import Case
from geomclip.bench.timing import Step
from geomclip.bench.workload import ALREADY, Error, Workload, in_norm, path, tangential, worst
from geomclip.geometry import GEOMETRIES, Geometry, build_geometry
from geomclip.losses import info_nce
from geomclip.losses.sums import use_plain
from manifolds.kernels import contrastive, library

LARGEST = 8192  # pairs up to which the loss is computed in float64 too, for the errors

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(x, y, logit_scale, log_c) -> loss; log_c takes no part in flat space."""


def prepare(case: Case, names: tuple[str, ...]) -> Workload:
    """The competitors on pairs that partly belong together, about 1 from the root, c = 1.

    Gradients reach both sides, logit_scale and, where it is learned, c.
    """
    spec = GEOMETRIES[case.geometry]
    dtype = getattr(torch, case.dtype)
    torch.manual_seed(0)
    with torch.no_grad():
        g = build_geometry(case.geometry, case.dim)
        f = torch.randn(case.n, case.dim)
        sides = ((f, "image"), (f + torch.randn_like(f), "text"))
        x, y = (g.lift(t, s).to(device=case.device, dtype=dtype).contiguous() for t, s in sides)
    scalars = [torch.tensor(v, dtype=dtype, device=x.device) for v in (spec.init_logit_scale, 0.0)]
    load = Workload()
    calls: dict[str, Callable[[], list[Tensor]]] = {}

    def add(name: str, loss: Loss, kernels: str = "") -> None:
        given = [t.clone().requires_grad_() for t in (x, y, *scalars)]
        wanted = given if spec.learned_curvature else given[:3]

        def run() -> list[Tensor]:
            value = loss(*given)
            return [value, *torch.autograd.grad(value, wanted)]

        def forced() -> list[Tensor]:
            with path(kernels):
                return run()

        calls[name] = load.steps[name] = forced if kernels else run

    def plain(x: Tensor, y: Tensor, logit_scale: Tensor, log_c: Tensor) -> Tensor:
        score = formulas.score(spec.manifold, spec.logit, x, y, log_c.exp())
        return formulas.cross_entropies(logit_scale.exp() * score)

    def wide(*given: Tensor) -> Tensor:
        return plain(*(t.double() for t in given)).to(dtype)

    for name in names:
        if name.startswith("geomclip"):
            memory = name.partition("-")[2]
            kernels = "torch" if memory == "torch" else ""
            modes = {"": "auto", "torch": "auto"}
            add(name, ours(case, g, modes.get(memory, memory)), kernels)
        elif name == "textbook":
            add(name, plain)
        elif name == "compiled":
            add(name, torch.compile(plain, dynamic=False))
        elif name == "float64" and case.dtype == "float64":
            load.notes[name] = ALREADY
        elif name == "float64":
            add(name, wide)
        elif (spec.manifold, spec.logit) == ("lorentz", "-dist"):
            add(name, formulas.OneBuffer.apply)
        else:
            load.notes[name] = "one-buffer is written for the hyperboloid's distance only"
    load.steps["floor"] = _floor(x, y)
    load.repaired = repaired(g, x, y, case.precision)
    exact = _reference(case, g, [x, y, *scalars])

    def errors(name: str) -> Error | None:
        if name not in calls or case.n > LARGEST:
            return None
        found = calls[name]()
        known = exact(len(found) - 1)
        if spec.logit == "-dist" and spec.manifold == "sphere":
            for side, points in ((1, x), (2, y)):
                found[side] = tangential(found[side], points)
                known[side] = tangential(known[side], points)
        return _error(found, known)

    load.errors = errors
    return load


def ours(case: Case, like: Geometry, memory: str) -> Loss:
    """`geomclip.losses.info_nce`, with the scalars as tensors of the call."""

    def loss(x: Tensor, y: Tensor, logit_scale: Tensor, log_c: Tensor) -> Tensor:
        values = {"logit_scale": logit_scale}
        if like.spec.learned_curvature:
            values["manifold.log_c"] = log_c
        step = cast(torch.nn.Module, _InfoNCE(like, memory, case.precision))
        return torch.func.functional_call(
            step, {f"geometry.{name}": value for name, value in values.items()}, (x, y)
        )

    return loss


class _InfoNCE(torch.nn.Module):
    """The loss as a module, whose parameters a call can replace."""

    def __init__(self, geometry: Geometry, memory: str, precision: str) -> None:
        super().__init__()
        self.geometry, self.memory, self.precision = geometry, memory, precision

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of the pairs."""
        return info_nce(self.geometry, x, y, memory=self.memory, precision=self.precision)


def repaired(g: Geometry, x: Tensor, y: Tensor, precision: str = "float32") -> float | None:
    """Share of pairs that the compiled kernels compute from differences; None on other paths."""
    on_kernels = x.dtype == torch.float32 and library.of(x) is not None
    if not on_kernels or use_plain(x, y, "auto"):
        return None
    close = contrastive.unresolved(g.manifold, x, y, score=g.spec.logit, precision=precision)
    return close / (x.shape[0] * y.shape[0])


def _floor(x: Tensor, y: Tensor) -> Step:
    """The products that a loss with one n x n matrix can't avoid: one forward, two backward."""

    def products() -> None:
        weights = torch.mm(x, y.T)
        torch.mm(weights, y)
        torch.mm(weights.T, x)

    return products


def _reference(case: Case, g: Geometry, given: list[Tensor]) -> Callable[[int], list[Tensor]]:
    """The loss and its gradients for the first `count` inputs in float64, computed once."""

    @functools.cache
    def exact(count: int) -> list[Tensor]:
        inputs = [t.detach().double().requires_grad_() for t in given]
        value = ours(replace(case, precision="float32"), g, "tiled")(*inputs)
        return [value.detach(), *torch.autograd.grad(value, inputs[:count])]

    return exact


def _error(found: list[Tensor], exact: list[Tensor]) -> Error:
    """Errors of the loss, and the largest of its gradients in norm."""
    errors = [in_norm(a, b) for a, b in zip(found[1:], exact[1:], strict=True)]
    return Error(worst(found[0].detach(), exact[0]), max(errors))
