"""Boxes with their words in the json of a sample, as GRIT has them (Peng et al., arXiv 2306.14824).

    "caption": "a wire hanger with a paper cover",
    "ref_exps": [[0, 31, 0.19, 0.09, 0.99, 0.84, 0.98]]

An entry is where its words begin and end in the caption (characters, the end not included), left,
top, right and bottom of the box as shares of the picture, and a confidence. `noun_chunks` are the
shorter phrases that referring expressions grow from.
"""

import math
from typing import Any

from geomclip.data.record import Box

KEYS = ("ref_exps", "noun_chunks")


def boxes_of(about: Any) -> tuple[Box, ...]:
    """The boxes in a json object: the referring expressions, the noun chunks where there is none.

    An entry that has no words or no area inside the picture is left out.
    """
    if not isinstance(about, dict) or not isinstance(caption := about.get("caption"), str):
        return ()
    for key in KEYS:
        entries = about.get(key)
        found = [_box(entry, caption) for entry in entries] if isinstance(entries, list) else []
        if boxes := tuple(box for box in found if box is not None):
            return boxes
    return ()


def _box(entry: Any, caption: str) -> Box | None:
    if not isinstance(entry, list) or len(entry) < 6:
        return None
    numbers = entry[:6]
    if not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
        return None
    start, stop = int(numbers[0]), int(numbers[1])
    left, top, right, bottom = (min(1.0, max(0.0, float(n))) for n in numbers[2:])
    text = " ".join(caption[start:stop].split()) if 0 <= start < stop else ""
    return Box(text, (left, top, right, bottom)) if text and left < right and top < bottom else None
