"""The embedded WordNet: the published counts, its names, its words, the script that rebuilds it."""

import lzma
import shutil

import numpy as np
import pytest

from geomclip.data import build_wordnet, wordnet
from geomclip.data.build_wordnet import common_words, graph_text, parse_data, parse_index
from geomclip.data.wordnet import graph, load_wordnet, of_wnid
from geomclip.errors import GeomclipError, RequestError
from geomclip.hierarchy import Hierarchy


def counts(h: Hierarchy) -> tuple[int, int]:
    return len(h), len(h.closure)


def test_the_published_counts():
    nouns = load_wordnet("nouns")
    assert counts(nouns) == (82_115, 743_241)
    assert len(nouns.up) == 84_427
    rootless = nouns.without(["entity.n.01"])
    assert counts(rootless) == (82_114, 661_127)
    assert len(rootless.reduced().up) == 84_363
    assert counts(nouns.subtree("mammal.n.01")) == (1_182, 6_542)
    assert counts(load_wordnet("mammals")) == (1_180, 6_540)
    assert counts(load_wordnet("verbs")) == (13_542, 35_079)


def test_names_labels_and_offsets_are_wordnets():
    nouns = load_wordnet("nouns")
    assert [nouns.names[i] for i in nouns.roots] == ["entity.n.01"]
    dog = nouns.node("dog.n.01")
    assert {nouns.names[i] for i in nouns.parents(dog)} == {"canine.n.02", "domestic_animal.n.01"}
    assert nouns.label(nouns.node("domestic_animal.n.01")) == "domestic animal"
    # ImageNet's own numbers.
    assert of_wnid("n02084071") == "dog.n.01" and of_wnid("n01440764") == "tench.n.01"
    assert load_wordnet("move.v.03").roots.size == 1
    with pytest.raises(RequestError, match="n02084072 is no synset"):
        of_wnid("n02084072")
    with pytest.raises(RequestError, match="no node"):
        load_wordnet("unheard_of.n.01")


def test_instances_are_marked():
    nouns = graph("nouns")
    h = nouns.hierarchy
    einstein = h.node("einstein.n.01")
    assert nouns.instance[h.start[einstein] : h.start[einstein + 1]].all()
    assert not nouns.instance[h.start[h.node("dog.n.01")]]
    assert nouns.instance.sum() == 8577


def test_the_common_words_are_plain_and_sorted():
    words = wordnet.common_words()
    assert {kind: len(found) for kind, found in words.items()} == {"noun": 700, "adjective": 200}
    assert words["noun"][:2] == ("man", "youth") and "dog" in words["noun"]
    for found in words.values():
        assert len(set(found)) == len(found)
        assert all(word.isalpha() and word.islower() and len(word) > 2 for word in found)


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    data = (wordnet.FOLDER / "verbs.xz").read_bytes()
    (tmp_path / "verbs.xz").write_bytes(data[:4000])
    monkeypatch.setattr(wordnet, "FOLDER", tmp_path)
    with pytest.raises(GeomclipError, match="damaged"):
        graph.__wrapped__("verbs")


# Three lines of a data file as wndb(5WN) lays them out, and what is said about them.
DATA = """\
  1 This is the licence.
00000010 03 n 01 entity 0 000 | what is
00000050 05 n 02 Beast 0 brute 1 002 @ 00000010 n 0000 ~ 00000090 n 0000 | a beast
00000090 18 n 01 Rex 0 001 @i 00000050 n 0000 | a dog of that name
"""
INDEX = (
    "entity n 1 1 @ 1 0 00000010\nbeast n 2 1 @ 2 0 00000007 00000050\nrex n 1 1 @ 1 0 00000090\n"
)


def test_a_graph_is_written_as_three_lines():
    text = graph_text(parse_data(DATA), parse_index(INDEX), "n")
    assert text == "entity.n.01\tbeast.n.02\trex.n.01\n10\t40\t40\n\t0\t1*\n"


def test_words_are_chosen_by_their_commonest_sense():
    data = """\
00000001 05 n 01 horse 0 000 | the animal
00000002 10 n 01 horse 0 000 | slang for heroin
00000003 05 n 01 cow 0 000 | the animal
00000004 10 n 01 cow 1 000 | another sense
00000005 05 n 01 pig 0 000 | the animal
00000006 18 n 01 pig 1 001 ;u 00000007 n 0000 | a rude word for a person
00000007 10 n 01 disparagement 0 000 | the domain
00000008 05 n 01 Rex 0 000 | a name
"""
    tags = {
        "horse%1:05:00": 9, "horse%1:10:00": 2, "cow%1:05:00": 1, "cow%1:10:01": 5,
        "pig%1:05:00": 8, "rex%1:05:00": 7,
    }  # fmt: skip
    found = common_words(parse_data(data), tags, build_wordnet.visible, 10)
    assert found == [("horse", 9)]


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="Debian's tools are missing"
)
def test_the_script_rebuilds_what_is_shipped(tmp_path):
    build_wordnet.build(tmp_path / "out", tmp_path / "cache")
    for name in ("nouns.xz", "verbs.xz"):
        built, shipped = ((f / name).read_bytes() for f in (tmp_path / "out", wordnet.FOLDER))
        assert lzma.decompress(built) == lzma.decompress(shipped)
    built, shipped = ((f / "words.tsv").read_text() for f in (tmp_path / "out", wordnet.FOLDER))
    assert built == shipped
    assert np.array_equal(np.sort(graph("nouns").offset), graph("nouns").offset)
