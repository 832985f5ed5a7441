"""Splits: the hash that holds ids out, and what a split refuses."""

import hashlib

import pytest
import torch

from geomclip.data.record import Corpus
from geomclip.data.splits import (
    EvalSplit,
    Splits,
    hashed_share,
    hashed_tenth,
    split_by_hash,
    with_validation,
)
from geomclip.errors import RequestError


def corpus_of(ids: list[str]) -> Corpus:
    n = len(ids)
    return Corpus(
        torch.zeros(n, 4, 2, 2, dtype=torch.uint8), ids, [(i,) for i in ids], [()] * n, [""] * n
    )


def test_hashes_are_those_of_sha256():
    digest = hashlib.sha256(b"1f600").hexdigest()
    assert hashed_tenth("1f600") == (digest[-1] in "0123456789" and int(digest, 16) % 10 == 0)
    assert hashed_share("1f600") == int(digest[:12], 16) / 16**12
    # The one hash of an empty string that everybody knows: e3b0c44298fc...b855.
    assert hashed_share("") == pytest.approx(0xE3B0C442 / 2**32, abs=2**-32)


def test_shares_are_uniform():
    shares = torch.tensor([hashed_share(str(i)) for i in range(2000)], dtype=torch.float64)
    counts = torch.histc(shares, 10, 0, 1)
    # Chi-squared with 9 degrees of freedom lies below 27.9 in 99.9 % of cases; the ids are fixed.
    assert ((counts - 200) ** 2 / 200).sum() < 27.9


def test_split_by_hash_depends_on_the_id_alone():
    ids = [f"id{i % 150}" for i in range(300)]
    splits = split_by_hash(corpus_of(ids), 0.2, name="mine", levels=("a",))
    held_out = set(splits.evaluation["validation"].pool.ids)
    assert held_out == {i for i in ids if hashed_share(i) < 0.2}
    assert held_out.isdisjoint(splits.train.ids)
    assert len(splits.train) + len(splits.evaluation["validation"].pool) == 300
    again = split_by_hash(corpus_of([*ids[::-1], "another"]), 0.2, name="mine")
    assert set(again.evaluation["validation"].pool.ids) - {"another"} == held_out
    assert splits.levels == ("a",) and splits.templates == ("{}",)


def test_split_by_hash_refuses_an_empty_side():
    with pytest.raises(RequestError, match="1 records leave"):
        split_by_hash(corpus_of(["a"]), name="tiny")
    with pytest.raises(RequestError, match=r"is 1\.0\n.*val-fraction between 0 and 1"):
        split_by_hash(corpus_of(["a", "b"]), 1.0, name="tiny")


def test_validation_data_of_its_own_is_asked_about_whole():
    splits = with_validation(corpus_of(["a"]), corpus_of(["b", "c"]), name="two")
    assert splits.evaluation["validation"].query.tolist() == [0, 1]
    with pytest.raises(RequestError, match="validation data holds no usable record"):
        with_validation(corpus_of(["a"]), corpus_of([]), name="two")


@pytest.mark.parametrize("rows", [[2], [-1], [0, 5]])
def test_queries_are_rows_of_the_pool(rows):
    with pytest.raises(ValueError, match="rows of the pool, 0 to 1"):
        EvalSplit("x", corpus_of(["a", "b"]), torch.tensor(rows))


def test_a_split_without_queries_is_refused():
    with pytest.raises(ValueError, match="no query"):
        EvalSplit("x", corpus_of(["a"]), torch.tensor([], dtype=torch.int64))


def test_splits_check_names_and_templates():
    train = corpus_of(["a"])
    split = EvalSplit("x", train, torch.tensor([0]))
    with pytest.raises(ValueError, match="'x' is listed as 'y'"):
        Splits(train, {"y": split}, "s")
    with pytest.raises(ValueError, match="a template holds one"):
        Splits(train, {"x": split}, "s", templates=("a picture",))
