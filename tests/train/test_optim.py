"""Which parameters are decayed, and which have their own learning rate."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import RequestError
from geomclip.model import ContrastiveModel, build_model
from geomclip.train.config import LossConfig, update
from geomclip.train.criterion import Criterion
from geomclip.train.optim import (
    build_optimizer,
    clip_gradients,
    gradient_norms,
    named_scalars,
    parameter_groups,
    set_lr,
)
from geomclip.train.setup import find_tokenizer, vocabulary_texts

SIGMOID = LossConfig(contrastive="sigmoid")


@pytest.fixture(scope="module")
def tokenizer(splits: Any) -> Tokenizer:
    return Tokenizer.train(vocabulary_texts(splits.train, splits.templates), vocab_size=600)


def groups_of(model: ContrastiveModel, config: Any) -> dict[str, dict[str, Any]]:
    return {g["name"]: g for g in parameter_groups(model, model.geometry, config)}


def test_a_run_takes_the_vocabulary_that_its_settings_name(
    small: SimpleNamespace, splits: Any, tokenizer: Tokenizer, tmp_path: Any
) -> None:
    file = tmp_path / "tokenizer.json"
    tokenizer.save(file)
    text = {"vocab_size": tokenizer.vocab_size, "tokenizer": str(file)}
    config = update(small.config(), {"model": {"text": text}})
    found = find_tokenizer(config, tmp_path / "run", splits)
    texts = ["a waving hand", "flag: Japan"]
    assert found.encode(texts) == tokenizer.encode(texts)
    wrong = update(config, {"model": {"text": {"vocab_size": 900}}})
    with pytest.raises(RequestError, match=r"has 600 entries, model\.text\.vocab_size is 900"):
        find_tokenizer(wrong, tmp_path / "run", splits)


@pytest.mark.parametrize("geometry", ["clip", "euclip", "meru"])
@pytest.mark.parametrize("tower", ["convnet", "vit"])
def test_every_parameter_is_in_the_group_of_its_kind(
    small: SimpleNamespace, tokenizer: Tokenizer, geometry: str, tower: str
) -> None:
    config = update(small.config(geometry=geometry), {"model": {"image": {"kind": tower}}})
    model = build_model(config, tokenizer)
    groups = groups_of(model, config)
    place = {id(p): name for name, group in groups.items() for p in group["params"]}
    assert len(place) == sum(len(g["params"]) for g in groups.values())
    assert place.keys() == {id(p) for p in model.parameters() if p.requires_grad}
    norms = (nn.LayerNorm, nn.BatchNorm2d)
    for prefix, module in model.encoders.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            vector = isinstance(module, norms) or "bias" in name or name == "class_embedding"
            expected = "no_decay" if vector else "decay"
            assert place[id(parameter)] == expected, f"{prefix}.{name}"
    learned = [p for p in model.geometry.parameters() if p.requires_grad]
    assert learned and all(place[id(p)] == "scalars" for p in learned)


def test_only_the_decayed_group_decays(small: SimpleNamespace, tokenizer: Tokenizer) -> None:
    config = small.config(geometry="meru", lr=1e-2, scalar_lr=3e-2, weight_decay=0.3)
    model = build_model(config, tokenizer)
    optimizer = build_optimizer(model, model.geometry, config)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    decayed = set(map(id, groups_of(model, config)["decay"]["params"]))
    for name, parameter in model.named_parameters():
        factor = 1 - 1e-2 * 0.3 if id(parameter) in decayed else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor, msg=name)


def test_a_frozen_curvature_is_left_out(small: SimpleNamespace, tokenizer: Tokenizer) -> None:
    config = small.config(geometry="meru", learn_c=False)
    model = build_model(config, tokenizer)
    scalars = groups_of(model, config)["scalars"]["params"]
    assert {id(p) for p in scalars} == {
        id(model.geometry.logit_scale), *map(id, model.geometry.log_alpha.values())
    }  # fmt: skip


@pytest.mark.parametrize(
    ("geometry", "asked", "own"),
    [
        ("meru", {"c": 1e-4}, {"c": 1e-4}),
        ("meru", {"alpha": 1e-4}, {"alpha_image": 1e-4, "alpha_text": 1e-4}),
        ("meru", {"alpha": 0.0, "alpha_text": 2.0}, {"alpha_image": 0.0, "alpha_text": 2.0}),
        ("clip", {"logit_scale": 0.5}, {"logit_scale": 0.5}),
        ("lorentz8xsphere8", {"c": 1.0}, {"factors.0.c": 1.0, "factors.1.c": 1.0}),
        ("lorentz8xsphere8", {"factors.1.c": 1.0}, {"factors.1.c": 1.0}),
    ],
)
def test_single_scalars_have_rates_of_their_own(
    small: SimpleNamespace, tokenizer: Tokenizer, geometry: str, asked: Any, own: Any
) -> None:
    config = small.config(geometry=geometry, scalar_lr=3e-2, scalar_lrs=asked, loss=SIGMOID)
    model = build_model(config, tokenizer)
    criterion = Criterion(config, model.geometry)
    groups = parameter_groups(model, model.geometry, config, criterion)
    rates = {id(p): g["lr"] for g in groups for p in g["params"] if g["name"].startswith("scalars")}
    scalars = named_scalars(model.geometry, criterion)
    assert rates.keys() == {id(p) for p in scalars.values()}
    for name, parameter in scalars.items():
        assert rates[id(parameter)] == own.get(name, 3e-2), name
    assert set(own) <= set(scalars) and "sigmoid_bias" in scalars


def test_a_rate_of_0_holds_a_scalar(small: SimpleNamespace, tokenizer: Tokenizer) -> None:
    config = small.config(
        geometry="meru", scalar_lr=3e-2, scalar_lrs={"c": 0.0, "alpha_text": 1e-3}
    )
    model = build_model(config, tokenizer)
    optimizer = build_optimizer(model, model.geometry, config)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {n: p.item() for n, p in model.geometry.named_scalar_parameters().items()}
    optimizer.step()
    # Adam's first step is the learning rate against the gradient's sign.
    moved = {n: before[n] - p.item() for n, p in model.geometry.named_scalar_parameters().items()}
    expected = {"logit_scale": 3e-2, "alpha_image": 3e-2, "alpha_text": 1e-3, "c": 0.0}
    assert moved == pytest.approx(expected, abs=1e-6)


def test_a_rate_of_no_scalar_is_refused(small: SimpleNamespace, tokenizer: Tokenizer) -> None:
    config = small.config(geometry="clip", scalar_lrs={"c": 1e-3})
    model = build_model(config, tokenizer)
    with pytest.raises(RequestError, match='scalar_lrs: clip learns no "c"') as caught:
        build_optimizer(model, model.geometry, config)
    assert "It learns logit_scale" in str(caught.value)
    with pytest.raises(RequestError, match=r"scalar_lrs\.c must be 0 or more, got -1"):
        small.config(scalar_lrs={"c": -1.0})


def test_gradient_norms_are_those_of_the_parts(
    small: SimpleNamespace, tokenizer: Tokenizer
) -> None:
    config = small.config(geometry="meru")
    model = build_model(config, tokenizer)
    for k, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, -float(k + 1))
    norms = gradient_norms(model, Criterion(config, model.geometry))
    for name, encoder in model.encoders.items():
        whole = torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])
        assert norms[name] == pytest.approx(whole.norm().item(), rel=1e-6)
    for name, parameter in model.geometry.named_scalar_parameters().items():
        assert parameter.grad is not None
        assert norms[f"scalars/{name}"] == -parameter.grad.item()
    total = clip_gradients(list(model.parameters()), 0.0)
    assert total == pytest.approx(math.hypot(*norms.values()), rel=1e-6)


def test_both_rates_follow_the_same_factor(small: SimpleNamespace, tokenizer: Tokenizer) -> None:
    config = small.config(geometry="clip", lr=1e-3, scalar_lr=4e-3)
    model = build_model(config, tokenizer)
    optimizer = build_optimizer(model, model.geometry, config)
    set_lr(optimizer, 0.25)
    rates = {g["name"]: g["lr"] for g in optimizer.param_groups}
    assert rates == {"decay": 2.5e-4, "no_decay": 2.5e-4, "scalars": 1e-3}
    set_lr(optimizer, 1.0)
    assert optimizer.param_groups[0]["lr"] == 1e-3


@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1.0, 50.0])
def test_gradients_are_clipped_as_torch_clips_them(max_norm: float) -> None:
    """Bit for bit, around the norm at which it begins too."""
    torch.manual_seed(0)
    values = [torch.randn(7, 3), torch.randn(5), torch.randn(2, 2)]
    for scale in (0.0, 1e-3, 0.2, 1.0, 30.0, float("nan")):
        sides = []
        for _ in range(2):
            sides.append([nn.Parameter(torch.zeros_like(v)) for v in values])
            for p, v in zip(sides[-1], values, strict=True):
                p.grad = scale * v
        ours = clip_gradients(sides[0], max_norm)
        theirs = nn.utils.clip_grad_norm_(sides[1], max_norm or math.inf).item()
        assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))
        for one, two in zip(*sides, strict=True):
            assert one.grad is not None and two.grad is not None
            assert torch.equal(one.grad.nan_to_num(7.0), two.grad.nan_to_num(7.0))


def test_no_gradients_have_no_norm() -> None:
    parameters = [nn.Parameter(torch.ones(3))]
    assert clip_gradients(parameters, 1.0) == 0 == clip_gradients(parameters, 0.0)
