"""Words run together, taken apart: "itookapicture" is "i took a picture" (MERU's subreddits)."""

import functools
from typing import TYPE_CHECKING

from geomclip.errors import RequestError

if TYPE_CHECKING:
    import wordsegment


@functools.lru_cache(maxsize=4096)
def split_words(text: str) -> str:
    """The most likely words of a text without spaces, lower-cased, by English word counts
    (Norvig 2009, the package wordsegment); other characters than letters and digits are dropped.

    Raises RequestError as `load_words`.
    """
    return " ".join(load_words().segment(text))


@functools.cache
def load_words() -> "wordsegment.Segmenter":
    """The word counts, a second the first time. Raises RequestError where there is no package."""
    try:
        from wordsegment import Segmenter
    except ImportError:
        raise RequestError(
            "captions.split_label needs wordsegment, which is not installed",
            "pip install 'geomclip[data]'",
        ) from None
    segmenter = Segmenter()
    segmenter.load()
    return segmenter
