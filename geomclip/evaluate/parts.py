"""A data set as the tasks ask for it: the pictures asked about, those to learn from, encoded.

Pictures are decoded and encoded in batches, so that memory holds points alone. What is asked about
is the split `test` where the data name one, else `val`, else the ids that a hash holds out (as for
training); validation data of their own (`val_data`) come before all of that.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomclip.data.config import DataConfig
from geomclip.data.record import BadRecord, Corpus, Record
from geomclip.data.splits import hashed_share
from geomclip.encode import encode
from geomclip.errors import RequestError
from geomclip.model import ContrastiveModel

log = logging.getLogger(__name__)

SPLITS = ("auto", "test", "val", "all")
TEMPLATES = ("{}", "a picture of {}", "a photo of {}")


@dataclass(frozen=True, eq=False)
class Part:
    """Encoded pictures.

    Args:
        points: on the CPU.
        texts: captions of each.
        paths: label paths.
    """

    points: Float[Tensor, "n d"]
    texts: list[tuple[str, ...]]
    paths: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, rows: Sequence[int]) -> "Part":
        """Some of the pictures."""
        picked = torch.tensor(rows, dtype=torch.long)
        return Part(
            self.points[picked], [self.texts[i] for i in rows], [self.paths[i] for i in rows]
        )


@dataclass(frozen=True, eq=False)
class Parts:
    """A data set, encoded.

    Args:
        name: of the data.
        asked: what is asked about, by split.
        training: what is learned from; None where not asked for.
        validation: the data's own validation split, where another one is asked about.
        levels: names of the label paths' entries, most general first.
        classes: the classes' names in the order of their labels, where the data list them.
        templates: prompts that come with the data, or the usual ones.
        bad: records that were left out.
    """

    name: str
    asked: dict[str, Part]
    training: Part | None
    validation: Part | None
    levels: tuple[str, ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    bad: tuple[BadRecord, ...] = ()


def encode_parts(
    model: ContrastiveModel,
    config: DataConfig,
    *,
    split: str = "auto",
    training: bool = False,
    batch_size: int = 256,
    progress: Callable[[int], None] = lambda count: None,
) -> Parts:
    """Read and encode what is needed of a data set.

    Args:
        split: one of SPLITS; "all" asks about every picture, whatever its split.
        training: whether the pictures to learn from are needed too.
        progress: called with the number of pictures so far.

    Raises:
        RequestError: data that can't be used, rows that can't be (counted; `config.skip_bad` leaves
            them out), a split that is not there, or an empty one.
    """
    if config.source == "emoji":
        return _emoji(model, config, training, batch_size, progress)
    from geomclip.data.sources import name_of

    wanted = _Wanted.of(config, split, training)
    sides: dict[str, list[Any]] = {"asked": [], "training": [], "validation": []}
    bad: dict[BadRecord, None] = {}  # a reader may tell of one on each side's way through
    encoded = 0
    for side in sides:
        records = wanted.records(side)
        for block in encode(model, records, skip_bad=True, batch_size=batch_size):
            bad |= dict.fromkeys(block.bad)
            encoded += len(block.ids)
            sides[side].append(block)
            progress(encoded)
    if bad and not (config.skip_bad and encoded):
        from geomclip.data.sources import describe_bad

        raise RequestError(*describe_bad(list(bad), encoded + len(bad)))
    parts = {side: _part(blocks) for side, blocks in sides.items()}
    for side, part in parts.items():
        if part is None and (side == "asked" or (side == "training" and training)):
            raise RequestError(
                f"{config.source}: no picture of it is left "
                f"{'to ask about' if side == 'asked' else 'to learn from'} ({wanted.told(side)})",
                "Check its splits with `geomclip data check`, or choose another --split.",
            )
    assert parts["asked"] is not None
    return Parts(
        name=name_of(config.source),
        asked={wanted.name: parts["asked"]},
        training=parts["training"],
        validation=parts["validation"],
        levels=wanted.levels,
        classes=wanted.classes,
        templates=wanted.templates,
        bad=tuple(bad),
    )


@dataclass(frozen=True)
class _Wanted:
    """Which record belongs to which side."""

    config: DataConfig
    name: str
    """What is asked about: a split, held_out, all, or validation data of their own."""
    training: bool
    splits: tuple[str, ...]
    levels: tuple[str, ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]

    @staticmethod
    def of(config: DataConfig, split: str, training: bool) -> "_Wanted":
        """Look at all records, undecoded. Raises RequestError for a split that isn't there."""
        from geomclip.data.read_benchmark import class_names, is_benchmark, templates_of
        from geomclip.data.sources import read_items

        if split not in SPLITS:
            raise RequestError(f'--split: there is no "{split}"', f"One of {', '.join(SPLITS)}.")
        found: dict[str, int] = {}
        depth = 0
        for item in read_items(config):
            if isinstance(item, tuple):
                found[item[1]] = found.get(item[1], 0) + 1
                depth = max(depth, len(item[0].path))
        named = tuple(name for name in found if name)
        if not found:
            raise RequestError(f"{config.source} holds no records", "Check the path.")
        if split in ("test", "val") and split not in named:
            has = ", ".join(named) if named else "the data name no splits"
            raise RequestError(
                f'{config.source} has no split "{split}" (it has: {has})',
                "Choose another --split; all asks about every picture.",
            )
        if split == "all" and training:
            raise RequestError(
                "--split all leaves no picture to learn from", "Leave probe and knn out."
            )
        if split != "auto":
            name = split
        elif config.val_data:
            name = "val_data"
        else:
            name = next((s for s in ("test", "val") if s in named), "held_out")
        root = Path(config.source)
        benchmark = is_benchmark(root)
        templates = templates_of(root) if benchmark else ()
        classes = class_names(root) if benchmark and depth else ()
        if twice := [name for name, count in Counter(classes).items() if count > 1]:
            log.warning(
                "%s: %d class names stand for several labels, which are one class here: %s",
                root, len(twice), ", ".join(twice[:5]),
            )  # fmt: skip
        levels = config.label_columns or (
            ("class",) if depth == 1 else tuple(f"level_{i}" for i in range(1, depth + 1))
        )
        return _Wanted(
            config=config,
            name=name,
            training=training,
            splits=named,
            levels=levels,
            classes=classes,
            templates=tuple(t.replace("{c}", "{}") for t in templates) or TEMPLATES,
        )

    def told(self, side: str) -> str:
        """For an error about an empty side."""
        if side == "asked":
            return f"asked about: {self.name.replace('_', ' ')}"
        return f"splits: {', '.join(self.splits) or 'none'}; asked about: {self.name}"

    def records(self, side: str) -> Iterator[Record | BadRecord]:
        """The records of a side, with what is wrong beside them."""
        from geomclip.data.sources import read_items

        config, only = self.config, self._only(side)
        if only is None:
            return
        if side == "asked" and self.name == "val_data":
            config = replace(config, source=config.val_data, val_data="")
        for item in read_items(config, only=only, repeats=True):
            if isinstance(item, BadRecord):
                yield item
            elif self._belongs(side, *item):
                yield item[0]

    def _only(self, side: str) -> tuple[str, ...] | None:
        """Splits that a side reads: () is all, None nothing."""
        if side != "asked" and not self.training:
            return None
        if side == "validation":
            return ("val",) if self.name == "test" and "val" in self.splits else None
        if self.name in ("all", "val_data", "held_out"):
            return ()
        return ("train",) if side == "training" else (self.name,)

    def _belongs(self, side: str, record: Record, split: str) -> bool:
        if self.name in ("all", "val_data"):
            return True
        if self.name == "held_out":
            out = hashed_share(record.id) < self.config.val_fraction
            return out == (side == "asked") and split in ("", "train")
        return split == {"asked": self.name, "training": "train", "validation": "val"}[side]


def _emoji(
    model: ContrastiveModel,
    config: DataConfig,
    training: bool,
    batch_size: int,
    progress: Callable[[int], None],
) -> Parts:
    from geomclip.data.emoji import load_emoji

    splits = load_emoji(model.image_size, protocol=config.protocol, fit=model.fit)
    asked = {
        name: _encoded(model, part.pool.subset(part.query), batch_size)
        for name, part in splits.evaluation.items()
    }
    return Parts(
        name=splits.name,
        asked=asked,
        training=_encoded(model, splits.train, batch_size, progress) if training else None,
        validation=None,
        levels=splits.levels,
        classes=(),
        templates=splits.templates,
    )


def _encoded(
    model: ContrastiveModel,
    corpus: Corpus,
    batch_size: int,
    progress: Callable[[int], None] = lambda count: None,
) -> Part:
    part = _part(list(encode(model, corpus, batch_size=batch_size, progress=progress)))
    assert part is not None
    return part


def _part(blocks: Iterable[Any]) -> Part | None:
    kept = [block for block in blocks if len(block.ids)]
    if not kept:
        return None
    return Part(
        torch.cat([block.image for block in kept]),
        [texts for block in kept for texts in block.texts],
        [path for block in kept for path in block.paths],
    )
