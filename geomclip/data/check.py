"""Look at every row of a data set and report all that is wrong with it at once."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from geomclip.data.config import DataConfig
from geomclip.data.emoji import RENDITIONS, read_rendition
from geomclip.data.files import Item
from geomclip.data.record import BadImage, BadRecord, Record, decode_image
from geomclip.data.sources import read_items, sniff

EXAMPLES = 5


@dataclass(frozen=True)
class Problem:
    """One kind of fault: how many rows have it, and the first of them."""

    kind: str
    count: int
    examples: tuple[BadRecord, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "count": self.count,
            "examples": [example.to_dict() for example in self.examples],
        }


@dataclass(frozen=True)
class CheckReport:
    """What a data set holds and what is wrong with it.

    Args:
        format: csv, folder, tar, parquet, json or emoji.
        rows: records and faults together; rows of a table that name one picture are one record.
        good: records that can be used.
        captions: texts of the good records.
        labelled: good records with a label path.
        splits: good records by the split that the data name; "" where they name none.
        problems: by kind, the most frequent first.
    """

    source: str
    format: str
    rows: int
    good: int
    captions: int
    labelled: int
    splits: dict[str, int]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there is something to train on and nothing wrong."""
        return not self.problems and self.good > 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "format": self.format,
            "ok": self.ok,
            "rows": self.rows,
            "good": self.good,
            "captions": self.captions,
            "labelled": self.labelled,
            "splits": dict(self.splits),
            "problems": [problem.to_dict() for problem in self.problems],
        }


def check(
    config: DataConfig, *, examples: int = EXAMPLES, progress: Callable[[int], None] | None = None
) -> CheckReport:
    """Read every row of `config.source` and decode every picture.

    A kind of fault is what its reason says before the colon. Raises RequestError where the source
    as a whole can't be used.

    Args:
        examples: rows quoted of each kind.
        progress: called after every row with the number read so far.
    """
    emoji = config.source == "emoji"
    kinds: dict[str, list[BadRecord]] = {}
    counts: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    rows = captions = labelled = 0
    items = _emoji() if emoji else read_items(config)
    for rows, item in enumerate(items, 1):
        bad = item if isinstance(item, BadRecord) else _undecodable(item[0])
        if bad is not None:
            kind = bad.reason.split(":")[0]
            counts[kind] += 1
            found = kinds.setdefault(kind, [])
            if len(found) < examples:
                found.append(bad)
        elif isinstance(item, tuple):
            record, split = item
            splits[split] += 1
            captions += len(record.texts)
            labelled += bool(record.path)
        if progress is not None:
            progress(rows)
    return CheckReport(
        source=config.source,
        format="emoji" if emoji else "+".join(map(sniff, config.sources)),
        rows=rows,
        good=splits.total(),
        captions=captions,
        labelled=labelled,
        splits=dict(splits),
        problems=tuple(Problem(k, n, tuple(kinds[k])) for k, n in counts.most_common()),
    )


def _undecodable(record: Record) -> BadRecord | None:
    try:
        decode_image(record.image, 1)
    except BadImage as error:
        return BadRecord(record.where, str(error))
    return None


def _emoji() -> Iterator[Item]:
    for name in RENDITIONS:
        for record in read_rendition(name):
            yield record, name
