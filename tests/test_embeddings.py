"""Embeddings: what they hold, what they refuse, and that every file gives the same back."""

import csv
import json
import pickle

import numpy as np
import pytest
import torch
from geometry_points import make
from safetensors.torch import save_file

from geomclip import build_geometry
from geomclip.embeddings import Embeddings
from geomclip.errors import RequestError
from geomclip.geometry import PRODUCT, Geometry
from manifolds import Lorentz, Product, Sphere

DIM = 4
SUFFIXES = (".safetensors", ".npz", ".parquet", ".csv")
PATHS = [("food", "fruit"), ("food", "sweet"), ("animal", "cat")]
TEXTS = ["an apple", 'a pear, "green"', "cake", "", "a cat\nasleep", "🐈"]


def sample(name: str = "meru", *, double: bool = False) -> Embeddings:
    """Three pictures with two texts each, a label tree, and every other field set."""
    torch.manual_seed(0)
    g = make(name, DIM)
    if g.spec.root == "mean":
        g.set_root_(*(g.lift(torch.randn(9, DIM).double(), m) for m in ("image", "text")))
    if not double:
        g.float()
    kind = torch.float64 if double else torch.float32
    points = {
        m: g.lift(torch.randn(n, DIM, dtype=kind), "image" if m == "image" else "text")
        for m, n in {"image": 3, "text": 6, "label": 2}.items()
    }
    return Embeddings(
        points,
        g,
        texts=TEXTS,
        paths={"image": PATHS, "label": [("food",), ("animal",)]},
        ids={"image": ["a", "b", "c"]},
        pairs=torch.tensor([[i // 2, i] for i in range(6)]),
        empty=points["text"][0],
        levels=("group", "subgroup"),
        source="sample",
    )


def assert_same(a: Embeddings, b: Embeddings) -> None:
    assert list(a.points) == list(b.points)
    for name in a.points:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0)
        assert torch.equal(a.root_distance(name), b.root_distance(name))
    assert (a.paths, a.ids, a.levels) == (b.paths, b.ids, b.levels)
    assert a.pairs is not None and b.pairs is not None and torch.equal(a.pairs, b.pairs)
    assert a.empty is not None and b.empty is not None and torch.equal(a.empty, b.empty)
    assert a.geometry.scalars() == b.geometry.scalars()
    x, y = a["image"], a["text"]
    assert torch.equal(a.geometry.logits(x, y), b.geometry.logits(x, y))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *((n, s) for n in ("clip", "meru") for s in SUFFIXES),
        ("euclip", ".npz"),
        ("poincare", ".csv"),
    ],
)
def test_every_file_gives_the_same_back(tmp_path, name, suffix):
    before = sample(name)
    before.write(tmp_path / f"e{suffix}")
    after = Embeddings.read(tmp_path / f"e{suffix}")
    assert_same(before, after)
    # A csv cannot tell "" from nothing; both come back as "".
    assert after.texts == before.texts
    assert [p.name for p in tmp_path.iterdir()] == [f"e{suffix}"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_float64_comes_back_to_the_last_digit(tmp_path, suffix):
    before = sample(double=True)
    before.write(tmp_path / f"e{suffix}")
    after = Embeddings.read(tmp_path / f"e{suffix}")
    assert after["image"].dtype == torch.float64
    assert_same(before, after)


def test_a_product_of_unnamed_manifolds_comes_back(tmp_path):
    product = Product(
        [Lorentz(c=2.5), Product([Sphere(c=0.3), Lorentz(c=1e-5, c_min=1e-6)], [2, 1])], [1, 3]
    )
    g = Geometry(PRODUCT, product, 4)
    x = g.lift(torch.randn(5, 4), "image").detach()
    Embeddings({"image": x}, g).write(tmp_path / "e.safetensors")
    after = Embeddings.read(tmp_path / "e.safetensors")
    assert torch.equal(after.root_distance("image"), g.root_distance(x).detach())


def test_a_single_array_is_read_with_the_geometry_that_is_named(tmp_path):
    x = torch.randn(5, 3)
    np.save(tmp_path / "e.npy", x.numpy())
    e = Embeddings.read(tmp_path / "e.npy", geometry="meru", c=0.25)
    assert e.modalities == ("points",)
    assert e.manifold.c.item() == 0.25
    e.write(tmp_path / "again.npy")
    assert np.array_equal(np.load(tmp_path / "again.npy"), x.numpy())


def test_half_precision_is_widened_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr("geomclip.array_files.BLOCK", 4)
    x = torch.randn(11, 3).half()
    np.save(tmp_path / "e.npy", x.numpy())
    np.save(tmp_path / "turned.npy", np.asfortranarray(x.numpy()))
    save_file({"image": x, "text": x.bfloat16()}, tmp_path / "e.safetensors")
    for name in ("e.npy", "turned.npy"):
        assert torch.equal(Embeddings.read(tmp_path / name, "euclip")["points"], x.float())
    both = Embeddings.read(tmp_path / "e.safetensors", "euclip")
    assert torch.equal(both["image"], x.float())
    assert torch.equal(both["text"], x.bfloat16().float())


def test_bad_rows_of_every_block_are_counted(tmp_path, monkeypatch):
    for module in ("embeddings", "embedding_files"):
        monkeypatch.setattr(f"geomclip.{module}.BLOCK", 4)
    x = torch.randn(11, 3)
    x[[1, 9, 10]] = torch.nan
    np.save(tmp_path / "e.npy", x.numpy())
    unreadable(tmp_path / "e.npy", "3 of 11 points", geometry="euclip")
    x[[1, 9, 10]] = 0
    np.save(tmp_path / "e.npy", x.numpy())
    with pytest.raises(RequestError, match="3 of 11"):
        Embeddings.read(tmp_path / "e.npy", "clip", features=True)


def test_arrays_of_others_are_read_by_their_names(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.savez(
        tmp_path / "e.npz", text_features=y, image_features=x, labels=np.array([7, 7, 9]),
        texts=np.array(["a", "b", "c"]), geometry="meru", c=0.5,
    )  # fmt: skip
    e = Embeddings.read(tmp_path / "e.npz")
    assert e.modalities == ("image", "text")
    assert torch.equal(e["image"], torch.from_numpy(x))
    assert e.label_paths("image") == [("7",), ("7",), ("9",)]
    assert e.texts == ("a", "b", "c")
    assert e.manifold.c.item() == 0.5


def test_features_are_lifted(tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.savez(tmp_path / "e.npz", image=x)
    with pytest.raises(RequestError, match=r"image: 5 of 5 points .*away from 1"):
        Embeddings.read(tmp_path / "e.npz", geometry="clip")
    e = Embeddings.read(tmp_path / "e.npz", geometry="clip", features=True)
    torch.testing.assert_close(e["image"].norm(dim=-1), torch.ones(5))


def test_tables_of_others_are_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    rows = {
        "vector": [[1.0, 2.0], [3.0, 4.0]],
        "text": ["a", "b"],
        "label": ["x", None],
        "n": [1, 2],
    }
    parquet.write_table(pa.table(rows), tmp_path / "e.parquet")
    e = Embeddings.read(tmp_path / "e.parquet", geometry="euclip")
    assert e.label_paths("points") == [("x",), ()]
    (tmp_path / "e.csv").write_text("modality,caption,a,b\nimage,,1,2\ntext,hi,3,4\n")
    e = Embeddings.read(tmp_path / "e.csv", geometry="euclip")
    assert e["text"].tolist() == [[3, 4]] and e.texts == ("hi",)
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n")
    assert Embeddings.read(tmp_path / "bare.csv", geometry="euclip")["points"].shape == (2, 2)


# --- rows that belong together ---


def test_five_captions_an_image_are_paired_both_ways():
    e = sample()
    assert e.pairing("image", "text").tolist() == [[i // 2, i] for i in range(6)]
    assert e.pairing("text", "image").tolist() == [[i, i // 2] for i in range(6)]
    x, y = e.paired("image", "text")
    assert torch.equal(x, e["image"].repeat_interleave(2, 0)) and torch.equal(y, e["text"])


def test_a_text_has_what_its_pictures_paths_share():
    x = torch.randn(3, 2)
    pairs = torch.tensor([[0, 0], [1, 0], [2, 1], [0, 2], [2, 2]])
    e = Embeddings({"image": x, "text": x}, build_geometry("euclip", 2), paths=PATHS, pairs=pairs)
    assert e.label_paths("text") == [("food",), ("animal", "cat"), ()]


def test_a_subset_keeps_the_pairs_whose_rows_it_keeps():
    part = sample().subset({"image": torch.tensor([2, 0]), "text": torch.tensor([0, 5, 2])})
    assert part.pairs is not None and sorted(part.pairs.tolist()) == [[0, 1], [1, 0]]
    assert part.paths["image"] == [PATHS[2], PATHS[0]]
    assert part.texts == (TEXTS[0], TEXTS[5], TEXTS[2])


def test_the_root_of_clip_is_the_mean_of_these_embeddings_where_it_was_not_stored():
    torch.manual_seed(0)
    g = build_geometry("clip", 3)
    x, y = (torch.nn.functional.normalize(torch.randn(4, 3), dim=-1) for _ in range(2))
    e = Embeddings({"image": x, "text": y}, g)
    root = torch.nn.functional.normalize(torch.cat([x, y]).mean(0), dim=-1)
    torch.testing.assert_close(e.root_distance("image"), (1 - x @ root) / 2)
    assert not g.root_point.any()  # the caller's geometry stays as it was


# --- what is refused ---


def bad(points, match, **options):
    with pytest.raises(RequestError, match=match) as caught:
        Embeddings(points, build_geometry("meru", 2), **options)
    assert caught.value.how


def test_values_that_cannot_be_analysed_are_named(unchecked):
    x = torch.randn(4, 2)
    nan = x.clone()
    nan[2, 1] = torch.nan
    bad({}, "there are no points")
    bad({"image": nan}, "image: 1 of 4 points .*NaN")
    bad({"image": torch.ones(4, 2)}, "all 4 points of image are the same")
    bad({"image": torch.randn(4, 3)}, "image has 3 coordinates a point, the geometry meru has 2")
    bad({"image": x[None]}, r"image has shape \(1, 4, 2\)")
    bad({"image": x, "text": x[:3]}, "image has 4 points, text has 3, and nothing says")
    bad({"image": x}, "3 label paths for 4 points of image", paths=[("a",)] * 3)
    bad({"image": x, "text": x}, "5 texts for 4 points of text", texts=["a"] * 5)
    bad({"image": x}, 'no points of "text"', texts=["a"] * 5)
    pairs = torch.tensor([[0, 4]])
    bad(
        {"image": x, "text": x}, r"1 of 1 pairs name rows that are not there.*\[0, 4\]", pairs=pairs
    )
    pairs = torch.tensor([[0, 1], [0, 1]])
    bad({"image": x, "text": x}, "1 of 2 pairs are repeated", pairs=pairs)


def unreadable(path, match, **options):
    with pytest.raises(RequestError, match=match) as caught:
        Embeddings.read(path, **options)
    assert str(path) in caught.value.what and caught.value.how


def test_a_file_without_geometry_asks_for_it(tmp_path):
    np.savez(tmp_path / "e.npz", image=np.random.default_rng(0).normal(size=(5, 4)))
    match = r"holds vectors of shape \(5, 4\) but not how their distance is measured"
    unreadable(tmp_path / "e.npz", match)
    unreadable(tmp_path / "e.npz", "not complete without its curvature", geometry="meru")
    unreadable(tmp_path / "e.npz", "euclip has no curvature to set", geometry="euclip", c=1.0)
    unreadable(tmp_path / "e.npz", "c must be positive", geometry="meru", c=-1.0)
    unreadable(tmp_path / "e.npz", 'no geometry "merv"', geometry="merv")


def test_another_geometry_than_the_files_is_refused(tmp_path):
    e = sample()
    e.write(tmp_path / "e.safetensors")
    unreadable(tmp_path / "e.safetensors", "lie in the geometry meru, c ", geometry="clip")
    unreadable(tmp_path / "e.safetensors", "another was given", c=0.5)
    Embeddings.read(tmp_path / "e.safetensors", geometry="hyperbolic")  # meru by its other name


class Malice:
    ran = False

    def __reduce__(self):
        return (setattr, (Malice, "ran", True))


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([Malice()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", image=np.array([Malice()], dtype=object))
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Malice()))
    for name in ("a.npy", "b.npz", "c.npy"):
        unreadable(tmp_path / name, "pickled objects", geometry="euclip")
    assert not Malice.ran


def test_damaged_and_foreign_files_are_one_line(tmp_path):
    e = sample()
    e.write(tmp_path / "e.safetensors")
    whole = (tmp_path / "e.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    unreadable(tmp_path / "cut.safetensors", "no safetensors file")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    unreadable(tmp_path / "cut.npz", "can't be read")
    np.savez(tmp_path / "archive.npz", image=np.eye(3))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    unreadable(tmp_path / "archive.npy", "no npy file")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    unreadable(tmp_path / "cut.parquet", "not readable as parquet")
    (tmp_path / "e.csv").write_text("label,a,b\nx,1,two\n")
    limit = csv.field_size_limit()
    unreadable(tmp_path / "e.csv", 'line 2: column "b" is no number', geometry="euclip")
    assert csv.field_size_limit() == limit  # of the process, whose other tables it would change
    np.savez(tmp_path / "shape.npz", image=np.zeros((2, 3, 4)))
    unreadable(tmp_path / "shape.npz", r"holds no points.*image \(2, 3, 4\)", geometry="euclip")
    np.savez(tmp_path / "more.npz", image=np.eye(3), thing=np.arange(7))
    unreadable(tmp_path / "more.npz", 'what "thing" of shape', geometry="euclip")
    unreadable(tmp_path / "none.npz", "no such file")
    (tmp_path / "e.pt").write_bytes(b"")
    unreadable(tmp_path / "e.pt", 'not read from ".pt"')
    for name in ("e.pkl", "e.npy"):
        with pytest.raises(RequestError):
            e.write(tmp_path / name)
        assert not (tmp_path / name).exists()


def test_a_record_of_another_version_says_so(tmp_path):
    record = {"geometry": {"version": 99}, "modalities": ["image"], "levels": []}
    save_file({"image": torch.eye(3)}, tmp_path / "e.safetensors", {"geomclip": json.dumps(record)})
    unreadable(tmp_path / "e.safetensors", "version 99 of the record")
