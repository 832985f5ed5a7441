"""The embedded emoji set: what it holds, that it is whole, and how it is split."""

import hashlib
import json
import tarfile
from collections import Counter

import pytest
import torch

from geomclip.data import emoji as module
from geomclip.data.emoji import (
    FOLDER,
    LEVELS,
    MANIFEST,
    RENDITIONS,
    is_novel,
    label_text,
    load_emoji,
    read_rendition,
)
from geomclip.data.prompts import EVALUATION_TEMPLATES
from geomclip.errors import GeomclipError

IMAGES = {"noto": 1609, "noto-v1": 1216, "fluent": 1570, "emojione": 1077, "twemoji": 1609}


@pytest.fixture(scope="module")
def final():
    return load_emoji()


@pytest.fixture(scope="module")
def twemoji():
    return list(read_rendition("twemoji"))


# ---- the files


def test_manifest_counts_are_the_published_ones():
    assert {name: r.count for name, r in RENDITIONS.items()} == IMAGES
    assert (MANIFEST["emoji"], MANIFEST["subgroups"], MANIFEST["groups"]) == (1609, 97, 9)


@pytest.mark.parametrize("name", IMAGES)
def test_shards_are_the_recorded_ones(name):
    data = (FOLDER / RENDITIONS[name].shard).read_bytes()
    assert hashlib.sha256(data).hexdigest() == RENDITIONS[name].sha256
    assert len(data) == MANIFEST["shards"][name]["bytes"]


def test_the_set_is_small():
    assert sum((FOLDER / r.shard).stat().st_size for r in RENDITIONS.values()) < 8e6


@pytest.mark.parametrize("name", IMAGES)
def test_members_are_pairs_in_one_order(name):
    with tarfile.open(FOLDER / RENDITIONS[name].shard) as tar:
        members = tar.getmembers()
        about = json.load(tar.extractfile(members[1]))
    stems = [m.name.rpartition(".")[0] for m in members]
    assert stems[::2] == stems[1::2] and len(set(stems)) == IMAGES[name]
    assert {m.name.rpartition(".")[2] for m in members[::2]} == {"png"}
    assert {m.name.rpartition(".")[2] for m in members[1::2]} == {"json"}
    assert all(m.mtime == 0 and m.uid == 0 and not m.uname and m.isfile() for m in members)
    assert list(about) == ["id", "name", "keywords", "group", "subgroup"]


def test_every_licence_is_shipped_and_credited():
    notice = (FOLDER / "NOTICE").read_text(encoding="utf-8")
    licences = {p.name: p.read_text(encoding="utf-8") for p in (FOLDER / "LICENSES").iterdir()}
    assert all(f"LICENSES/{name}" in notice for name in licences)
    assert all(r.shard in notice for r in RENDITIONS.values())
    inputs = MANIFEST["inputs"].values()
    assert all(f"{i['package']} {i['version']}" in notice for i in inputs)
    for name, passage in {
        "Apache-2.0.txt": "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION",
        "Noto-Emoji.txt": "Copyright 2013 Google, Inc.",
        "Fluent-Emoji.txt": "Copyright (c) Microsoft Corporation.",
        "CC-BY-4.0.txt": "Section 3 -- License Conditions.",
        "EmojiOne.md": "Applies to all PNG and SVG files",
        "Unicode-3.0.txt": "UNICODE LICENSE V3",
        "unicode-data-copyright.txt": "UNICODE, INC. LICENSE AGREEMENT",
    }.items():
        assert passage in licences[name]
    assert "rasterised" in notice and "64 colours" in notice


def test_a_damaged_shard_is_told(tmp_path, monkeypatch):
    shard = RENDITIONS["emojione"].shard
    data = bytearray((FOLDER / shard).read_bytes())
    data[5000] ^= 1
    (tmp_path / shard).write_bytes(data)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    with pytest.raises(GeomclipError, match="damaged"):
        next(read_rendition("emojione"))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'openmoji'; one of noto, noto-v1"):
        next(read_rendition("openmoji"))


def test_webdataset_reads_the_same(twemoji):
    from webdataset import tariterators, utils

    utils.enforce_security = True
    with (FOLDER / RENDITIONS["twemoji"].shard).open("rb") as stream:
        members = tariterators.tar_file_expander([{"url": "twemoji", "stream": stream}])
        samples = list(tariterators.group_by_keys(members))
    theirs = [(s["__key__"], s["png"], json.loads(s["json"])["name"]) for s in samples]
    assert theirs == [(r.id, r.image, r.texts[0]) for r in twemoji]


# ---- the records


def test_hierarchy_is_unicodes(twemoji):
    assert len({r.path for r in twemoji}) == 1609
    assert len({r.path[1] for r in twemoji}) == 97
    # Subgroups nest: none has two groups.
    assert len({r.path[:2] for r in twemoji}) == 97
    assert Counter(r.path[0] for r in twemoji) == {
        "people and body": 363,
        "objects": 261,
        "symbols": 223,
        "travel and places": 218,
        "smileys and emotion": 166,
        "animals and nature": 152,
        "food and drink": 133,
        "activities": 85,
        "flags": 8,
    }
    assert not {"country flag", "subdivision flag"} & {r.path[1] for r in twemoji}
    assert not any(0x1F3FB <= ord(char) <= 0x1F3FF for r in twemoji for char in decoded(r.id))


def decoded(id: str) -> str:
    return "".join(chr(int(code, 16)) for code in id.split("-"))


def test_a_record_holds_name_keywords_and_path(twemoji):
    grinning = twemoji[0]
    assert grinning.id == "1f600" and grinning.source == "twemoji"
    assert grinning.texts[:2] == ("grinning face", "cheerful") and "smile" in grinning.texts
    assert grinning.path == ("smileys and emotion", "face smiling", "grinning face")
    joined = next(r for r in twemoji if r.id == "1f469-200d-1f9b0")
    # Not in the annotations: the keywords of its parts, a woman and red hair.
    assert joined.texts == (
        "woman: red hair", "adult", "lady", "woman", "ginger", "hair", "red", "redhead",
    )  # fmt: skip


def test_names_are_distinct_and_nearly_all_have_keywords(twemoji):
    assert len({r.texts[0] for r in twemoji}) == 1609
    assert sum(len(r.texts) > 1 for r in twemoji) == 1597
    assert all(r.texts[0].lower() not in r.texts[1:] for r in twemoji)
    assert all(len(set(r.texts)) == len(r.texts) for r in twemoji)


def test_labels_as_text():
    assert label_text("Animals & Nature") == "animals and nature"
    assert label_text("person-fantasy") == "person fantasy"


# ---- the splits


def test_final_protocol_has_the_published_sizes(final):
    assert len(final.train) == 4985
    assert Counter(final.train.sources) == {
        "noto": 1462, "noto-v1": 1109, "fluent": 1426, "emojione": 988,
    }  # fmt: skip
    asked = {name: len(split.query) for name, split in final.evaluation.items()}
    assert asked == {"heldout_rendition": 1462, "heldout_emoji": 147}
    for split in final.evaluation.values():
        assert len(split.pool) == 1609 and set(split.pool.sources) == {"twemoji"}


def test_no_novel_emoji_and_no_twemoji_is_trained_on(final):
    trained = set(final.train.ids)
    pool = final.evaluation["heldout_rendition"].pool
    novel = {pool.ids[i] for i in final.evaluation["heldout_emoji"].query.tolist()}
    seen = {pool.ids[i] for i in final.evaluation["heldout_rendition"].query.tolist()}
    assert novel.isdisjoint(trained) and seen == trained and novel | seen == set(pool.ids)
    assert all(int(hashlib.sha256(i.encode()).hexdigest(), 16) % 10 == 0 for i in novel)
    assert not any(is_novel(i) for i in trained)
    assert len({p[1] for p, i in zip(pool.paths, pool.ids, strict=True) if i in novel}) == 68


def test_tuning_never_reads_twemoji_and_scales_to_any_size(monkeypatch):
    read = []

    def recorded(name):
        read.append(name)
        # Every 40th: reading all of it adds nothing to what is asked here.
        return iter(list(read_rendition(name))[::40])

    monkeypatch.setattr(module, "read_rendition", recorded)
    splits = load_emoji(20, protocol="tuning")
    assert read == ["noto", "fluent", "emojione", "noto-v1"]
    assert set(splits.train.sources) == {"noto", "fluent", "emojione"}
    (split,) = splits.evaluation.values()
    assert split.name == "validation" and set(split.pool.sources) == {"noto-v1"}
    assert split.pool.images.shape == (31, 4, 20, 20)
    asked = {split.pool.ids[i] for i in split.query.tolist()}
    assert asked == {i for i in split.pool.ids if not is_novel(i)}


def test_tuning_asks_about_1109_of_1216():
    ids = [r.id for r in read_rendition("noto-v1")]
    assert (len(ids), sum(not is_novel(i) for i in ids)) == (1216, 1109)


def test_pictures_are_rgba_and_not_empty(final):
    for corpus in (final.train, final.evaluation["heldout_emoji"].pool):
        assert corpus.images.dtype == torch.uint8 and corpus.images.shape[1:] == (4, 32, 32)
        opaque = (corpus.images[:, 3] > 127).float().mean((1, 2))
        assert opaque.min() > 0.03
        # Drawings stand on a transparent ground.
        assert (corpus.images[:, 3] == 0).any(2).any(1).float().mean() > 0.8


def test_pictures_show_what_they_are_named(final):
    """Colour words in the names of plain things agree with the mean colour of the drawing."""
    colours = {"red": 0, "green": 1, "blue": 2}
    pool = final.evaluation["heldout_rendition"].pool
    checked = 0
    for corpus in (final.train, pool):
        for image, name in zip(corpus.images, corpus.names, strict=True):
            first, _, thing = name.partition(" ")
            if first in colours and thing in ("heart", "circle", "square", "apple", "book"):
                mean = (image[:3].float() * image[3:]).sum((1, 2))
                assert mean.argmax() == colours[first], name
                checked += 1
    assert checked > 30


def test_splits_say_what_they_are(final):
    assert final.name == "emoji" and final.levels == LEVELS
    assert final.templates == EVALUATION_TEMPLATES
    assert all(len(path) == len(LEVELS) for path in final.train.paths)
    assert "4,985" in final.description
