"""evaluate(): every metric of every split, in the geometry's own terms."""

import dataclasses

import torch
from torch import Tensor

from geomclip.data.record import Corpus
from geomclip.data.splits import EvalSplit, Splits
from geomclip.evaluate.classification import Classification
from geomclip.evaluate.cones import ConeStatistics, cone_statistics
from geomclip.evaluate.features import TextPoints, image_points, inference, text_points
from geomclip.evaluate.hierarchy import LEVELS, ancestors, root_tau
from geomclip.evaluate.items import Items, names_of
from geomclip.evaluate.modalities import evaluate_modalities
from geomclip.evaluate.pixels import nearest_pictures, share_of_same
from geomclip.evaluate.result import Evaluation, Metric, Reference, SplitEvaluation
from geomclip.evaluate.retrieval import RECALL_AT, Retrieved, Score, chance_recall, retrieve
from geomclip.evaluate.split_tree import evaluate_split_tree
from geomclip.evaluate.zeroshot import zero_shot
from geomclip.geometry import Geometry
from geomclip.hierarchy import Hierarchy
from geomclip.model import ContrastiveModel

TRAIN = "train"

# The pixel reference compares every query with every training picture: minutes on a large data set.
PIXEL_QUERIES = 2000


def evaluate(
    model: ContrastiveModel,
    splits: Splits,
    *,
    train: Corpus | None = None,
    train_queries: int = 500,
    batch_size: int = 256,
    min_radius: float = 0.1,
    trees: bool = False,
    hierarchy: Hierarchy | None = None,
) -> Evaluation:
    """Retrieval, zero-shot classification, order of root distances, cones, and the references.

    Texts are prototypes of their prompts (`splits.templates` and the bare text, features averaged
    before the lift); pictures stand on white. Deterministic, and the model is left as it was.

    Args:
        train: training pictures; with them come the split `train` and the raw-pixel reference.
        train_queries: training pictures asked about, at most; 0 leaves the split `train` out.
        batch_size: pictures, and prompts, encoded at a time.
        min_radius: K of the cones: that of the end of training.
        trees: measure every split but `train` against the tree of its label paths too.
        hierarchy: that the pictures' last labels are nodes of, in place of the tree of their paths.

    Raises:
        GeomclipError: features or points that are not finite, with the encoder and how many; a
            root that was never set (clip, elliptic).
    """
    asked = dict(splits.evaluation)
    if train is not None and train_queries > 0 and any(names_of(train)):
        largest = max((len(s.pool) for s in asked.values()), default=len(train))
        asked[TRAIN] = training_split(train, train_queries, largest)
    templates = tuple(dict.fromkeys(("{}", *splits.templates)))
    items = {name: Items.of(split) for name, split in asked.items()}
    wanted = [text for item in items.values() for text in item.all_texts()]
    texts = text_points(model, wanted, templates, batch_size)
    empty = text_points(model, [""], batch_size=batch_size)

    rows: list[Metric] = []
    references: list[Reference] = []
    details: dict[str, SplitEvaluation] = {}
    encoded: dict[int, Tensor] = {}
    for name, split in asked.items():
        if not len(items[name].query):
            continue
        # Splits that ask about different rows of one pool share its pictures.
        if id(split.pool) not in encoded:
            encoded[id(split.pool)] = image_points(model, split.pool.images, batch_size)
        with inference(model):
            found = _evaluate_split(
                name, model.geometry, items[name], encoded[id(split.pool)], texts, empty, min_radius
            )
        if trees and name != TRAIN:
            pictures = encoded[id(split.pool)]
            tree = evaluate_split_tree(
                model, split, pictures, templates, batch_size, hierarchy, min_radius
            )
            found = dataclasses.replace(found, tree=tree)
        details[name] = found
        rows += _metrics(found)
        references += _references(found, items[name])
        if more := evaluate_modalities(model, items[name], batch_size):
            details[name] = dataclasses.replace(found, by_modality=more)
            rows += [Metric(name, metric, value) for metric, value in more.metrics().items()]
            references += [
                Reference("chance", name, f"{way}_{k}", value)
                for way, pair in more.pairs.items()
                for k, value in pair.chances().items()
            ]
        if train is not None and name != TRAIN and len(train):
            pixel = pixel_reference(split, train)
            references += pixel
            rows += [Metric(name, "pixel_nn_r1", r.value) for r in pixel if r.metric == "i2t_r1"]
    return Evaluation(model.geometry.name, tuple(rows), tuple(references), details)


def training_split(train: Corpus, queries: int, pool: int) -> EvalSplit:
    """Training pictures as a split: one picture a name, and evenly spaced queries among them.

    Args:
        queries: how many to ask about, at most.
        pool: size of the pool, at most. Recall depends on it: take that of the other splits.
    """
    first = {name: row for row, name in reversed(list(enumerate(names_of(train)))) if name}
    rows = sorted(first.values())
    kept = [rows[i] for i in _evenly(len(rows), pool)]
    return EvalSplit(TRAIN, train.subset(kept), torch.tensor(_evenly(len(kept), queries)))


def pixel_reference(split: EvalSplit, train: Corpus) -> list[Reference]:
    """Share of the queries whose nearest training picture, pixel by pixel, has the same label.

    The name is judged over the queries whose name was trained on, group and subgroup over all that
    have one; at most PIXEL_QUERIES queries, evenly spaced. Labelled with the metrics that they
    stand beside: `i2t_r1`, `zeroshot_group_acc`, `zeroshot_subgroup_acc`.
    """
    pool, rows = split.pool, split.query.tolist()
    rows = [rows[i] for i in _evenly(len(rows), PIXEL_QUERIES)]
    trained = names_of(train)
    known = set(trained) - {""}
    names = names_of(pool)
    query = {"i2t_r1": [names[r] if names[r] in known else None for r in rows]}
    label = {"i2t_r1": trained}
    for level in LEVELS:
        metric = f"zeroshot_{level}_acc"
        query[metric] = [ancestors(pool.paths[r]).get(level) for r in rows]
        label[metric] = [ancestors(path).get(level, "") for path in train.paths]
    if not any(text is not None for wanted in query.values() for text in wanted):
        return []
    nearest = nearest_pictures(pool.images[torch.tensor(rows)], train.images)
    found = []
    for metric, wanted in query.items():
        have = [i for i, text in enumerate(wanted) if text is not None]
        if have:
            share = share_of_same(nearest[have], [wanted[i] for i in have], label[metric])
            found.append(Reference("pixel_nn", split.name, metric, share))
    return found


def _evenly(count: int, at_most: int) -> list[int]:
    """At most so many of the places 0 to count - 1, evenly spaced; all of them where they fit."""
    taken = min(count, at_most)
    return [i * count // taken for i in range(taken)]


def _evaluate_split(
    split: str,
    geometry: Geometry,
    items: Items,
    images: Tensor,
    texts: TextPoints,
    empty: TextPoints,
    min_radius: float,
) -> SplitEvaluation:
    device = images.device
    query = items.query.to(device)
    asked = images[query]
    names = texts.of(items.names)
    name_of, first = items.name_of.to(device), items.first.to(device)
    labels = torch.arange(len(names), device=device)
    to_text = retrieve(geometry.score, asked, names, name_of[query], labels)
    to_image = retrieve(_flipped(geometry), names[name_of[query]], images, name_of[query], name_of)

    zeroshot: dict[str, Classification] = {}
    cones: dict[str, ConeStatistics] = {}
    distance = {
        "image": geometry.root_distance(asked),
        "name": geometry.root_distance(names[name_of[query].unique()]),
    }
    for level in LEVELS:
        classes, have, number = items.level(level)
        if not classes:
            continue
        points, own = texts.of(classes), torch.tensor(number, dtype=torch.long, device=device)
        distance[level] = geometry.root_distance(points)
        if have:
            zeroshot[level] = zero_shot(geometry.score, asked[have], points, own)
            if geometry.has_cones:
                cones[level] = cone_statistics(
                    geometry.manifold, points, asked[have], own, min_radius
                )
    if geometry.has_cones:
        cones["name"] = cone_statistics(geometry.manifold, names, asked, name_of[query], min_radius)
    tau, tau_texts = _taus(geometry, items, distance["image"], texts)
    distance["empty"] = geometry.root_distance(empty.points)
    return SplitEvaluation(
        split=split,
        queries=items.query,
        candidates=len(images),
        texts=len(names),
        image_to_text=_on_cpu(Retrieved(to_text.rank, first[to_text.top], to_text.score)),
        text_to_image=_on_cpu(to_image),
        zeroshot=zeroshot,
        cones=cones,
        root_distance={level: d.cpu() for level, d in distance.items()},
        tau=tau,
        tau_texts=tau_texts,
    )


def _taus(
    geometry: Geometry, items: Items, image_distance: Tensor, texts: TextPoints
) -> tuple[Tensor, Tensor]:
    """Tau with and without the picture, of the queries that have a label above their name."""
    tau = torch.full((2, len(items.chains)), torch.nan, dtype=torch.float64)
    for length in sorted({len(c) for c in items.chains} - {0, 1}):
        rows = [i for i, c in enumerate(items.chains) if len(c) == length]
        levels = [
            geometry.root_distance(texts.of([items.chains[i][depth] for i in rows]))
            for depth in range(length)
        ]
        tau[0, rows] = root_tau([*levels, image_distance[rows]]).cpu()
        tau[1, rows] = root_tau(levels).cpu()
    has = ~tau[0].isnan()
    return tau[0, has], tau[1, has]


def _metrics(found: SplitEvaluation) -> list[Metric]:
    values: dict[str, float | None] = {}
    for way, result in (("i2t", found.image_to_text), ("t2i", found.text_to_image)):
        values |= {f"{way}_r{k}": result.recall(k) for k in RECALL_AT}
    values |= {f"zeroshot_{level}_acc": z.accuracy for level, z in found.zeroshot.items()}
    if len(found.tau):
        values["root_tau"] = found.tau.mean().item()
    if group := found.cones.get("group"):
        values |= {
            "cone_own_group": group.own,
            "cone_other_group": group.other,
            "cone_aperture_group": group.aperture,
            "cone_auc_group": group.auc,
        }
    return [Metric(found.split, name, v) for name, v in values.items() if v is not None]


def _references(found: SplitEvaluation, items: Items) -> list[Reference]:
    values = []
    for k in RECALL_AT:
        values.append(("chance", f"i2t_r{k}", chance_recall([1], found.texts, k)))
        values.append(
            ("chance", f"t2i_r{k}", chance_recall(items.same_name(), found.candidates, k))
        )
    for level, z in found.zeroshot.items():
        values.append(("chance", f"zeroshot_{level}_acc", z.chance))
        values.append(("majority", f"zeroshot_{level}_acc", z.majority))
    return [Reference(kind, found.split, metric, value) for kind, metric, value in values]


def _flipped(geometry: Geometry) -> Score:
    # Scores are asked for with pictures first; for a symmetric logit this changes nothing.
    return lambda texts, images: geometry.score(images, texts).T


def _on_cpu(found: Retrieved) -> Retrieved:
    return Retrieved(found.rank.cpu(), found.top.cpu(), found.score.cpu())
