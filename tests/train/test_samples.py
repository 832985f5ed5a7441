"""Items and label paths of a corpus as the losses see them."""

import dataclasses
from typing import Any

import pytest
import torch

from geomclip.data.record import Corpus
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import RequestError
from geomclip.train.samples import Samples


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["fruit", "tool", "other", "apple", "saw"], vocab_size=520)


@pytest.fixture
def samples(tokenizer: Tokenizer) -> Samples:
    paths = [
        ("fruit", "apple"),
        ("fruit", "other"),
        ("tool", "other"),
        ("tool",),
        (),
        ("fruit", "apple"),
    ]
    corpus = Corpus(
        images=torch.zeros(6, 4, 2, 2, dtype=torch.uint8),
        ids=["a", "b", "c", "d", "e", "a"],
        texts=[("x",)] * 6,
        paths=paths,
        sources=[""] * 6,
    )
    return Samples(corpus, tokenizer, 8)


def test_items_and_labels_are_numbered_by_their_whole_path(samples: Samples) -> None:
    everything = torch.arange(6)
    assert samples.items == 5
    assert samples.ids(everything).tolist() == [0, 1, 2, 3, 4, 0]
    labels = samples.labels(everything).tolist()
    assert samples.depth == 2
    assert labels[0] == labels[5]
    assert labels[0][0] == labels[1][0] != labels[2][0] == labels[3][0]
    assert labels[1][1] != labels[2][1]  # "other" of two groups
    assert labels[3][1] == -1 and labels[4] == [-1, -1]


def test_chains_go_through_the_tokens_of_their_labels(samples: Samples) -> None:
    known = samples.known(torch.tensor([2, 0, 4]), {"chains"}, torch.device("cpu"))
    assert known.ids is None and known.labels is None
    assert known.tokens is not None and known.chains is not None
    words = [samples.tokenizer([w], 8)[0] for w in ("tool", "other", "fruit", "apple")]
    assert len(known.tokens) == 4
    for row, expected in ((0, words[:2]), (1, words[2:])):
        for place, word in zip(known.chains[row].tolist(), expected, strict=True):
            assert torch.equal(known.tokens[place], word)
    assert known.chains[2].tolist() == [-1, -1]


def test_only_what_is_asked_for_is_given(samples: Samples) -> None:
    known = samples.known(torch.tensor([1, 3]), {"ids", "labels"}, torch.device("cpu"))
    assert known.tokens is None and known.chains is None
    assert known.ids is not None and known.labels is not None


def test_paths_that_are_too_short_are_refused(samples: Samples) -> None:
    samples.check_labels(2, "--loss.levels")
    with pytest.raises(RequestError, match=r"--loss.levels asks for .* at least 3 levels; .* 2\n"):
        samples.check_labels(3, "--loss.levels")


def test_the_emoji_have_three_levels_of_which_the_last_is_the_name(
    splits: Any, tokenizer: Tokenizer
) -> None:
    samples = Samples(splits.train, tokenizer, 12)
    assert samples.depth == 3 and samples.items == 64
    labels = samples.labels(torch.arange(len(splits.train)))
    assert (labels >= 0).all()
    sizes = [len(labels[:, level].unique()) for level in range(3)]
    assert sizes[0] < sizes[1] < sizes[2] == 64


def test_a_corpus_without_paths_has_no_levels(splits: Any, tokenizer: Tokenizer) -> None:
    bare = dataclasses.replace(splits.train, paths=[()] * len(splits.train))
    samples = Samples(bare, tokenizer, 12)
    assert samples.depth == 0
    assert samples.labels(torch.arange(3)).shape == (3, 0)
    with pytest.raises(RequestError, match="at least 1 levels; those of the data have 0"):
        samples.check_labels(1, "--loss.chains")
