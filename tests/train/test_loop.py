"""The loop: same seed, same bits; every geometry learns; bounds, failures and warnings are told."""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from geomclip.errors import GeomclipError, RequestError
from geomclip.geometry import build_geometry
from geomclip.names import CANONICAL
from geomclip.train import train
from geomclip.train.checkpoint import checkpoints
from geomclip.train.config import AugmentConfig
from geomclip.train.log import TIMING, read_metrics
from geomclip.train.telemetry import count_far

STILL = AugmentConfig(
    rotate=0.0,
    scale=(1.0, 1.0),
    shift=0.0,
    background=0.0,
    brightness=0.0,
    saturation=0.0,
    channel_shift=0.0,
)


def untimed(out: Path) -> list[dict[str, Any]]:
    records = read_metrics(out / "metrics.jsonl")
    return [{k: v for k, v in record.items() if k not in TIMING} for record in records]


def test_same_seed_same_result_other_seed_another(
    tmp_path: Path, reference: Any, small: SimpleNamespace, splits: Any, settings: dict[str, Any],
    weights: Callable[..., Any], same: Callable[..., bool],
) -> None:  # fmt: skip
    torch.manual_seed(123)  # the caller's generator must not matter
    train(small.config(**settings), tmp_path / "again", splits=splits)
    train(small.config(**settings, seed=1), tmp_path / "other", splits=splits)
    assert same(weights(tmp_path / "again"), weights(reference.out))
    assert untimed(tmp_path / "again") == untimed(reference.out)
    assert not same(weights(tmp_path / "other"), weights(reference.out))


def test_threads_and_generator_of_the_caller_are_put_back(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    threads, generator = torch.get_num_threads(), torch.get_rng_state()
    train(small.config(steps=1, threads=2), tmp_path / "run", splits=splits)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("geometry", CANONICAL)
def test_every_geometry_learns(
    tmp_path: Path, small: SimpleNamespace, splits: Any, geometry: str
) -> None:
    # One batch again and again, but for the captions: all of 32 emoji.
    subset = dataclasses.replace(splits, train=splits.train.subset(range(32)))
    config = small.config(
        geometry=geometry, steps=8, log_every=1, augment=STILL, lr=1e-2, batch_size=32, warmup=0.0
    )
    result = train(config, tmp_path / "run", splits=subset)
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    losses = [r["contrastive"] for r in records]
    assert [r["step"] for r in records] == list(range(1, 9))
    assert all(math.isfinite(loss) for loss in losses)
    assert min(losses[-2:]) < losses[0]
    assert result.last == records[-1]
    cones = {"entailment", "satisfied", "aperture", "exterior_angle", "radius_text"}
    if build_geometry(geometry, 4).has_cones:
        assert all(cones <= r.keys() for r in records)
        assert all(0 <= r["satisfied"] <= 1 for r in records)
        assert all(0 < r["aperture"] <= math.pi / 2 + 1e-6 for r in records)
    else:
        assert not any(cones & r.keys() for r in records)


def test_every_geometry_sees_the_same_pairs_and_starts_from_the_same_towers(
    tmp_path: Path, small: SimpleNamespace, splits: Any, weights: Callable[..., Any]
) -> None:
    """With all learning rates at (almost) 0 the towers stay where they began."""
    towers = []
    for geometry in ("clip", "euclip", "meru"):
        config = small.config(geometry=geometry, steps=2, lr=1e-30, scalar_lr=0.0)
        train(config, tmp_path / geometry, splits=splits)
        stored = weights(tmp_path / geometry)
        towers.append({n: t for n, t in stored.items() if n.startswith("encoders.")})
    # BatchNorm's running statistics are a fingerprint of the pictures that went through.
    for other in towers[1:]:
        for name, tensor in towers[0].items():
            torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-25, msg=name)


def test_a_record_tells_what_is_promised(reference: Any) -> None:
    records = read_metrics(reference.out / "metrics.jsonl")
    assert [r["step"] for r in records] == [1, 4, 8, 12, 16, 20, 24, 28, 30]
    promised = {
        "step", "loss", "contrastive", "entailment", "satisfied", "aperture", "logit_scale", "c",
        "alpha_image", "alpha_text", "lr", "grad_norm", "samples_per_second", "cpu_seconds",
        "seconds", "chance", "bounds", "at_bound", "far", "flat", "entailment_weight", "min_radius",
        "stuck", "exterior_angle", "saturated", "radius_text", "radius_image",
        "beta", "norm_image", "norm_text", "grad_norms", "scalar_lr",
    }  # fmt: skip
    for record in records:
        assert promised <= record.keys()
        assert record["chance"] == math.log(16)
        assert record["beta"] == math.exp(record["logit_scale"])
        assert record["grad_norms"].keys() == {
            "image", "text", "scalars/logit_scale", "scalars/c", "scalars/alpha_image",
            "scalars/alpha_text",
        }  # fmt: skip
        # dist0 of a point is alpha times the norm of its feature; alpha is that of after the step.
        lengths = record["alpha_text"] * record["norm_text"]
        assert record["radius_text"] == pytest.approx(lengths, rel=0.02)
    weights = {r["step"]: r["entailment_weight"] for r in records}
    # Step s is the (s - 1)th from 0, and the weight rises over the first 15.
    assert weights[1] == 0
    assert weights[8] == pytest.approx(0.2 * 7 / 15)
    assert weights[30] == 0.2
    assert records[-1]["min_radius"] == pytest.approx((1 * 0.1 + 29 * 0.3) / 30)
    last = records[-1]
    # The loss is a mean over two steps, the entailment that of the last one.
    assert last["loss"] == pytest.approx(last["contrastive"] + 0.2 * last["entailment"], abs=0.1)


def test_bounds_hold_after_every_step_and_are_counted(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    config = small.config(
        geometry="meru", steps=6, log_every=2, scalar_lr=10.0, c_min=0.9, c_max=1.1, alpha_max=0.3
    )
    train(config, tmp_path / "run", splits=splits)
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    for record in records:
        assert 0.9 * (1 - 1e-6) <= record["c"] <= 1.1 * (1 + 1e-6)
        assert record["logit_scale"] <= math.log(100) + 1e-6
        assert max(record["alpha_image"], record["alpha_text"]) <= 0.3 * (1 + 1e-6)
    # A learning rate of 10 throws every scalar out at every step of the first half.
    assert records[1]["bounds"]["c"] == 1 and records[0]["bounds"]["c"] == 1
    assert records[0]["at_bound"].keys() == records[0]["bounds"].keys()
    assert records[0]["at_bound"]["c"] in ("lower", "upper")


def test_divergence_names_the_last_good_checkpoint(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    """Weights of 1e20 are finite; the variance of what they give is not."""
    out = tmp_path / "run"
    config = small.config(geometry="meru", lr=1e20, checkpoint_every=1, steps=10)
    with pytest.raises(GeomclipError) as caught:
        train(config, out, splits=splits)
    what, how = str(caught.value).split("\n")
    assert caught.value.exit_code == 1
    assert re.search(r"the (loss|gradient) became NaN or infinite at step 2 \(meru: ", what)
    assert f"Last good checkpoint: {out}/checkpoints/step-000001." in how
    assert "Try --lr 3e+19 in a new --out" in how
    assert [r["step"] for r in read_metrics(out / "metrics.jsonl")] == [1]


def test_infinite_weights_are_never_saved(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    config = small.config(geometry="clip", lr=1e39, checkpoint_every=1, clip_norm=0.0)
    match = r"the update became .* at step 1 \(clip: .*\n.*no checkpoint yet\..*--clip-norm"
    with pytest.raises(GeomclipError, match=match):
        train(config, tmp_path / "run", splits=splits)
    assert checkpoints(tmp_path / "run") == []


def test_far_embeddings_are_counted() -> None:
    meru = build_geometry("meru", 8)
    features = torch.zeros(4, 8)
    # alpha starts at 8^-1/2 and c at 1: the tangent lengths are 1, 39, 41, 60.
    features[:, 0] = torch.tensor([1.0, 39.0, 41.0, 60.0]) * math.sqrt(8)
    points = meru.lift(features, "image")
    assert count_far(meru, points, points) == 4
    euclip = build_geometry("euclip", 8)
    assert count_far(euclip, euclip.lift(features, "image")) == 0
    clip = build_geometry("clip", 8)
    assert count_far(clip, clip.lift(features, "image")) == 0


def test_a_batch_larger_than_the_data_is_refused_before_anything_is_written(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    with pytest.raises(RequestError, match=r"65 is larger than the data \(64 items\)"):
        train(small.config(batch_size=65), tmp_path / "run", splits=splits)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_refused(
    tmp_path: Path, small: SimpleNamespace, splits: Any, device: str
) -> None:
    with pytest.raises(RequestError, match=rf"device '{device}' can't be used.*\n.*--device cpu"):
        train(small.config(device=device), tmp_path / "run", splits=splits)


def test_every_record_reaches_the_callback(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    seen: list[dict[str, Any]] = []
    result = train(small.config(steps=9), tmp_path / "run", splits=splits, progress=seen.append)
    assert seen == read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert result.last == seen[-1]
    assert result.step == 9
    assert 0 < result.cpu_seconds and seen[-1]["seconds"] <= result.seconds
    json.dumps(result.to_dict(), allow_nan=False)
