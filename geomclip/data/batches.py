"""Batches of a data set in memory: the batch of a step is a pure function of (seed, step).

Every geometry of a comparison sees the same pictures, captions and augmentation in the same order.
"""

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from geomclip.data.ahead import Ahead
from geomclip.data.captions import CaptionMix
from geomclip.data.prompts import TEMPLATES
from geomclip.data.stream import ALL, Batch, Share
from geomclip.data.transforms import mirror_safe
from geomclip.data.views import Views
from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig

if TYPE_CHECKING:
    from geomclip.data.record import Corpus
    from geomclip.data.tokenizer import Tokenizer


class Batches:
    """Training batches over a corpus, as a `BatchStream`.

    An epoch visits every item once, in a new order, each time in a rendition drawn anew: two
    renditions of one item never meet in a batch, where each would be the other's false negative.

    Args:
        share: the rows of each batch that this process takes.

    Raises:
        RequestError: the batch is larger than the number of items, does not divide by
            `share.world`, or a modality reads boxes that some records have not.
    """

    def __init__(
        self,
        corpus: "Corpus",
        config: TrainConfig,
        tokenizer: "Tokenizer",
        *,
        templates: tuple[str, ...] = TEMPLATES,
        keywords: bool = True,
        share: Share = ALL,
    ) -> None:
        self.corpus = corpus
        self.config = config
        self.rows = share.rows(config.batch_size)
        self.position = 0
        captions = CaptionMix(config.captions, templates, keywords)
        self.views = Views(config, captions, tokenizer)
        rows: dict[str, list[int]] = {}
        for row, item in enumerate(corpus.ids):
            rows.setdefault(item, []).append(row)
        self.items = [np.array(r) for r in rows.values()]
        if config.batch_size > len(self.items):
            raise RequestError(
                f"batch_size {config.batch_size} is larger than the data ({len(self.items)} items)",
                f"Give --batch-size {len(self.items)} or less.",
            )
        self.item = torch.empty(len(corpus), dtype=torch.int64)
        for number, own in enumerate(self.items):
            self.item[torch.from_numpy(own)] = number
        if self.views.boxes and not (corpus.boxes and all(corpus.boxes)):
            bare = len(corpus) - sum(map(bool, corpus.boxes))
            raise RequestError(
                f"{bare:,} of {len(corpus):,} records have no box, and a modality reads boxes",
                "Boxes are read from tars, under --data.boxes.",
            )
        self.per_epoch = len(self.items) // config.batch_size
        self.flippable = mirror_safe(corpus.texts, corpus.paths)
        self._epoch: tuple[int, np.ndarray] | None = None
        own = weakref.proxy(self)
        # Not self.at: in a cycle the pictures would stay until the collector comes round, which may
        # be while the memory of a step is measured.
        self._ahead = Ahead(lambda step: own.at(step))

    def _order(self, epoch: int) -> np.ndarray:
        """Rows of the corpus in the order of an epoch: one of each item."""
        found = self._epoch
        if found is None or found[0] != epoch:
            rng = np.random.default_rng((self.config.seed, 0, epoch))
            pick = rng.random(len(self.items))
            rows = np.array([r[int(p * len(r))] for r, p in zip(self.items, pick, strict=True)])
            self._epoch = found = epoch, rows[rng.permutation(len(rows))]
        return found[1]

    def next(self) -> Batch:
        """This process's rows of the next batch; a thread begins to make the one after it."""
        batch = self._ahead(self.position)
        self.position += 1
        return batch

    def at(self, step: int) -> Batch:
        """This process's rows of the batch of a step, counted from 0."""
        epoch, place = divmod(step, self.per_epoch)
        size = self.config.batch_size
        whole = self._order(epoch)[place * size : (place + 1) * size]
        rng = np.random.default_rng((self.config.seed, 1, step))
        corpus, views = self.corpus, self.views
        # Drawn for the whole batch, whoever takes it: the numbers are the same for every share.
        readings = [
            views.read(
                corpus.texts[row], corpus.paths[row], corpus.boxes[row] if corpus.boxes else (), rng
            )
            for row in whole
        ]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        draws = {name: d[self.rows] for name, d in views.draw(size, generator).items()}
        index, mine = torch.from_numpy(whole[self.rows]), readings[self.rows]
        # index_select copies rows; images[index] goes byte by byte.
        pictures = {"image": corpus.images.index_select(0, index)}
        if views.boxes:
            rows = zip(index.tolist(), mine, strict=True)
            pictures["box"] = torch.stack([corpus.crops[row][read.box] for row, read in rows])
        inputs = views.inputs(mine, pictures, draws, self.item[index], self.flippable[index])
        return Batch(inputs, index, [corpus.paths[row] for row in index.tolist()])

    def state_dict(self) -> dict[str, Any]:
        """The position: nothing else is carried from step to step."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at the position of `state`."""
        self.position = state["position"]

    def take_counts(self) -> dict[str, int]:
        """Nothing to count: what can't be used was left out when the data were read."""
        return {}

    def close(self) -> None:
        """End the thread."""
        self._ahead.close()
