"""Embeddings as pictures of the explorer: which samples, what lies above them, what is measured."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import geomclip
from geomclip.cli.main import main
from geomclip.data.record import BadRecord, Record
from geomclip.embeddings import Embeddings
from geomclip.errors import GeomclipError, RequestError
from geomclip.traverse import traverse
from geomclip.viz.disk import disk, keys, some
from geomclip.viz.explorer import Picture, Samples
from geomclip.viz.sheet import sheet, thumbnails
from geomclip.viz.ways import plan_ways

TEXTS = ["cat", "dog", "oak"]
PATHS = [("animal", "feline"), ("animal", "canine"), ("plant", "tree")]
NODES = [("animal",), ("plant",), ("animal", "feline"), ("animal", "canine"), ("plant", "tree")]


def space(name="meru", order=(0, 1, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    g = geomclip.build_geometry(name, 4)

    def points(n):
        return g.lift(3 * torch.randn(n, 4, generator=generator), "image").detach()

    pictures = [i for i in order for _ in range(2)]
    return Embeddings(
        {"image": points(6), "text": points(3), "label": points(5)},
        g,
        texts=[TEXTS[i] for i in order],
        paths={"image": [PATHS[i] for i in pictures], "label": NODES},
        ids={"image": [f"{TEXTS[i]} {k % 2}" for k, i in enumerate(pictures)]},
        pairs=torch.tensor([[k, k // 2] for k in range(6)]),
        levels=("kingdom", "family"),
        source=name,
    )


def test_every_sample_hangs_on_the_one_above_it():
    made = disk(space())
    above = {
        (made.samples.captions[k], made.samples.levels[made.samples.depths[k]]): (
            None if parent < 0 else made.samples.captions[parent]
        )
        for k, parent in enumerate(made.samples.parents)
    }
    assert above == {
        ("animal", "kingdom"): None, ("plant", "kingdom"): None,
        ("feline", "family"): "animal", ("canine", "family"): "animal", ("tree", "family"): "plant",
        ("cat", "text"): "feline", ("dog", "text"): "canine", ("oak", "text"): "tree",
        ("cat", "image"): "cat", ("dog", "image"): "dog", ("oak", "image"): "oak",
    }  # fmt: skip


def test_distances_and_violations_are_those_of_the_full_space():
    one = space()
    made = disk(one, min_radius=0.3)
    picture, samples = made.pictures[0], made.samples
    x = torch.cat([one["label"], one["image"], one["text"]])
    m = one.manifold
    np.testing.assert_allclose(picture.root_distance, one.geometry.root_distance(x).detach())
    np.testing.assert_allclose(
        np.linalg.norm(picture.xy, axis=-1) / picture.c**0.5, picture.root_distance, rtol=1e-6
    )
    for k, parent in enumerate(samples.parents):
        if parent < 0:
            assert np.isnan(picture.violation[k])
            continue
        angle, half = m.exterior_angle(x[parent], x[k]), m.half_aperture(x[parent], 0.3)
        assert picture.violation[k] == pytest.approx((angle - half).clamp_min(0).item(), abs=1e-6)


def test_spaces_side_by_side_show_the_same_samples_in_the_same_order():
    a, b = space("meru"), space("clip", order=(2, 0, 1), seed=1)
    made = disk(a, b)
    assert [p.name for p in made.pictures] == ["MERU", "CLIP"] and made.notes == []
    row = made.samples.ids.index("image:dog 1")
    rooted = b.with_root()
    expected = rooted.geometry.root_distance(rooted["image"][[5]]).item()
    assert made.pictures[1].root_distance[row] == pytest.approx(expected)
    fewer = b.subset({"image": torch.tensor([0, 1, 2])})
    assert "11 of up to 14 samples are in every space" in disk(a, fewer).notes[0]


def test_a_sample_keeps_the_tree_and_brings_partners():
    one = space()
    shown = some(one, list(keys(one)), 9, seed=0)
    assert [key.name for key in shown[:5]] == NODES and len(shown) == 9
    pictures = {str(key.name).split()[0] for key in shown if key.modality == "image"}
    texts = {key.name for key in shown if key.modality == "text"}
    assert pictures and pictures & texts
    made = disk(one, max_points=9)
    assert made.notes == ["A random sample: 9 of 14 samples."]


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGBA", (20, 10), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_stand_on_the_sheet_where_the_page_looks_for_them():
    records = [
        Record("cat 0", png("red"), ("cat",)),
        BadRecord("row 2", "no file"),
        Record("dog 1", b"no picture", ("dog",), source="row 3"),
        Record("oak 1", png("#00000000"), ("oak",)),
    ]
    found, bad = thumbnails(records, ["cat 0", "dog 1", "oak 1"], 16)
    assert set(found) == {"cat 0", "oak 1"} and len(bad) == 2 and bad[1].startswith("row 3")
    assert (found["oak 1"] == 255).all()
    made = disk(space(), thumbs=found)
    place = made.samples.thumbs[made.samples.ids.index("image:cat 0")]
    data, columns = sheet(list(found.values()))
    image = np.asarray(Image.open(io.BytesIO(data)))
    top, left = 16 * (place // columns), 16 * (place % columns)
    middle = image[top + 8, left + 8].astype(int)
    assert middle[0] > 200 and middle[1] < 60
    assert sum(thumb >= 0 for thumb in made.samples.thumbs) == 2


def test_many_pictures_lie_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("geomclip.viz.sheet.INLINE", 1)
    found, _ = thumbnails(
        [Record(f"{t} 0", png("red"), (t,)) for t in TEXTS], ["cat 0", "oak 0"], 8
    )
    made = disk(space(), thumbs=found, page=tmp_path / "d.html")
    made.save(tmp_path / "d.html")
    source = made.samples.sheet["source"]
    with Image.open(tmp_path / source) as image:
        assert image.size == (16, 8)
    assert "keep the two together" in (tmp_path / "d.html").read_text(encoding="utf-8")
    other = disk(space(), thumbs={k: 255 - v for k, v in found.items()}, page=tmp_path / "d.html")
    assert (tmp_path / source).exists()  # the page that is there still needs it
    other.save(tmp_path / "d.html")
    assert [p.name for p in (tmp_path / "d_files").iterdir()] == [
        other.samples.sheet["source"].split("/")[1]
    ]


def test_ways_are_those_of_traverse_among_the_texts_that_are_shown():
    one = space(seed=3)
    made = disk(one)
    captions, ids = made.samples.captions, made.samples.ids
    texts = [i for i, name in enumerate(ids) if not name.startswith("image:")]
    x = torch.cat([one["label"], one["text"]])
    expected = traverse(one.geometry, one["image"], [*(p[-1] for p in NODES), *TEXTS], x)
    assert len(texts) == 8 and made.ways["MERU"].statistics().pool == 8
    for name, way in zip(one.ids["image"], expected, strict=True):
        steps = made.pictures[0].traversals[ids.index(f"image:{name}")]
        assert ["[ROOT]" if i < 0 else captions[i] for i in steps] == list(way.names)


def test_too_many_ways_are_a_random_part_that_the_page_speaks_of():
    half, straight = 50_000, 512 + 250
    assert plan_ways(range(10_000), (), range(10_000, 20_000), straight).note == ""
    plan = plan_ways(range(half), range(half, half + 100), range(half + 100, 2 * half), straight)
    assert plan.starts == tuple(range(half)) and set(range(half, half + 100)) < set(plan.texts)
    assert 2000 < len(plan.texts) and straight * half * len(plan.texts) <= 1e11
    assert "of 50,000 of 50,000 pictures" in plan.note and "of 50,000 texts" in plan.note
    fewer = plan_ways(range(10_000), (), range(10_000, 15_000), 512 * 50)
    assert len(fewer.texts) == 2000 and "of 10,000 pictures" in fewer.note
    assert 50 * 2000 * 512 * len(fewer.starts) <= 1e11


def test_a_leaf_that_is_a_text_is_drawn_once():
    one = space()
    paths = [(*PATHS[i], TEXTS[i]) for i in (0, 0, 1, 1, 2, 2)]
    labels = [*NODES, *dict.fromkeys(paths)]
    points = {**one.points, "label": torch.cat([one["label"], one["text"]])}
    more = Embeddings(points, one.geometry, texts=TEXTS, ids=one.ids, pairs=one.pairs,
                      paths={"image": paths, "label": labels})  # fmt: skip
    made = disk(more)
    assert len(made.samples.captions) == 14 and made.notes == []
    cat = made.samples.ids.index("text:cat")
    assert made.samples.captions[made.samples.parents[cat]] == "feline"


def test_a_label_of_a_million_characters_is_cut_and_the_page_says_so():
    one = space()
    long = "\u202e" + "x" * 1_000_000
    more = Embeddings(one.points, one.geometry, texts=[long, *TEXTS[1:]], pairs=one.pairs,
                      paths=one.paths, ids=one.ids)  # fmt: skip
    made = disk(more)
    assert "1 captions or labels are longer than 1,000 characters" in made.notes[0]
    assert max(map(len, made.samples.captions)) == 1000 and len(made.html()) < 200_000


def test_the_command_writes_a_page_and_says_what_it_keeps(tmp_path, capsys):
    a, b = space("meru"), space("clip", seed=1)
    a.write(tmp_path / "a.safetensors")
    b.write(tmp_path / "b.npz")
    out = tmp_path / "page.html"
    argv = ["viz", str(tmp_path / "a.safetensors"), str(tmp_path / "b.npz"), "--out", str(out)]
    assert main([*argv, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["samples"] == 14 and list(values["pictures"]) == ["MERU", "CLIP"]
    assert values["pictures"]["MERU"]["kept"]["root_order"] == pytest.approx(1)
    page = out.read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page and "//" not in page.split("<script>")[0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--max-points", "2"], "--max-points is 2"),
        (["--method", "none"], "4 dimensions"),
        (["--names", "A,B"], "2 names for 1 spaces"),
        (["--out", "."], "is a folder"),
        (["--out", "disk.pdf"], "disk.pdf is no page"),
        (["--thumbs", "999"], "--thumbs"),
    ],
)
def test_requests_that_cannot_be_met_say_why(tmp_path, capsys, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    space().write(tmp_path / "a.safetensors")
    assert main(["viz", "a.safetensors", *flags]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "disk.html").exists()


def test_embeddings_that_cannot_be_drawn_leave_the_old_page_alone(tmp_path, capsys):
    one, page = space(), tmp_path / "disk.html"
    page.write_text("the old page")
    np.savez(tmp_path / "nan.npz", image=np.full((6, 4), np.nan), text=np.ones((6, 4)))
    np.savez(tmp_path / "two.npz", image=np.eye(2, 4))
    for name, words in (("nan", "finite"), ("two", "three")):
        argv = ["viz", str(tmp_path / f"{name}.npz"), "--geometry", "euclip", "--out", str(page)]
        assert main(argv) == 2
        assert words in capsys.readouterr().err and page.read_text() == "the old page"
    with pytest.raises(GeomclipError, match="could not be written"):
        disk(one).save(page / "below" / "disk.html")
    one.write(tmp_path / "a.safetensors")
    argv = ["viz", str(tmp_path / "a.safetensors"), "--out", str(page / "below" / "d.html")]
    assert main(argv) == 2 and "can't be written" in capsys.readouterr().err


def test_pictures_and_samples_refuse_what_does_not_fit():
    xy = np.zeros((3, 2))
    with pytest.raises(ValueError, match="sample 1 is not finite"):
        Picture("a", "sphere", xy, np.array([0, np.nan, 0]))
    with pytest.raises(ValueError, match="none of"):
        Picture("a", "torus", xy, np.zeros(3))
    with pytest.raises(ValueError, match="parent 7"):
        Samples(["a", "b", "c"], [0, 0, 0], parents=[-1, 7, 0])
    with pytest.raises(RequestError, match="no embeddings"):
        disk()
