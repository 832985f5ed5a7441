"""Items and label paths of a run's data as the losses see them."""

import dataclasses
from typing import Any

import pytest
import torch

from geomclip.data.stream import Batch
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import RequestError
from geomclip.train.samples import Samples

PATHS = [
    ("fruit", "apple"),
    ("fruit", "other"),
    ("tool", "other"),
    ("tool",),
    (),
    ("fruit", "apple"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["fruit", "tool", "other", "apple", "saw"], vocab_size=520)


def build(splits: Any, tokenizer: Tokenizer, needs: set[str], levels: int = 2) -> Samples:
    return Samples(splits, tokenizer, 8, needs=needs, levels=levels)


def batch(splits: Any, rows: list[int]) -> Batch:
    paths = [splits.train.paths[row] for row in rows]
    return Batch({}, torch.tensor(rows), paths)


def test_labels_are_numbered_by_their_whole_path(splits: Any, tokenizer: Tokenizer) -> None:
    labels = build(splits, tokenizer, {"labels"}).labels(PATHS).tolist()
    assert labels[0] == labels[5]
    assert labels[0][0] == labels[1][0] != labels[2][0] == labels[3][0]
    assert labels[1][1] != labels[2][1]  # "other" of two groups
    assert labels[3][1] == -1 and labels[4] == [-1, -1]
    assert all(0 <= label for label in labels[0])
    # The same in another process, where other labels came before.
    again = build(splits, tokenizer, {"labels"}, levels=1)
    assert again.labels(PATHS[2:]).tolist() == [row[:1] for row in labels[2:]]


def test_chains_go_through_the_tokens_of_their_labels(splits: Any, tokenizer: Tokenizer) -> None:
    samples = build(splits, tokenizer, {"chains"})
    tokens, chains = samples.chains([PATHS[2], PATHS[0], PATHS[4], PATHS[2]])
    words = [tokenizer([w], 8)[0] for w in ("tool", "other", "fruit", "apple")]
    assert len(tokens) == 4
    for row, expected in ((0, words[:2]), (1, words[2:])):
        for place, word in zip(chains[row].tolist(), expected, strict=True):
            assert torch.equal(tokens[place], word)
    assert chains[2].tolist() == [-1, -1]
    assert torch.equal(chains[3], chains[0])


def test_only_what_is_asked_for_is_given(splits: Any, tokenizer: Tokenizer) -> None:
    some = batch(splits, [1, 3])
    known = build(splits, tokenizer, {"ids", "labels"}).known(some, torch.device("cpu"))
    assert known.tokens is None and known.chains is None
    assert known.ids is not None and known.labels is not None
    known = build(splits, tokenizer, {"chains"}).known(some, torch.device("cpu"))
    assert known.ids is None and known.labels is None and known.tokens is not None


def test_the_emoji_have_three_levels_of_which_the_last_is_the_name(
    splits: Any, tokenizer: Tokenizer
) -> None:
    samples = build(splits, tokenizer, {"ids", "labels"}, levels=3)
    assert samples.items == 64
    known = samples.known(batch(splits, list(range(len(splits.train)))), torch.device("cpu"))
    assert known.ids is not None and known.labels is not None
    assert (known.labels >= 0).all()
    sizes = [len(known.labels[:, level].unique()) for level in range(3)]
    assert sizes[0] < sizes[1] < sizes[2] == 64
    # Renditions of one emoji are one item, under one name.
    assert len(torch.stack([known.ids, known.labels[:, 2]], 1).unique(dim=0)) == 64


def test_paths_that_are_too_short_are_refused(splits: Any, tokenizer: Tokenizer) -> None:
    with pytest.raises(RequestError, match=r"at least 4 levels; those of emoji-64 have 3\n"):
        build(splits, tokenizer, {"labels"}, levels=4)
    bare = dataclasses.replace(splits.train, paths=[()] * len(splits.train))
    bare = dataclasses.replace(splits, train=bare)
    with pytest.raises(RequestError, match="at least 1 levels; those of emoji-64 have 0"):
        build(bare, tokenizer, {"chains"})
    build(bare, tokenizer, {"ids"}, levels=4)
