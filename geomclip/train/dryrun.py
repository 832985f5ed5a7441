"""A dry run: all that a run is made of, a few steps over synthetic data, and what follows for it.

Memory is traced at two numbers of pairs, which tell it for any (peak.py). FLOPs are counted, not
derived from a formula: matrix products, convolutions, attention.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from geomclip.data.splits import Splits
from geomclip.data.stream import Batch, open_stream
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import RequestError
from geomclip.model import ContrastiveModel, build_model
from geomclip.train.config import TrainConfig
from geomclip.train.criterion import Criterion
from geomclip.train.gradients import Gradients, Layout
from geomclip.train.hardware import USABLE, UTILISATION, Hardware
from geomclip.train.optim import (
    build_optimizer,
    clip_gradients,
    named_scalars,
    set_lr,
    step_within_bounds,
)
from geomclip.train.overfit import FIRST_TEXT
from geomclip.train.peak import Trace, memory_trace, peak, peak_by_pairs
from geomclip.train.samples import NOTHING, Samples
from geomclip.train.schedule import lr_factor
from geomclip.train.setup import find_tokenizer, reproducible
from geomclip.train.synthetic import synthetic_splits, synthetic_tokenizer
from geomclip.train.world import World, find_device

# Seconds that a step may take for a larger one to be tried, and pairs of the largest.
_PATIENCE, _MOST = 1.0, 1024
# Names of the matrices (and their biases) that lead from a tower into the embedding space.
_PROJECTIONS = ("proj", "text_projection", "projection_bias")


@dataclass(frozen=True)
class Parameters:
    """Numbers of learned parameters."""

    towers: dict[str, int]
    """Of each encoder, without its projection."""
    projections: dict[str, int]
    """Of each encoder's projection into the embedding space."""
    scalars: dict[str, int]
    """1 for each learned scalar of geometry and losses, by name."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(sum(part.values()) for part in (self.towers, self.projections, self.scalars))


@dataclass(frozen=True)
class Measured:
    """The largest step that was taken: forward, backward, optimizer."""

    device: str
    """Where it ran; the CPU where the device of the settings is not there."""
    precision: str
    """What the towers computed in."""
    pairs: int
    """Pairs of the step (micro-batch)."""
    seconds: float
    """Wall seconds of the step."""
    update_seconds: float
    """Part of them after the backward pass: clipping and optimizer, the same for any batch."""
    state_bytes: int
    """Weights, buffers and the optimizer's moments, counted."""
    step_bytes: int
    """What the step takes beside them at its peak, gradients and activations, measured."""

    @property
    def samples_per_second(self) -> float:
        """Pairs a second."""
        return self.pairs / self.seconds

    @property
    def seconds_per_pair(self) -> float:
        """Wall seconds of forward and backward passes for a pair."""
        return (self.seconds - self.update_seconds) / self.pairs

    @property
    def peak_bytes(self) -> int:
        """Memory of the step at its peak."""
        return self.state_bytes + self.step_bytes


@dataclass(frozen=True)
class DryRun:
    """What a dry run found and what follows for the whole run."""

    geometry: str
    steps: int
    batch_size: int
    parameters: Parameters
    measured: Measured
    flops_per_pair: int
    """Of the towers, forward and backward with what is computed twice; full contexts."""
    pairs_at_once: int
    """Pairs that a device of the full run holds activations of."""
    memory_bytes: int | None
    """Estimated peak of a device of the full run; None where the measured sizes do not tell."""
    seconds_here: float
    """Estimated wall seconds of the full run on the machine of the measurement."""
    hardware: Hardware | None = None
    utilisation: float = UTILISATION
    """Share of the peak that is assumed."""
    seconds: float | None = None
    """Estimated wall seconds of the full run on `hardware`."""
    cost: float | None = None
    """Price of those, in the unit of the price that was given."""
    accumulate: int | None = None
    """The least `accumulate` with which the estimated peak fits; None where none does."""

    @property
    def samples(self) -> int:
        """Pairs of the full run."""
        return self.steps * self.batch_size

    @property
    def fits(self) -> bool | None:
        """Whether the estimated peak fits a device of `hardware`; None where one isn't known."""
        if self.hardware is None or self.memory_bytes is None:
            return None
        return self.memory_bytes <= USABLE * self.hardware.device.memory

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = asdict(self)
        values["samples"], values["fits"] = self.samples, self.fits
        values["parameters"]["total"] = self.parameters.total
        values["measured"]["samples_per_second"] = self.measured.samples_per_second
        values["measured"]["peak_bytes"] = self.measured.peak_bytes
        values["hardware"] = None if self.hardware is None else str(self.hardware)
        return values


def dry_run(
    config: TrainConfig,
    *,
    pairs: int = 0,
    hardware: Hardware | None = None,
    utilisation: float = UTILISATION,
    price: float | None = None,
) -> DryRun:
    """Build what `config` says, take steps over synthetic data, estimate the full run.

    Args:
        pairs: of the step that is reported; by itself it grows until a step takes a second.
        hardware: what the full run is estimated for.
        utilisation: share of its peak that the towers are assumed to reach.
        price: of one device for an hour.

    Raises:
        RequestError: settings that don't fit together, more pairs than a device takes at once, or a
            utilisation outside (0, 1].
    """
    if not 0 < utilisation <= 1:
        raise RequestError(
            f"utilisation is a share of the peak, got {utilisation:g}", "0.2 to 0.5 is usual."
        )
    devices = hardware.count if hardware else 1
    at_once = config.pairs(devices) // config.accumulate
    if pairs > at_once:
        raise RequestError(
            f"micro-batch {pairs} is larger than the {at_once} pairs that a device takes at once",
            f"Give --micro-batch {at_once} or less.",
        )
    world = World(device=_device(config.device))
    with reproducible(config, world.device):
        bench = _Bench(config, world)
        flops = bench.flops()
        found = [bench.measure(size) for size in _sizes(pairs, at_once)]
        while not pairs and found[-1].seconds < _PATIENCE and found[-1].pairs < at_once:
            size = min(2 * found[-1].pairs, at_once)
            larger = bench.measure(size) if size <= _MOST else None
            if larger is None:
                break
            found.append(larger)
        parameters = bench.parameters()
    last = found[-1]
    # Cached embeddings go through the towers once more.
    work = flops.step + (flops.forward if config.accumulate > 1 else 0)
    step = config.batch_size * last.seconds_per_pair * work / flops.step + last.update_seconds
    total = work * config.steps * config.batch_size
    seconds = hardware.seconds(total, config.precision, utilisation) if hardware else None
    grown, memory = peak_by_pairs(bench.traces), None
    if last.pairs == at_once:
        memory = last.peak_bytes
    elif grown is not None:
        memory = last.state_bytes + round(grown(at_once))
    parts = None
    if hardware and grown:
        room = USABLE * hardware.device.memory - last.state_bytes
        parts = least_accumulate(config.batch_size // devices, room, grown)
    return DryRun(
        geometry=config.geometry,
        steps=config.steps,
        batch_size=config.batch_size,
        parameters=parameters,
        measured=last,
        flops_per_pair=work,
        pairs_at_once=at_once,
        memory_bytes=memory,
        seconds_here=config.steps * step,
        hardware=hardware,
        utilisation=utilisation,
        seconds=seconds,
        cost=None if seconds is None or price is None else price * devices * seconds / 3600,
        accumulate=parts,
    )


def _sizes(pairs: int, at_once: int) -> list[int]:
    """Pairs of the first steps, the reported one last. Two of them have two pairs or more where a
    device takes as many: a step of one pair goes another way, which tells of no other size.
    """
    beside = {0: [2], 1: [2, 4], 2: [4], 3: [6]}.get(pairs, [pairs // 2])
    last = pairs or min(4, at_once)
    return [size for size in beside if size <= at_once and size != last] + [last]


def _device(name: str) -> torch.device:
    """The device of that name, or the CPU where a GPU is asked for and there is none."""
    try:
        return find_device(name)
    except RequestError:
        if not name.startswith("cuda"):
            raise
        return torch.device("cpu")


def least_accumulate(pairs: int, room: float, grown: Callable[[int], float | int]) -> int | None:
    """In how many parts a device computes its pairs at the least, for a step's peak, by the number
    of pairs, to fit into the room beside the weights; None where none does.
    """
    parts = (k for k in range(1, pairs + 1) if pairs % k == 0)
    return next((k for k in parts if grown(pairs // k) <= room), None)


@dataclass(frozen=True)
class _Flops:
    """Of a pair: the forward pass, and a whole step with what it computes twice."""

    forward: int
    step: int


class _Bench:
    """Model, losses and optimizer of a configuration, and steps of any number of pairs."""

    def __init__(self, config: TrainConfig, world: World) -> None:
        # Parts of a batch are steps of their size here; the estimate counts what caching adds.
        config = replace(config, accumulate=1, overfit=0, captions=FIRST_TEXT)
        self.config, self.world = config, world
        splits = synthetic_splits(config, 1)
        self.tokenizer = self._tokenizer(config, Path(), splits)
        # A table has a row for each of as many items as a batch has: how many there are, data tell.
        items = [str(i) for i in range(config.batch_size)] if config.reads_items else []
        self.model: ContrastiveModel = build_model(config, self.tokenizer, items)
        self.model.to(world.device).train()
        criterion = Criterion(config, self.model.geometry, items=config.batch_size)
        self.criterion: Criterion = criterion.to(world.device)
        self.optimizer = build_optimizer(self.model, self.model.geometry, config, self.criterion)
        self.gradients = Gradients(self.model, config, world, self.criterion)
        self.traces: dict[int, Trace] = {}
        self._warm = False

    @staticmethod
    def _tokenizer(config: TrainConfig, nowhere: Path, splits: Any) -> Tokenizer:
        if config.model.text.tokenizer:
            return find_tokenizer(config, nowhere, splits)
        return synthetic_tokenizer(config.model.text.vocab_size)

    def parameters(self) -> Parameters:
        """Numbers of parameters by what they are."""
        towers, projections = {}, {}
        for name, encoder in self.model.encoders.items():
            named = dict(encoder.named_parameters())
            last = [p.numel() for n, p in named.items() if n.rsplit(".", 1)[-1] in _PROJECTIONS]
            projections[name] = sum(last)
            towers[name] = sum(p.numel() for p in named.values()) - sum(last)
        scalars = dict.fromkeys(named_scalars(self.model.geometry, self.criterion), 1)
        return Parameters(towers, projections, scalars)

    def flops(self) -> _Flops:
        """FLOPs of one pair through the towers."""
        inputs = self._inputs(1)
        layout = Layout.of(self.config.roles, inputs, NOTHING)
        given = layout.by_encoder(inputs, None, list(self.gradients.towers.encoders))
        eager = (
            torch.compiler.set_stance("force_eager")
            if self.config.compile
            else contextlib.nullcontext()
        )
        # Attention as its matrix products: fused kernels are not all known to the counter.
        with sdpa_kernel(SDPBackend.MATH), eager:
            with FlopCounterMode(display=False) as forward:
                features = self.gradients.towers(*given)
            with FlopCounterMode(display=False) as backward:
                torch.stack([f.float().sum() for f in features]).sum().backward()
        self.model.zero_grad()
        count = forward.get_total_flops()
        return _Flops(count, count + backward.get_total_flops())

    def measure(self, pairs: int) -> Measured:
        """A step of so many pairs; before the first there is one that is not measured, in which
        moments, thread pools and compiled code come to be.
        """
        took: list[float] = []
        step = self._step(pairs, took)
        if not self._warm or self.config.compile:
            step()
            self._warm = True
        for parameter in self.gradients.parameters:  # those of the step before
            parameter.grad = None
        self.traces[pairs] = memory_trace(step, self.world.device)
        if took[-2] + took[-1] < _PATIENCE / 4:  # where the tracing may have been a part of it
            step()
        return Measured(
            device=str(self.world.device),
            precision=self.config.precision,
            pairs=pairs,
            seconds=took[-2] + took[-1],
            update_seconds=took[-1],
            state_bytes=self._state_bytes(),
            step_bytes=peak(self.traces[pairs]),
        )

    def _batch(self, config: TrainConfig, splits: Splits) -> Batch:
        """The first batch; none is made after it, beside what is measured."""
        with contextlib.closing(open_stream(config, splits, self.tokenizer)) as stream:
            return stream.next()

    def _inputs(self, pairs: int) -> dict[str, Tensor]:
        """A batch of records by modality, on the device."""
        config = replace(self.config, batch_size=pairs)
        batch = self._batch(config, synthetic_splits(config, pairs))
        return {name: x.to(self.world.device) for name, x in batch.inputs.items()}

    def _step(self, pairs: int, took: list[float]) -> Callable[[], None]:
        """A step, which adds to `took` the seconds of its gradients and those of its update."""
        config = replace(self.config, batch_size=pairs)
        splits = synthetic_splits(config, pairs)
        batch = self._batch(config, splits)
        known = NOTHING
        if needs := Criterion.needed(config):
            length, levels = config.model.text.context_length, len(config.loss.levels)
            samples = Samples(splits, self.tokenizer, length, needs=needs, levels=levels)
            known = samples.known(batch, self.world.device)
        inputs = {name: x.to(self.world.device) for name, x in batch.inputs.items()}
        parameters: list[nn.Parameter] = [*self.model.parameters(), *self.criterion.parameters()]

        def step() -> None:
            begun = self._now()
            set_lr(self.optimizer, lr_factor(0, config.steps, config.warmup))
            self.gradients(inputs, 0, known)
            took.append(self._now() - begun)
            begun = self._now()
            clip_gradients(parameters, config.clip_norm)
            step_within_bounds(self.optimizer, self.model.geometry)
            self.criterion.commit_()
            took.append(self._now() - begun)

        return step

    def _now(self) -> float:
        """Wall clock, with all work done."""
        if self.world.device.type == "cuda":
            torch.cuda.synchronize(self.world.device)
        return time.perf_counter()

    def _state_bytes(self) -> int:
        """Weights, buffers, the optimizer's state."""
        modules = (self.model, self.criterion)
        kept = [t for m in modules for t in (*m.parameters(), *m.buffers())]
        kept += [t for s in self.optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
        return sum(t.numel() * t.element_size() for t in kept)
