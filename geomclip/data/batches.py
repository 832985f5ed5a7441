"""The batch of a step as a pure function of (seed, step).

Nothing is carried from step to step, so a resumed run needs no reader state, and every geometry of
a comparison sees the same pictures, captions and augmentation in the same order.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomclip.data.captions import CaptionMix
from geomclip.data.prompts import TEMPLATES
from geomclip.data.transforms import augment, mirror_safe
from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig

if TYPE_CHECKING:
    from geomclip.data.record import Corpus
    from geomclip.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Batch:
    """Pairs of pixels and token ids, and the rows of the corpus that they came from."""

    pixels: Float[Tensor, "n 3 s s"]
    ids: Int[Tensor, "n l"]
    index: Int[Tensor, "n"]


class Batches:
    """Training batches over a corpus.

    An epoch visits every item once, in a new order, each time in a rendition drawn anew: two
    renditions of one item never meet in a batch, where each would be the other's false negative.

    Raises:
        RequestError: the batch is larger than the number of items.
    """

    def __init__(
        self,
        corpus: "Corpus",
        config: TrainConfig,
        tokenizer: "Tokenizer",
        *,
        templates: tuple[str, ...] = TEMPLATES,
    ) -> None:
        self.corpus = corpus
        self.config = config
        self.tokenizer = tokenizer
        self.captions = CaptionMix(config.captions, templates)
        rows: dict[str, list[int]] = {}
        for row, item in enumerate(corpus.ids):
            rows.setdefault(item, []).append(row)
        self.items = [np.array(r) for r in rows.values()]
        if config.batch_size > len(self.items):
            raise RequestError(
                f"batch_size {config.batch_size} is larger than the data ({len(self.items)} items)",
                f"Give --batch-size {len(self.items)} or less.",
            )
        self.per_epoch = len(self.items) // config.batch_size
        self.flippable = mirror_safe(corpus.texts, corpus.paths)
        self._epoch: tuple[int, np.ndarray] | None = None

    def _order(self, epoch: int) -> np.ndarray:
        """Rows of the corpus in the order of an epoch: one of each item."""
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng((self.config.seed, 0, epoch))
            pick = rng.random(len(self.items))
            rows = np.array([r[int(p * len(r))] for r, p in zip(self.items, pick, strict=True)])
            self._epoch = epoch, rows[rng.permutation(len(rows))]
        return self._epoch[1]

    def at(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        epoch, place = divmod(step, self.per_epoch)
        size = self.config.batch_size
        rows = self._order(epoch)[place * size : (place + 1) * size]
        index = torch.from_numpy(rows)
        rng = np.random.default_rng((self.config.seed, 1, step))
        captions = [
            self.captions.draw(self.corpus.texts[row], self.corpus.paths[row], rng) for row in rows
        ]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        pixels = augment(
            self.corpus.images[index],
            self.config.augment,
            generator,
            flippable=self.flippable[index],
        )
        ids = self.tokenizer(captions, self.config.model.text.context_length)
        return Batch(pixels, ids, index)
