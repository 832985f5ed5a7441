"""Parquet tables: what they give, by row, and what is said of broken ones."""

import builtins
import json

import pyarrow
import pyarrow.parquet
import pytest
from shards import parquet
from sources import fails, pictures, png, read


def test_bytes_paths_and_structs_are_pictures(tmp_path):
    pictures(tmp_path, ["a"])
    cells = {
        "bytes": png("red"),
        "path": "a.png",
        "struct": {"bytes": png("red"), "path": None},
        "struct path": {"bytes": None, "path": "a.png"},
    }
    for name, cell in cells.items():
        path = parquet(tmp_path / "t.parquet", [{"image": cell, "caption": name}])
        good, bad = read(path)
        assert bad == [] and good[0].texts == (name,)
        assert good[0].image == (tmp_path / "a.png" if "path" in name else png("red"))
        assert good[0].where.startswith(f"{path} row 0")


def test_columns_captions_ids_labels_and_splits(tmp_path):
    rows = [
        {"pic": png("red"), "words": ["a", "b", " "], "key": 7, "kind": 1, "sort": "warm_red",
         "split": split} for split in ("train", "validation")
    ]  # fmt: skip
    table = pyarrow.Table.from_pylist(rows)
    features = {"kind": {"names": ["cold", "warm"], "_type": "ClassLabel"}}
    about = json.dumps({"info": {"features": features}})
    table = table.replace_schema_metadata({"huggingface": about})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    options = {"image_column": "pic", "caption_column": "words", "label_columns": ("kind", "sort")}
    good, _ = read(tmp_path / "t.parquet", **options)
    assert good[0].texts == ("a", "b") and good[0].path == ("warm", "warm red")
    assert good[0].id == f"{tmp_path}/t.parquet/0"
    good, bad = read(tmp_path / "t.parquet", id_column="key", **options)
    assert good[0].id == "7" and "duplicate id: 7" in bad[0].reason
    labelled, _ = read(
        tmp_path / "t.parquet", image_column="pic", caption_column="sort", label_columns=("kind",)
    )
    assert labelled[0].texts == ("warm_red",)


def test_bad_rows_are_told_by_row(tmp_path):
    rows = [
        {"image": None, "caption": "x", "split": "train"},
        {"image": "gone.png", "caption": "x", "split": "train"},
        {"image": "http://host/a.png", "caption": "x", "split": "train"},
        {"image": "a.png", "caption": None, "split": "train"},
        {"image": "a.png", "caption": "x", "split": "odd"},
        {"image": "a.png", "caption": "x", "split": "test"},
    ]
    pictures(tmp_path, ["a"])
    path = parquet(tmp_path / "t.parquet", rows, group=2)
    good, bad = read(path)
    assert len(good) == 1
    assert [b.where for b in bad] == [f"{path} row {i}" for i in range(5)]
    kinds = ["no picture", "no such picture", "an address", "the caption is", "unknown split"]
    assert all(kind in b.reason for kind, b in zip(kinds, bad, strict=True))


def test_a_damaged_file_is_a_bad_record_and_the_others_are_read(tmp_path):
    rows = [{"image": png("red"), "caption": f"p{i}"} for i in range(8)]
    parquet(tmp_path / "0.parquet", rows)
    whole = (tmp_path / "0.parquet").read_bytes()
    (tmp_path / "1.parquet").write_bytes(whole[:-40])
    # Within the first data page: the footer is whole.
    (tmp_path / "2.parquet").write_bytes(whole[:8] + b"\xff" * 60 + whole[68:])
    good, bad = read(tmp_path)
    assert len(good) >= 8
    assert bad[0].where == f"{tmp_path}/1.parquet" and "not readable as parquet" in bad[0].reason
    assert bad[1].where == f"{tmp_path}/2.parquet" and "\n" not in bad[1].reason


def test_a_missing_column_is_answered_with_the_option(tmp_path):
    error = fails(parquet(tmp_path / "t.parquet", [{"photo": png("red"), "words": "x"}]))
    assert "no column for the picture (it has: photo, words)" in error.what
    assert error.how == "Add --data.image-column NAME."
    error = fails(parquet(tmp_path / "t.parquet", [{"url": "http://a", "caption": "x"}]))
    assert "by address (column url)" in error.what and "img2dataset" in error.how
    assert "is read from files" in fails("s3://bucket/a.parquet").what


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = parquet(tmp_path / "t.parquet", [{"image": png("red"), "caption": "x"}])
    original = builtins.__import__

    def refuse(name, *rest, **more):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    error = fails(path)
    assert "pyarrow, which is not installed" in error.what and "geomclip[data]" in error.how
    with pytest.raises(ImportError):
        refuse("pyarrow.parquet")
