"""The recipes of experiments/configs are valid, as published, and as make.py writes them."""

import math
import runpy
from pathlib import Path

import pytest
import torch

from geomclip.geometry import build_geometry
from geomclip.model import build_image_tower, build_text_tower
from geomclip.names import CANONICAL, canonical, has_cones
from geomclip.train.config import TrainConfig, from_toml
from geomclip.train.layers import read_layers

FOLDER = Path(__file__).parents[1] / "experiments" / "configs"
FILES = sorted(FOLDER.glob("*.toml"))
PAPER = [p for p in FILES if p.stem.startswith("datacomp-")]


@pytest.fixture(scope="module")
def configs() -> dict[str, TrainConfig]:
    return {path.stem: from_toml(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_recipe_is_valid_and_says_where_it_is_from(path):
    config = from_toml(path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    # Published runs stand alone; the others lie over the recipes of the embedded set.
    assert read_layers(path).alone == path.stem.startswith(("datacomp", "redcaps", "grit"))
    if config.model.embed_dim == 512:
        g = build_geometry(
            config.geometry,
            512,
            init_logit_scale=config.init_logit_scale,
            entailment=config.entailment > 0,
            min_logit_scale=config.min_logit_scale,
            alpha_max=config.alpha_max,
            c_init=config.c_init,
            c_min=config.c_min,
            c_max=config.c_max,
        )
        assert not g.apply_bounds_(), "a scalar begins outside its bounds"


def test_the_paper_has_all_its_recipes_and_no_other(configs):
    made = {
        (stem.split("-")[1], canonical(config.geometry), config.entailment > 0,
         config.model.final_layernorm)
        for stem, config in configs.items()
        if stem.startswith("datacomp-") and stem not in ("datacomp-small", "datacomp-medium")
    }  # fmt: skip
    eight = [name for name in CANONICAL if name != "poincare"]
    assert made == {
        (scale, name, entailed, layernorm)
        for scale in ("small", "medium")
        for name in eight
        for entailed in (False, *([True] if has_cones(name) else []))
        for layernorm in (True, False)
    }
    assert len(PAPER) == len(made) + 2 == 58


def test_recipes_of_a_scale_differ_in_what_their_names_say_alone(configs):
    for scale in ("small", "medium"):
        base = configs[f"datacomp-{scale}"]
        for stem, config in configs.items():
            if stem.startswith(f"datacomp-{scale}-"):
                changed = {
                    name for name in vars(base) if getattr(base, name) != getattr(config, name)
                }
                assert changed <= {"geometry", "entailment", "init_logit_scale", "model"}, stem


@pytest.mark.parametrize(
    ("stem", "samples", "batch", "warmup"),
    [
        ("datacomp-small", 12_800_000, 4096, 500),
        ("datacomp-medium", 128_000_000, 4096, 500),
        ("redcaps-meru", 120_000 * 2048, 2048, 4000),
        ("grit-hycoclip", 500_000 * 768, 768, 4000),
    ],
)
def test_budgets_are_the_published_ones(configs, stem, samples, batch, warmup):
    config = configs[stem]
    assert (config.steps * config.batch_size, config.batch_size) == (samples, batch)
    assert round(config.warmup * config.steps) == warmup
    assert (config.lr, config.scalar_lr, config.weight_decay) == (5e-4, 5e-4, 0.2)
    assert config.betas == (0.9, 0.98) and config.clip_norm == 0


def test_hycoclips_recipe_has_its_four_cones(configs):
    config = configs["grit-hycoclip"]
    assert (config.loss.contrastive, config.entailment, config.min_radius) == ("hycoclip", 0.2, 0.1)
    assert config.roles.links == (
        ("text", "image"), ("phrase", "box"), ("box", "image"), ("phrase", "text")
    )  # fmt: skip
    assert set(config.roles.encoders.values()) == {"image", "text"}


def test_the_files_are_as_the_script_writes_them(capsys):
    main = runpy.run_path(str(FOLDER / "make.py"))["main"]
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_a_file_changed_by_hand_is_found(tmp_path, capsys):
    made = runpy.run_path(str(FOLDER / "make.py"))
    made["main"].__globals__["FOLDER"] = tmp_path
    assert made["main"]([]) == 0 and made["main"](["--check"]) == 0
    (tmp_path / "datacomp-small-euclip.toml").write_text("lr = 1\n")
    (tmp_path / "datacomp-small-nonsense.toml").write_text("lr = 1\n")
    assert made["main"](["--check"]) == 1
    assert "datacomp-small-euclip.toml, datacomp-small-nonsense.toml" in capsys.readouterr().err
    assert made["main"]([]) == 0
    assert not (tmp_path / "datacomp-small-nonsense.toml").exists()


@pytest.mark.parametrize(
    ("stem", "parameters"),
    # open_clip's counts of ViT-B-32 and ViT-B-16, logit_scale included.
    [("datacomp-small", 151_277_313), ("redcaps-meru", 149_620_737)],
)
def test_towers_have_the_published_size(configs, stem, parameters):
    model = configs[stem].model
    with torch.device("meta"):
        towers = (
            build_image_tower(model),
            build_text_tower(model, vocab_size=model.text.vocab_size, eot=49407),
        )
    assert sum(p.numel() for tower in towers for p in tower.parameters()) + 1 == parameters


def test_without_a_final_layernorm_the_published_weights_are_missing(configs):
    """Two LayerNorms of 768 and 512 (weight and bias each): 2560 parameters."""
    sizes = []
    for stem in ("datacomp-small-euclip", "datacomp-small-euclip-no-final-ln"):
        model = configs[stem].model
        with torch.device("meta"):
            towers = build_image_tower(model), build_text_tower(model, vocab_size=514, eot=513)
        sizes.append(sum(p.numel() for tower in towers for p in tower.parameters()))
    assert sizes[0] - sizes[1] == 2560


def test_squared_distances_begin_as_published(configs):
    def start(stem: str) -> float:
        config = configs[stem]
        return build_geometry(
            config.geometry, 512, init_logit_scale=config.init_logit_scale,
            entailment=config.entailment > 0, min_logit_scale=config.min_logit_scale,
        ).logit_scale.item()  # fmt: skip

    for name in ("euclip", "hyperbolic-squared"):
        assert start(f"datacomp-small-{name}") == start(f"datacomp-small-{name}-entailment") == 0
    for name in ("clip", "meru", "meru-entailment", "euclidean-inner"):
        assert start(f"datacomp-small-{name}") == pytest.approx(math.log(1 / 0.07))
