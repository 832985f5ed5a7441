"""Recalls with five captions a picture, counted by hand on the line."""

import pytest
import torch

from geomclip.evaluate.captions import first_captions, retrieve_captions
from geomclip.geometry import build_geometry

G = build_geometry("euclidean", 1)


def line(*values):
    return torch.tensor(values)[:, None]


def found(images, texts, owner, **options):
    with torch.no_grad():
        result = retrieve_captions(G, line(*images), line(*texts), torch.tensor(owner), **options)
    return result, {name: number.value for name, number in result.recall.items()}


def test_five_captions_of_three_pictures_by_hand():
    # Pictures at 0, 10, 20. Of picture 0 one caption lies at 0.1, four at 10; of picture 1 all at
    # 10.5; of picture 2 one at 11 and four at 40.
    texts = (0.1, 10, 10, 10, 10, *[10.5] * 5, 11, 40, 40, 40, 40)
    owner = [i for i in range(3) for _ in range(5)]
    result, recall = found((0.0, 10.0, 20.0), texts, owner)
    # Picture 0: its caption is nearest. Picture 1: four foreign ones at distance 0, rank 5.
    # Picture 2: 11 is nearest of all.
    assert (recall["i2t_r1"], recall["i2t_r5"], recall["i2t_r10"]) == (2 / 3, 1, 1)
    # Captions: 0.1 -> right; 10 (x4) -> picture 1, own at rank 2; 10.5 (x5) -> right; 11 ->
    # picture 1 and then its own; 40 (x4) -> right.
    assert recall["t2i_r1"] == pytest.approx((1 + 5 + 4) / 15) and recall["t2i_r5"] == 1
    assert result.median_rank == {"i2t": 1, "t2i": 1}
    assert (result.pictures, result.captions, result.folds) == (3, 15, 1)
    assert result.chance["i2t_r1"] == pytest.approx(5 / 15)
    assert result.chance["t2i_r1"] == pytest.approx(1 / 3)
    assert result.recall["t2i_r1"].n == 15 and result.recall["i2t_r1"].n == 3


def test_the_same_words_with_another_picture_stand_before_the_own():
    _, recall = found((0.0, 5.0), (0.0, 0.0), [0, 1])
    assert recall["i2t_r1"] == 0 and recall["i2t_r5"] == 1
    # Text to image the two pictures differ.
    assert recall["t2i_r1"] == 1 / 2


def test_folds_are_means_over_consecutive_pictures_alone():
    # Rows 0, 1 find each other's captions; rows 2, 3 their own; row 4 fills no fold.
    images, texts = (0.0, 1.0, 10.0, 20.0, 30.0), (1.0, 0.0, 10.0, 10.1, 20.0, 0.0)
    owner = [0, 1, 2, 2, 3, 4]
    result, recall = found(images, texts, owner, fold=2)
    assert (result.pictures, result.captions, result.folds) == (2, 2, 2)
    assert (recall["i2t_r1"], recall["t2i_r1"], recall["i2t_r5"]) == (1 / 2, 1 / 2, 1)
    # The mean of folds, not of captions: 0/2 and 3/3.
    assert result.recall["t2i_r1"].n == 5
    _, whole = found(images, texts, owner)
    assert whole["t2i_r1"] == 3 / 6


def test_the_error_draws_the_captions_of_a_picture_together():
    # 40 pictures, five captions each, all right or all wrong with it: a share of 40, not of 200.
    images = [10.0 * i for i in range(40)]
    texts = [10.0 * (i - i % 2) for i in range(40) for _ in range(5)]
    result, recall = found(images, texts, [i for i in range(40) for _ in range(5)])
    assert recall["t2i_r1"] == 1 / 2
    assert result.recall["t2i_r1"].error == pytest.approx((0.25 / 40) ** 0.5, rel=0.3)


def test_pictures_without_captions_and_folds_that_are_too_large():
    with pytest.raises(ValueError, match="1 have no caption"):
        found((0.0, 1.0), (0.0,), [0])
    with pytest.raises(ValueError, match="a fold of 3 among 2"):
        found((0.0, 1.0), (0.0, 1.0), [0, 1], fold=3)


def test_the_first_captions():
    texts = [("a", "b", "c"), ("d",)]
    assert first_captions(texts, 2)[0] == ["a", "b", "d"]
    flat, owner = first_captions(texts, 0)
    assert flat == ["a", "b", "c", "d"] and owner.tolist() == [0, 0, 0, 1]
