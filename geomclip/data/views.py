"""What each modality reads of a record, made into the tensors of a batch.

Every random number comes from the generators that are passed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from geomclip.data.captions import CaptionMix
from geomclip.data.record import Box
from geomclip.data.transforms import Draws, augment, draw
from geomclip.train.config import AugmentConfig, TrainConfig
from geomclip.train.modality_config import PICTURES, TEXTS

if TYPE_CHECKING:
    from geomclip.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Reading:
    """What was drawn of one record."""

    texts: dict[str, str]
    """By the modality that reads a text."""
    box: int = -1
    """Which of its boxes; -1 where none is read."""


class Views:
    """The modalities of a run as readers of records.

    Args:
        captions: draws what `caption` reads.
    """

    def __init__(self, config: TrainConfig, captions: CaptionMix, tokenizer: "Tokenizer") -> None:
        self.captions, self.tokenizer = captions, tokenizer
        self.augment: AugmentConfig = config.augment
        self.length = config.model.text.context_length
        self.modalities = config.modalities
        self.pictures = {n: m.reads for n, m in config.modalities.items() if m.reads in PICTURES}
        self.texts = {n: m.reads for n, m in config.modalities.items() if m.reads in TEXTS}
        self.boxes = any(m.reads in ("box", "phrase") for m in config.modalities.values())

    def read(
        self,
        texts: tuple[str, ...],
        path: tuple[str, ...],
        boxes: tuple[Box, ...],
        rng: np.random.Generator,
    ) -> Reading:
        """Draw what the modalities read of a record with these texts, label path and boxes."""
        box = int(rng.random() * len(boxes)) if self.boxes else -1
        found = {}
        for name, reads in self.texts.items():
            if reads == "caption":
                found[name] = self.captions.draw(texts, path, rng)
            elif reads == "keywords":
                found[name] = keywords(texts, int(rng.random() * (len(texts) - 1)))
            else:
                found[name] = boxes[box].text if reads == "phrase" else texts[0]
        return Reading(found, box)

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Draws]:
        """Random numbers for the augmentation of n pictures of each modality that reads one."""
        return {name: draw(n, self.augment, generator) for name in self.pictures}

    def inputs(
        self,
        readings: Sequence[Reading],
        pictures: Mapping[str, Tensor],
        draws: Mapping[str, Draws],
        items: Int[Tensor, "n"] | None,
        flippable: Tensor,
    ) -> dict[str, Tensor]:
        """What the encoder of each modality is given.

        Args:
            pictures: RGBA of whole pictures and of the boxes drawn, by "image" and "box".
            draws: rows of `draw` by modality.
            items: number of each record's item; None where the data number none.
            flippable: (n,) bool, pictures that keep their meaning when mirrored.
        """
        found: dict[str, Tensor] = {}
        for name, modality in self.modalities.items():
            if name in self.pictures:
                images = pictures[modality.reads]
                found[name] = augment(images, draws[name], flippable=flippable)
            elif name in self.texts:
                found[name] = self.tokenizer([r.texts[name] for r in readings], self.length)
            else:
                assert items is not None
                found[name] = items
        return found


def keywords(texts: tuple[str, ...], first: int = 0) -> str:
    """The texts after the first in a circle from one of them, as one text; the first alone where
    there are no others."""
    rest = texts[1:]
    return ", ".join(rest[first:] + rest[:first]) if rest else texts[0]
