"""Jaccard by hand, the tie rule, chance by counting, and the layout of the csv."""

import itertools

import pytest
import torch
from sources import png

from geomclip.errors import RequestError
from geomclip.evaluate.associations import (
    Association,
    associations_of,
    chance_jaccard,
    choose,
    cue_prompt,
    jaccard,
    read_associations,
    score_associations,
)

HEADER = "candidates,cue,associations,num_associations\n"
ROW = '"[""eagle"", ""teepee"", ""ash""]",bald,"[""eagle"", ""ash""]",2\n'


def test_jaccard_of_the_chosen():
    right = frozenset({0, 3})
    assert choose(torch.tensor([0.9, 0.8, 0.1, 0.2, 0.0]), right) == (0, 1)
    assert jaccard((0, 1), right) == 1 / 3
    assert jaccard((3, 0), right) == 1 and jaccard((1, 2), right) == 0
    assert jaccard((0, 1, 2), frozenset({0, 1, 4})) == 2 / 4


def test_of_equal_scores_the_wrong_ones_are_chosen():
    assert set(choose(torch.ones(5), frozenset({0, 1}))) == {2, 3}
    assert set(choose(torch.tensor([1.0, 1.0, 0.0]), frozenset({0, 2}))) == {0, 1}


@pytest.mark.parametrize(("n", "k"), [(5, 2), (6, 3), (4, 4)])
def test_chance_is_the_mean_over_all_choices(n, k):
    right = frozenset(range(k))
    all_of_them = [jaccard(c, right) for c in itertools.combinations(range(n), k)]
    assert chance_jaccard(n, k) == pytest.approx(sum(all_of_them) / len(all_of_them), rel=1e-12)


def test_the_mean_over_rows_and_by_number_of_candidates():
    two = Association("x", ("a", "b", "c"), frozenset({0, 1}))
    one = Association("y", ("a", "b"), frozenset({1}))
    scores = [torch.tensor([3.0, 2.0, 1.0]), torch.tensor([3.0, 2.0, 4.0]), torch.tensor([1.0, 0])]
    found = score_associations([two, two, one], scores)
    assert found.jaccard.value == pytest.approx((1 + 1 / 3 + 0) / 3) and found.jaccard.n == 3
    assert found.exact == pytest.approx(1 / 3)
    assert found.by_candidates[3].value == pytest.approx(2 / 3)
    assert found.by_candidates[2].value == 0
    assert found.chance == pytest.approx((2 * (1 / 3 * 1 + 2 / 3 / 3) + 1 / 2) / 3)
    assert found.to_dict()["by_candidates"]["2"]["n"] == 1


def test_the_published_prompt():
    assert [cue_prompt(w) for w in ("Werewolf", "elf")] == ["A werewolf", "An elf"]


def test_the_layout(tmp_path):
    path = tmp_path / "game.csv"
    path.write_text(HEADER + ROW)
    bald = Association("bald", ("eagle", "teepee", "ash"), frozenset({0, 2}))
    assert read_associations(path) == (bald,)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("candidates,cue\nx,y\n", "has no column associations (it has: candidates, cue)"),
        (HEADER, "has no rows"),
        (HEADER + 'eagle,bald,"[""eagle""]",1\n', "line 2: candidates: 'eagle' is no list"),
        (HEADER + ROW + '"[""a""]",x,"[""b""]",1\n', "line 3: b is associated, and no candidate"),
        (HEADER + '"[""a"", ""a""]",x,"[""a""]",1\n', "line 2: candidates: a name stands there"),
        (HEADER + '"[""a""]",,"[""a""]",1\n', "line 2: the cue is empty"),
    ],
)
def test_a_broken_file_is_named_with_line_and_column(tmp_path, text, what):
    path = tmp_path / "game.csv"
    path.write_text(text)
    with pytest.raises(RequestError) as error:
        read_associations(path)
    assert what in error.value.what and str(path) in error.value.what


def test_a_model_is_asked_on_files(tmp_path, untrained):
    model = untrained("euclip")
    (tmp_path / "game.csv").write_text(HEADER + ROW)
    for name, colour in (("eagle", "red"), ("teepee", "green")):
        (tmp_path / f"{name}.jpg").write_bytes(png(colour))
    with pytest.raises(RequestError, match=r"lacks 1 of 3 pictures, ash\.jpg"):
        associations_of(model, tmp_path / "game.csv", tmp_path)
    with pytest.raises(RequestError, match="no row has all its pictures"):
        associations_of(model, tmp_path / "game.csv", tmp_path, skip_bad=True)
    (tmp_path / "ash.jpg").write_bytes(png("blue"))
    found, left_out = associations_of(model, tmp_path / "game.csv", tmp_path)
    # Two of three are chosen: both right, or one of them.
    assert found.jaccard.value in (1, 1 / 3) and not left_out
    other, _ = associations_of(
        model, tmp_path / "game.csv", tmp_path, templates=("a picture of {}",)
    )
    assert other.jaccard.n == 1
