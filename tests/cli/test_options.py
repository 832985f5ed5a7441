"""Spellings of flags, and which of recipe, TOML file and flag wins."""

import pytest

from geomclip.cli.compare import CompareOptions
from geomclip.cli.evaluate import parse_options as parse_evaluate
from geomclip.cli.main import main
from geomclip.cli.options import comma_list, peek, spell_out
from geomclip.cli.train import parse_options
from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig, recipe, to_toml


def test_short_and_foreign_spellings():
    argv = ["--data", "x.csv", "--caption_column=title", "--skip-bad", "--entailment-weight", "0.2"]
    assert spell_out(argv) == [
        "--data.source", "x.csv", "--data.caption-column=title", "--data.skip-bad",
        "--entailment", "0.2",
    ]  # fmt: skip
    assert spell_out(["--data=x", "--steps", "3", "data"]) == [
        "--data.source=x",
        "--steps",
        "3",
        "data",
    ]


def test_peek_takes_the_last_value():
    assert peek(["--geometry", "a", "--geometry=b"], "--geometry") == "b"
    assert peek(["--geometry-x", "a"], "--geometry") is None
    assert peek(["--geometry"], "--geometry") is None


def test_a_line_of_the_authors_fork_is_understood():
    options = parse_options(["--geometry", "meru", "--entailment-weight", "0.2", "--lr", "1e-3"])
    config = options.settings
    assert (config.geometry, config.entailment, config.lr) == ("meru", 0.2, 1e-3)


def test_plain_names_and_nested_names():
    options = parse_options(
        ["--geometry", "clip", "--steps", "7", "--batch-size", "8", "--seed", "3",
         "--data", "d.csv", "--label-columns", "a", "b", "--model.image.kind", "vit",
         "--augment.scale", "0.9", "1.1", "--out", "o", "--quiet"]
    )  # fmt: skip
    config = options.settings
    assert (config.steps, config.batch_size, config.seed) == (7, 8, 3)
    assert config.data.source == "d.csv" and config.data.label_columns == ("a", "b")
    assert config.model.image.kind == "vit" and config.augment.scale == (0.9, 1.1)
    assert str(options.out) == "o" and options.common.quiet and not options.common.json


@pytest.mark.parametrize("geometry", ["clip", "euclip", "meru"])
def test_without_flags_the_recipe_holds(geometry):
    assert parse_options(["--geometry", geometry]).settings == recipe(geometry)


def test_flags_lie_over_toml_over_recipe(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('geometry = "meru"\nsteps = 5\nlr = 0.5\n[data]\nsource = "x.csv"\n')
    config = parse_options(["--config", str(file), "--lr", "0.25"]).settings
    assert (config.geometry, config.steps, config.lr) == ("meru", 5, 0.25)
    assert config.data.source == "x.csv"
    assert config.weight_decay == recipe("meru").weight_decay
    assert parse_options(["--config", str(file), "--geometry", "clip"]).settings.geometry == "clip"


def test_a_wrong_setting_in_a_file_names_the_file_and_the_known_ones(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("stepz = 5\n")
    with pytest.raises(RequestError, match="stepz") as caught:
        parse_options(["--config", str(file)])
    assert str(file) in caught.value.what and "steps" in caught.value.how


def test_resume_starts_from_the_settings_of_the_run(tmp_path):
    before = TrainConfig(geometry="clip", steps=9, lr=0.125)
    (tmp_path / "config.toml").write_text(to_toml(before))
    argv = ["--resume", "--out", str(tmp_path), "--checkpoint-every", "3"]
    config = parse_options(argv).settings
    assert (config.geometry, config.steps, config.lr, config.checkpoint_every) == (
        "clip",
        9,
        0.125,
        3,
    )


def test_a_file_can_not_allow_pipes(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[data]\nsource = "pipe:x"\nallow_pipe = true\n')
    assert parse_options(["--config", str(file)]).settings.data.allow_pipe is False
    argv = ["--config", str(file), "--allow-pipe"]
    assert parse_options(argv).settings.data.allow_pipe is True


def test_evaluate_asks_about_the_data_of_the_run(tmp_path):
    (tmp_path / "config.toml").write_text('[data]\nsource = "x.csv"\ncaption_column = "t"\n')
    assert parse_evaluate([str(tmp_path)]).reading.data.caption_column == "t"
    checkpoint = tmp_path / "checkpoints" / "step-000005"
    assert parse_evaluate([str(checkpoint)]).reading.data.source == "x.csv"
    other = parse_evaluate([str(tmp_path), "--data", "y.csv"]).reading.data
    assert (other.source, other.caption_column) == ("y.csv", "")


def test_comma_lists():
    assert comma_list("a, b,c", "--x") == ["a", "b", "c"]
    for text in ("", "a,,b", "a,a"):
        with pytest.raises(RequestError, match="--x"):
            comma_list(text, "--x")


def test_compare_lists():
    options = CompareOptions(geometries="clip,euclip", entailment="0,0.2")
    assert options.geometry_names() == ["clip", "euclip"]
    assert options.entailment_weights() == [0.0, 0.2]


def test_several_sources_and_their_weights(capsys):
    argv = ["--data", "a.tar", "--steps", "3", "--data=b.csv", "--data-weights", "3,1"]
    config = parse_options(argv).settings
    assert config.data.source == "a.tar::b.csv" and config.data.sources == ("a.tar", "b.csv")
    assert config.data.weights == (3.0, 1.0) and config.steps == 3
    same = parse_options(["--data", "a.tar::b.csv", "--data-weights=3,1", "--steps", "3"])
    assert same.settings == config
    with pytest.raises(SystemExit, match="2"):
        parse_options(["--data", "a.tar::b.csv", "--data-weights", "3"])
    assert "data.weights has 1 entries for 2 sources" in capsys.readouterr().err


def test_sources_and_weights_in_toml(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[data]\nsource = "a.tar::b.tar"\nweights = [3, 1]\nresample = true\n')
    data = parse_options(["--config", str(file)]).settings.data
    assert data.sources == ("a.tar", "b.tar") and data.weights == (3.0, 1.0) and data.resample


def test_an_overfit_check_sets_batch_captions_and_augmentation():
    config = parse_options(["--overfit", "64", "--batch-size", "8"]).settings
    assert (config.overfit, config.batch_size) == (64, 64)
    assert config.captions.template == 0 and config.augment.rotate == 0


def test_help_is_flowing_text_without_defaults_that_are_nothing(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "400")
    for command in ("analyze", "evaluate", "embed", "export", "traverse", "viz"):
        assert main([command, "--help"]) == 0
        out = capsys.readouterr().out
        assert any(line.strip(" │[").startswith("SOURCE") for line in out.splitlines())
        assert "(default: None)" not in out and "(default: '')" not in out and ": )" not in out
        # An option's text ends where its line does, whatever the lines of the source.
        said = next(line for line in out.splitlines() if "Of a SOURCE that" in line)
        assert said.rstrip(" │").endswith("meru, or any other name of a geometry.")
        assert "(default: cpu)" in out
