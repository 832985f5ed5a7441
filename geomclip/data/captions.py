"""Which text a picture is shown with at a step: its name, keywords, or a label above it.

The mix is what makes one picture meet texts of every generality. A kind that a record can't give
(no keywords, no label path) is left out of its draw; its captions are drawn instead.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from geomclip.data.words import load_words, split_words
from geomclip.train.config import CaptionConfig


@dataclass(frozen=True)
class CaptionMix:
    """Draws captions; a pure function of the generator that it is given.

    Args:
        config: weights of the kinds.
        templates: prompt templates with `{}`; empty turns them off.
        keywords: whether the texts after the first are keywords of it. Otherwise all are captions
            of equal standing, and one is drawn.
    """

    config: CaptionConfig
    templates: tuple[str, ...]
    keywords: bool = True

    def __post_init__(self) -> None:
        if self.config.split_label:
            load_words()  # raises where the package is missing, before a worker asks

    def draw(self, texts: tuple[str, ...], path: tuple[str, ...], rng: np.random.Generator) -> str:
        """One caption.

        Args:
            texts: captions, the name first, keywords after it.
            path: label path, most general first; its last element is the name's own level.
        """
        kind, pick, share, template = rng.random(4).tolist()
        caption = self._caption(texts, path, kind, pick, share)
        if self.templates and template < self.config.template:
            slot = int(template / self.config.template * len(self.templates))
            caption = self.templates[slot].replace("{}", caption)
        return caption

    def _caption(
        self, texts: tuple[str, ...], path: tuple[str, ...], kind: float, pick: float, share: float
    ) -> str:
        config, ancestors = self.config, path[:-1]
        name, keywords = texts[0], texts[1:]
        if not self.keywords:
            name, keywords = texts[int(pick * len(texts))], ()
        weights = [config.text]
        weights += [config.text_keyword, config.keywords] if keywords else [0.0, 0.0]
        weights += [config.ancestor_text] if ancestors else [0.0]
        weights += [*config.ancestors[: len(ancestors)], config.label_text if path else 0.0]
        # Lists of five: numpy takes ten times as long for them.
        total = list(accumulate(weights))
        choice = bisect_right(total, kind * total[-1])
        if choice == 1:
            return f"{name}, {keywords[int(pick * len(keywords))]}"
        if choice == 2:
            count = 1 + int(share * min(3, len(keywords)))
            first = int(pick * len(keywords))
            # Consecutive keywords in a circle: distinct, and one draw is enough for all of them.
            return ", ".join(keywords[(first + i) % len(keywords)] for i in range(count))
        if choice == 3:
            return f"{ancestors[-1]}: {name}"
        if choice == len(weights) - 1:
            return f"{split_words(path[-1]) if config.split_label else path[-1]}: {name}"
        if choice > 3:
            return ancestors[choice - 4]
        return name
