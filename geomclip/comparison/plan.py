"""Which runs a comparison consists of, and with what settings. Loads no torch."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geomclip.data.config import DataConfig
from geomclip.errors import RequestError
from geomclip.names import CHOICES, canonical, has_cones, known
from geomclip.results import Variant
from geomclip.train.config import TrainConfig, recipe, update


@dataclass(frozen=True)
class PlannedRun:
    """One model to be trained."""

    variant: Variant
    seed: int
    config: TrainConfig

    @property
    def name(self) -> str:
        """`clip-seed0`, `euclip-ent0.2-seed0`: the name of its folder."""
        return f"{self.variant.key}-seed{self.seed}"


def plan_runs(
    geometries: Sequence[str],
    entailment: Sequence[float] = (0.0,),
    *,
    seeds: int = 1,
    first_seed: int = 0,
    steps: int | None = None,
    data: DataConfig | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> list[PlannedRun]:
    """Every geometry at every weight of the entailment loss that it can have, once a seed.

    Each run starts from the geometry's recipe; `overrides` (settings of TrainConfig, nested as in
    its TOML file) lie over all recipes alike. The number of steps is the same for every run:
    `steps`, or the largest of the recipes'.

    Raises:
        RequestError: no or unknown geometry, one named twice, a negative weight, no seed, or a
            geometry without cones where every weight is above 0.
    """
    if not geometries:
        raise RequestError("compare: no geometry", CHOICES)
    if seeds < 1:
        raise RequestError(f"compare: seeds is {seeds}", "Give 1 or more.")
    if not entailment or not all(0 <= weight < float("inf") for weight in entailment):
        raise RequestError(
            f"compare: entailment weights {list(entailment)}", "Give weights of 0 or more."
        )
    variants = _variants(geometries, sorted({float(w) for w in entailment}))
    configs = {v: _config(v, data or DataConfig(), overrides) for v in variants}
    length = max(config.steps for config in configs.values()) if steps is None else steps
    if length < 1:
        raise RequestError(f"compare: steps is {length}", "Give 1 or more.")
    return [
        PlannedRun(variant, seed, dataclasses.replace(config, seed=seed, steps=length))
        for variant, config in configs.items()
        for seed in range(first_seed, first_seed + seeds)
    ]


def _variants(geometries: Sequence[str], weights: list[float]) -> list[Variant]:
    variants, rows = [], []
    for name in geometries:
        if not known(name):
            raise RequestError(f'compare: there is no geometry "{name}"', CHOICES)
        if canonical(name) in rows:
            raise RequestError(f"compare: {name} is named twice", "Name each geometry once.")
        rows.append(canonical(name))
        own = [w for w in weights if w == 0 or has_cones(name)]
        if not own:
            raise RequestError(
                f"compare: {name} has no entailment cones, and every entailment weight is above 0",
                f"Add the weight 0, or leave {name} out.",
            )
        variants += [Variant(name, weight) for weight in own]
    return variants


def _config(variant: Variant, data: DataConfig, overrides: Mapping[str, Any] | None) -> TrainConfig:
    config = recipe(variant.geometry, entailment=variant.entailment)
    fixed = {"geometry", "entailment", "seed", "steps", "data"} & set(overrides or {})
    if fixed:
        name = sorted(fixed)[0]
        raise RequestError(
            f"compare: overrides holds {name}", f"Give {name} as an argument of compare."
        )
    config = update(config, dict(overrides or {}), where="overrides")
    return dataclasses.replace(config, data=data)


def with_steps(runs: Sequence[PlannedRun], steps: int) -> list[PlannedRun]:
    """The same runs with another number of steps."""
    return [
        dataclasses.replace(run, config=dataclasses.replace(run.config, steps=steps))
        for run in runs
    ]


def cores() -> int:
    """CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def default_jobs(runs: Sequence[PlannedRun]) -> int:
    """How many runs go at a time: one on an accelerator, else up to one more than there are cores.

    Three one-thread runs over two cores end when two thirds of their summed time have passed; two
    at a time and then the third would leave a core idle for the last third.
    """
    if any(not run.config.device.startswith("cpu") for run in runs):
        return 1
    return max(1, min(len(runs), cores() + 1))


def request_of(runs: Sequence[PlannedRun], minutes: float | None) -> dict[str, Any]:
    """What is asked for, in plain values: two equal requests are the same comparison."""
    settings = {run.name: dataclasses.asdict(run.config) for run in runs}
    if minutes is not None:
        for values in settings.values():
            del values["steps"]
    return {"minutes": minutes, "runs": settings}
