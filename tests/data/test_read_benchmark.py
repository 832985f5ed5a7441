"""CLIP_benchmark's folders: what they give, and what is said of those that lack something."""

from pathlib import Path

import pytest
from sources import fails, png, read, tar

from geomclip.data.config import DataConfig
from geomclip.data.prompts import read_templates
from geomclip.data.read_benchmark import read_benchmark, templates_of
from geomclip.data.sources import read_items
from geomclip.errors import RequestError

COLOURS = ("red", "green", "blue")


def classes(root: Path, split: str = "test", count: int = 4, shards: int = 2, **extra) -> Path:
    """A classification folder whose picture k has class k mod 3."""
    folder = root / split
    folder.mkdir(parents=True)
    for s in range(shards):
        files = {}
        for k in range(s * count, (s + 1) * count):
            files[f"s{k:07d}.cls"] = str(k % 3).encode()
            files[f"s{k:07d}.png"] = png(COLOURS[k % 3])
        tar(folder / f"{s}.tar", files | extra)
    (folder / "nshards.txt").write_text(f"{shards}\n")
    (root / "classnames.txt").write_text("\n".join(COLOURS) + "\n")
    (root / "dataset_type.txt").write_text("classification\n")
    return root


def test_a_classification_folder(tmp_path):
    root = classes(tmp_path / "wds_colours")
    classes(root, "train", shards=1)
    good, bad = read(root)
    assert not bad and len(good) == 12
    assert [r.path for r in good[:4]] == [("red",), ("green",), ("blue",), ("red",)]
    assert good[5].id == "test/1/s0000005" and good[5].texts == ("blue",)
    items = list(read_items(DataConfig(source=str(root)), only=("train",)))
    assert len(items) == 4 and {split for _, split in items} == {"train"}
    assert [split for _, split in read_items(DataConfig(source=str(root)))][:9] == ["test"] * 8 + [
        "train"
    ]


def test_a_retrieval_folder_keeps_captions_that_repeat(tmp_path):
    folder = tmp_path / "flickr" / "test"
    folder.mkdir(parents=True)
    text = b"a dog\na dog\n\nthe  dog\n"
    tar(folder / "0.tar", {"s0.txt": text, "s0.jpg": png("red")})
    (folder / "nshards.txt").write_text("1")
    (tmp_path / "flickr" / "dataset_type.txt").write_text("retrieval")
    good, _ = read(tmp_path / "flickr")
    assert good[0].texts == ("a dog", "the dog") and good[0].path == ()
    items = list(read_benchmark(tmp_path / "flickr", DataConfig(), repeats=True))
    assert items[0][0].texts == ("a dog", "a dog", "the dog")


def test_what_a_folder_lacks_is_named(tmp_path):
    root = classes(tmp_path / "a")
    (root / "test" / "1.tar").unlink()
    assert "lacks 1 of the 2 shards that nshards.txt counts, 1.tar the first" in fails(root).what
    (root / "test" / "nshards.txt").write_text("two")
    assert 'nshards.txt says "two"' in fails(root).what
    (root / "classnames.txt").write_text("\n")
    assert "has no class names (classnames.txt is empty)" in fails(root).what
    (root / "classnames.txt").unlink()
    assert "has no class names (classnames.txt is missing)" in fails(root).what
    (root / "dataset_type.txt").write_text("multilabel")
    assert 'says "multilabel", which is not read' in fails(root).what


def test_bad_samples_are_told_with_their_key(tmp_path):
    root = classes(
        tmp_path / "a", shards=1, **{
            "t1.png": png("red"), "t2.cls": b"0", "t3.png": png("red"), "t3.cls": b"3",
            "t4.png": png("red"), "t4.cls": b"cat",
        },
    )  # fmt: skip
    (root / "holdout").mkdir()
    (root / "holdout" / "nshards.txt").write_text("1")
    good, bad = read(root)
    assert len(good) == 4
    assert [b.reason for b in bad] == [
        'unknown split: "holdout" (train, val and test are known)',
        "no .cls: it holds only png",
        "no picture: it holds only cls",
        'its .cls is "3", no number below 3 (classnames.txt)',
        'its .cls is "cat", no number below 3 (classnames.txt)',
    ]
    assert bad[1].where == f"{root / 'test' / '0.tar'}: t1"


def test_a_cut_shard(tmp_path):
    root = classes(tmp_path / "a", shards=1)
    shard = root / "test" / "0.tar"
    shard.write_bytes(shard.read_bytes()[:4096])
    good, bad = read(root)
    # Four members of two blocks each, and no end mark.
    assert len(good) == 2 and "cut off" in bad[-1].reason


def test_templates_from_the_folder_from_files_and_from_the_command_line(tmp_path):
    root = classes(tmp_path / "a")
    file = root / "zeroshot_classification_templates.txt"
    assert templates_of(root) == ()
    file.write_text("a photo of {c}.\n\n{c}\n")
    assert templates_of(root) == ("a photo of {c}.", "{c}")
    assert read_templates([str(file), "art of {}", "{}"]) == ("a photo of {}.", "{}", "art of {}")
    with pytest.raises(RequestError, match='line 2: "a photo" has 0 places'):
        file.write_text("{c}\na photo\n")
        read_templates([str(file)])
    with pytest.raises(RequestError, match=r'"a photo" has no \{\} for the class, and is no file'):
        read_templates(["a photo"])
    with pytest.raises(RequestError, match="has 2 places"):
        read_templates(["{} and {}"])
