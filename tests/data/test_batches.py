"""Captions, augmentation and the order of batches."""

import dataclasses
import gc
import math
import sys
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from geomclip.data import words
from geomclip.data.batches import Batches
from geomclip.data.captions import CaptionMix
from geomclip.data.emoji import load_emoji
from geomclip.data.prompts import TEMPLATES, fill
from geomclip.data.stream import Share
from geomclip.data.tokenizer import Tokenizer
from geomclip.data.transforms import augment, centres, draw, draw_windows, mirror_safe, on_white
from geomclip.errors import RequestError
from geomclip.train.config import AugmentConfig, CaptionConfig, TrainConfig

STILL = AugmentConfig(
    rotate=0.0, scale=(1.0, 1.0), shift=0.0, flip=0.0, background=0.0, brightness=0.0,
    saturation=0.0, channel_shift=0.0,
)  # fmt: skip
TEXTS = ("red apple", "fruit", "food")
PATH = ("food and drink", "food fruit", "red apple")


@pytest.fixture(scope="module")
def corpus():
    train = load_emoji(32, protocol="tuning").train
    return train.subset(list(range(0, len(train), 20)))


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return Tokenizer.train([t for texts in corpus.texts for t in texts], vocab_size=700)


def images(n: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 4, 16, 16), generator=generator, dtype=torch.uint8)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_on_white_composites():
    red = torch.tensor([255, 0, 0, 255], dtype=torch.uint8).view(1, 4, 1, 1)
    half = torch.tensor([255, 0, 0, 51], dtype=torch.uint8).view(1, 4, 1, 1)
    clear = torch.tensor([7, 7, 7, 0], dtype=torch.uint8).view(1, 4, 1, 1)
    pixels = on_white(torch.cat([red, half, clear])).flatten(1)
    torch.testing.assert_close(pixels, torch.tensor([[1, 0, 0], [1, 0.8, 0.8], [1, 1, 1]]))


def test_augmentation_turned_off_is_on_white():
    pictures = images()
    pixels = augment(pictures, draw(4, STILL, seeded(1)))
    torch.testing.assert_close(pixels, on_white(pictures), rtol=0, atol=2e-6)


def test_mirror_is_a_mirror_and_spares_what_is_not_flippable():
    pictures = images()
    always = dataclasses.replace(STILL, flip=1.0)
    flippable = torch.tensor([True, False, True, False])
    pixels = augment(pictures, draw(4, always, seeded(1)), flippable=flippable)
    expected = on_white(pictures)
    expected[flippable] = expected[flippable].flip(-1)
    torch.testing.assert_close(pixels, expected, rtol=0, atol=2e-6)


def test_the_grid_of_centres_is_torchs():
    theta = torch.randn(3, 2, 3, generator=seeded(0))
    grid = centres(5, 8).expand(3, -1, -1).bmm(theta.mT).view(3, 5, 8, 2)
    assert torch.equal(grid, F.affine_grid(theta, [3, 4, 5, 8], align_corners=False))


def test_augmentation_is_a_function_of_its_generator_and_stays_in_range():
    pictures, config = images(16), AugmentConfig(flip=0.5, background=1.0)
    first, again, other = (augment(pictures, draw(16, config, seeded(seed))) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 <= first.min() and first.max() <= 1


@pytest.mark.parametrize("background", [0.0, 0.5])
def test_a_picture_is_changed_alike_alone_and_in_a_large_batch(background):
    config = AugmentConfig(background=background, flip=0.5, crop=(0.5, 1.0))
    pictures = torch.randint(0, 256, (70, 4, 32, 32), dtype=torch.uint8, generator=seeded(0))
    draws, flippable = draw(70, config, seeded(1)), torch.arange(70) % 3 > 0
    whole = augment(pictures, draws, flippable=flippable)
    for i in (0, 41, 63, 64, 69):
        row = slice(i, i + 1)
        alone = augment(pictures[row], draws[row], flippable=flippable[row])
        assert torch.equal(alone, whole[row])


def test_crops_are_those_of_a_random_resized_crop():
    windows = draw_windows(4000, (0.5, 1.0), torch.Generator().manual_seed(0))
    centres, sides = windows[:, 0], windows[:, 1]
    assert (sides <= 1).all() and (centres.abs() <= 1 - sides + 1e-6).all()
    area, aspect = sides.prod(1), sides[:, 0] / sides[:, 1]
    assert 0.5 - 1e-6 <= area.min() < 0.51 and aspect.min() >= 0.75 - 1e-6
    assert aspect.max() <= 4 / 3 + 1e-6
    assert aspect.log().mean().abs() < 0.01 and centres.mean(0).abs().max() < 0.01
    # A draw of area a fits where |log aspect| <= -log a, which happens with -log a / log 4/3; the
    # whole square is what is left after ten draws.
    windows = draw_windows(4000, (0.9, 1.0), torch.Generator().manual_seed(0))
    share = (windows[:, 1].prod(1) == 1).float().mean().item()
    fits = (0.1 + 0.9 * math.log(0.9)) / 0.1 / math.log(4 / 3)
    assert share == pytest.approx((1 - fits) ** 10, abs=0.022)


def test_a_crop_shows_its_window_alone():
    side = 32
    images = torch.full((1, 4, side, side), 255, dtype=torch.uint8)
    images[0, :3] = torch.arange(side, dtype=torch.uint8) * 8  # grows from left to right
    draws = draw(1, STILL, torch.Generator())
    window = torch.tensor([[[0.5, -0.25], [0.5, 0.5]]])  # the right half
    cropped = augment(images, dataclasses.replace(draws, window=window))
    # Centres of pixels lie at half steps: 32 of them over the columns 16 to 32.
    expected = (16 + (torch.arange(side) + 0.5) / 2 - 0.5).clamp(max=side - 1) * 8 / 255
    torch.testing.assert_close(cropped[0, 0, 5, :-1], expected[:-1], atol=1e-5, rtol=0)


def test_mirror_safe_spares_directions_and_symbols():
    texts = [("red apple",), ("right arrow",), ("woman running facing right",), ("aries",)]
    paths = [PATH, ("symbols", "arrow", "x"), ("people", "p", "x"), ("symbols", "zodiac", "x")]
    assert mirror_safe(texts, paths).tolist() == [True, False, False, False]


def test_caption_kinds_come_with_their_weights():
    config = CaptionConfig(
        text=0.4, text_keyword=0.1, keywords=0.1, ancestor_text=0.1, ancestors=(0.1, 0.2),
        template=0.0,
    )  # fmt: skip
    mix, rng = CaptionMix(config, TEMPLATES), np.random.default_rng(0)
    count = Counter(mix.draw(TEXTS, PATH, rng) for _ in range(4000))
    share = {text: n / 4000 for text, n in count.items()}
    assert share["red apple"] == pytest.approx(0.4, abs=0.03)
    assert share["food fruit: red apple"] == pytest.approx(0.1, abs=0.02)
    assert share["food and drink"] == pytest.approx(0.1, abs=0.02)
    assert share["food fruit"] == pytest.approx(0.2, abs=0.03)
    assert share["red apple, fruit"] + share["red apple, food"] == pytest.approx(0.1, abs=0.02)
    assert {"fruit", "food", "fruit, food", "food, fruit"} <= set(share)


def test_a_label_before_the_caption_as_in_redcaps():
    config = CaptionConfig(
        text=0.5, text_keyword=0.0, keywords=0.0, ancestor_text=0.0, ancestors=(), template=0.0,
        label_text=0.5, split_label=True,
    )  # fmt: skip
    mix, rng = CaptionMix(config, (), keywords=False), np.random.default_rng(0)
    drawn = Counter(mix.draw(("a fern",), ("itookapicture",), rng) for _ in range(2000))
    assert drawn.keys() == {"a fern", "i took a picture: a fern"}
    assert abs(drawn["a fern"] - 1000) < 150
    assert mix.draw(("a fern",), (), rng) == "a fern"
    whole = dataclasses.replace(config, text=0.0, split_label=False)
    mix = CaptionMix(whole, (), keywords=False)
    assert mix.draw(("a fern",), ("plants", "itookapicture"), rng) == "itookapicture: a fern"


def test_words_without_their_package(monkeypatch):
    words.load_words.cache_clear()
    monkeypatch.setitem(sys.modules, "wordsegment", None)
    with pytest.raises(RequestError, match=r"split_label needs wordsegment(.|\n)*geomclip\[data\]"):
        CaptionMix(CaptionConfig(split_label=True), ())


def test_a_record_with_a_caption_alone_gives_that_caption():
    mix, rng = CaptionMix(CaptionConfig(template=0.0), TEMPLATES), np.random.default_rng(0)
    assert {mix.draw(("a dog",), (), rng) for _ in range(50)} == {"a dog"}


def test_templates_wrap_their_share():
    mix, rng = CaptionMix(CaptionConfig(template=0.5), TEMPLATES), np.random.default_rng(0)
    drawn = [mix.draw(("a dog",), (), rng) for _ in range(2000)]
    assert sum(d != "a dog" for d in drawn) / 2000 == pytest.approx(0.5, abs=0.04)
    assert set(drawn) == {"a dog"} | {t.format("a dog") for t in TEMPLATES}


def test_fill_keeps_braces_of_the_text_and_refuses_a_template_without_a_slot():
    assert fill("{x}", ("a {}",)) == ["a {x}"]
    with pytest.raises(ValueError, match=r"no \{\}"):
        fill("dog", ("a picture",))


def config(**changes) -> TrainConfig:
    return dataclasses.replace(TrainConfig(batch_size=16), **changes)


def test_a_batch_is_a_function_of_seed_and_step(corpus, tokenizer):
    batches = Batches(corpus, config(), tokenizer)
    walked = [batches.at(step) for step in range(3 * batches.per_epoch)]
    fresh = Batches(corpus, config(geometry="clip", lr=1.0), tokenizer)
    for step in (2 * batches.per_epoch + 1, 0, 3):
        again = fresh.at(step)
        assert torch.equal(walked[step].inputs["image"], again.inputs["image"])
        assert torch.equal(walked[step].inputs["text"], again.inputs["text"])
        assert torch.equal(walked[step].index, again.index)
    for batch in walked:
        assert torch.equal(fresh.next().inputs["image"], batch.inputs["image"])
    fresh.close()
    other = Batches(corpus, config(seed=1), tokenizer).at(0)
    assert not torch.equal(walked[0].index, other.index)


def test_an_epoch_visits_every_item_at_most_once(corpus, tokenizer):
    batches = Batches(corpus, config(), tokenizer)
    items = len(set(corpus.ids))
    for epoch in range(2):
        seen = [
            corpus.ids[row]
            for place in range(batches.per_epoch)
            for row in batches.at(epoch * batches.per_epoch + place).index
        ]
        assert len(seen) == len(set(seen)) == items // 16 * 16


def test_a_batch_larger_than_the_data_is_refused(corpus, tokenizer):
    with pytest.raises(RequestError, match="batch_size 5000 is larger than the data"):
        Batches(corpus, config(batch_size=5000), tokenizer)


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_every_batch_in_order(corpus, tokenizer, world):
    whole = Batches(corpus, config(), tokenizer)
    parts = [Batches(corpus, config(), tokenizer, share=Share(r, world)) for r in range(world)]
    for _ in range(whole.per_epoch + 2):
        batch, shared = whole.next(), [part.next() for part in parts]
        for name in ("image", "text"):
            assert torch.equal(batch.inputs[name], torch.cat([b.inputs[name] for b in shared]))
        assert torch.equal(batch.index, torch.cat([b.index for b in shared]))


def test_a_stream_goes_on_where_its_state_was_taken_with_another_world(corpus, tokenizer):
    stream = Batches(corpus, config(), tokenizer)
    for _ in range(5):
        stream.next()
    state, after = stream.state_dict(), stream.next()
    halves = []
    for rank in range(2):
        half = Batches(corpus, config(), tokenizer, share=Share(rank, 2))
        half.load_state_dict(state)
        halves.append(half.next().inputs["image"])
    assert torch.equal(torch.cat(halves), after.inputs["image"])


def test_a_batch_that_can_not_be_shared_equally_is_refused(corpus, tokenizer):
    with pytest.raises(RequestError, match=r"16 can't be shared equally by 3 .*\n.*batch-size 15"):
        Batches(corpus, config(), tokenizer, share=Share(0, 3))
    with pytest.raises(ValueError, match="got 2 of 2"):
        Share(2, 2)


def test_batches_are_gone_with_their_last_name(corpus, tokenizer):
    """Not when the collector comes round: they hold all pictures."""
    batches = Batches(corpus, config(), tokenizer)
    batches.next()
    batches.close()
    left = weakref.ref(batches)
    gc.disable()
    try:
        del batches
        assert left() is None
    finally:
        gc.enable()
