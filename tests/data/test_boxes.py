"""Boxes with their words in GRIT's json, and the part of a picture that they cut out."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from geomclip.data.boxes import boxes_of
from geomclip.data.record import Box, Corpus, Record, decode_image

CAPTION = "a wire hanger with a  paper cover"


def about(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"caption": CAPTION, "ref_exps": list(entries), **more}


def test_words_are_cut_from_the_caption_and_corners_kept_inside_the_picture() -> None:
    found = boxes_of(about([0, 13, 0.1, -0.2, 0.5, 0.75, 0.9], [19.0, 33.0, 0.5, 0.5, 1.5, 1, 0.8]))
    assert found == (
        Box("a wire hanger", (0.1, 0.0, 0.5, 0.75)),
        Box("a paper cover", (0.5, 0.5, 1.0, 1.0)),
    )


@pytest.mark.parametrize(
    "entry",
    [
        [0, 13, 0.5, 0.1, 0.5, 0.9, 1.0],  # no width
        [13, 13, 0.1, 0.1, 0.5, 0.9, 1.0],  # no words
        [90, 95, 0.1, 0.1, 0.5, 0.9, 1.0],  # beyond the caption
        [-3, 13, 0.1, 0.1, 0.5, 0.9, 1.0],
        [0, 13, float("nan"), 0.1, 0.5, 0.9, 1.0],
        [0, 13, True, 0.1, 0.5, 0.9, 1.0],
        [0, 13, 0.1],
        "0, 13, 0.1, 0.1, 0.5, 0.9",
    ],
)
def test_entries_that_are_no_box_are_left_out(entry: Any) -> None:
    whole = [0, 1, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert boxes_of(about(entry)) == ()
    assert len(boxes_of(about(entry, whole))) == 1
    # Noun chunks stand in where no referring expression is left.
    assert len(boxes_of(about(entry, noun_chunks=[whole, whole]))) == 2


@pytest.mark.parametrize("about", [None, [], {}, {"ref_exps": [[0, 1, 0, 0, 1, 1]]}, about(None)])
def test_json_without_boxes_has_none(about: Any) -> None:
    assert boxes_of(about) == ()


def test_a_box_is_cut_from_the_picture_as_it_came() -> None:
    """Before it is scaled: a quarter of 64 pixels at side 16 is itself."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    box = Box("part", (0.25, 0.5, 0.75, 0.75))
    cut = decode_image(out.getvalue(), 16, box=box)
    expected = torch.from_numpy(pixels[32:48, 8:24]).permute(2, 0, 1)
    assert torch.equal(cut[:3], expected) and (cut[3] == 255).all()
    # A sliver is at least a pixel, at the border too.
    assert decode_image(out.getvalue(), 4, box=Box("x", (1.0 - 1e-9, 0.0, 1.0, 1e-9))).any()

    records = [
        Record("a", out.getvalue(), ("a",), boxes=(box, box)),
        Record("b", out.getvalue(), ("b",)),
    ]
    corpus, bad = Corpus.from_records(records, 16)
    assert not bad and [len(c) for c in corpus.crops] == [2, 0]
    part = corpus.subset([1, 0])
    assert part.boxes == [(), (box, box)] and torch.equal(part.crops[1][0], cut)
    with pytest.raises(ValueError, match="one crop a box, for each of 2 pictures or for none"):
        Corpus(corpus.images, corpus.ids, corpus.texts, corpus.paths, corpus.sources, corpus.boxes)
