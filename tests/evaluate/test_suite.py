"""evaluate() from end to end on untrained models, and on features that are given."""

import dataclasses
import json

import pytest
import torch

from geomclip.data.record import Corpus
from geomclip.data.splits import EvalSplit, Splits
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import GeomclipError
from geomclip.evaluate import evaluate, image_points, pixel_reference, text_points, training_split
from geomclip.geometry import build_geometry
from geomclip.model import ContrastiveModel

RETRIEVAL = {f"{way}_r{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)}
ZEROSHOT = {"zeroshot_group_acc", "zeroshot_subgroup_acc"}
CONES = {"cone_own_group", "cone_other_group", "cone_aperture_group", "cone_auc_group"}


class Lookup(torch.nn.Module):
    """Token ids to a random feature of length 1, or of the length that is written for them."""

    def __init__(self, dim: int, lengths: dict[tuple[int, ...], float]) -> None:
        super().__init__()
        self.dim, self.lengths = dim, lengths

    def forward(self, ids):
        rows = []
        for row in ids.tolist():
            seed = sum((position + 1) * 7919 * token for position, token in enumerate(row))
            feature = torch.randn(self.dim, generator=torch.Generator().manual_seed(seed))
            length = self.lengths.get(tuple(row), 1.0)
            rows.append(length * torch.nn.functional.normalize(feature, dim=-1))
        return torch.stack(rows)


class Reader(torch.nn.Module):
    """A picture's grey value to the feature of its name: a perfect image encoder."""

    def __init__(self, lookup: Lookup, ids: torch.Tensor, length: float) -> None:
        super().__init__()
        self.lookup, self.ids, self.length = lookup, ids, length

    def forward(self, pixels):
        rows = (pixels[:, 0, 0, 0] * 255).round().long()
        feature = self.lookup(self.ids[rows])
        return self.length * torch.nn.functional.normalize(feature, dim=-1)


def corpus(names, paths=None, side=4):
    """Pictures that differ in one grey value, row by row."""
    grey = torch.arange(len(names), dtype=torch.uint8)[:, None, None, None]
    images = grey.expand(-1, 4, side, side).clone()
    images[:, 3] = 255
    return Corpus(
        images=images,
        ids=[f"row {i}" for i in range(len(names))],
        texts=[(name,) if name else () for name in names],
        paths=list(paths) if paths else [()] * len(names),
        sources=["made"] * len(names),
    )


def given(geometry, pool, lengths=None, image_length=1.0, dim=32):
    """A model that knows the name of every picture of the pool."""
    texts = [*pool.names, *(label for path in pool.paths for label in path)]
    tokenizer = Tokenizer.train(texts, 600)
    ids = tokenizer(pool.names, 24)
    written = {tuple(tokenizer([t], 24)[0].tolist()): v for t, v in (lengths or {}).items()}
    text = Lookup(dim, written)
    geometry = build_geometry(geometry, dim)
    model = ContrastiveModel(
        {"image": Reader(text, ids, image_length), "text": text},
        geometry,
        tokenizer,
        context_length=24,
        pixel_mean=(0.0, 0.0, 0.0),
        pixel_std=(1.0, 1.0, 1.0),
    )
    points = geometry.lift(model.text_features(pool.names).detach(), "text")
    geometry.set_root_(points, points)
    return model


def one_split(pool, query=None, train=None):
    query = torch.arange(len(pool)) if query is None else torch.tensor(query)
    split = EvalSplit("validation", pool, query)
    return Splits(train=train or pool, evaluation={"validation": split}, name="made")


def by_metric(evaluation, split="validation"):
    return {row.metric: row.value for row in evaluation.rows if row.split == split}


@pytest.mark.parametrize("geometry", ["clip", "euclip", "meru", "elliptic", "poincare"])
def test_names_and_shapes_on_an_untrained_model(geometry, emoji, untrained):
    model = untrained(geometry).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = evaluate(model, emoji, train=emoji.train, batch_size=50)
    assert model.training, "the model's mode is left as it was"
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

    expected = RETRIEVAL | ZEROSHOT | {"root_tau"}
    expected |= CONES if geometry in ("euclip", "meru", "poincare") else set()
    assert set(by_metric(found, "heldout_rendition")) == expected | {"pixel_nn_r1"}
    assert set(by_metric(found, "heldout_emoji")) == expected
    assert set(by_metric(found, "train")) == expected
    ranges = {"root_tau": (-1, 1), "cone_aperture_group": (0, torch.pi / 2 + 1e-6)}
    for row in found.rows:
        low, high = ranges.get(row.metric, (0, 1))
        assert low <= row.value <= high, row

    detail = found.splits["heldout_rendition"]
    queries = len(emoji.evaluation["heldout_rendition"].query)
    assert detail.image_to_text.top.shape == (queries, 5)
    assert len(detail.root_distance["image"]) == len(detail.tau) == len(detail.tau_texts) == queries
    assert len(detail.root_distance["group"]) == len({p[0] for p in emoji.train.paths})
    assert set(detail.root_distance) == {"image", "name", "subgroup", "group", "empty"}
    assert set(detail.cones) == ({"group", "subgroup", "name"} if expected & CONES else set())
    assert detail.candidates == detail.texts == 64
    json.dumps(found.to_dict(arrays=True), allow_nan=False)
    assert found.value("train", "i2t_r1") is not None and found.value("train", "no such") is None


def test_twice_the_same_and_batches_change_nothing_of_substance(emoji, untrained):
    model = untrained("meru")
    first, again = (evaluate(model, emoji, train=emoji.train) for _ in range(2))
    assert first.to_dict(arrays=True) == again.to_dict(arrays=True)
    small = evaluate(model, emoji, batch_size=7)
    torch.testing.assert_close(
        small.splits["heldout_rendition"].root_distance,
        first.splits["heldout_rendition"].root_distance,
    )


def test_without_training_pictures_there_is_neither_their_split_nor_the_pixel_reference(
    emoji, untrained
):
    found = evaluate(untrained("euclip"), emoji)
    assert "train" not in {row.split for row in found.rows}
    assert "pixel_nn_r1" not in {row.metric for row in found.rows}
    assert "pixel_nn" not in {reference.reference for reference in found.references}


def test_references_of_the_emoji(emoji, untrained):
    found = evaluate(untrained("euclip"), emoji, train=emoji.train, train_queries=0)
    reference = {(r.reference, r.split, r.metric): r.value for r in found.references}
    assert reference["chance", "heldout_rendition", "i2t_r5"] == pytest.approx(5 / 64)
    assert reference["chance", "heldout_rendition", "t2i_r10"] == pytest.approx(10 / 64)
    groups = len({p[0] for p in emoji.evaluation["heldout_rendition"].pool.paths})
    assert reference["chance", "heldout_emoji", "zeroshot_group_acc"] == pytest.approx(1 / groups)
    pixel = reference["pixel_nn", "heldout_rendition", "i2t_r1"]
    assert pixel == found.value("heldout_rendition", "pixel_nn_r1")
    assert ("pixel_nn", "heldout_emoji", "i2t_r1") not in reference, "novel: nothing to find"
    assert ("pixel_nn", "heldout_emoji", "zeroshot_group_acc") in reference


def test_training_pictures_find_themselves_pixel_by_pixel(emoji):
    split = training_split(emoji.train, 20, 50)
    same = {r.metric: r.value for r in pixel_reference(split, emoji.train)}
    assert same == {"i2t_r1": 1, "zeroshot_group_acc": 1, "zeroshot_subgroup_acc": 1}


def test_the_training_split_has_one_picture_a_name(emoji):
    split = training_split(emoji.train, 20, 50)
    assert len(split.pool) == 50 and len(split.query) == 20
    assert len(set(split.pool.names)) == 50
    assert split.query.tolist() == [i * 50 // 20 for i in range(20)]


@pytest.mark.parametrize(
    "geometry", ["clip", "elliptic", "euclip", "meru", "hyperbolic-inner", "poincare"]
)
def test_identical_features_are_retrieved_without_a_miss(geometry):
    pool = corpus([f"thing {i}" for i in range(30)])
    values = by_metric(evaluate(given(geometry, pool), one_split(pool)))
    assert values == dict.fromkeys(RETRIEVAL, 1.0)  # no label paths: nothing else exists


def test_pictures_that_share_a_name_are_all_right_answers():
    pool = corpus(["cat", "dog", "cat", "cow", "dog", "cat"])
    found = evaluate(given("euclip", pool), one_split(pool))
    assert by_metric(found) == dict.fromkeys(RETRIEVAL, 1.0)
    detail = found.splits["validation"]
    assert (detail.candidates, detail.texts) == (6, 3)
    assert detail.image_to_text.top[:, 0].tolist() == [0, 1, 0, 3, 1, 0]
    chance = {r.metric: r.value for r in found.references}
    assert chance["i2t_r1"] == pytest.approx(1 / 3)
    assert chance["t2i_r1"] == pytest.approx((3 * 3 + 2 * 2 + 1) / 6 / 6)


def test_classes_of_a_flat_path_are_groups():
    names = ["cat", "dog", "cow"] * 3
    pool = corpus(names, [(name,) for name in names])
    found = evaluate(given("meru", pool), one_split(pool))
    values = by_metric(found)
    assert values["zeroshot_group_acc"] == 1
    assert "zeroshot_subgroup_acc" not in values and "root_tau" not in values


def test_rows_without_a_path_or_a_name_are_left_out_of_what_needs_them():
    pool = corpus(
        ["tabby", "poodle", "", "a stone"],
        [("animal", "cat", "tabby"), ("animal", "dog", "poodle"), (), ()],
    )
    found = evaluate(given("euclip", pool), one_split(pool))
    detail = found.splits["validation"]
    assert detail.queries.tolist() == [0, 1, 3]
    assert detail.zeroshot["subgroup"].pictures == 2 and detail.zeroshot["subgroup"].classes == 2
    assert len(detail.tau) == 2
    assert by_metric(found)["i2t_r1"] == 1
    # One group only: there is no other group to compare with.
    assert {"cone_own_group", "cone_aperture_group"} <= set(by_metric(found))
    assert not {"cone_other_group", "cone_auc_group"} & set(by_metric(found))


def test_a_split_whose_queries_have_no_text_at_all_has_no_rows():
    pool = corpus(["", "dog"])
    found = evaluate(given("euclip", pool), one_split(pool, query=[0]), train=corpus(["", ""]))
    assert found.rows == () and found.splits == {}


@pytest.mark.parametrize("geometry", ["euclip", "meru"])
def test_root_tau_follows_lengths(geometry):
    pool = corpus(["tabby", "poodle"], [("animal", "cat", "tabby"), ("animal", "dog", "poodle")])
    length = {"animal": 1.0, "cat": 2.0, "dog": 2.0, "tabby": 3.0, "poodle": 3.0}
    # Image beyond name beyond subgroup beyond group: all six pairs in order.
    far = evaluate(given(geometry, pool, length, image_length=4.0), one_split(pool))
    assert by_metric(far)["root_tau"] == 1
    # Image below all texts: three of six pairs.
    near = evaluate(given(geometry, pool, length, image_length=0.5), one_split(pool))
    assert by_metric(near)["root_tau"] == 0
    assert near.splits["validation"].tau_texts.tolist() == [1.0, 1.0]
    distance = near.splits["validation"].root_distance
    scale = 32**-0.5  # d^-1/2, of both lifts
    torch.testing.assert_close(distance["image"], torch.full((2,), 0.5 * scale))
    torch.testing.assert_close(distance["subgroup"], torch.full((2,), 2 * scale))


@pytest.mark.parametrize("encoder", ["image", "text"])
def test_features_that_are_not_finite_stop_with_their_number(encoder, emoji, untrained):
    model = untrained("euclip")
    weight = model.encoders[encoder].state_dict()
    last = next(reversed([v for v in weight.values() if v.dim() == 2]))
    with torch.no_grad():
        last.fill_(torch.nan)
    with pytest.raises(GeomclipError, match=rf"{encoder} encoder: features of \d+ of \d+ inputs"):
        evaluate(model, emoji)


def test_a_root_that_was_never_set_stops_with_the_way_out(emoji, untrained):
    model = untrained("clip")
    model.geometry.root_point.zero_()
    with pytest.raises(GeomclipError, match="set_root_"):
        evaluate(model, emoji)


def test_points_of_nothing_have_no_rows(untrained):
    model = untrained("meru")
    assert image_points(model, torch.empty(0, 4, 16, 16, dtype=torch.uint8)).shape == (0, 16)
    assert text_points(model, []).points.shape == (0, 16)


@pytest.mark.parametrize("geometry", ["clip", "euclip", "meru"])
def test_text_points_are_prototypes_of_their_prompts(geometry, untrained):
    model = untrained(geometry)
    found = text_points(model, ["cat", "dog", "cat"], ("{}", "a picture of {}"), batch_size=3)
    assert found.row == {"cat": 0, "dog": 1}
    with torch.no_grad():
        expected = model.geometry.prototype(model.text_features(["dog", "a picture of dog"]))
    torch.testing.assert_close(found.of(["dog"])[0], expected)
    with pytest.raises(KeyError):
        found.of(["cow"])


def test_results_are_frozen(emoji, untrained):
    found = evaluate(untrained("euclip"), emoji)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.rows = ()
