"""A batch's loss and gradients are the same in parts and over processes: in float64, to 1e-10."""

import dataclasses
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from batch_gradients import PRODUCT, batch, build, cases, compute, root, settings
from compilers import needs_compiler
from launching import finish, launch
from torch import Tensor, nn

from geomclip.errors import RequestError
from geomclip.names import CANONICAL
from geomclip.train.gradients import Gradients
from geomclip.train.objective import Objective
from geomclip.train.world import World

PROGRAM = Path(sys.modules["batch_gradients"].__file__ or "")


def agree(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        scale = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(ours[name], expected, rtol=0, atol=1e-10 * scale, msg=name)


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, str], dict[str, Tensor]]:
    """One process, the batch in one piece, by geometry and tower."""
    names = [*CANONICAL, PRODUCT]
    ways = {(g, t): (g, t, "gather", 1) for g in names for t in ("convnet", "vit")}
    return {key: compute(case, World()) for key, case in ways.items()}


@pytest.mark.parametrize("accumulate", [2, 4, 16])
@pytest.mark.parametrize("geometry", CANONICAL)
def test_cached_parts_equal_the_whole_batch(
    alone: dict[tuple[str, str], dict[str, Tensor]], geometry: str, accumulate: int
) -> None:
    agree(compute((geometry, "vit", "gather", accumulate), World()), alone[geometry, "vit"])


@pytest.mark.parametrize("world", [2, 4])
def test_processes_equal_one(
    tmp_path: Path, alone: dict[tuple[str, str], dict[str, Tensor]], world: int
) -> None:
    for code, err in finish(launch(world, [PROGRAM, tmp_path])):
        assert code == 0, err
        assert err == ""
    for rank in range(world):
        found, center = torch.load(tmp_path / f"{world}-{rank}.pt")
        torch.testing.assert_close(center, root(World()), rtol=0, atol=1e-6)
        torch.testing.assert_close(center[0], center[1], rtol=0, atol=1e-6)
        assert found.keys() == set(cases(world))
        for (geometry, tower, _, _), values in found.items():
            agree(values, alone[geometry, tower])


def test_a_ring_needs_the_linear_memory_loss() -> None:
    config = settings(PRODUCT, exchange="ring")
    with pytest.raises(RequestError, match=r"no linear-memory loss on .*\n.*--exchange gather"):
        Objective(build(PRODUCT, "vit").geometry, config, World(0, 2))


def found(model: nn.Module) -> dict[str, Tensor]:
    """All gradients, and BatchNorm's statistics."""
    statistics = {n: t for n, t in model.state_dict().items() if "running" in n or "num_" in n}
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None} | statistics


def test_random_numbers_of_a_part_are_the_same_both_times() -> None:
    """Cached gradients are those of the parts' features, with the same dropout masks, in one graph:
    the finite difference of the loss along the gradient says which masks were used."""
    model, config = build("hyperbolic", "vit", dropout=0.5), settings("hyperbolic", accumulate=4)
    pixels, ids = batch()
    torch.manual_seed(3)
    terms = Gradients(model, config, World())({"image": pixels, "text": ids}, step=5)
    after = torch.get_rng_state()
    cached = found(model)

    model.zero_grad()
    torch.manual_seed(3)
    parts = zip(pixels.split(4), ids.split(4), strict=True)
    features = [(model.image_features(p), model.text_features(i)) for p, i in parts]
    image, text = (torch.cat(side) for side in zip(*features, strict=True))
    whole = Objective(model.geometry, config, World())({"image": image, "text": text}, 5)
    whole.loss.backward()
    agree({**cached, "loss": terms.loss.detach()}, {**found(model), "loss": whole.loss.detach()})
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("tower", ["convnet", "vit"])
def test_checkpointed_activations_change_no_bit(tower: str, accumulate: int) -> None:
    case = ("euclidean", tower, "gather", accumulate)
    theirs, ours = compute(case, World()), compute(case, World(), grad_checkpointing=True)
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert torch.equal(ours[name], expected), name
    if tower == "convnet":  # a part a count, not two
        assert ours["encoders.image.bn.num_batches_tracked"] == accumulate


def test_checkpointing_needs_blocks() -> None:
    model = build("clip", "vit")
    model.encoders["image"] = nn.Sequential(nn.Flatten(), nn.Linear(192, 6)).double()
    with pytest.raises(ValueError, match=r"the image encoder, a Sequential, has no blocks"):
        Gradients(model, settings("clip", grad_checkpointing=True), World())


@needs_compiler
@pytest.mark.slow  # compiles for a minute
def test_compiled_towers_compute_the_same(
    tmp_path: Path, alone: dict[tuple[str, str], dict[str, Tensor]]
) -> None:
    # In a process of its own: dynamo can't follow the checks of shapes that the tests install.
    call = [sys.executable, PROGRAM, tmp_path, '{"compile": true}']
    done = subprocess.run(call, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    results, _ = torch.load(tmp_path / "1-0.pt")
    assert results.keys() == set(cases(1))
    for (geometry, tower, _, _), values in results.items():
        agree(values, alone[geometry, tower])


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("geometry", ["clip", "euclidean-squared", "hyperbolic"])
def test_bf16_towers_stay_within_their_rounding(geometry: str, accumulate: int) -> None:
    """bf16 rounds to 2^-9 of a number. A feature of these towers passes about 20 roundings, its
    gradient twice as many: 20 x 2^-9 of the loss's scale and 40 x 2^-9 of a gradient's norm."""
    pixels, ids = batch()
    pixels = pixels.float()
    results: dict[str, Any] = {}
    for precision in ("float32", "bf16"):
        model = build(geometry, "vit").float()
        config = settings(geometry, precision=precision, accumulate=accumulate)
        results[precision] = (
            Gradients(model, config, World())({"image": pixels, "text": ids}, step=5),
            found(model),
        )
    (exact, expected), (rounded, ours) = results["float32"], results["bf16"]
    assert {rounded.loss.dtype, *(x.dtype for x in rounded.points.values())} == {torch.float32}
    assert all(g.dtype == torch.float32 for g in ours.values())
    assert not torch.equal(rounded.points["image"], exact.points["image"])
    assert abs(rounded.loss - exact.loss) <= 20 * 2**-9 * exact.loss
    whole = torch.cat([g.flatten() for g in expected.values()])
    apart = torch.cat([ours[n].flatten() - g.flatten() for n, g in expected.items()])
    assert apart.norm() <= 40 * 2**-9 * whole.norm()


def test_geometry_and_loss_do_not_see_bf16() -> None:
    """From the same features they give the same bits as without autocast."""
    model, config = build("hyperbolic", "vit").float(), settings("hyperbolic", precision="bf16")
    pixels, ids = batch()
    terms = Gradients(model, config, World())({"image": pixels.float(), "text": ids}, step=5)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        image, text = model.image_features(pixels.float()), model.text_features(ids)
    assert image.dtype == torch.bfloat16
    plain = Objective(model.geometry, dataclasses.replace(config, precision="float32"), World())
    again = plain({"image": image.float(), "text": text.float()}, 5)
    assert torch.equal(again.loss, terms.loss) and torch.equal(
        again.points["image"], terms.points["image"]
    )


def test_batch_norm_under_accumulation_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "geomclip"):
        Gradients(build("clip", "vit"), settings("clip", accumulate=4), World())
        assert not caplog.records
        Gradients(build("clip", "convnet"), settings("clip", accumulate=4), World())
    assert "BatchNorm, whose statistics are those of 4 pairs under --accumulate 4" in caplog.text
