"""The configuration: a dataclass as TOML and back, recipes over it, errors that name the key."""

import dataclasses
from pathlib import Path

import pytest

from geomclip.errors import RequestError
from geomclip.names import ALIASES, CANONICAL, GEOMETRY_NAMES, canonical
from geomclip.train.config import (
    ModelConfig,
    TextTowerConfig,
    TrainConfig,
    from_toml,
    recipe,
    to_toml,
    update,
)


@pytest.mark.parametrize("geometry", GEOMETRY_NAMES)
def test_toml_gives_back_the_configuration(tmp_path, geometry):
    config = recipe(geometry)
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config))
    assert from_toml(file) == config


def test_settings_that_are_none_are_left_out_and_come_back_as_none(tmp_path):
    config = TrainConfig(init_logit_scale=None, c_min=0.5)
    text = to_toml(config)
    assert "init_logit_scale" not in text and "c_min = 0.5" in text
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert from_toml(file) == config


def test_tables_of_rates_are_laid_over_each_other(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[scalar_lrs]\nc = 0\nalpha = 1e-4\n")
    config = from_toml(file, TrainConfig(scalar_lrs={"c": 1.0, "logit_scale": 2.0}))
    assert config.scalar_lrs == {"c": 0.0, "alpha": 1e-4, "logit_scale": 2.0}
    file.write_text(to_toml(config))
    assert from_toml(file) == config


def test_a_file_is_laid_over_the_base(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("lr = 1\nbetas = [0.9, 0.95]\n[model.text]\nwidth = 96\n")
    base = TrainConfig(geometry="clip", steps=7)
    config = from_toml(file, base)
    assert (config.geometry, config.steps, config.lr, config.betas) == ("clip", 7, 1.0, (0.9, 0.95))
    assert config.model.text == dataclasses.replace(base.model.text, width=96)
    assert config.model.image == base.model.image


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", 'there is no setting "stepz"'),
        ("[model]\nwidth = 3", r'\[model\]: there is no setting "width"'),
        ("steps = 2.5", "steps is 2.5"),
        ("steps = true", "steps is True"),
        ("lr = 'fast'", "lr is 'fast'"),
        ("scalar_lrs = 0.1", "scalar_lrs is a table"),
        ("[scalar_lrs]\nc = 'slow'", "scalar_lrs: c is 'slow'"),
        ("betas = [0.9]", r"betas is \[0.9\]"),
        ("model = 3", "model is a table"),
        ("[model.image]\nkind = 'resnet'", "kind is 'resnet'"),
        ("steps = ", "not readable as TOML"),
    ],
)
def test_a_wrong_file_is_answered_with_its_name_and_key(tmp_path, text, message):
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(RequestError, match=message) as caught:
        from_toml(file)
    assert "run.toml" in str(caught.value)


def test_a_missing_file_is_answered():
    with pytest.raises(RequestError, match="there is no such file"):
        from_toml(Path("nowhere.toml"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"geometry": "hyperbolik"}, 'there is no "hyperbolik"'),
        ({"steps": 0}, "steps must be positive, got 0"),
        ({"batch_size": -1}, "batch_size must be positive"),
        ({"lr": float("nan")}, "lr must be positive, got nan"),
        ({"c_init": 0.0}, "c_init must be positive, got 0"),
        ({"c_init": -1.0}, "c_init must be positive"),
        ({"entailment": -0.2}, "entailment must not be negative"),
        (
            {"model": ModelConfig(text=TextTowerConfig(vocab_size=100))},
            "vocab_size is 100; the byte-pair vocabulary starts with 514",
        ),
        ({"entailment_start": 0.5}, "entailment_start 0.5 and entailment_full 0.0 are shares"),
        ({"geometry": "clip", "entailment": 0.2}, "clip has no entailment cones"),
    ],
)
def test_values_that_mean_nothing_are_refused(changes, message):
    with pytest.raises(RequestError, match=message):
        TrainConfig(**changes)


def test_recipes_share_what_makes_the_comparison_fair():
    configs = [recipe(name) for name in CANONICAL]
    shared = ("data", "model", "captions", "augment", "seed", "steps", "batch_size", "warmup")
    for name in shared:
        assert len({getattr(config, name) for config in configs}) == 1, name


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_has_the_recipe_of_its_geometry_under_its_own_name(alias):
    assert recipe(alias) == dataclasses.replace(recipe(canonical(alias)), geometry=alias)


def test_update_leaves_the_original_alone():
    config = TrainConfig()
    assert update(config, {"model": {"embed_dim": 8}}).model.embed_dim == 8
    assert config == TrainConfig()
