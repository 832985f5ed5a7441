"""Caption pairs: both layouts, ties, intervals, and what is said of broken files."""

import json

import numpy as np
import pytest
import torch
from sources import png

from geomclip.data.transforms import on_white
from geomclip.errors import RequestError
from geomclip.evaluate.pairs import Pair, pair_accuracy, pairs_of, prefer, read_pairs
from geomclip.geometry import build_geometry
from geomclip.names import CANONICAL

ENTRY = {"filename": "a.png", "caption": "a red cat", "negative_caption": "a blue cat"}


def test_both_layouts_are_read_by_category(tmp_path):
    (tmp_path / "swap_att.json").write_text(json.dumps({"0": ENTRY, "7": ENTRY}))
    vl = tmp_path / "Relation" / "vg"
    vl.mkdir(parents=True)
    pair = ["VG_100K/1.jpg", {"POS": ["drain ON street", "x"], "NEG": ["drain under street"]}]
    (vl / "spatial.json").write_text(json.dumps([pair]))
    found = read_pairs(tmp_path)
    assert found == {
        "Relation/vg/spatial": (Pair("VG_100K/1.jpg", "drain ON street", "drain under street"),),
        "swap_att": (Pair("a.png", "a red cat", "a blue cat"),) * 2,
    }
    assert list(read_pairs(tmp_path / "swap_att.json")) == ["swap_att"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"4": {"filename": "a.png", "caption": "x"}}', '"4": no key "negative_caption"'),
        ('[["a.png", {"POS": ["x"]}]]', '"0": no key "NEG"'),
        ('[["a.png", {"POS": ["x"], "NEG": []}]]', '"0": "NEG" is [], no text'),
        ('{"4": {"filename": 3, "caption": "x", "negative_caption": "y"}}', '"filename" is 3'),
        ('["a.png"]', '"0" is no pair'),
        ("{}", "holds no list of pairs"),
        ("[", "not readable as json"),
    ],
)
def test_a_broken_file_is_named_with_entry_and_key(tmp_path, text, what):
    path = tmp_path / "add_att.json"
    path.write_text(text)
    with pytest.raises(RequestError) as error:
        read_pairs(path)
    assert what in error.value.what and str(path) in error.value.what


def test_no_file_at_all(tmp_path):
    with pytest.raises(RequestError, match="holds no json file"):
        read_pairs(tmp_path)


@pytest.mark.parametrize("name", [*CANONICAL, "lorentz4xsphere4"])
def test_the_geometry_s_own_score_decides_and_a_tie_is_none(name):
    torch.manual_seed(0)
    g = build_geometry(name, 8)
    with torch.no_grad():
        x, y, z = (g.lift(torch.randn(5, 8), m) for m in ("image", "text", "text"))
        right, ties = prefer(g, x, y, z)
        expected = g.score(x, y).diagonal() > g.score(x, z).diagonal()
        assert right.tolist() == expected.tolist() and not ties.any()
        right, ties = prefer(g, x, y, y)
    assert not right.any() and ties.all()


def test_accuracies_by_category_group_and_mean():
    pictures = {"add_att": ["a", "b"], "add_obj": ["a", "c", "c", "d"], "swap_att": ["e"]}
    right = {
        "add_att": np.array([True, True]),
        "add_obj": np.array([True, False, False, False]),
        "swap_att": np.array([False]),
    }
    ties = {k: np.zeros(len(v), bool) for k, v in right.items()}
    ties["swap_att"][0] = True
    found = pair_accuracy(pictures, right, ties)
    assert {k: v.accuracy for k, v in found.categories.items()} == {
        "add_att": 1, "add_obj": 1 / 4, "swap_att": 0
    }  # fmt: skip
    assert list(found.groups) == ["add"] and found.groups["add"].accuracy == pytest.approx(5 / 8)
    assert found.groups["add"].pairs == 6 and found.groups["add"].pictures == 4
    assert found.mean.accuracy == pytest.approx((1 + 1 / 4) / 3)
    assert found.mean.ties == 1 and found.categories["add_obj"].pictures == 3
    # All of two right: Wilson's 1 / (1 + z^2/n), and not an interval without width.
    assert found.categories["add_att"].low == pytest.approx(1 / (1 + 3.841459 / 2), rel=1e-5)
    assert found.categories["add_att"].high == 1
    assert found.to_dict()["mean"]["pairs"] == 7


def test_the_interval_draws_pictures_and_covers_what_a_binomial_would():
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.7
    ties = np.zeros(400, bool)
    alone = pair_accuracy({"x": [str(i) for i in range(400)]}, {"x": right}, {"x": ties}).mean
    assert (alone.high - alone.low) / 2 == pytest.approx(1.96 * (0.21 / 400) ** 0.5, rel=0.15)
    # Each answer ten times over, of one picture: ten times the pairs, and no less chance.
    many = pair_accuracy(
        {"x": [str(i) for i in range(400) for _ in range(10)]},
        {"x": right.repeat(10)},
        {"x": ties.repeat(10)},
    ).mean
    assert (many.low, many.high) == pytest.approx((alone.low, alone.high))


def test_a_model_is_asked_on_files(tmp_path, untrained):
    model = untrained("meru")
    images = tmp_path / "images" / "vg"
    images.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (images / name).write_bytes(png("red" if name == "a.png" else "blue"))
    entries = [ENTRY, ENTRY | {"filename": "b.png"}, ENTRY | {"filename": "gone.png"}]
    path = tmp_path / "swap_att.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(RequestError, match=r"lacks 1 of 3 pictures, gone\.png the first"):
        pairs_of(model, path, tmp_path / "images")
    found, left_out = pairs_of(model, path, tmp_path / "images", skip_bad=True)
    assert found.mean.pairs == 2 and [b.reason for b in left_out] == ["there is no such picture"]
    text = model.encode_text([ENTRY["caption"], ENTRY["negative_caption"]])
    pixels = torch.stack([torch.full((4, 16, 16), 255, dtype=torch.uint8)] * 2)
    pixels[0, 1:3] = 0
    pixels[1, :2] = 0
    with torch.no_grad():
        score = model.geometry.score(model.encode_image(on_white(pixels)), text)
    assert found.mean.accuracy == (score[:, 0] > score[:, 1]).double().mean().item()
    (images / "b.png").write_text("no picture")
    with pytest.raises(RequestError, match=r"b\.png: not a picture(.|\n)*1 of 2 pictures"):
        path.write_text(json.dumps(entries[:2]))
        pairs_of(model, path, tmp_path / "images")
