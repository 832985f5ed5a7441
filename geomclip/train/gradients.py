"""The gradients of a batch, in one pass or in several, on one process or on all of them.

Towers map inputs to features; the objective maps all features to a loss. With `accumulate` K > 1
the towers never hold more than a K-th of the batch's activations (GradCache, Gao et al. 2021,
arXiv 2101.06983):

    1. features of all K parts, without a graph
    2. the loss of all of them, its gradients of features and of the geometry's scalars
    3. part by part the features once more, now with a graph, backward from their gradients

The result is that of one pass: the chain rule, in another order. Random numbers of a part (dropout)
are the same in 1 and 3. BatchNorm alone makes a difference: its batch is the part.
"""

import contextlib
import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from geomclip.model import ContrastiveModel
from geomclip.towers.statistics import has_batch_norm, keep_statistics, sync_batch_norm
from geomclip.train.config import TrainConfig
from geomclip.train.criterion import Criterion
from geomclip.train.modality_config import Roles
from geomclip.train.objective import Objective, Terms
from geomclip.train.samples import NOTHING, Known
from geomclip.train.world import World

log = logging.getLogger(__name__)

# Stands for the texts of labels among the modalities; no identifier, so no modality's name.
LABELS = "[labels]"


class Towers(nn.Module):
    """The encoders of a model alone: raw features of what each of them is given, in their order.

    What several processes average by themselves (DistributedDataParallel) is inside; the geometry,
    which the loss reads, is not.
    """

    def __init__(self, model: ContrastiveModel, precision: str) -> None:
        super().__init__()
        self.encoders = model.encoders
        # A method, not the model: that would make the geometry's parameters this module's.
        self.features = model.features
        self.bf16 = precision == "bf16"

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=self.bf16):
            return tuple(
                self.features(x, name) for x, name in zip(inputs, self.encoders, strict=True)
            )


class Gradients:
    """Puts the gradients of a batch into the parameters' `.grad`.

    Args:
        model: its towers are changed in place as `config` says: compiled, checkpointed, their
            BatchNorms over all processes. Names of parameters and buffers stay.
        world: the processes; all of them build this and call it in step.
    """

    def __init__(
        self,
        model: ContrastiveModel,
        config: TrainConfig,
        world: World,
        criterion: Criterion | None = None,
    ) -> None:
        self.model, self.config, self.world = model, config, world
        self.objective = Objective(model.geometry, config, world, criterion)
        self.criterion = self.objective.criterion
        self.parameters = [*model.parameters(), *self.criterion.parameters()]
        if config.grad_checkpointing:
            for name, encoder in model.encoders.items():
                checkpoint_activations(encoder, name)
        if world.size > 1:
            sync_batch_norm(model.encoders)
        if config.accumulate > 1 and world.main:
            warn_of_batch_norm(model, config)
        if config.compile:
            for encoder in model.encoders.values():
                encoder.compile()
        self.towers = Towers(model, config.precision)
        self.parallel: nn.Module = data_parallel(self.towers) if world.size > 1 else self.towers

    def __call__(self, inputs: Mapping[str, Tensor], step: int, known: Known = NOTHING) -> Terms:
        """The loss of this process's records at a step, counted from 0; leaves all gradients.

        Args:
            inputs: by modality, as `Batch.inputs`.
            known: what losses ask about the records, on the world's device.

        Raises ValueError where the model refuses the records; gradients are then undefined.
        """
        layout = Layout.of(self.objective.roles, inputs, known)
        here = {name: x.to(self.world.device) for name, x in inputs.items()}
        given = layout.by_encoder(here, known.tokens, list(self.towers.encoders))
        for parameter in self.parameters:  # zero_grad walks all modules for them
            parameter.grad = None
        if self.config.accumulate == 1:
            terms = self._terms(self.parallel(*given), layout, step, known)
            terms.loss.backward()
        else:
            terms = self._cached(given, layout, step, known)
        # The towers' gradients are averaged already, as they came.
        scalars = [*self.model.geometry.parameters(), *self.criterion.parameters()]
        self.world.average_(p.grad for p in scalars if p.grad is not None)
        return terms

    def _terms(
        self, features: Sequence[Tensor], layout: "Layout", step: int, known: Known
    ) -> Terms:
        found = layout.by_modality(dict(zip(self.towers.encoders, features, strict=True)))
        labels = found.pop(LABELS, None)
        return self.objective(found, step, known, labels)

    def _cached(self, given: list[Tensor], layout: "Layout", step: int, known: Known) -> Terms:
        k = self.config.accumulate
        parts = list(zip(*(x.tensor_split(k) for x in given), strict=True))
        generators, found = [], []
        with torch.no_grad(), keep_statistics(self.towers):
            for part in parts:
                generators.append(random_state(given[0].device))
                found.append(self.towers(*part))
        cached = [torch.cat(features).requires_grad_() for features in zip(*found, strict=True)]
        del found
        terms = self._terms(cached, layout, step, known)
        terms.loss.backward()
        grads = zip(*(features.grad.tensor_split(k) for features in cached), strict=True)  # type: ignore[union-attr]
        for i, (part, wanted) in enumerate(zip(parts, grads, strict=True)):
            set_random_state(generators[i], given[0].device)
            with self._exchange_after(last=i == k - 1):
                torch.autograd.backward(self.parallel(*part), wanted)
        return terms

    def _exchange_after(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients of all parts are averaged over the processes once, with the last one."""
        if isinstance(self.parallel, DistributedDataParallel) and not last:
            return self.parallel.no_sync()
        return contextlib.nullcontext()


@dataclass(frozen=True)
class Layout:
    """Where the rows of each modality stand in what its encoder is given: modalities that share an
    encoder one after the other, then the texts of labels."""

    rows: Mapping[str, list[tuple[str, int]]]
    """By encoder: modalities with their numbers of rows."""

    @staticmethod
    def of(roles: Roles, inputs: Mapping[str, Tensor], known: Known) -> "Layout":
        """The layout of a batch."""
        rows: dict[str, list[tuple[str, int]]] = {}
        for name, encoder in roles.encoders.items():
            rows.setdefault(encoder, []).append((name, len(inputs[name])))
        if known.tokens is not None:
            rows[roles.encoders[roles.text]].append((LABELS, len(known.tokens)))
        return Layout(rows)

    def by_encoder(
        self, inputs: Mapping[str, Tensor], labels: Tensor | None, encoders: Sequence[str]
    ) -> list[Tensor]:
        """What each encoder is given."""
        all_inputs = {**inputs, **({} if labels is None else {LABELS: labels})}
        joined = []
        for encoder in encoders:
            parts = [all_inputs[name] for name, _ in self.rows[encoder]]
            joined.append(parts[0] if len(parts) == 1 else torch.cat(parts))
        return joined

    def by_modality(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The features of each modality, those of labels under `LABELS`."""
        found: dict[str, Tensor] = {}
        for encoder, rows in self.rows.items():
            parts = features[encoder].split([n for _, n in rows])
            found |= dict(zip((name for name, _ in rows), parts, strict=True))
        return found


def data_parallel(towers: Towers) -> DistributedDataParallel:
    """Towers that average their gradients over the processes while the backward pass runs."""
    # Buffers are not sent around: statistics are equal on all processes already. The option's name
    # is another one from torch 2.13 on.
    names = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    options: dict[str, Any] = {name: False}
    return DistributedDataParallel(towers, **options)


def checkpoint_activations(encoder: nn.Module, name: str) -> None:
    """Let an encoder's blocks keep their input only, and run again in the backward pass.

    Raises ValueError for an encoder that can't.
    """
    stacks = [m for m in encoder.modules() if hasattr(m, "checkpointing")]
    if not stacks:
        raise ValueError(
            f"the {name} encoder, a {type(encoder).__name__}, has no blocks to checkpoint; leave "
            "--grad-checkpointing out"
        )
    for stack in stacks:
        setattr(stack, "checkpointing", True)  # noqa: B010  # mypy takes modules' attributes for modules


def warn_of_batch_norm(model: ContrastiveModel, config: TrainConfig) -> None:
    """Say that parts of a batch are not the batch to a tower with BatchNorm."""
    for name, encoder in model.encoders.items():
        if has_batch_norm(encoder):
            log.warning(
                "the %s encoder has BatchNorm, whose statistics are those of %d pairs under "
                "--accumulate %d; a transformer (kind vit, stem patch) is not changed by it",
                name,
                config.batch_size // config.accumulate,
                config.accumulate,
            )


def random_state(device: torch.device) -> list[Tensor]:
    """State of the generators that a forward pass on `device` may draw from."""
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


def set_random_state(states: list[Tensor], device: torch.device) -> None:
    """Put `random_state` back."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
