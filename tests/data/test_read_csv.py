"""Tables: what well-formed ones give, and what is said of the others."""

import pytest
from sources import fails, pictures, read, table

from geomclip.data.config import DataConfig
from geomclip.data.sources import load
from geomclip.errors import RequestError


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
