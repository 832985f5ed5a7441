"""What is trained on and what is asked: a training set and named evaluation splits."""

import hashlib
from dataclasses import dataclass, field

import torch
from jaxtyping import Int64
from torch import Tensor

from geomclip.data.record import Corpus
from geomclip.data.shards import ShardSource
from geomclip.errors import RequestError


@dataclass(frozen=True, eq=False)
class EvalSplit:
    """Questions about some rows of a pool, answered among all of its rows.

    Args:
        name: as it appears in results.
        pool: the candidates; one row an item, with picture, texts and label path.
        query: the rows of the pool that are asked about.
    """

    name: str
    pool: Corpus
    query: Int64[Tensor, "q"]

    def __post_init__(self) -> None:
        if self.query.numel() == 0:
            raise ValueError(f"EvalSplit {self.name!r}: no query; leave the split out instead")
        low, high = int(self.query.min()), int(self.query.max())
        if low < 0 or high >= len(self.pool):
            raise ValueError(
                f"EvalSplit {self.name!r}: queries are rows of the pool, 0 to "
                f"{len(self.pool) - 1}, got {low} to {high}"
            )


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set ready for use.

    Args:
        train: what the encoders see; where `streamed` is not empty, a sample of it.
        evaluation: the splits by name.
        name: short name of the data set, as in results.
        levels: names of the label paths' entries, the most general first; () without paths.
        templates: prompts with one "{}" that class prototypes are averaged over.
        description: a sentence for reports.
        keywords: whether the texts of a record after its first are keywords (emoji), not captions.
        streamed: the sources that training reads from, where the data are not held in memory.
    """

    train: Corpus
    evaluation: dict[str, EvalSplit]
    name: str
    levels: tuple[str, ...] = ()
    templates: tuple[str, ...] = field(default=("{}",))
    description: str = ""
    keywords: bool = False
    streamed: tuple[ShardSource, ...] = ()

    def __post_init__(self) -> None:
        for template in self.templates:
            if template.count("{}") != 1:
                raise ValueError(f'Splits: a template holds one "{{}}", got {template!r}')
        for key, split in self.evaluation.items():
            if key != split.name:
                raise ValueError(f"Splits: split {split.name!r} is listed as {key!r}")

    @property
    def pictures(self) -> int:
        """Number of pictures to train on."""
        if self.streamed:
            return sum(int(source.sizes.sum()) for source in self.streamed)
        return len(self.train)


def hashed_tenth(id: str) -> bool:
    """Whether an id falls into the fixed tenth that is held out: sha256(id) mod 10 == 0."""
    return int(hashlib.sha256(id.encode("utf-8")).hexdigest(), 16) % 10 == 0


def hashed_share(id: str) -> float:
    """The id's place in [0, 1), uniform over ids and the same everywhere and in every order."""
    return int.from_bytes(hashlib.sha256(id.encode("utf-8")).digest()[:6], "big") / 2**48


def split_by_hash(
    corpus: Corpus,
    fraction: float = 0.1,
    *,
    name: str,
    levels: tuple[str, ...] = (),
    templates: tuple[str, ...] = ("{}",),
    description: str = "",
) -> Splits:
    """Hold out the ids whose `hashed_share` is below `fraction` as the split "validation".

    All pictures of one id fall on the same side. Raises RequestError where a side stays empty.
    """
    if not 0 < fraction < 1:
        raise RequestError(
            f"{name}: val_fraction, the share held out to validate on, is {fraction}",
            "Give --data.val-fraction between 0 and 1 (0.1 is usual), or --data.val-data PATH.",
        )
    held_out = [hashed_share(id) < fraction for id in corpus.ids]
    train = [i for i, out in enumerate(held_out) if not out]
    validation = [i for i, out in enumerate(held_out) if out]
    if not train or not validation:
        raise RequestError(
            f"{name}: {len(corpus)} records leave {len(train)} for training and {len(validation)} "
            "for validation",
            "Give more records, another share, or validation data of its own (val_data).",
        )
    return with_validation(
        corpus.subset(train),
        corpus.subset(validation),
        name=name,
        levels=levels,
        templates=templates,
        description=description,
    )


def with_validation(
    train: Corpus,
    validation: Corpus,
    *,
    name: str,
    levels: tuple[str, ...] = (),
    templates: tuple[str, ...] = ("{}",),
    description: str = "",
) -> Splits:
    """Training data, and validation data all of whose rows are asked about."""
    for title, corpus in (("training", train), ("validation", validation)):
        if not len(corpus):
            raise RequestError(
                f"{name}: the {title} data holds no usable record", "Check its path."
            )
    split = EvalSplit("validation", validation, torch.arange(len(validation)))
    return Splits(train, {split.name: split}, name, levels, templates, description)
