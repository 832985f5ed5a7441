"""Finding out what a source is, bad pictures, and the splits."""

import logging
from pathlib import Path

import pytest
import torch
from sources import fails, pictures, table

from geomclip.data.config import DataConfig
from geomclip.data.sources import load, sniff
from geomclip.errors import RequestError


def test_what_is_no_data_is_said(tmp_path):
    assert "no such file or folder" in fails(tmp_path / "nowhere").what
    assert "is empty" in fails("").what
    for name, what in (("x.jsonl", ".jsonl is not read"), ("x.bin", "not a known kind")):
        (tmp_path / name).write_bytes(b"x")
        assert what in fails(tmp_path / name).what
    assert sniff("https://host/a.tar") == "tar"


def many(folder: Path, n: int) -> Path:
    pictures(folder, [f"p{i}" for i in range(n)])
    rows = [["image", "caption"], *([f"p{i}.png", f"picture {i}"] for i in range(n))]
    return table(folder / "t.csv", rows)


def test_one_unreadable_picture_among_many(tmp_path, caplog):
    path = many(tmp_path, 40)
    whole = (tmp_path / "p7.png").read_bytes()
    (tmp_path / "p7.png").write_bytes(whole[:50])
    with pytest.raises(RequestError) as caught:
        load(DataConfig(source=str(path)), 8)
    assert caught.value.what.startswith(f"{path} row 9: p7.png: ")
    assert "1 of 40 rows is bad" in caught.value.how and "--data.skip-bad" in caught.value.how
    with caplog.at_level(logging.WARNING, "geomclip"):
        splits = load(DataConfig(source=str(path), skip_bad=True), 8)
    assert len(splits.train) + len(splits.evaluation["validation"].pool) == 39
    assert "left out 1 of 40 rows" in caplog.text and "row 9" in caplog.text


def test_skip_bad_does_not_hide_that_everything_is_bad(tmp_path):
    path = table(tmp_path / "t.csv", [["image", "caption"], ["a.png", "x"], ["b.png", "y"]])
    with pytest.raises(RequestError, match="no such picture") as caught:
        load(DataConfig(source=str(path), skip_bad=True), 8)
    assert "2 of 2" in caught.value.how


def test_the_hash_split_is_a_partition_that_ignores_order(tmp_path):
    path = many(tmp_path, 60)
    counts: list[int] = []
    splits = load(DataConfig(source=str(path)), 8, progress=counts.append)
    assert counts == list(range(1, 61))
    train, held = set(splits.train.ids), set(splits.evaluation["validation"].pool.ids)
    assert not train & held and len(train | held) == 60 and 0 < len(held) < 20
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    again = load(DataConfig(source=str(path)), 8)
    assert set(again.evaluation["validation"].pool.ids) == held
    assert splits.name == "t" and splits.levels == ()


def test_validation_data_of_its_own(tmp_path):
    train, other = many(tmp_path / "a", 5), many(tmp_path / "b", 3)
    splits = load(DataConfig(source=str(train), val_data=str(other)), 8)
    assert len(splits.train) == 5
    split = splits.evaluation["validation"]
    assert torch.equal(split.query, torch.arange(3)) and len(split.pool) == 3


def test_levels_are_named_after_columns_or_depth(tmp_path):
    pictures(tmp_path / "f" / "animal" / "cat", [str(i) for i in range(30)])
    assert load(DataConfig(source=str(tmp_path / "f")), 8).levels == ("level_1", "level_2")
    assert load(DataConfig(source=str(tmp_path / "f" / "animal")), 8).levels == ("class",)


def test_the_default_is_the_embedded_set():
    splits = load(DataConfig(), 32)
    assert splits.name == "emoji" and len(splits.train) == 4985
