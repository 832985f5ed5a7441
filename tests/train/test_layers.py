"""TOML files over each other: chains, circles, and what lies below the last."""

from pathlib import Path

import pytest

from geomclip.cli.compare import CompareOptions, read_overrides
from geomclip.cli.train import parse_options
from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig, from_toml, recipe
from geomclip.train.layers import read_layers


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "leaf.toml"


def test_a_chain_is_read_from_below(tmp_path: Path) -> None:
    root = "steps = 3\nlr = 1e-4\n[model]\nembed_dim = 8\n[model.text]\nwidth = 32\n"
    leaf = write(
        tmp_path,
        root=root,
        middle='base = "root.toml"\nsteps = 4\n[model.text]\nheads = 8\n',
        leaf='base = "middle.toml"\nsteps = 5\ngeometry = "meru"\n',
    )
    config = from_toml(leaf)
    assert (config.steps, config.lr, config.geometry, config.model.embed_dim) == (
        5,
        1e-4,
        "meru",
        8,
    )
    assert (config.model.text.width, config.model.text.heads) == (32, 8)
    layers = read_layers(leaf)
    assert [path.name for path, _ in layers.files] == ["root.toml", "middle.toml", "leaf.toml"]
    text = {"embed_dim": 8, "text": {"width": 32, "heads": 8}}
    assert layers.merged() == {"steps": 5, "lr": 1e-4, "geometry": "meru", "model": text}


def test_a_base_is_found_from_the_file_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "root.toml").write_text("steps = 3\n")
    (tmp_path / "deep" / "leaf.toml").write_text('base = "../root.toml"\n')
    monkeypatch.chdir(tmp_path.parent)
    assert from_toml(tmp_path / "deep" / "leaf.toml").steps == 3


def test_a_circle_is_told_with_its_files(tmp_path: Path) -> None:
    leaf = write(
        tmp_path, leaf='base = "a.toml"', a='base = "b.toml"', b='base = "../" \n', c="steps = 1"
    )
    (tmp_path / "b.toml").write_text('base = "a.toml"')
    with pytest.raises(RequestError, match=r"in a circle: a\.toml -> b\.toml -> a\.toml"):
        from_toml(leaf)
    (tmp_path / "a.toml").write_text('base = "./a.toml"')
    with pytest.raises(RequestError, match=r"in a circle: a\.toml -> a\.toml"):
        from_toml(leaf)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ('"gone.toml"', r"gone\.toml: there is no such file\n  Check base in .*leaf\.toml\."),
        ("3", r"leaf\.toml: base is 3\n  Name a TOML file"),
        ('""', r"leaf\.toml: base is ''"),
        ('"bad.toml"', r"bad\.toml: there is no setting \"stepz\""),
        ('"broken.toml"', r"broken\.toml: not readable as TOML"),
    ],
)
def test_a_wrong_base_is_answered_with_its_file(tmp_path: Path, base: str, message: str) -> None:
    leaf = write(tmp_path, leaf=f"base = {base}", bad="stepz = 3", broken="steps = ")
    with pytest.raises(RequestError, match=message):
        from_toml(leaf)


def test_below_a_chain_lies_the_recipe_or_nothing(tmp_path: Path) -> None:
    leaf = write(tmp_path, leaf='base = "root.toml"\ngeometry = "clip"\n', root="steps = 3\n")
    settings = parse_options(["--config", str(leaf)]).settings
    assert settings.init_logit_scale == recipe("clip").init_logit_scale is not None
    (tmp_path / "root.toml").write_text('base = "none"\nsteps = 3\n')
    settings = parse_options(["--config", str(leaf), "--lr", "0.5"]).settings
    assert settings == TrainConfig(geometry="clip", steps=3, lr=0.5)


def test_a_comparison_takes_chains_over_its_recipes_alone(tmp_path: Path) -> None:
    leaf = write(
        tmp_path,
        leaf='base = "root.toml"\n[model.text]\nwidth = 32\n',
        root="[model]\nembed_dim = 8\n",
    )
    options = CompareOptions(config=leaf)
    assert read_overrides(options) == {"model": {"embed_dim": 8, "text": {"width": 32}}}
    (tmp_path / "root.toml").write_text('base = "none"\n')
    with pytest.raises(RequestError, match="is for single runs"):
        read_overrides(options)
