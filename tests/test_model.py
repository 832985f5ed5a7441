"""ContrastiveModel: encoders in one geometry."""

import dataclasses

import pytest
import torch

from geomclip.data.tokenizer import Tokenizer
from geomclip.geometry import build_geometry
from geomclip.model import ContrastiveModel, build_model
from geomclip.train.config import ImageTowerConfig, ModelConfig, TextTowerConfig, TrainConfig

TINY = ModelConfig(
    embed_dim=8,
    image=ImageTowerConfig(kind="vit", width=16, layers=1, heads=2, patch_size=16),
    text=TextTowerConfig(width=16, layers=1, heads=2, context_length=8),
)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a red apple", "a dog", "an animal"], vocab_size=600)


def tower_state(model: ContrastiveModel) -> dict[str, torch.Tensor]:
    return {n: v for n, v in model.state_dict().items() if n.startswith("encoders")}


def test_towers_start_the_same_in_every_geometry_and_differ_by_seed(tokenizer):
    config = TrainConfig(model=TINY)
    states = [
        tower_state(build_model(dataclasses.replace(config, geometry=name), tokenizer))
        for name in ("clip", "euclip", "meru")
    ]
    for state in states[1:]:
        assert all(torch.equal(state[name], value) for name, value in states[0].items())
    other = tower_state(build_model(dataclasses.replace(config, seed=1), tokenizer))
    assert not torch.equal(other["encoders.image.proj"], states[0]["encoders.image.proj"])


def test_building_a_model_leaves_the_random_state_alone(tokenizer):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_model(TrainConfig(model=TINY), tokenizer)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["clip", "euclip", "meru"])
def test_points_are_lifted_features(tokenizer, name):
    model = build_model(TrainConfig(geometry=name, model=TINY), tokenizer).eval()
    pixels, texts = torch.rand(3, 3, 32, 32), ["a red apple", "a dog", "an animal"]
    ids = tokenizer(texts, 8)
    image, text = model(pixels, ids)
    assert torch.equal(image, model.geometry.lift(model.image_features(pixels), "image"))
    assert torch.equal(text, model.geometry.lift(model.text_features(ids), "text"))
    assert torch.equal(text, model.encode_text(texts))
    assert torch.equal(image, model.encode_image(pixels))
    assert model.geometry.manifold.check_point(image)


def test_pixels_are_normalised_inside_the_model(tokenizer):
    model = build_model(TrainConfig(model=TINY), tokenizer).eval()
    pixels = torch.rand(2, 3, 32, 32)
    direct = model.encoders["image"]((pixels - model.pixel_mean) / model.pixel_std)
    assert torch.equal(model.image_features(pixels), direct)


def test_encoders_and_modalities_must_agree():
    geometry = build_geometry("clip", dim=4)
    with pytest.raises(ValueError, match=r"encoders \['image'\] do not match"):
        ContrastiveModel({"image": torch.nn.Linear(4, 4)}, geometry)


def test_strings_need_a_tokenizer():
    geometry = build_geometry("clip", dim=4)
    encoders = {"image": torch.nn.Linear(4, 4), "text": torch.nn.Linear(4, 4)}
    with pytest.raises(ValueError, match="no tokenizer"):
        ContrastiveModel(encoders, geometry).encode_text(["a dog"])


def test_any_named_encoders_will_do():
    geometry = build_geometry("meru", dim=4, modalities=("audio", "image", "text"))
    encoders = {name: torch.nn.Linear(4, 4) for name in ("audio", "image", "text")}
    model = ContrastiveModel(encoders, geometry)
    assert set(model.geometry.log_alpha) == {"audio", "image", "text"}
