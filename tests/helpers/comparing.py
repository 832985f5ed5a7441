"""What tests of a comparison share: a small table of real emoji, tiny towers, made-up results."""

import csv
import dataclasses
import math
from pathlib import Path
from typing import Any

from geomclip.results import Results, Row, RunResult, Variant
from geomclip.train.config import TrainConfig

EVERY = 12

OVERRIDES: dict[str, Any] = {
    "batch_size": 16,
    "log_every": 2,
    "checkpoint_every": 10,
    "model": {
        "embed_dim": 8,
        "image": {"kind": "convnet", "image_size": 16, "width": 4, "layers": 2},
        "text": {"context_length": 10, "vocab_size": 560, "width": 16, "layers": 1, "heads": 2},
    },
}


def write_table(folder: Path) -> Path:
    """A csv of every twelfth Noto emoji with its group and subgroup, all nine groups among them."""
    from geomclip.data.emoji import read_rendition

    rows = [["filepath", "title", "group", "subgroup"]]
    for i, record in enumerate(read_rendition("noto")):
        if i % EVERY == 0:
            (folder / f"{record.id}.png").write_bytes(record.image)
            rows.append([f"{record.id}.png", record.texts[0], *record.path[:2]])
    path = folder / "emoji.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def made_up(
    values: dict[Variant, dict[str, list[float]]],
    *,
    split: str = "heldout_rendition",
    queries: int = 1462,
    name: str = "a lemon",
) -> Results:
    """Results with the given values, one per seed, for each variant and metric."""
    rows, runs = [], []
    for variant, metrics in values.items():
        seeds = max(len(v) for v in metrics.values())
        for metric, per_seed in metrics.items():
            rows += [
                Row(variant.geometry, variant.entailment, seed, split, metric, value)
                for seed, value in enumerate(per_seed)
            ]
        runs += [made_up_run(variant, seed) for seed in range(seeds)]
    found = {
        run.variant.key: {
            "rank": 2,
            "top": [
                {"name": "a lime", "right": False, "picture": "1"},
                {"name": name, "right": True, "picture": "0"},
            ],
        }
        for run in runs
    }
    return Results(
        settings={"created": "2026-01-01 00:00 UTC", "command": "geomclip compare --seeds 1"},
        environment={"geomclip": "0.1.0", "Python": "3.11"},
        data={
            "name": "fruit",
            "description": "Fruit, drawn.",
            "train": 4985,
            "levels": ["group", "subgroup", "name"],
            "splits": {split: {"queries": queries, "pool": 1609, "texts": 1609}},
        },
        rows=tuple(rows),
        references=(
            {"reference": "chance", "split": split, "metric": "i2t_r10", "value": 0.00622},
            {"reference": "majority", "split": split, "metric": "zeroshot_group_acc",
             "value": 0.226},
            {"reference": "pixel_nn", "split": split, "metric": "i2t_r1", "value": 0.317},
        ),
        runs=tuple(runs),
        gallery={
            "split": split,
            "how": "Drawn at random.",
            "items": [{"picture": "0", "name": name, "path": ["food", "fruit"], "found": found}],
            "extremes": {
                key: {
                    kind: [{"picture": "0", "name": name, "path": [], "found": {key: own}}]
                    for kind in ("best", "worst")
                }
                for key, own in found.items()
            },
            "pictures": {"0": PIXEL, "1": PIXEL},
        },
        spaces={"atlas": made_up_atlas(list(values), name), "notes": [f"A note on {name}."]},
        traversals={
            variant.key: {
                "captions": {"value": 1.5, "error": 0.25, "n": 4},
                "only_root": {"value": 0.25, "error": 0.2, "n": 4},
                "distinct": 2, "pool": 3, "distribution": [1, 1, 1, 1],
                "strips": [[[name, 0.0], ["[ROOT]", 0.5]]],
            }
            for variant in values
        },
    )  # fmt: skip


def made_up_atlas(variants: list[Variant], name: str) -> dict[str, Any]:
    """An explorer of a picture, its name and a label."""
    import numpy as np

    from geomclip.viz.explorer import Picture, Samples, atlas

    samples = Samples([name, name, "fruit"], [0, 1, 1], paths=[[name]] * 3, parents=[1, 2, -1])
    xy = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    pictures = [
        Picture(v.key, "euclidean", xy, np.ones(3), traversals={0: [1, -1]}) for v in variants
    ]
    return atlas(samples, pictures, 0.1)


# A PNG of one white pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII="
)


def made_up_run(variant: Variant, seed: int) -> RunResult:
    """A run with falling loss, in which the levels lie further out one by one."""
    steps = [float(s) for s in range(10, 310, 10)]
    curves: dict[str, list[float | None]] = {
        "step": [*steps],
        "contrastive": [5 * math.exp(-s / (200 + seed)) for s in steps],
        "logit_scale": [2.66 + s / 1000 for s in steps],
    }
    cones: tuple[dict[str, Any], ...] = ()
    if variant.geometry == "meru":
        curves["c"] = [1 + s / 500 for s in steps]
    if variant.entailment > 0:
        curves["entailment"] = [math.exp(-s / 100) for s in steps]
        curves["satisfied"] = [s / 300 for s in steps]
        cones = (
            {"level": "group", "own": 0.7, "other": 0.25, "aperture": 1.1, "saturated": 0.0,
             "auc": 0.8, "exterior": 0.95, "violation": 0.14},
        )  # fmt: skip
    distances = {
        level: [place + 0.01 * i for i in range(40)]
        for place, level in enumerate(("group", "subgroup", "name", "image"), 1)
    }
    config = TrainConfig(
        geometry=variant.geometry, entailment=variant.entailment, seed=seed, steps=300
    )
    return RunResult(
        name=f"{variant.key}-seed{seed}",
        variant=variant,
        seed=seed,
        config=dataclasses.asdict(config),
        curves=curves,
        distances=distances,
        cones=cones,
        parameters=400_000,
    )
