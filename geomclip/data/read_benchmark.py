"""CLIP_benchmark's folders of webdataset tars (github.com/LAION-AI/CLIP_benchmark, its datasets
called wds/...):

    classnames.txt                            a class a line, in the order of the labels
    zeroshot_classification_templates.txt     a prompt a line, {c} where the class stands
    dataset_type.txt                          classification (also where there is no such file),
                                              retrieval, or multilabel, which is refused
    test/nshards.txt                          a number n; beside it 0.tar ... {n-1}.tar of
                                              s0000000.webp (png, jpg) with s0000000.cls, a number
                                              from 0, or with s0000000.txt, a caption a line
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from geomclip.data.config import DataConfig
from geomclip.data.files import SPLITS, Item, clean
from geomclip.data.read_tar import READ_ERRORS, Sample, has_end_mark, is_image, samples
from geomclip.data.record import BadRecord, Record
from geomclip.data.shard_files import why
from geomclip.errors import RequestError

COUNT, CLASSES, TEMPLATES = "nshards.txt", "classnames.txt", "zeroshot_classification_templates.txt"
TYPES = ("classification", "retrieval")

# What some of its data sets call a training split.
_SPLITS = SPLITS | {"trainval": "train"}


def is_benchmark(folder: Path) -> bool:
    """Whether a folder has this layout: a number of shards in a folder below it."""
    return folder.is_dir() and any(folder.glob(f"*/{COUNT}"))


def read_benchmark(
    root: Path, config: DataConfig, only: Collection[str] = (), *, repeats: bool = False
) -> Iterator[Item]:
    """The records of a folder; a class name is the label path and the caption, as in a folder of
    classes. Ids are "split/shard/key".

    Args:
        only: splits to read, of train, val and test; all where empty.
        repeats: keep captions that a picture has twice.

    Raises:
        RequestError: no class names, an unknown dataset type, or shards that are missing.
    """
    kind = _kind(root)
    names = class_names(root) if kind == "classification" else ()
    for folder in sorted(path.parent for path in root.glob(f"*/{COUNT}")):
        split = _SPLITS.get(folder.name)
        if split is None:
            yield BadRecord(
                str(folder), f'unknown split: "{folder.name}" (train, val and test are known)'
            )
        elif not only or split in only:
            for shard in _shards(folder):
                yield from _read(shard, split, names, config, repeats)


def class_names(root: Path) -> tuple[str, ...]:
    """The lines of classnames.txt. Raises RequestError where they are missing."""
    names = _lines(root / CLASSES)
    if not names:
        raise RequestError(
            f"{root} has no class names ({CLASSES} is {'empty' if names == () else 'missing'})",
            f"Write them into {root / CLASSES}, a line each, in the order of the labels; of "
            f"captions {root / 'dataset_type.txt'} says retrieval.",
        )
    return names


def templates_of(root: Path) -> tuple[str, ...]:
    """The lines of its templates, as they stand; () where it has none."""
    return _lines(root / TEMPLATES) or ()


def _kind(root: Path) -> str:
    kind = (_lines(root / "dataset_type.txt") or TYPES)[0].lower()
    if kind not in TYPES:
        raise RequestError(
            f'{root / "dataset_type.txt"} says "{kind}", which is not read',
            f"Known are {' and '.join(TYPES)}.",
        )
    return kind


def _lines(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8: {error.reason}", "Save it as UTF-8.") from None
    return tuple(line.strip() for line in lines if line.strip())


def _shards(folder: Path) -> list[Path]:
    text = (_lines(folder / COUNT) or ("",))[0]
    if not text.isdecimal() or not int(text):
        raise RequestError(
            f'{folder / COUNT} says "{text}", which is no number of shards', "Write it there."
        )
    shards = [folder / f"{i}.tar" for i in range(int(text))]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise RequestError(
            f"{folder} lacks {len(missing)} of the {len(shards)} shards that {COUNT} counts, "
            f"{missing[0]} the first",
            "Fetch them.",
        )
    return shards


def _read(
    shard: Path, split: str, names: tuple[str, ...], config: DataConfig, repeats: bool
) -> Iterator[Item]:
    count = 0
    try:
        with shard.open("rb") as stream:
            for sample in samples(stream, seekable=True):
                count += 1
                yield _record(sample, shard, split, names, config, repeats)
    except READ_ERRORS as error:
        yield BadRecord(
            str(shard), f"the shard can't be read to its end: {why(error)} (after {count} samples)"
        )
    else:
        if not count:
            yield BadRecord(str(shard), "the shard is empty")
        elif not has_end_mark(str(shard)):
            yield BadRecord(
                str(shard), f"the shard is cut off: no end mark (after {count} samples)"
            )


def _record(
    sample: Sample,
    shard: Path,
    split: str,
    names: tuple[str, ...],
    config: DataConfig,
    repeats: bool,
) -> Item:
    where, parts = f"{shard}: {sample.key}", sample.parts
    if sample.problem:
        return BadRecord(where, sample.problem)
    picture = next((parts[name] for name in parts if is_image(name)), None)
    if picture is None:
        return BadRecord(where, f"no picture: it holds only {', '.join(sample.names)}")
    needed = "cls" if names else "txt"
    if needed not in parts:
        return BadRecord(where, f"no .{needed}: it holds only {', '.join(sample.names)}")
    try:
        text = parts[needed].decode(config.encoding)
    except UnicodeDecodeError as error:
        return BadRecord(where, f"its .{needed} is not {config.encoding}: {error.reason}")
    id = f"{shard.parent.name}/{shard.stem}/{sample.key}"
    if not names:
        captions = clean(text.splitlines(), repeats=repeats)
        if not captions:
            return BadRecord(where, "its .txt is empty")
        return Record(id, picture, captions, (), where), split
    if not text.strip().isdecimal() or int(text) >= len(names):
        return BadRecord(
            where, f'its .cls is "{text.strip()[:20]}", no number below {len(names)} ({CLASSES})'
        )
    name = names[int(text)]
    return Record(id, picture, (name,), (name,), where), split
