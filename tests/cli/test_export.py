"""Published checkpoints through the command line: evaluate, export, evaluate again."""

import json
from pathlib import Path

import pytest
import torch
from published import open_clip_state

from geomclip.cli.main import main
from geomclip.data.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of open_clip's tensors with a vocabulary beside it, and no word of its geometry."""
    folder = tmp_path_factory.mktemp("published")
    tokenizer = Tokenizer.train(["a red field, 10 wide", "a green field"], vocab_size=530)
    tokenizer.save(folder / "tokenizer.json")
    state = open_clip_state(vocab=tokenizer.vocab_size)
    torch.save({"epoch": 1, "state_dict": state}, folder / "epoch_1.pt")
    return folder / "epoch_1.pt"


def evaluated(source: Path, table: Path, out: Path, *more: str) -> dict:
    argv = [
        "evaluate",
        str(source),
        "--data",
        str(table),
        "--data.label-columns",
        "group",
        "colour",
    ]
    assert main([*argv, "--out", str(out), "--threads", "1", "--quiet", "--json", *more]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize(("layout", "geometry"), [("hf", "clip"), ("openclip", "euclip")])
def test_an_export_scores_as_its_source(checkpoint, table, tmp_path, capsys, layout, geometry):
    before = evaluated(checkpoint, table, tmp_path / "a.json", "--geometry", geometry)
    assert before["geometry"] == geometry
    assert {row["split"] for row in before["rows"]} == {"validation", "train"}
    out = tmp_path / "out"
    argv = ["export", str(checkpoint), str(out), "--to", layout, "--geometry", geometry, "--json"]
    capsys.readouterr()
    assert main(argv) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["files"] == sorted(p.name for p in out.iterdir())
    after = evaluated(out, table, tmp_path / "b.json")
    assert after["rows"] == before["rows"]


def test_the_root_of_a_checkpoint_is_told(checkpoint, table, tmp_path, capsys):
    argv = ["evaluate", str(checkpoint), "--data", str(table), "--geometry", "clip"]
    assert main([*argv, "--threads", "1"]) == 0
    assert "Root: the mean of what" in capsys.readouterr().err
    assert (checkpoint.parent / "epoch_1.evaluation.json").exists()


def test_a_geometry_that_nothing_tells_is_asked_for(checkpoint, table, tmp_path, capsys):
    assert main(["export", str(checkpoint), str(tmp_path / "out")]) == 2
    what, how = capsys.readouterr().err.splitlines()
    assert what.startswith(f"geomclip export: {checkpoint}: its tensors are those of CLIP and")
    assert "--geometry euclip" in how


def test_a_run_is_what_it_says(tmp_path, capsys):
    (tmp_path / "config.toml").write_text("")
    assert main(["export", str(tmp_path), str(tmp_path / "out"), "--geometry", "meru"]) == 2
    assert "is a run, which says its geometry" in capsys.readouterr().err
