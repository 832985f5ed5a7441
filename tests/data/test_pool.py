"""Pools of texts: the data's own words, the common ones, a file."""

import pytest

from geomclip.data.pool import PARTS, build_pool, read_pool, words_of
from geomclip.errors import RequestError

CAPTIONS = ["A large dog and two dogs", "an old apple on the table", "A large dog and two dogs"]


def test_words_of_captions_are_nouns_and_adjectives_by_their_count():
    found = words_of(CAPTIONS[:2], 10)
    assert found["noun"] == ("dog", "apple", "table")
    assert found["adjective"] == ("large", "old")
    assert words_of(CAPTIONS, 1)["noun"] == ("dog",)


def test_parts_of_a_pool_are_encoded_in_their_prompts():
    pool = build_pool(
        ["captions", "labels", "nouns", "adjectives"], CAPTIONS, [("animal", "dog"), ("animal",)]
    )
    assert pool.texts == (
        CAPTIONS[0], CAPTIONS[1], "animal", "dog", "apple", "table", "large", "old",
    )  # fmt: skip
    kinds = dict(zip(pool.texts, pool.kinds, strict=True))
    prompts = dict(zip(pool.texts, pool.prompts, strict=True))
    assert kinds["dog"] == "label" and prompts["dog"] == "dog"
    assert prompts["apple"] == "a picture of an apple" and prompts["large"] == "a large thing"


def test_the_neutral_pool_needs_no_data():
    pool = build_pool(["words"])
    assert 890 < len(pool) <= 900  # a few words are both
    assert set(pool.kinds) == {"noun", "adjective"}


def test_a_pool_from_a_file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("a dog\n\n  a cat \na dog\n", encoding="utf-8")
    assert read_pool(path).texts == ("a dog", "a cat")
    path.write_text("\n")
    with pytest.raises(RequestError, match="has no text"):
        read_pool(path)
    with pytest.raises(RequestError, match="No such file"):
        read_pool(tmp_path / "none")


def test_what_gives_no_pool_is_said():
    with pytest.raises(RequestError, match="no part verbs"):
        build_pool(["verbs"])
    with pytest.raises(RequestError, match="nothing for a pool of captions"):
        build_pool(["captions"], [""])
    assert "words" in PARTS
