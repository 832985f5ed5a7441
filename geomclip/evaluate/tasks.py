"""The tasks of `geomclip evaluate --tasks`, each by its published protocol, on one data set.

    zeroshot     class texts, averaged over prompts before the lift
    probe        a linear classifier of the training pictures
    knn          votes of the nearest training pictures
    retrieval    pictures and their captions, in both directions

A picture's class is an entry of its label path, by default the last. Scores are the geometry's own.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from geomclip.errors import RequestError
from geomclip.evaluate.captions import CAPTIONS, FOLD, CaptionRetrieval, first_captions
from geomclip.evaluate.captions import retrieve_captions as _retrieve
from geomclip.evaluate.classification import Classification
from geomclip.evaluate.features import inference, text_points
from geomclip.evaluate.knn import NearestNeighbours, knn
from geomclip.evaluate.parts import Part, Parts
from geomclip.evaluate.probe import Labelled, LinearProbe, linear_probe
from geomclip.evaluate.zeroshot import zero_shot
from geomclip.model import ContrastiveModel

log = logging.getLogger(__name__)

TASKS = ("zeroshot", "probe", "knn", "retrieval")
LEARNING = ("probe", "knn")


@dataclass(frozen=True)
class SplitTasks:
    """What was found on one split; a task that was not asked for is None.

    Args:
        pictures: asked about.
        unlabelled: those of them without a class, which classification leaves out.
        retrieval: over all pictures, and "folds": the mean over folds.
        shared_captions: captions whose words stand with another picture too.
    """

    pictures: int
    unlabelled: int = 0
    zeroshot: Classification | None = None
    probe: LinearProbe | None = None
    knn: NearestNeighbours | None = None
    retrieval: dict[str, CaptionRetrieval] = field(default_factory=dict)
    shared_captions: int = 0

    def to_dict(self) -> dict[str, Any]:
        """What there is."""
        values: dict[str, Any] = {"pictures": self.pictures, "unlabelled": self.unlabelled}
        for name in ("zeroshot", "probe", "knn"):
            if (found := getattr(self, name)) is not None:
                values[name] = found.to_dict()
        if self.retrieval:
            values["retrieval"] = {k: v.to_dict() for k, v in self.retrieval.items()}
            values["shared_captions"] = self.shared_captions
        return values

    def numbers(self) -> list[tuple[str, float, float | None, float | None]]:
        """(name, value, standard error, chance) of each number, for a table."""
        rows: list[tuple[str, float, float | None, float | None]] = []
        named = [("zeroshot", self.zeroshot), ("probe", self.probe.found if self.probe else None)]
        by_k = self.knn.by_k if self.knn else {}
        named += [(f"knn{k}", found) for k, found in by_k.items()]
        for name, found in named:
            if found is not None:
                rows.append((f"{name}_acc1", found.accuracy, found.error, found.chance))
                if found.top5 is not None:
                    rows.append((f"{name}_acc5", found.top5, None, 5 / found.classes))
                rows.append((f"{name}_class_mean", found.class_mean, None, found.chance))
        for way, result in self.retrieval.items():
            name = "retrieval" if way == "all" else f"retrieval_{way}"
            for metric, number in result.recall.items():
                row = (f"{name}_{metric}", number.value, number.error, result.chance[metric])
                rows.append(row)
            for metric, value in result.median_rank.items():
                rows.append((f"{name}_{metric}_median_rank", value, None, None))
        return rows


@dataclass(frozen=True)
class TaskResults:
    """The tasks of one data set, by split.

    Args:
        data: its name.
        templates: the prompts that class texts were averaged over; () without zero-shot.
        level: the entry of the label paths that was the class.
        classes: candidates' names, in the order of the labels.
        left_out: records that could not be used.
    """

    data: str
    splits: dict[str, SplitTasks]
    templates: tuple[str, ...] = ()
    level: str = ""
    classes: tuple[str, ...] = ()
    left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """All of it."""
        return {
            "data": self.data,
            "templates": list(self.templates),
            "level": self.level,
            "classes": list(self.classes),
            "left_out": self.left_out,
            "splits": {name: found.to_dict() for name, found in self.splits.items()},
        }


def run_tasks(
    model: ContrastiveModel,
    parts: Parts,
    tasks: Sequence[str],
    *,
    templates: Sequence[str] = (),
    level: str = "",
    captions: int = CAPTIONS,
    fold: int = FOLD,
    batch_size: int = 256,
    seed: int = 0,
    progress: Callable[[str], None] = lambda task: None,
) -> TaskResults:
    """Every task on every split of the data.

    Args:
        templates: prompts with one {}; those of the data where empty.
        level: the entry of the label paths that is the class; the last where empty.
        captions: of a picture that are ranked, at most; 0 takes all.
        fold: pictures of a fold of retrieval, reported where there are two of them; 0 reports none.
        seed: of the training pictures that the probe holds out.
        progress: called with what is done next.

    Raises:
        RequestError: an unknown task or level; data without labels, or without captions, that a
            task needs; training pictures of none of the classes.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise RequestError(f"there is no task {unknown[0]}", f"One of {', '.join(TASKS)}.")
    prompts = tuple(templates) or parts.templates
    labels = _Labels.of(parts, level) if set(tasks) - {"retrieval"} else None
    found = {}
    for split, part in parts.asked.items():
        values: dict[str, Any] = {"pictures": len(part)}
        if labels is not None:
            values |= _classify(
                model, parts, split, labels, tasks, prompts, batch_size, seed, progress
            )
        if "retrieval" in tasks:
            progress(f"retrieval on {split}")
            values |= _captions(model, parts.name, part, captions, fold, batch_size)
        found[split] = SplitTasks(**values)
    return TaskResults(
        data=parts.name,
        splits=found,
        templates=prompts if "zeroshot" in tasks else (),
        level=labels.level if labels else "",
        classes=labels.names if labels else (),
        left_out=len(parts.bad),
    )


@dataclass(frozen=True)
class _Labels:
    """Classes by name."""

    names: tuple[str, ...]
    level: str
    place: int

    @staticmethod
    def of(parts: Parts, level: str) -> "_Labels":
        """Raises RequestError for an unknown level, and for data without labels."""
        if level and level not in parts.levels:
            raise RequestError(
                f'--level: the label paths of {parts.name} have no "{level}"',
                f"One of {', '.join(parts.levels)}." if parts.levels else "They have no labels.",
            )
        place = parts.levels.index(level) if level else -1
        sides = [*parts.asked.values(), parts.training, parts.validation]
        names = dict.fromkeys(parts.classes)
        for part in sides:
            for path in part.paths if part else ():
                if (name := _entry(path, place)) is not None:
                    names.setdefault(name)
        if not names:
            raise RequestError(
                f"{parts.name} has no labels, and a classifier nothing to tell apart",
                "Sort the pictures into a folder per class, or name --data.label-columns.",
            )
        shown = level or (parts.levels[-1] if parts.levels else "")
        return _Labels(tuple(names), shown, place)

    def rows(self, part: Part) -> tuple[list[int], Int[Tensor, "n"]]:
        """The rows that have a class, and its number."""
        number = {name: i for i, name in enumerate(self.names)}
        entries = [_entry(path, self.place) for path in part.paths]
        found = [(i, number[entry]) for i, entry in enumerate(entries) if entry is not None]
        return [i for i, _ in found], torch.tensor([n for _, n in found], dtype=torch.long)

    def labelled(self, part: Part) -> Labelled:
        """The points that have a class."""
        rows, labels = self.rows(part)
        return Labelled(part.points[torch.tensor(rows, dtype=torch.long)], labels)


def _entry(path: tuple[str, ...], place: int) -> str | None:
    return path[place] if len(path) > max(place, 0) else None


def _classify(
    model: ContrastiveModel,
    parts: Parts,
    split: str,
    labels: _Labels,
    tasks: Sequence[str],
    prompts: tuple[str, ...],
    batch_size: int,
    seed: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    part = parts.asked[split]
    asked, classes = labels.labelled(part), len(labels.names)
    if not len(asked):
        raise RequestError(
            f"{parts.name}, {split}: no picture has a label at the level {labels.level}",
            "Choose another --level.",
        )
    values: dict[str, Any] = {"unlabelled": len(part) - len(asked)}
    with inference(model) as device:
        if "zeroshot" in tasks:
            progress(f"zero-shot classification on {split}")
            texts = text_points(model, labels.names, prompts, batch_size).of(labels.names)
            values["zeroshot"] = zero_shot(
                model.geometry.score, asked.points.to(device), texts, asked.labels.to(device)
            )
        if set(tasks).isdisjoint(LEARNING):
            return values
        assert parts.training is not None
        training = labels.labelled(parts.training)
        if not bool(torch.isin(asked.labels, training.labels).any()):
            log.warning(
                "%s: none of its %d classes has a training picture: no probe, no knn",
                split, len(asked.labels.unique()),
            )  # fmt: skip
            return values
        if "knn" in tasks:
            progress(f"nearest neighbours on {split}")
            values["knn"] = knn(
                model.geometry, asked.points.to(device), asked.labels,
                training.points.to(device), training.labels, classes,
            )  # fmt: skip
        if "probe" in tasks:
            progress(f"linear probe on {split}")
            held = labels.labelled(parts.validation) if parts.validation else None
            values["probe"] = linear_probe(
                model.geometry, _on(asked, device), _on(training, device),
                _on(held, device) if held is not None else None, classes=classes, seed=seed,
            )  # fmt: skip
    return values


def _on(part: Labelled, device: torch.device) -> Labelled:
    """Points on the device of the geometry, labels where they are."""
    return Labelled(part.points.to(device), part.labels)


def _captions(
    model: ContrastiveModel, name: str, part: Part, captions: int, fold: int, batch_size: int
) -> dict[str, Any]:
    bare = [i for i, texts in enumerate(part.texts) if not texts]
    if bare:
        raise RequestError(
            f"{name}: {len(bare):,} of {len(part):,} pictures have no caption",
            "Retrieval needs one of each: leave it out of --tasks, or give captions.",
        )
    flat, owner = first_captions(part.texts, captions)
    texts = text_points(model, flat, batch_size=batch_size)
    pictures: dict[str, set[int]] = {}
    for text, row in zip(flat, owner.tolist(), strict=True):
        pictures.setdefault(text, set()).add(row)
    with inference(model) as device:
        images, words, own = part.points.to(device), texts.of(flat), owner.to(device)
        found = {"all": _retrieve(model.geometry, images, words, own)}
        if fold and len(part) >= 2 * fold:
            found["folds"] = _retrieve(model.geometry, images, words, own, fold=fold)
    shared = sum(len(pictures[text]) > 1 for text in flat)
    return {"retrieval": found, "shared_captions": shared}
