"""Readers of users' data: what a well-formed source gives, and which errors a wrong one gives."""

import csv
import io
import json
import logging
import os
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from geomclip.data.config import DataConfig
from geomclip.data.record import BadRecord, Record
from geomclip.data.sources import load, read_items, read_source, sniff
from geomclip.errors import RequestError

COLOURS = ("red", "green", "blue", "white", "black", "orange", "purple", "brown", "pink", "gray")


def png(colour: str, size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def pictures(folder: Path, names: list[str] | tuple[str, ...], suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        (folder / f"{name}{suffix}").write_bytes(png(COLOURS[i % len(COLOURS)]))


def table(path: Path, rows: list[list[str]], separator: str = ",", encoding: str = "utf-8") -> Path:
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows(rows)
    path.write_bytes(out.getvalue().encode(encoding))
    return path


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as out:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def read(source: Path | str, **options: object) -> tuple[list[Record], list[BadRecord]]:
    items = list(read_source(DataConfig(source=str(source), **options)))
    return (
        [item for item in items if isinstance(item, Record)],
        [item for item in items if isinstance(item, BadRecord)],
    )


def fails(source: Path | str, **options: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        list(read_source(DataConfig(source=str(source), **options)))
    assert caught.value.how, "an error says the way out"
    return caught.value


# --- csv


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("header", [("filepath", "title"), ("image", "caption"), ("Path", "Text")])
def test_a_table_is_read_whatever_its_separator_and_usual_names(tmp_path, separator, header):
    pictures(tmp_path, ["a", "b"])
    rows = [list(header), ["a.png", "a red, round thing"], ["b.png", "green"]]
    good, bad = read(table(tmp_path / "t.csv", rows, separator))
    assert bad == []
    assert [r.texts for r in good] == [("a red, round thing",), ("green",)]
    assert [r.image for r in good] == [tmp_path / "a.png", tmp_path / "b.png"]
    assert good[1].source == f"{tmp_path / 't.csv'} row 3"


def test_rows_of_one_picture_are_one_record_with_several_captions(tmp_path):
    pictures(tmp_path, ["a", "b"])
    rows = [
        ["image", "caption"],
        ["a.png", "one"],
        ["b.png", "x"],
        ["a.png", "two"],
        ["a.png", "one"],
    ]
    good, bad = read(table(tmp_path / "t.csv", rows))
    assert bad == []
    assert [r.texts for r in good] == [("one", "two"), ("x",)]


def test_chosen_columns_ids_labels_and_image_folder(tmp_path):
    pictures(tmp_path / "photos", ["a"])
    rows = [["sku", "pic", "words", "kind", "sort"], ["7", "a.png", "hi", "animal", "wild_cat"]]
    good, _ = read(
        table(tmp_path / "t.tsv", rows, "\t"),
        image_column="pic",
        caption_column="words",
        id_column="sku",
        label_columns=("kind", "sort"),
        image_folder=str(tmp_path / "photos"),
    )
    assert good[0].id == "7"
    assert good[0].path == ("animal", "wild cat")


def test_labels_stand_in_for_captions_where_a_table_has_none(tmp_path):
    pictures(tmp_path, ["a"])
    path = table(tmp_path / "t.csv", [["filepath", "label"], ["a.png", "golden_retriever"]])
    good, _ = read(path, label_columns=("label",))
    assert good[0].texts == ("golden retriever",)


def test_a_missing_column_names_the_columns_and_the_option(tmp_path):
    path = table(tmp_path / "t.csv", [["filepath", "words"], ["a.png", "x"]])
    error = fails(path)
    assert "no column for the caption" in error.what and "filepath, words" in error.what
    assert "--data.caption-column" in error.how
    error = fails(path, caption_column="caption")
    assert 'no column "caption" (it has: filepath, words)' in error.what


def test_both_missing_columns_are_named_at_once(tmp_path):
    error = fails(table(tmp_path / "t.csv", [["a", "b"], ["x", "y"]]))
    assert "picture" in error.what and "caption" in error.what
    assert "--data.image-column" in error.how and "--data.caption-column" in error.how


def test_addresses_are_refused(tmp_path):
    error = fails(table(tmp_path / "t.csv", [["url", "caption"], ["https://x.org/a.png", "x"]]))
    assert "column url" in error.what and "img2dataset" in error.how
    path = table(tmp_path / "u.csv", [["image", "caption"], ["https://x.org/a.png", "x"]])
    _, bad = read(path)
    assert bad[0].reason.startswith("an address in place of a file")


def test_bytes_that_are_not_utf8_are_named_by_row_and_position(tmp_path):
    pictures(tmp_path, ["a", "b"])
    rows = [["image", "caption"], ["a.png", "plain"], ["b.png", "café"]]
    path = table(tmp_path / "t.csv", rows, encoding="latin-1")
    position = path.read_bytes().index(b"\xe9")
    good, bad = read(path)
    assert [r.texts for r in good] == [("plain",)]
    assert bad[0].where == f"{path} row 3"
    assert bad[0].reason == f"not UTF-8: byte 0xe9 at position {position} of the file"
    with pytest.raises(RequestError, match=r"row 3: not UTF-8") as caught:
        load(DataConfig(source=str(path)), 8)
    assert "--data.encoding latin-1" in caught.value.how
    good, bad = read(path, encoding="latin-1")
    assert not bad and good[1].texts == ("café",)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path, mark):
    pictures(tmp_path, ["a"])
    path = table(tmp_path / "t.csv", [["image", "caption"], ["a.png", "é"]], encoding=mark)
    if mark == "utf-16":
        assert "UTF-16" in fails(path).what
        good, _ = read(path, encoding="utf-16")
    else:
        good, _ = read(path)
    assert good[0].texts == ("é",)


def test_a_declared_encoding_that_does_not_fit_or_exist(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("image,caption\na.png,é\n".encode("latin-1"))
    assert "is not ascii" in fails(path, encoding="ascii").what
    assert "no encoding" in fails(path, encoding="latin-99").what


def test_each_kind_of_bad_row_is_found_with_its_row(tmp_path):
    pictures(tmp_path, ["a", "b", "c"])
    rows = [
        ["id", "image", "caption"],
        ["1", "a.png", "fine"],
        ["1", "b.png", "same id"],
        ["2", "gone.png", "no file"],
        ["3", "c.png", "  "],
        ["4", "c.png"],
        ["5", "", "no name"],
        ["", "c.png", "no id"],
    ]
    good, bad = read(table(tmp_path / "t.csv", rows), id_column="id")
    assert [r.id for r in good] == ["1"]
    reasons = {int(b.where.rsplit(" ", 1)[1]): b.reason.split(":")[0] for b in bad}
    assert reasons == {
        3: "duplicate id",
        4: "no such picture",
        5: "the caption is empty",
        6: "wrong number of fields",
        7: "the path of the picture is empty",
        8: "the id is empty",
    }


def test_empty_tables_and_broken_quotes(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"")
    assert "is empty" in fails(path).what
    path.write_bytes(b"image,caption\n")
    assert "no rows" in fails(path).what
    path.write_bytes(b"just one column\nx\n")
    assert "single column" in fails(path).what
    path.write_bytes(b'image,caption\na.png,"never closed\n' + b"x" * 200_000)
    assert "row 2" in fails(path).what and "quote" in fails(path).how


def test_a_split_column_is_used(tmp_path):
    pictures(tmp_path, ["a", "b", "c"])
    rows = [
        ["image", "caption", "split"],
        ["a.png", "x", "train"],
        ["b.png", "y", "val"],
        ["c.png", "z", "test"],
    ]
    config = DataConfig(source=str(table(tmp_path / "t.csv", rows)))
    splits = load(config, 8)
    assert splits.train.ids == ["a.png"]
    assert splits.evaluation["validation"].pool.ids == ["b.png"]


# --- folders


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


# --- tars


def shard(path: Path, keys: range, **extra: bytes) -> Path:
    files: dict[str, bytes] = {}
    for k in keys:
        files[f"{k:09d}.jpg"] = png(COLOURS[k % len(COLOURS)])
        files[f"{k:09d}.txt"] = f"picture {k}".encode()
        files[f"{k:09d}.json"] = json.dumps({"caption": f"picture {k}", "kind": "thing"}).encode()
    return tar(path, files | {name.replace("_", "."): data for name, data in extra.items()})


def test_shards_by_braces_wildcards_and_folder(tmp_path):
    shard(tmp_path / "00000.tar", range(0, 3))
    shard(tmp_path / "00001.tar", range(3, 5))
    for source in (tmp_path / "{00000..00001}.tar", tmp_path / "*.tar", tmp_path):
        good, bad = read(source)
        assert bad == []
        assert [r.texts for r in good] == [(f"picture {k}",) for k in range(5)]
    assert good[3].id == "00001/000000003"
    assert isinstance(good[0].image, bytes)


def test_captions_from_json_and_labels_by_key(tmp_path):
    path = tar(
        tmp_path / "a.tar",
        {"1.png": png("red"), "1.json": b'{"words": ["x", "y"], "kind": "thing"}'},
    )
    good, _ = read(path, caption_column="words", label_columns=("kind",))
    assert good[0].texts == ("x", "y") and good[0].path == ("thing",)
    _, bad = read(path, caption_column="words", label_columns=("sort",))
    assert "sort" in bad[0].reason


def test_bad_samples_of_a_shard(tmp_path):
    path = tar(
        tmp_path / "a.tar",
        {
            "1.txt": b"no picture",
            "2.png": png("red"),
            "3.png": png("red"),
            "3.txt": b"caf\xe9",
            "4.png": png("red"),
            "4.json": b"{",
            "5.png": png("red"),
            "5.txt": b"fine",
        },
    )
    good, bad = read(path)
    assert [r.id for r in good] == ["a/5"]
    kinds = ["no picture", "no caption", "its caption is not utf-8", "its json can't be read"]
    assert [b.reason.split(":")[0] for b in bad] == kinds
    assert [b.where for b in bad] == [f"{path}: {k}" for k in "1234"]


def test_a_truncated_shard_gives_what_came_before(tmp_path):
    path = shard(tmp_path / "a.tar", range(20))
    whole = path.read_bytes()
    # Within a member, between two members, between two samples; each file takes 1,024 bytes.
    for cut, what in ((10_000, "to its end"), (10 * 1024, "cut off"), (9 * 1024, "cut off")):
        path.write_bytes(whole[:cut])
        good, bad = read(path)
        assert len(good) == 3
        assert bad[-1].where == str(path) and what in bad[-1].reason
        assert "<" not in bad[-1].reason and str(path) not in bad[-1].reason
    path.write_bytes(b"this is no tar at all" * 100)
    good, bad = read(path)
    assert good == [] and len(bad) == 1


def test_missing_shards_are_named(tmp_path):
    shard(tmp_path / "0.tar", range(1))
    error = fails(tmp_path / "{0..3}.tar")
    assert "3 of 4 shards" in error.what and str(tmp_path / "1.tar") in error.what
    assert "matches no file" in fails(tmp_path / "x*.tar").what
    assert "more than" in fails("{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}.tar").what


def test_pipes_run_only_when_allowed(tmp_path):
    path = shard(tmp_path / "a.tar", range(2))
    source = f"pipe:cat {path}"
    error = fails(source)
    assert "would run a shell command" in error.what and "--data.allow-pipe" in error.how
    good, bad = read(source, allow_pipe=True)
    assert len(good) == 2 and bad == []
    _, bad = read("pipe:exit 3", allow_pipe=True)
    assert len(bad) == 1 and "its command failed with exit code 3 (after 0" in bad[0].reason


def test_a_pickle_in_a_shard_is_never_opened(tmp_path):
    marker = tmp_path / "executed"
    evil = f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()
    files = {"1.png": png("red"), "1.txt": b"x", "1.pyd": evil, "1.pkl": evil, "1.pth": evil}
    good, _ = read(tar(tmp_path / "a.tar", files))
    assert len(good) == 1 and not marker.exists()


# --- json


def test_coco_captions_with_pictures_in_the_usual_place(tmp_path):
    pictures(tmp_path / "val2017", ["000000000001", "000000000002"], ".jpg")
    (tmp_path / "annotations").mkdir()
    data = {
        "images": [
            {"id": 1, "file_name": "000000000001.jpg"},
            {"id": 2, "file_name": "000000000002.jpg"},
            {"id": 3, "file_name": "000000000003.jpg"},
        ],
        "annotations": [
            {"image_id": 2, "caption": "second"},
            {"image_id": 1, "caption": "first"},
            {"image_id": 1, "caption": "first again"},
            {"image_id": 3, "caption": "third"},
        ],
    }
    path = tmp_path / "annotations" / "captions_val2017.json"
    path.write_text(json.dumps(data))
    good, bad = read(path)
    assert [(r.id, r.texts) for r in good] == [("1", ("first", "first again")), ("2", ("second",))]
    assert bad == [BadRecord(f"{path} image 3", "no such picture: 000000000003.jpg")]


def test_karpathy_splits(tmp_path):
    names = ["a", "b", "c", "d"]
    pictures(tmp_path / "val2014", names, ".jpg")
    images = [
        {
            "filename": f"{name}.jpg",
            "filepath": "val2014",
            "cocoid": i,
            "split": split,
            "sentences": [{"raw": f"{name} one"}, {"raw": f"{name} two"}],
        }
        for i, (name, split) in enumerate(
            zip(names, ["train", "restval", "val", "test"], strict=True)
        )
    ]
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"images": images, "dataset": "coco"}))
    splits = load(DataConfig(source=str(path)), 8)
    assert splits.train.texts == [("a one", "a two"), ("b one", "b two")]
    assert splits.evaluation["validation"].pool.ids == ["2"]
    splits = load(DataConfig(source=str(path), val_split="test"), 8)
    assert splits.evaluation["validation"].pool.ids == ["3"]


def test_a_plain_list_merges_captions(tmp_path):
    pictures(tmp_path, ["a"])
    path = tmp_path / "list.json"
    path.write_text(
        json.dumps([{"image": "a.png", "caption": ["x", "y"]}, {"image": "a.png", "caption": "z"}])
    )
    good, _ = read(path)
    assert good[0].texts == ("x", "y", "z")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "not readable as json"),
        ("3", "no list of images: it is a int"),
        ('{"info": 1}', "no list of images"),
        ('{"images": []}', "lists no images"),
        ('{"images": [3]}', "no object"),
        ('{"images": [{"id": 1}]}', "neither annotations nor sentences"),
        ('{"images": [{"id": 1}], "annotations": [{"bbox": []}]}', "instances file"),
    ],
)
def test_json_of_another_layout(tmp_path, text, what):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert what in fails(path).what


# --- sniffing and splitting


def test_what_is_no_data_is_said(tmp_path):
    assert "no such file or folder" in fails(tmp_path / "nowhere").what
    assert "is empty" in fails("").what
    for name, what in (("x.parquet", ".parquet is not read"), ("x.bin", "not a known kind")):
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
