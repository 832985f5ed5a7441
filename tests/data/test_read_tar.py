"""Shards: what they give, and what is said of broken ones."""

import json
from pathlib import Path

from sources import COLOURS, fails, png, read, tar


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
