"""Labels as nodes: synsets, wnids, words that name one node, and what is said of the others."""

import pytest

from geomclip.data.match_labels import match_labels
from geomclip.errors import RequestError
from geomclip.hierarchy import Hierarchy


def test_labels_in_every_spelling():
    h = Hierarchy.read("mammals")
    found = match_labels(h, ["dog.n.01", "n02121808", "Golden_retriever", "dog.n.01"])
    assert {label: h.names[i] for label, i in found.items()} == {
        "dog.n.01": "dog.n.01",
        "n02121808": "domestic_cat.n.01",
        "Golden_retriever": "golden_retriever.n.01",
    }


def test_labels_that_say_nothing_or_too_much():
    h = Hierarchy.from_paths([("red", "other"), ("blue", "other")])
    with pytest.raises(RequestError, match='2 nodes are called "other": red > other, blue'):
        match_labels(h, ["other"])
    with pytest.raises(RequestError, match='2 of 3 labels are no node, "green" the first'):
        match_labels(h, ["red", "green", "pink"])
