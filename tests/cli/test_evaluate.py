"""Tasks through the command line: what is shown, written, and refused in one line."""

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from published import open_clip_state
from sources import COLOURS, png, tar

from geomclip.cli.main import main
from geomclip.data.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published file with its vocabulary."""
    folder = tmp_path_factory.mktemp("published")
    tokenizer = Tokenizer.train(["a red field, 10 wide", "a green field"], vocab_size=530)
    tokenizer.save(folder / "tokenizer.json")
    state = open_clip_state(vocab=tokenizer.vocab_size)
    torch.save({"epoch": 1, "state_dict": state}, folder / "epoch_1.pt")
    return folder / "epoch_1.pt"


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP_benchmark's layout with six classes."""
    root = tmp_path_factory.mktemp("wds") / "colours"
    for split, pictures in (("test", 12), ("train", 12)):
        (root / split).mkdir(parents=True)
        files = {}
        for k in range(pictures):
            files[f"s{k}.cls"] = str(k % 6).encode()
            files[f"s{k}.png"] = png(COLOURS[k % 6], (12 + k // 6, 12))
        tar(root / split / "0.tar", files)
        (root / split / "nshards.txt").write_text("1")
    (root / "classnames.txt").write_text("\n".join(COLOURS[:6]))
    return root


def call(*argv: object) -> int:
    return main(["evaluate", *map(str, argv), "--geometry", "euclip", "--threads", "1"])


def test_tasks_are_shown_saved_and_written_for_clip_benchmark(
    checkpoint, colours, tmp_path, capsys
):
    out, folder = tmp_path / "numbers.json", tmp_path / "table"
    argv = ["--data", colours, "--tasks", "zeroshot,knn", "--templates", "a {} field", "{c}"]
    assert call(checkpoint, *argv, "--out", out, "--benchmark", folder) == 0
    captured = capsys.readouterr()
    assert "Prompts (2): a {} field | {}" in captured.err and "2 files written" in captured.err
    values = json.loads(out.read_text())
    assert values["tasks"]["templates"] == ["a {} field", "{}"] and values["splits"] == {}
    numbers = {(row["split"], row["metric"]): row["value"] for row in values["rows"]}
    shown = {line.split()[0]: line.split()[1] for line in captured.out.splitlines()[2:]}
    assert shown["knn1_acc1"] == f"{numbers['test', 'knn1_acc1']:.4f}" == "1.0000"
    assert "(0.1667)" in next(x for x in captured.out.splitlines() if "zeroshot_acc1" in x)
    record = json.loads((folder / f"colours_{checkpoint.name}_euclip_en_"
                         "zeroshot_classification.json").read_text())  # fmt: skip
    assert record["metrics"]["acc1"] == numbers["test", "zeroshot_acc1"]
    assert record["metrics"]["acc5"] == numbers["test", "zeroshot_acc5"]


def test_files_of_texts_are_asked_alone_and_together(checkpoint, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("eagle", "ash", "teepee"):
        (images / f"{name}.jpg").write_bytes(png("red"))
    pair = {"filename": "eagle.jpg", "caption": "a red field", "negative_caption": "a red field"}
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "swap_att.json").write_text(json.dumps({"0": pair}))
    rows = [["cue", "candidates", "associations"]]
    rows.append(["bald", '["eagle", "ash", "teepee"]', '["eagle"]'])
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    (tmp_path / "game.csv").write_text(out.getvalue())
    argv = [
        "--pairs", tmp_path / "pairs", "--pairs-images", images, "--associations",
        tmp_path / "game.csv", "--associations-images", images, "--out", tmp_path / "x.json",
    ]  # fmt: skip
    assert call(checkpoint, *argv, "--json", "--benchmark", tmp_path / "table") == 0
    values = json.loads(capsys.readouterr().out)
    # The same words, and pictures that look the same: all ties, so all misses.
    assert values["pairs"]["mean"]["ties"] == 1 and values["pairs"]["mean"]["accuracy"] == 0
    assert values["associations"]["jaccard"]["value"] == 0 and values["rows"] == []
    names = {json.loads(p.read_text())["task"] for p in (tmp_path / "table").iterdir()}
    assert names == {"image_caption_selection", "association"}
    assert call(checkpoint, *argv) == 0
    shown = capsys.readouterr().out
    assert "pairs, swap_att" in shown and "1 ties" in shown and "WinoGAViL: Jaccard" in shown


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["--tasks", "zeroshot,recall"], '--tasks: there is no "recall"'),
        (["--templates", "a {}"], "--templates belongs to zeroshot, and --tasks asks for labels"),
        (["--tasks", "retrieval", "--level", "x"], "--level belongs to zeroshot, probe, knn"),
        (["--tasks", "knn", "--hierarchy", "nouns"], "--hierarchy belongs to labels"),
        (["--pairs", "x.json"], "--pairs is a file and its pictures' folder"),
        (["--captions", "-1"], "--captions is -1"),
        (["--benchmark", "x"], "--benchmark is for the results of tasks"),
        (["--pairs", "x.json", "--pairs-images", "y"], "y is no folder"),
        (["--tasks", "zeroshot", "--templates", "a photo"], '"a photo" has no {} for the class'),
        (["--tasks", "zeroshot", "--data", "nowhere"], "nowhere: there is no such file"),
    ],
)
def test_what_does_not_fit_is_said_in_two_lines(
    checkpoint, argv, what, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.json").write_text('[{"filename": "a", "caption": "b", "negative_caption": "c"}]')
    assert call(checkpoint, *argv, "--quiet") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and what in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_class_names_that_are_missing(checkpoint, colours, tmp_path, capsys):
    root = tmp_path / "colours"
    (root / "test").mkdir(parents=True)
    for name in ("0.tar", "nshards.txt"):
        (root / "test" / name).write_bytes((colours / "test" / name).read_bytes())
    assert call(checkpoint, "--data", root, "--tasks", "zeroshot", "--quiet") == 2
    assert "has no class names (classnames.txt is missing)" in capsys.readouterr().err


def test_embeddings_have_no_tasks(tmp_path, capsys):
    import numpy as np

    path = tmp_path / "points.npz"
    np.savez(path, image=np.eye(4, dtype=np.float32))
    assert call(path, "--tasks", "zeroshot") == 2
    assert "holds embeddings, and no model" in capsys.readouterr().err
