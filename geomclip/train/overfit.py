"""`--overfit N`: can the model learn N pairs by heart? If it can't, more data won't help."""

import dataclasses
from typing import TYPE_CHECKING

from geomclip.errors import RequestError
from geomclip.train.config import AugmentConfig, CaptionConfig, TrainConfig

if TYPE_CHECKING:
    from geomclip.data.record import Corpus

# A loss below this share of chance has learnt the pairs.
LEARNT = 0.1

_STILL = AugmentConfig(
    rotate=0.0, scale=(1.0, 1.0), shift=0.0, background=0.0, brightness=0.0, saturation=0.0,
    channel_shift=0.0,
)  # fmt: skip
# A picture's first caption and nothing else.
FIRST_TEXT = CaptionConfig(
    text=1.0, text_keyword=0.0, keywords=0.0, ancestor_text=0.0, ancestors=(), template=0.0
)


def overfit_settings(config: TrainConfig) -> TrainConfig:
    """The settings of an overfit check; others, and those of a check already, as they are."""
    if not config.overfit:
        return config
    return dataclasses.replace(
        config, batch_size=config.overfit, augment=_STILL, captions=FIRST_TEXT
    )


def overfit_pairs(corpus: "Corpus", count: int) -> "Corpus":
    """The first `count` pictures of different items with different first captions, and those alone.

    Raises RequestError where there are fewer.
    """
    rows: list[int] = []
    ids: set[str] = set()
    names: set[str] = set()
    for row, (id, name) in enumerate(zip(corpus.ids, corpus.names, strict=True)):
        if len(rows) < count and id not in ids and name not in names:
            rows.append(row)
            ids.add(id)
            names.add(name)
    if len(rows) < count:
        raise RequestError(
            f"overfit {count} is more than the data have: {len(rows)} pictures with different "
            "captions",
            f"Give --overfit {len(rows)} or less.",
        )
    part = corpus.subset(rows)
    return dataclasses.replace(part, texts=[texts[:1] for texts in part.texts])


def verdict(loss: float, chance: float, pairs: int) -> str:
    """A sentence on the result of a check: `loss` in nats beside `chance`, ln(pairs)."""
    if loss < LEARNT * chance:
        return f"overfit check: {pairs} pairs are learnt (loss {loss:.3f}, chance {chance:.2f})."
    return (
        f"overfit check: {pairs} pairs are not learnt (loss {loss:.3f}, chance {chance:.2f}). "
        "Give more --steps or another --lr; if neither helps, look for captions that fit several "
        "pictures (geomclip data check) or a tower that is too small."
    )
