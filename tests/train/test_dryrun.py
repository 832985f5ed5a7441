"""A dry run counts what it builds, and estimates what follows from that."""

import dataclasses
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from geomclip.cli.dryrun import show
from geomclip.cli.options import Common
from geomclip.cli.output import Output
from geomclip.errors import RequestError
from geomclip.train import hardware
from geomclip.train.config import LossConfig, TrainConfig, from_toml, update
from geomclip.train.dryrun import DryRun, dry_run, least_accumulate
from geomclip.train.hardware import ACCELERATORS, Hardware, parse_hardware
from geomclip.train.peak import Taken, Trace, by_operation, memory_trace, peak, peak_by_pairs
from geomclip.train.synthetic import synthetic_splits, synthetic_tokenizer
from manifolds.kernels import library

VIT = {
    "embed_dim": 24,
    "image": {"kind": "vit", "image_size": 32, "patch_size": 8, "width": 48, "layers": 2},
    "text": {"context_length": 10, "vocab_size": 600, "width": 32, "layers": 3, "heads": 2},
}


def vit(**changes: Any) -> TrainConfig:
    base = update(TrainConfig(geometry="meru", batch_size=64, steps=100), {"model": VIT})
    return dataclasses.replace(base, **changes)


def block_flops(tokens: int, width: int) -> int:
    """Four projections of attention, scores and their sums, the MLP of four times the width."""
    return 2 * tokens * (4 + 8) * width**2 + 4 * tokens**2 * width


def forward_flops() -> tuple[int, int]:
    """Of a pair through the towers of VIT, and of its patches' projection therein."""
    patches = 2 * 16 * 48 * 3 * 8**2
    image = patches + 2 * block_flops(17, 48) + 2 * 48 * 24
    text = 3 * block_flops(10, 32) + 2 * 32 * 24
    return image + text, patches


def test_flops_and_state_are_those_of_the_towers() -> None:
    forward, patches = forward_flops()
    # Backward is twice forward, but for the gradient of the pixels, which nobody asks for.
    found = dry_run(vit(loss=LossConfig(contrastive="sigmoid")), pairs=1)
    assert found.flops_per_pair == 3 * forward - patches
    parameters = found.parameters
    scalars = ["logit_scale", "alpha_image", "alpha_text", "c", "sigmoid_bias"]
    assert parameters.scalars == dict.fromkeys(scalars, 1)
    assert parameters.projections == {"image": 48 * 24, "text": 32 * 24}
    # Weights and two moments; and buffers: pixel statistics, a mask, counts of steps.
    whole = 12 * parameters.total
    assert whole < found.measured.state_bytes < whole + 2000
    assert (found.measured.pairs, found.measured.device) == (1, "cpu")
    # Cached parts go through the towers once more. The blocks run again backwards, but for the last
    # product of each, which nobody needs.
    again = 2 * (block_flops(17, 48) - 2 * 17 * 4 * 48**2)
    again += 3 * (block_flops(10, 32) - 2 * 10 * 4 * 32**2)
    twice = dry_run(vit(accumulate=4, grad_checkpointing=True), pairs=1)
    assert twice.flops_per_pair == 4 * forward - patches + again
    assert twice.pairs_at_once == 16


def test_the_full_run_is_its_flops_over_what_the_hardware_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = hardware.Accelerator(bf16=2e12, float32=1e12, memory=1 << 30)
    monkeypatch.setitem(ACCELERATORS, "test", device)
    found = dry_run(vit(), pairs=2, hardware=Hardware("test", 2), utilisation=0.5, price=3.0)
    assert found.samples == 6400 and found.pairs_at_once == 32
    assert found.seconds == pytest.approx(found.flops_per_pair * 6400 / (2 * 1e12 * 0.5))
    assert found.cost == pytest.approx(2 * 3.0 * found.seconds / 3600)
    assert Hardware("test", 3).seconds(6 * 10**12, "bf16", 0.25) == 4.0
    m = found.measured
    assert found.seconds_here == pytest.approx(
        100 * (64 / m.pairs * (m.seconds - m.update_seconds) + m.update_seconds)
    )
    json.dumps(found.to_dict(), allow_nan=False)
    text = io.StringIO()
    output = Output(Common(), Console(file=text, width=120, highlight=False))
    output.console.print(show(found))
    assert re.search(r"pairs at once, a device +32 (.|\n)*on testx2 ", text.getvalue())
    unpriced = show(dataclasses.replace(found, cost=None, accumulate=None, memory_bytes=1 << 40))
    output.console.print(unpriced)
    assert "does not fit, however small its parts" in text.getvalue()
    assert text.getvalue().count("  cost") == 1


def test_memory_of_two_small_steps_tells_that_of_a_large_one() -> None:
    """To the byte, though at first weights' gradients make the peak and later activations do."""
    config = vit(batch_size=96)
    large = dry_run(config, pairs=96)
    assert large.memory_bytes == large.measured.peak_bytes
    # Without kernels torch holds 96 x 96 matrices in float64, a part of which is there at the peak.
    squares = 0 if library.cpu() else 8 * 96 * 96
    for pairs in (1, 2, 3, 4):
        small = dry_run(config, pairs=pairs)
        assert small.measured.pairs == pairs
        assert small.measured.peak_bytes < large.measured.peak_bytes / 4
        assert small.memory_bytes is not None
        assert 0 <= large.memory_bytes - small.memory_bytes <= squares


def test_a_trace_counts_what_is_held_at_a_time() -> None:
    def step() -> None:
        a = torch.ones(1 << 20)
        b = a * 2
        del a
        c = b + 1
        d = torch.ones(2 << 20)
        del b, c, d

    trace = memory_trace(step, torch.device("cpu"))
    assert sum(t.net for t in trace) == 0 and peak(trace) == 4 * (4 << 20)


def test_rounds_over_a_batch_are_one_operation() -> None:
    def events(pictures: int) -> list[tuple[str, int]]:
        scratch = [("[memory]", size) for size in (4, 3, -4, -3)]
        own = [("[memory]", 10), *pictures * scratch]
        return [("mul", 0), *own, ("view", 0), ("sum", 0), ("[memory]", -8)]

    assert by_operation(events(2)) == by_operation(events(7))
    assert by_operation(events(2)) == [Taken("mul", 17, 10), Taken("sum", 0, -8)]


def test_the_peak_moves_from_what_is_constant_to_what_grows() -> None:
    def trace(pairs: int) -> Trace:
        return [Taken("mm", 10 * pairs, 10 * pairs), Taken("grad", 100, 0)]

    traces = {2: trace(2), 4: trace(4), 8: [*trace(8), Taken("other", 0, 0)]}
    grown = peak_by_pairs(traces)
    assert grown is not None and (grown(2), grown(4), grown(64)) == (120, 140, 740)
    early = {m: [Taken("mm", 100, 0), Taken("grad", 10 * m, 10 * m)] for m in (2, 4)}
    later = peak_by_pairs(early)
    assert later is not None and (later(4), later(64)) == (100, 640)
    assert peak_by_pairs({2: trace(2)}) is None and peak_by_pairs({2: [], 4: trace(4)}) is None
    # 64 pairs on a device need 740 bytes at once, and 100 + 640 / K in K parts.
    for room, accumulate in ((740, 1), (739, 2), (110, 64), (109, None)):
        assert least_accumulate(64, float(room), grown) == accumulate


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": {"contrastive": "supcon", "levels": [0.5, 0.3, 0.1, 0.1], "chains": 0.2}},
        {"loss": {"contrastive": "individual", "uniformity": 0.1}},
        {
            "loss": {"contrastive": "hycoclip"},
            "data": {"boxes": True},
            "modalities": {
                "image": {"reads": "image"},
                "text": {"reads": "caption"},
                "box": {"reads": "box", "shares": "image"},
                "phrase": {"reads": "phrase", "shares": "text"},
            },
        },
        {"modalities": {"image": {"reads": "image"}, "item": {"reads": "item"}}, "entailment": 0.0},
    ],
    ids=["labels", "items", "boxes", "table"],
)
def test_every_loss_and_modality_finds_what_it_asks_for(
    small: SimpleNamespace, changes: dict[str, Any]
) -> None:
    config = update(small.config(geometry="euclip", entailment=0.2), changes)
    found = dry_run(config, pairs=4)
    assert found.measured.pairs == 4 and found.measured.samples_per_second > 0
    assert found.parameters.scalars == {"logit_scale": 1}


def test_synthetic_data_have_the_true_shapes() -> None:
    config = vit()
    for size in (514, 600, 100_000):
        assert synthetic_tokenizer(size).vocab_size == size
    splits = synthetic_splits(config, 5)
    assert splits.train.images.shape == (5, 4, 32, 32)
    ids = synthetic_tokenizer(600)([texts[0] for texts in splits.train.texts], 10)
    assert (ids[:, 0] == 598).all() and (ids[:, -1] == 599).all() and (ids[:, 1:-1] < 598).all()
    assert len({tuple(row) for row in ids.tolist()}) == 5


def test_wrong_requests_are_answered() -> None:
    with pytest.raises(RequestError, match=r'"h900x8" is not known(.|\n)*a100, b200, h100'):
        parse_hardware("h900x8")
    for text in ("h100x0", "x8", "h100x", ""):
        with pytest.raises(RequestError, match="is not known"):
            parse_hardware(text)
    assert str(parse_hardware("H100x8")) == "h100x8"
    with pytest.raises(RequestError, match="larger than the 32 pairs that a device takes at once"):
        dry_run(vit(), pairs=33, hardware=Hardware("h100", 2))
    with pytest.raises(RequestError, match="does not divide into 3 processes"):
        dry_run(vit(), pairs=1, hardware=Hardware("h100", 3))
    with pytest.raises(RequestError, match="utilisation is a share of the peak, got 35"):
        dry_run(vit(), pairs=1, hardware=Hardware("h100", 1), utilisation=35.0)


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["datacomp-medium-euclip-entailment-no-final-ln", "redcaps-meru"])
def test_published_recipes_run_dry(stem: str) -> None:
    file = Path(__file__).parents[2] / "experiments" / "configs" / f"{stem}.toml"
    found: DryRun = dry_run(from_toml(file), pairs=2, hardware=parse_hardware("h100x8"))
    assert found.fits and found.measured.precision == "bf16"
    assert found.memory_bytes is not None and found.memory_bytes > 12 * found.parameters.total
