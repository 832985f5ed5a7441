"""COCO and Karpathy json: what it gives, and what is said of other layouts."""

import json

import pytest
from sources import fails, pictures, read

from geomclip.data.config import DataConfig
from geomclip.data.record import BadRecord
from geomclip.data.sources import load


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
