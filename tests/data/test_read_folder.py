"""Folders of pictures: what they give, and what is said of those that can't be read."""

import os

from sources import fails, pictures, read

from geomclip.data.config import DataConfig
from geomclip.data.sources import read_items


def test_class_folders_give_label_paths_and_captions(tmp_path):
    pictures(tmp_path / "animal" / "golden_retriever", ["1", "2"])
    pictures(tmp_path / "animal" / "cat", ["1"])
    good, bad = read(tmp_path)
    assert bad == []
    assert [r.id for r in good] == [
        os.path.join("animal", "cat", "1.png"),
        os.path.join("animal", "golden_retriever", "1.png"),
        os.path.join("animal", "golden_retriever", "2.png"),
    ]
    assert good[1].path == ("animal", "golden retriever")
    assert good[1].texts == ("golden retriever",)


def test_captions_beside_pictures_in_img2dataset_layout(tmp_path):
    pictures(tmp_path / "00000", ["000000000", "000000001", "000000002"], ".jpg")
    (tmp_path / "00000" / "000000000.txt").write_text("a cat\nthe same cat\n")
    (tmp_path / "00000" / "000000001.json").write_text('{"caption": "a dog"}')
    good, bad = read(tmp_path)
    assert [r.texts for r in good] == [("a cat", "the same cat"), ("a dog",)]
    assert all(r.path == () for r in good)
    assert bad[0].where.endswith("000000002.jpg") and bad[0].reason.startswith("no caption")


def test_a_flat_folder_without_captions_is_refused_with_the_ways_out(tmp_path):
    pictures(tmp_path, ["a", "b"])
    error = fails(tmp_path)
    assert "2 pictures but neither captions nor class folders" in error.what
    assert ".txt" in error.how and "folder per class" in error.how and "csv" in error.how


def test_train_and_val_folders_are_splits(tmp_path):
    pictures(tmp_path / "train" / "cat", ["1", "2"])
    pictures(tmp_path / "val" / "cat", ["3"])
    items = list(read_items(DataConfig(source=str(tmp_path))))
    assert [item[1] for item in items] == ["train", "train", "val"]
    assert {item[0].path for item in items} == {("cat",)}


def test_an_empty_folder_and_a_loop_of_links(tmp_path):
    assert "no pictures" in fails(tmp_path).what
    pictures(tmp_path / "cat", ["1"])
    (tmp_path / "cat" / "again").symlink_to(tmp_path)
    good, _ = read(tmp_path)
    assert len(good) == 1
